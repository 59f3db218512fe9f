"""One ping, one pong, one source, one sink: the measuring loops, the same for every mechanism.

They take the mechanism's verbs as arguments, and numbers. Compiled, the verbs are first-class
functions; interpreted, plain ones. Nothing happens in the timed loop but the verbs, the copies a
copying shared-memory run asks for, and the check of each message.

All loops: `n` is the message size; `private` the address of a buffer to produce into and consume
from, copying to and from the channel's memory, or 0 to work where the verbs say; `touch` is
payload.ENDS or ALL. They return 0, a negative errno from a verb, or payload.WRONG_MESSAGE.
"""

from typing import Any

from labkit.harness.payload import check, fill
from labkit.harness.record import (
    CLOCK_COST,
    CLOCK_MONOTONIC,
    begin,
    clock,
    clock_cost,
    finish,
    meet,
)
from labkit.kernel.compiler import measured
from labkit.kernel.libc import memcpy
from labkit.kernel.memory import set_word, words
from labkit.mechanisms.contract import CALLS, SEQUENCE

UNRECORDED = 2  # round trips between the timed loop and the single ones


@measured
def produce(claim: Any, publish: Any, ch: Any, n: int, touch: int, private: int) -> int:
    """Send the next message."""
    sequence = ch[SEQUENCE] + 1
    ch[SEQUENCE] = sequence
    if private != 0:
        fill(private, n, sequence, touch)
        place = claim(ch, n)
        if place < 0:
            return place  # type: ignore[no-any-return]
        memcpy(place, private, n)
    else:
        place = claim(ch, n)
        if place < 0:
            return place  # type: ignore[no-any-return]
        fill(place, n, sequence, touch)
    return publish(ch, n)  # type: ignore[no-any-return]


@measured
def consume(peek: Any, release: Any, ch: Any, n: int, touch: int, private: int) -> int:
    """Receive the next message and check that it is the next."""
    sequence = ch[SEQUENCE] + 1
    ch[SEQUENCE] = sequence
    place = peek(ch, n)
    if place < 0:
        return place  # type: ignore[no-any-return]
    if private != 0:
        memcpy(private, place, n)
        status = release(ch, n)
        if status < 0:
            return status  # type: ignore[no-any-return]
        return check(ch, private, n, sequence, touch)
    status = check(ch, place, n, sequence, touch)
    if status < 0:
        return status
    return release(ch, n)  # type: ignore[no-any-return]


@measured
def source(
    claim: Any,
    publish: Any,
    channel: int,
    n: int,
    touch: int,
    private: int,
    warm: int,
    count: int,
    gate: int,
    record: int,
) -> int:
    """Throughput, the producing end: `warm` messages, the common start, `count` timed ones."""
    ch = words(channel)
    for _ in range(warm):
        status = produce(claim, publish, ch, n, touch, private)
        if status < 0:
            return status
    meet(gate)
    begin(record, ch[CALLS])
    for _ in range(count):
        status = produce(claim, publish, ch, n, touch, private)
        if status < 0:
            return status
    finish(record, ch[CALLS])
    return 0


@measured
def sink(
    peek: Any,
    release: Any,
    channel: int,
    n: int,
    touch: int,
    private: int,
    warm: int,
    count: int,
    gate: int,
    record: int,
) -> int:
    """Throughput, the consuming end: time stops when it has released the last message."""
    ch = words(channel)
    for _ in range(warm):
        status = consume(peek, release, ch, n, touch, private)
        if status < 0:
            return status
    meet(gate)
    begin(record, ch[CALLS])
    for _ in range(count):
        status = consume(peek, release, ch, n, touch, private)
        if status < 0:
            return status
    finish(record, ch[CALLS])
    return 0


@measured
def trips(
    claim: Any,
    publish: Any,
    peek: Any,
    release: Any,
    there: Any,
    back: Any,
    n: int,
    touch: int,
    private: int,
    count: int,
) -> int:
    """`count` round trips, seen from the end that starts them."""
    for _ in range(count):
        status = produce(claim, publish, there, n, touch, private)
        if status < 0:
            return status
        status = consume(peek, release, back, n, touch, private)
        if status < 0:
            return status
    return 0


@measured
def returns(
    claim: Any,
    publish: Any,
    peek: Any,
    release: Any,
    there: Any,
    back: Any,
    n: int,
    touch: int,
    private: int,
    count: int,
) -> int:
    """`count` round trips, seen from the end that answers."""
    for _ in range(count):
        status = consume(peek, release, there, n, touch, private)
        if status < 0:
            return status
        status = produce(claim, publish, back, n, touch, private)
        if status < 0:
            return status
    return 0


@measured
def ping(
    claim: Any,
    publish: Any,
    peek: Any,
    release: Any,
    there_at: int,
    back_at: int,
    n: int,
    touch: int,
    private: int,
    warm: int,
    count: int,
    singles: int,
    samples: int,
    gate: int,
    record: int,
) -> int:
    """Latency, the end that starts: `count` round trips timed together, `singles` one by one.

    No clock is read while the first are timed. The single ones come after them, with one reading
    of the clock from each to the next, whose own cost is measured beforehand and taken off later;
    their times go to `samples`, an array of `singles` + 1 words.
    """
    there = words(there_at)
    back = words(back_at)
    status = trips(claim, publish, peek, release, there, back, n, touch, private, warm)
    if status < 0:
        return status
    set_word(record + 8 * CLOCK_COST, clock_cost(record))
    meet(gate)
    begin(record, there[CALLS] + back[CALLS])
    status = trips(claim, publish, peek, release, there, back, n, touch, private, count)
    if status < 0:
        return status
    finish(record, there[CALLS] + back[CALLS])
    if singles == 0:
        return 0
    status = trips(claim, publish, peek, release, there, back, n, touch, private, UNRECORDED)
    if status < 0:
        return status
    set_word(samples, clock(record, CLOCK_MONOTONIC))
    for i in range(singles):
        status = trips(claim, publish, peek, release, there, back, n, touch, private, 1)
        if status < 0:
            return status
        set_word(samples + 8 * (i + 1), clock(record, CLOCK_MONOTONIC))
    return 0


@measured
def pong(
    claim: Any,
    publish: Any,
    peek: Any,
    release: Any,
    there_at: int,
    back_at: int,
    n: int,
    touch: int,
    private: int,
    warm: int,
    count: int,
    singles: int,
    samples: int,
    gate: int,
    record: int,
) -> int:
    """Latency, the end that answers: the same numbers of round trips; it writes no samples."""
    there = words(there_at)
    back = words(back_at)
    status = returns(claim, publish, peek, release, there, back, n, touch, private, warm)
    if status < 0:
        return status
    meet(gate)
    begin(record, there[CALLS] + back[CALLS])
    status = returns(claim, publish, peek, release, there, back, n, touch, private, count)
    if status < 0:
        return status
    finish(record, there[CALLS] + back[CALLS])
    if singles == 0:
        return 0
    count = singles + UNRECORDED
    return returns(claim, publish, peek, release, there, back, n, touch, private, count)


@measured
def pour(claim: Any, publish: Any, channel: int, n: int, most: int) -> int:
    """Publish into a channel that refuses to wait until it does: how many messages it took.

    Returns the negative errno if the very first is refused for another reason than EAGAIN.
    """
    ch = words(channel)
    for i in range(most):
        place = claim(ch, n)
        status = place if place < 0 else publish(ch, n)
        if status < 0:
            return status if i == 0 and status != -11 else i  # 11 is EAGAIN
    return most
