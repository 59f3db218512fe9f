"""Each way of waiting tried: its calls are made where nobody has to wait."""

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from labkit.checkup.check import Finding
from labkit.checkup.remedy import here
from labkit.errors import LabkitError
from labkit.kernel import libc
from labkit.kernel.cpus import allowed
from labkit.kernel.limits import system_v_semaphores
from labkit.kernel.numbers import FUTEX
from labkit.kernel.objects import Objects, map_shared
from labkit.mechanisms.segment import address_of
from labkit.mechanisms.waiting import futex as futex_calls
from labkit.mechanisms.waiting import posix_sem as posix_calls
from labkit.mechanisms.waiting import sysv_sem as sysv_calls

LEAST_SETS = 1024  # of semaphores: room for a class's


def spin() -> Finding:
    """Looking again and again takes nothing but a CPU for each end."""
    if len(allowed()) >= 2:
        return Finding(True, "two ends can spin, as there is a CPU for each")
    return Finding(
        False,
        "a spinning waiter would hold the only CPU that its partner needs (sched_getaffinity)",
        "labkit compare --waiting futex  # sleeps instead",
    )


def futex() -> Finding:
    """futex(2): a wake-up of nobody, and a wait for what has changed already."""
    with _shared_word() as word:
        woken = libc.syscall(FUTEX, word, futex_calls.FUTEX_WAKE, 1, 0, 0, 0)
        if woken == 0:
            # The word is 0 and not 1, so the kernel must not put us to sleep.
            waited = libc.syscall(FUTEX, word, futex_calls.FUTEX_WAIT, 1, 0, 0, 0)
            if waited < 0 and libc.errno() == errno.EAGAIN:
                return Finding(True, "woke nobody, and did not sleep on a word that had changed")
        return _refused("futex", libc.errno())


def posix_sem() -> Finding:
    """sem_init(3), sem_post(3) and sem_trywait(3) in memory that is shared."""
    with _shared_word() as semaphore:
        posix_calls.create(semaphore, 0)
        if libc.sem_post(semaphore) == 0 and libc.sem_trywait(semaphore) == 0:
            return Finding(True, "made one in shared memory, gave and took")
        return _refused("a POSIX semaphore", libc.errno())


def sysv_sem() -> Finding:
    """semget(2) and semop(2)."""
    with Objects() as objects:
        try:
            identifier = objects.sysv_semaphore(0)
        except (OSError, LabkitError) as error:
            number = getattr(error, "errno", None)
            if number is None or number == errno.ENOSPC:
                return _too_many_sets()
            return _refused("semget", number)
        operations = (ctypes.c_int64 * 2)(sysv_calls.UP, sysv_calls.DOWN_OR_REFUSE)
        for place in range(2):
            if libc.semop(identifier, ctypes.addressof(operations) + 8 * place, 1) < 0:
                return _refused("semop", libc.errno())
        return Finding(True, "created one, gave and took, and removed it")


def eventfd() -> Finding:
    """eventfd(2), and a write(2) and a read(2) of one."""
    try:
        descriptor = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_CLOEXEC)
    except OSError as error:
        return _refused("eventfd", error.errno or 0)
    try:
        os.eventfd_write(descriptor, 1)
        os.eventfd_read(descriptor)
    except OSError as error:
        return _refused("an eventfd", error.errno or 0)
    finally:
        os.close(descriptor)
    return Finding(True, "created one, gave and took, and closed it")


def _too_many_sets() -> Finding:
    told = system_v_semaphores()
    sets = told["semmni"] or 0
    why = f"all the semaphores that there may be are there, {sets} sets (/proc/sys/kernel/sem)"
    more = (told["semmsl"] or 250, told["semmns"] or 256_000, told["semopm"] or 32)
    wanted = " ".join(map(str, (*more, max(LEAST_SETS, 2 * sets))))
    return Finding(False, why, here().change({"kernel.sem": wanted}))


def _refused(call: str, number: int) -> Finding:
    name = errno.errorcode.get(number, str(number))
    return Finding(False, f"{call} was refused: {name}, {os.strerror(number)}", here().unfiltered())


@contextmanager
def _shared_word() -> Iterator[int]:
    """The address of zeroed memory that a fork would share."""
    mapping = map_shared(-1, mmap.PAGESIZE)
    try:
        yield address_of(mapping)
    finally:
        mapping.close()
