"""The loops that measure one cost each, compiled as the harness's are and read as easily.

A loop does the same thing `count` times and returns the nanoseconds that took; what one of them
costs follows by division. Where two processes have a part, both run the same function with the
word at which they are first or second.
"""

import platform
from typing import Any

from labkit.harness.loop import consume, produce
from labkit.harness.payload import check, fill
from labkit.harness.record import CLOCK_MONOTONIC, begin, clock, finish, meet
from labkit.kernel.compiler import measured
from labkit.kernel.libc import LibcFunction, memcpy, sched_yield, syscall
from labkit.kernel.memory import (
    compare_exchange,
    exchange,
    fetch_add,
    get_word,
    load_acquire,
    pause,
    set_word,
    store_release,
    words,
)
from labkit.kernel.numbers import FUTEX

# The shortest system call there is: it reads one number. getppid(2), asm-generic/unistd.h
GETPPID = {"x86_64": 110}.get(platform.machine(), 173)
FUTEX_WAIT, FUTEX_WAKE = 0, 1
PAGE, LINE = 4096, 64
PROT_READ_WRITE, MAP_SHARED = 3, 1
ALL = 1
ASLEEP_NS = 50_000  # after so long, who meant to sleep does

pwrite = LibcFunction("pwrite", "long", "int", "long", "long", "long")
pread = LibcFunction("pread", "long", "int", "long", "long", "long")
mmap = LibcFunction("mmap", "long", "long", "long", "int", "int", "int", "long")
munmap = LibcFunction("munmap", "int", "long", "long")


@measured
def read_clock(record: int, count: int) -> int:
    """Read the clock that times everything else. clock_gettime(2), CLOCK_MONOTONIC"""
    start = clock(record, CLOCK_MONOTONIC)
    for _ in range(count - 1):
        clock(record, CLOCK_MONOTONIC)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def null_call(record: int, count: int) -> int:
    """Into the kernel and out again."""
    start = clock(record, CLOCK_MONOTONIC)
    for _ in range(count):
        syscall(GETPPID, 0, 0, 0, 0, 0, 0)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def futex_wake(word: int, record: int, count: int) -> int:
    """Wake whoever sleeps on a word on which nobody does. futex(2)"""
    start = clock(record, CLOCK_MONOTONIC)
    for _ in range(count):
        syscall(FUTEX, word, FUTEX_WAKE, 1, 0, 0, 0)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def futex_wait(word: int, record: int, count: int) -> int:
    """Want to sleep on a word that has changed already: EAGAIN. futex(2)"""
    set_word(word, 0)
    start = clock(record, CLOCK_MONOTONIC)
    for _ in range(count):
        syscall(FUTEX, word, FUTEX_WAIT, 1, 0, 0, 0)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def atomic_exchange(word: int, record: int, count: int) -> int:
    """Swap a word in this CPU's own cache."""
    start = clock(record, CLOCK_MONOTONIC)
    for i in range(count):
        exchange(word, i & 1)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def atomic_compare_exchange(word: int, record: int, count: int) -> int:
    """Compare and swap a word in this CPU's own cache."""
    set_word(word, 0)
    start = clock(record, CLOCK_MONOTONIC)
    for _ in range(count):
        compare_exchange(word, 0, 0)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def atomic_add(word: int, record: int, count: int) -> int:
    """Add to a word in this CPU's own cache."""
    start = clock(record, CLOCK_MONOTONIC)
    for _ in range(count):
        fetch_add(word, 1)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def copy(to: int, source: int, chunk: int, step: int, size: int, record: int, count: int) -> int:
    """memcpy(3), chunk by chunk, `step` bytes from one to the next, round and round in `size`.

    All three are powers of two, but for a step of an odd number of pages, which comes to all.
    """
    at = 0
    start = clock(record, CLOCK_MONOTONIC)
    for _ in range(count):
        memcpy(to + at, source + at, chunk)
        at = (at + step) & (size - 1)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def write_words(to: int, size: int, record: int, count: int) -> int:
    """Write every word of a payload anew, as a producer does with touch=all."""
    start = clock(record, CLOCK_MONOTONIC)
    for i in range(count):
        fill(to, size, i, ALL)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def read_words(state: int, to: int, size: int, record: int, count: int) -> int:
    """Check every word of a payload, as a consumer does with touch=all."""
    ch = words(state)
    fill(to, size, 7, ALL)
    start = clock(record, CLOCK_MONOTONIC)
    wrong = 0
    for _ in range(count):
        wrong |= check(ch, to, size, 7, ALL)
    return clock(record, CLOCK_MONOTONIC) - start if wrong == 0 else -1


