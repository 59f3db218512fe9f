"""Waiting by looking again and again: no system call, no sleep, a CPU burnt at each end.

The load is an acquire and the store a release (ISO C11, 7.17.3): who sees the count also sees the
message that was written before it. On one CPU a spinner only holds up the end it waits for.
"""

from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.memory import load_acquire, pause, store_release
from labkit.mechanisms.contract import FLAGS
from labkit.mechanisms.waiting.count_word import WORD, reached

EAGAIN = 11


@measured
def wait(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Look until the count is reached."""
    seen = load_acquire(word)
    while not reached(seen, count):
        if ch[FLAGS] != 0:
            return -EAGAIN
        pause()
        seen = load_acquire(word)
    return seen & WORD


@measured
def announce(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Store the count; the waiting CPU finds it in its cache a moment later."""
    store_release(word, 2 * count)
    return 0
