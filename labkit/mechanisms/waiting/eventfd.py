"""Waiting on a counter that is a descriptor: every step is a system call. eventfd(2)

Two counters that act as semaphores (EFD_SEMAPHORE): one counts messages, one counts free places.
read(2) takes one and sleeps while there is none; write(2) adds one and wakes a sleeper. They have
no name: the ends inherit them, or pass them over a Unix socket; and they end with the last process
that has them. Unlike a semaphore, poll(2) can wait for one together with other descriptors.
"""

from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.libc import errno, read, write
from labkit.mechanisms.contract import CALLS, SELF

EINTR = 4
TAKEN_WORD = 34  # the state words that read(2) fills,
ONE_WORD = 35  # and that write(2) adds
WORD_BYTES = 8  # an eventfd is read and written in 64-bit words


@measured
def wait(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Take one from the counter; the kernel puts us to sleep while there is none."""
    ch[CALLS] += 1
    while read(semaphore, ch[SELF] + 8 * TAKEN_WORD, WORD_BYTES) < 0:
        if errno() != EINTR:
            return -errno()
        ch[CALLS] += 1
    return 0


@measured
def announce(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Add one to the counter; the kernel wakes a sleeper."""
    ch[CALLS] += 1
    return -errno() if write(semaphore, ch[SELF] + 8 * ONE_WORD, WORD_BYTES) < 0 else 0