@measured
def kernel_write(file: int, source: int, size: int, record: int, count: int) -> int:
    """The kernel copies from this process into pages it has already. pwrite(2) of a memfd"""
    start = clock(record, CLOCK_MONOTONIC)
    for _ in range(count):
        pwrite(file, source, size, 0)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def kernel_read(file: int, to: int, size: int, record: int, count: int) -> int:
    """The kernel copies its pages out to this process. pread(2) of a memfd"""
    start = clock(record, CLOCK_MONOTONIC)
    for _ in range(count):
        pread(file, to, size, 0)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def touch_pages(start_at: int, pages: int, record: int) -> int:
    """Write a word on each page."""
    start = clock(record, CLOCK_MONOTONIC)
    for i in range(pages):
        set_word(start_at + i * PAGE, 1)
    return clock(record, CLOCK_MONOTONIC) - start


@measured
def attach(file: int, size: int, record: int, count: int) -> int:
    """Map a memory file that has its pages, without touching it. mmap(2)"""
    taken = 0
    for _ in range(count):
        start = clock(record, CLOCK_MONOTONIC)
        at = mmap(0, size, PROT_READ_WRITE, MAP_SHARED, file, 0)
        taken += clock(record, CLOCK_MONOTONIC) - start
        if at < 0:
            return -1
        munmap(at, size)
    return taken


@measured
def detach(file: int, size: int, record: int, count: int) -> int:
    """Unmap it again, untouched. munmap(2)"""
    taken = 0
    for _ in range(count):
        at = mmap(0, size, PROT_READ_WRITE, MAP_SHARED, file, 0)
        if at < 0:
            return -1
        start = clock(record, CLOCK_MONOTONIC)
        munmap(at, size)
        taken += clock(record, CLOCK_MONOTONIC) - start
    return taken


@measured
def send_to_self(
    claim: Any,
    publish: Any,
    peek: Any,
    release: Any,
    producer: int,
    consumer: int,
    n: int,
    burst: int,
    sending: int,
    record: int,
    count: int,
) -> int:
    """Send `burst` messages and receive them, in one process: nobody waits, nobody is woken.

    The ns of the sending part alone are left in the word `sending`, where a burst is more than
    one message: reading the clock within would else be part of what it measures.
    """
    there, back = words(producer), words(consumer)
    sent = 0
    start = clock(record, CLOCK_MONOTONIC)
    for _ in range(count):
        since = clock(record, CLOCK_MONOTONIC) if burst > 1 else 0
        for _ in range(burst):
            status = produce(claim, publish, there, n, 0, 0)
            if status < 0:
                return status
        if burst > 1:
            sent += clock(record, CLOCK_MONOTONIC) - since
        for _ in range(burst):
            status = consume(peek, release, back, n, 0, 0)
            if status < 0:
                return status
    taken = clock(record, CLOCK_MONOTONIC) - start
    set_word(sending, sent)
    return taken


# What takes two processes. Both meet at the gate; times and counters are in the record.


@measured
def yield_to_other(place: int, words_at: int, gate: int, record: int, count: int) -> int:
    """Hand the CPU to the other process, which hands it back; neither ever sleeps."""
    meet(gate)
    begin(record, 0)
    for _ in range(count):
        sched_yield()
    finish(record, 0)
    return 0


