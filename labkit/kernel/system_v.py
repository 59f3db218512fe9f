"""System V objects by the kernel's own calls, with nothing added: an errno becomes an OSError.

shmget(2), shmop(2), shmctl(2), msgget(2), msgop(2), semget(2), semop(2), semctl(2). Objects that
are meant to be kept are made through `labkit.kernel.objects`, or entered in the ledger by it first.
"""

import ctypes
import os
import struct
from collections.abc import Callable
from errno import errorcode
from typing import Any

from labkit.kernel import libc

# linux/ipc.h, linux/shm.h, linux/sem.h, linux/msg.h
IPC_PRIVATE = 0
IPC_CREAT, IPC_EXCL, IPC_NOWAIT = 0o1000, 0o2000, 0o4000
IPC_RMID = 0
SHM_RDONLY, SHM_RND, SHM_REMAP = 0o10000, 0o20000, 0o40000
SEM_UNDO, SETVAL = 0x1000, 16

_TYPE = struct.calcsize("l")  # a message begins with its type


def shmget(key: int, size: int, flags: int) -> int:
    """A segment's id."""
    return _checked(libc.shmget(key, size, flags))


def shmat(identifier: int, address: int = 0, flags: int = 0) -> int:
    """Attach: the address."""
    return _checked(libc.shmat(identifier, address, flags))


def shmdt(address: int) -> None:
    """Detach."""
    _checked(libc.shmdt(address))


def remove_segment(identifier: int) -> None:
    """Mark a segment for removal: it goes at its last detach. IPC_RMID"""
    _checked(libc.shmctl(identifier, IPC_RMID, 0))


def msgget(key: int, flags: int) -> int:
    """A queue's id."""
    return _checked(libc.msgget(key, flags))


def msgsnd(identifier: int, data: bytes, kind: int = 1, flags: int = 0) -> None:
    """Send a message of this type."""
    message = ctypes.create_string_buffer(struct.pack("l", kind) + data)
    _checked(libc.msgsnd(identifier, ctypes.addressof(message), len(data), flags))


def msgrcv(identifier: int, size: int, kind: int = 0, flags: int = 0) -> bytes:
    """Receive a message of at most `size` bytes: the first, or the first of this type."""
    message = ctypes.create_string_buffer(_TYPE + size)
    taken = _checked(libc.msgrcv(identifier, ctypes.addressof(message), size, kind, flags))
    return message.raw[_TYPE : _TYPE + taken]


def remove_queue(identifier: int) -> None:
    """Remove a queue at once. IPC_RMID"""
    _checked(libc.msgctl(identifier, IPC_RMID, 0))


def semget(key: int, count: int, flags: int) -> int:
    """The id of a set of semaphores."""
    return _checked(libc.semget(key, count, flags))


def set_semaphore(identifier: int, value: int, number: int = 0) -> None:
    """Set one semaphore of a set. SETVAL"""
    _checked(libc.semctl(identifier, number, SETVAL, value))


def semop(identifier: int, change: int, flags: int = 0, number: int = 0) -> None:
    """Add to one semaphore of a set, or wait until that is possible."""
    operation = ctypes.create_string_buffer(struct.pack("Hhh", number, change, flags))
    _checked(libc.semop(identifier, ctypes.addressof(operation), 1))


def remove_semaphores(identifier: int) -> None:
    """Remove a set at once. IPC_RMID"""
    _checked(libc.semctl(identifier, 0, IPC_RMID, 0))


def refusal(call: Callable[..., Any], *arguments: Any) -> str:
    """Make a call: the name of the errno it was refused with, such as "EACCES"; "" if it was not.

    errno(3)
    """
    try:
        call(*arguments)
    except OSError as error:
        return errorcode.get(error.errno or 0, str(error.errno))
    return ""


def _checked(result: int) -> int:
    if result == -1:
        number = libc.errno()
        raise OSError(number, os.strerror(number))
    return result
