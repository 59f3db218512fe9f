"""Waiting on POSIX semaphores that lie in the segment itself. sem_overview(7)

Two unnamed semaphores, shared between processes: one counts messages, one counts free places.
sem_wait(3) and sem_post(3) enter the kernel only when somebody must sleep or be woken, and glibc
hides when that is; so their system calls are counted by a trace and not here.
"""

import os
from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.libc import errno, sem_init, sem_post, sem_trywait, sem_wait
from labkit.mechanisms.contract import FLAGS

EINTR = 4
SEMAPHORE_BYTES = 32  # sizeof(sem_t) in glibc on 64-bit Linux; the segment sets 64 aside


@measured
def wait(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Take one from the semaphore; sleep while there is none."""
    if ch[FLAGS] != 0:
        return -errno() if sem_trywait(semaphore) < 0 else 0
    while sem_wait(semaphore) < 0:
        if errno() != EINTR:
            return -errno()
    return 0


@measured
def announce(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Give one to the semaphore; wakes a sleeper."""
    return -errno() if sem_post(semaphore) < 0 else 0


def create(address: int, value: int) -> None:
    """An unnamed semaphore at `address`, shared between processes, with this value. sem_init(3)

    Raises:
        OSError: the kernel or libc refused.
    """
    if sem_init(address, 1, value) < 0:
        raise OSError(errno(), os.strerror(errno()))