@measured
def wake_other(place: int, words_at: int, gate: int, record: int, count: int) -> int:
    """Wake the other process and sleep until it does the same, on a word each. futex(2)

    A word counts turns; the one who sleeps sets the lowest bit, so that nobody calls in vain.
    """
    mine = words_at + LINE * place
    other = words_at + LINE * (1 - place)
    calls = 0
    meet(gate)
    begin(record, 0)
    for i in range(1, count + 1):
        if place == 0 and exchange(other, 2 * i) & 1:
            calls += 1
            syscall(FUTEX, other, FUTEX_WAKE, 1, 0, 0, 0)
        seen = load_acquire(mine)
        while seen < 2 * i:
            if seen & 1 == 0 and compare_exchange(mine, seen, seen | 1) != seen:
                seen = load_acquire(mine)
                continue
            calls += 1
            syscall(FUTEX, mine, FUTEX_WAIT, seen | 1, 0, 0, 0)
            seen = load_acquire(mine)
        if place == 1 and exchange(other, 2 * i) & 1:
            calls += 1
            syscall(FUTEX, other, FUTEX_WAKE, 1, 0, 0, 0)
    finish(record, calls)
    return 0


@measured
def wake_sleeper(place: int, words_at: int, gate: int, record: int, count: int) -> int:
    """The first wakes the second, on another CPU, when it has surely fallen asleep.

    Returns the ns from before the waking call to when the sleeper runs again, all together, as the
    second sees them; the clock is the same on all CPUs. clock_gettime(2)
    """
    begun_at = words_at + LINE
    taken = 0
    meet(gate)
    begin(record, 0)
    for i in range(1, count + 1):
        if place == 0:
            while load_acquire(words_at) != 2 * i - 1:
                pause()
            until = clock(record, CLOCK_MONOTONIC) + ASLEEP_NS
            while clock(record, CLOCK_MONOTONIC) < until:
                pause()
            set_word(begun_at, clock(record, CLOCK_MONOTONIC))
            exchange(words_at, 2 * i)
            syscall(FUTEX, words_at, FUTEX_WAKE, 1, 0, 0, 0)
        else:
            store_release(words_at, 2 * i - 1)
            while load_acquire(words_at) != 2 * i:
                syscall(FUTEX, words_at, FUTEX_WAIT, 2 * i - 1, 0, 0, 0)
            taken += clock(record, CLOCK_MONOTONIC) - get_word(begun_at)
    finish(record, 0)
    return taken


@measured
def bounce_line(place: int, words_at: int, gate: int, record: int, count: int) -> int:
    """Pass one cache line there and back; each end spins until it has it."""
    meet(gate)
    begin(record, 0)
    for i in range(1, count + 1):
        if place == 0:
            store_release(words_at, 2 * i - 1)
            while load_acquire(words_at) != 2 * i:
                pause()
        else:
            while load_acquire(words_at) != 2 * i - 1:
                pause()
            store_release(words_at, 2 * i)
    finish(record, 0)
    return 0


@measured
def take_over(
    place: int, words_at: int, gate: int, record: int, count: int, shared: int, own: int, n: int
) -> int:
    """One CPU copies in, the other copies out what it has never had in its caches.

    Each in turn, so that either works alone. Returns the ns of this end's copies, all together.
    """
    taken = 0
    meet(gate)
    begin(record, 0)
    for i in range(1, count + 1):
        while load_acquire(words_at) != 2 * i - 2 + place:
            pause()
        start = clock(record, CLOCK_MONOTONIC)
        if place == 0:
            memcpy(shared, own, n)
        else:
            memcpy(own, shared, n)
        taken += clock(record, CLOCK_MONOTONIC) - start
        store_release(words_at, 2 * i - 1 + place)
    finish(record, 0)
    return taken
