"""Loops with nothing around them, to hold the harness against: no contract, no verbs, no checks
but those named. Compiled by the same compiler, run by two freshly forked, pinned processes."""

import ctypes
import mmap
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from labkit.harness.payload import check, fill
from labkit.harness.record import CLOCK_MONOTONIC, clock, meet
from labkit.kernel.compiler import Compiler, measured
from labkit.kernel.cpus import pin
from labkit.kernel.libc import memcpy, syscall
from labkit.kernel.memory import (
    compare_exchange,
    exchange,
    load_acquire,
    pause,
    set_word,
    store_release,
    words,
)
from labkit.kernel.numbers import FUTEX
from labkit.mechanisms.segment import address_of

PAGE = 4096
FUTEX_WAIT, FUTEX_WAKE = 0, 1
ALL = 1


@measured
def bounce_ping(there: int, back: int, warm: int, count: int, gate: int, record: int) -> int:
    """Pass a number there and back, in one word (there == back) or in one word each way."""
    start = 0
    for i in range(1, warm + count + 1):
        if i == warm + 1:
            meet(gate)
            start = clock(record, CLOCK_MONOTONIC)
        store_release(there, 2 * i - 1)
        while load_acquire(back) != 2 * i:
            pause()
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def bounce_pong(there: int, back: int, warm: int, count: int, gate: int, record: int) -> int:
    """Answer each odd number with the next even one."""
    for i in range(1, warm + count + 1):
        if i == warm + 1:
            meet(gate)
        while load_acquire(there) != 2 * i - 1:
            pause()
        store_release(back, 2 * i)
    return 0


@measured
def spin_until(word: int, value: int) -> int:
    """Look until the word has this value."""
    while load_acquire(word) != value:
        pause()
    return 0


@measured
def sleep_until(word: int, value: int) -> int:
    """Sleep until the word has this value: 0 empty, 1 full, 2 empty and 3 full with a sleeper."""
    seen = load_acquire(word)
    while seen & 1 != value:
        if seen & 2 == 0 and compare_exchange(word, seen, seen | 2) != seen:
            seen = load_acquire(word)
            continue
        syscall(FUTEX, word, FUTEX_WAIT, seen | 2, 0, 0, 0)
        seen = load_acquire(word)
    return 0


@measured
def set_and_wake(word: int, value: int) -> int:
    """Set the word and wake its sleeper, if it has one."""
    if exchange(word, value) & 2:
        syscall(FUTEX, word, FUTEX_WAKE, 1, 0, 0, 0)
    return 0


@measured
def hand_over(
    flags: int,
    places: int,
    private: int,
    n: int,
    slots: int,
    sleeping: int,
    mode: int,
    first: int,
    last: int,
) -> int:
    """Produce messages first..last-1. mode: 0 copy in, 1 fill in place, 2 nothing but a stamp."""
    for k in range(first, last):
        slot = k % slots
        word = flags + 64 * slot
        place = places + slot * n
        if sleeping:
            sleep_until(word, 0)
        else:
            spin_until(word, 0)
        if mode == 0:
            set_word(private, k)
            memcpy(place, private, n)
        elif mode == 1:
            fill(place, n, k, ALL)
        else:
            set_word(place, k)
        if sleeping:
            set_and_wake(word, 1)
        else:
            store_release(word, 1)
    return 0


@measured
def take_over(
    flags: int,
    places: int,
    private: int,
    n: int,
    slots: int,
    sleeping: int,
    mode: int,
    first: int,
    last: int,
) -> int:
    """Consume messages first..last-1, with the same modes."""
    state = words(private + n)
    for k in range(first, last):
        slot = k % slots
        word = flags + 64 * slot
        place = places + slot * n
        if sleeping:
            sleep_until(word, 1)
        else:
            spin_until(word, 1)
        if mode == 0:
            memcpy(private, place, n)
        elif mode == 1 and check(state, place, n, k, ALL) < 0:
            return -1
        if sleeping:
            set_and_wake(word, 0)
        else:
            store_release(word, 0)
    return 0


@measured
def bare_source(
    flags: int, places: int, private: int, n: int, slots: int, sleeping: int, mode: int,
    warm: int, count: int, gate: int, record: int,
) -> int:  # fmt: skip
    """Stream `count` messages after `warm`; the start time goes to the record's first word."""
    hand_over(flags, places, private, n, slots, sleeping, mode, 0, warm)
    meet(gate)
    start = clock(record, CLOCK_MONOTONIC)
    hand_over(flags, places, private, n, slots, sleeping, mode, warm, warm + count)
    return start


@measured
def bare_sink(
    flags: int, places: int, private: int, n: int, slots: int, sleeping: int, mode: int,
    warm: int, count: int, gate: int, record: int,
) -> int:  # fmt: skip
    """Take the stream in; returns when the last message was handed back."""
    if take_over(flags, places, private, n, slots, sleeping, mode, 0, warm) < 0:
        return -1
    meet(gate)
    if take_over(flags, places, private, n, slots, sleeping, mode, warm, warm + count) < 0:
        return -1
    return clock(record, CLOCK_MONOTONIC)


def compile_loop(compiler: Compiler, function: Callable[..., int]) -> Any:
    """A compiled loop that takes only numbers."""
    return compiler.compile(function, compiler.loop_signature(0, function.__code__.co_argcount))


def run_pair(loops: tuple[Any, Any], cpus: tuple[int, int], arguments: list[Any]) -> list[int]:
    """Fork two fresh processes, one a loop, and return what their loops return.

    Args:
        arguments: as the loops take them; "private" and "record" stand for memory of their own.
    """
    reading, writing = socket.socketpair()
    children = []
    for number, (loop, cpu) in enumerate(zip(loops, cpus, strict=True)):
        pid = os.fork()
        if pid == 0:
            try:
                ctypes.CDLL(None).prctl(1, signal.SIGKILL)
                pin(cpu)
                own = mmap.mmap(-1, (1 << 20) + 2 * PAGE)
                other = mmap.mmap(-1, PAGE)
                values = {"private": address_of(own), "record": address_of(other)}
                result = loop(*[values.get(each, each) for each in arguments])
                writing.send(f"{number} {result}\n".encode())
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    writing.close()
    said = dict(line.split() for line in reading.makefile())
    reading.close()
    return [int(said["0"]), int(said["1"])]


def shared_memory(size: int) -> tuple[mmap.mmap, int]:
    """Shared memory for a pair, and its address."""
    memory = mmap.mmap(-1, size)
    return memory, address_of(memory)
