"""Waiting on System V semaphores: every step is a system call, waited for or not. semop(2)

Two sets of one semaphore each: one counts messages, one counts free places. They live in the
kernel under identifiers of their own and stay there until removed. An operation is a `struct
sembuf` of three shorts (number, change, flags), kept ready in two words of the channel's state.
"""

from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.libc import errno, semop
from labkit.mechanisms.contract import CALLS, SELF

EINTR = 4
IPC_NOWAIT = 0o4000
DOWN_WORD = 32  # the state words that hold the two operations
UP_WORD = 33
UP = 1 << 16
DOWN = 0xFFFF << 16  # a change of -1 in sixteen bits
DOWN_OR_REFUSE = DOWN | IPC_NOWAIT << 32


@measured
def wait(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Take one from the semaphore; the kernel puts us to sleep while there is none."""
    ch[CALLS] += 1
    while semop(semaphore, ch[SELF] + 8 * DOWN_WORD, 1) < 0:
        if errno() != EINTR:
            return -errno()
        ch[CALLS] += 1
    return 0


@measured
def announce(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Give one to the semaphore; the kernel wakes a sleeper."""
    ch[CALLS] += 1
    return -errno() if semop(semaphore, ch[SELF] + 8 * UP_WORD, 1) < 0 else 0
