"""Waiting in the kernel, but only when there is something to wait for. futex(2), futex(7)

The word that says how many there are carries one more bit: somebody sleeps. The waiter sets it
with a compare-and-exchange and sleeps while the word still has that value; the announcer swaps in
the new count and learns from what it swapped out whether to wake anybody. One word, changed by
atomic steps, leaves no gap in which a wake-up could be lost. Never FUTEX_PRIVATE: two processes.
"""

from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.libc import syscall
from labkit.kernel.memory import compare_exchange, exchange, load_acquire
from labkit.kernel.numbers import FUTEX
from labkit.mechanisms.contract import CALLS, FLAGS
from labkit.mechanisms.waiting.count_word import WORD, reached

EAGAIN = 11
FUTEX_WAIT = 0
FUTEX_WAKE = 1


@measured
def wait(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Return at once if the count is there; else sleep until somebody announces it."""
    seen = load_acquire(word)
    while not reached(seen, count):
        if ch[FLAGS] != 0:
            return -EAGAIN
        if seen & 1 == 0 and compare_exchange(word, seen, seen | 1) != seen:
            seen = load_acquire(word)  # it changed under our hands: look again
            continue
        ch[CALLS] += 1
        syscall(FUTEX, word, FUTEX_WAIT, (seen | 1) & WORD, 0, 0, 0)
        seen = load_acquire(word)
    return seen & WORD


@measured
def announce(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Swap in the count (sequentially consistent); wake the other end if it slept."""
    if exchange(word, 2 * count) & 1:
        ch[CALLS] += 1
        syscall(FUTEX, word, FUTEX_WAKE, 1, 0, 0, 0)
    return 0
