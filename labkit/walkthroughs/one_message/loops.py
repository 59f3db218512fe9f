"""The loops of two ends that carry one message, and stop at checkpoints to be looked at.

Those of `labkit.harness.loop` cannot do this: between two verbs they must do nothing. So the order
of the verbs and the copies stands here once more, with the stops in it. At a checkpoint an end
sleeps on a word of its own until it may pass. That sleep is no part of the passage: its calls are
known by the address of the word and left out.
"""

from typing import Any

from labkit.harness.record import begin, finish
from labkit.kernel.compiler import measured
from labkit.kernel.libc import memcpy, syscall
from labkit.kernel.memory import get_byte, load_acquire, set_byte, store_release, words
from labkit.kernel.numbers import FUTEX
from labkit.mechanisms.contract import CALLS, SEQUENCE, STATE_WORDS
from labkit.mechanisms.waiting.futex import FUTEX_WAIT

# Words of an end's state, beyond those of its channel: a second channel, for answers, would have
# them, and one message needs none.
TEXT = STATE_WORDS + 16  # the message: a word for each 8 bytes of it
GO = STATE_WORDS + 32  # up to which checkpoint the end may pass
AT = STATE_WORDS + 33  # the checkpoint it is at
PLACE = STATE_WORDS + 34  # where its verb said that the message is, before the next checkpoint
MOST_BYTES = 8

# The checkpoints: before it begins; the producer has its message written; an end has copied it
# between its buffer and the segment (or the consumer has it in hand); it is over.
START, MADE, MOVED, DONE = 1, 2, 3, 4


@measured
def stop_at(channel: int, checkpoint: int) -> int:
    """Say that this end has come to a checkpoint, and wait until it may pass."""
    store_release(channel + 8 * AT, checkpoint)
    passed = load_acquire(channel + 8 * GO)
    while passed < checkpoint:
        syscall(FUTEX, channel + 8 * GO, FUTEX_WAIT, passed, 0, 0, 0)
        passed = load_acquire(channel + 8 * GO)
    return 0


@measured
def start(channel: int, record: int) -> int:
    """Wait for the start, and begin what is traced and counted."""
    ch = words(channel)
    stop_at(channel, START)
    ch[SEQUENCE] = ch[SEQUENCE] + 1
    return begin(record, ch[CALLS])


@measured
def end(channel: int, record: int, status: int) -> int:
    """End it: what the verbs have answered."""
    ch = words(channel)
    finish(record, ch[CALLS])
    store_release(channel + 8 * AT, DONE)
    return status


@measured
def spell(place: int, text: int, n: int) -> int:
    """Produce the message: write its bytes one by one."""
    for i in range(n):
        set_byte(place + i, get_byte(text + i))
    return 0


@measured
def hand_over(claim: Any, publish: Any, channel: int, n: int, private: int) -> int:
    """The producer's part of one message."""
    ch = words(channel)
    text = channel + 8 * TEXT
    if private != 0:
        spell(private, text, n)
        stop_at(channel, MADE)
        place = claim(ch, n)
        if place < 0:
            return place  # type: ignore[no-any-return]
        memcpy(place, private, n)
        ch[PLACE] = place
        stop_at(channel, MOVED)
    else:
        place = claim(ch, n)
        if place < 0:
            return place  # type: ignore[no-any-return]
        spell(place, text, n)
        ch[PLACE] = place
        stop_at(channel, MADE)
    return publish(ch, n)  # type: ignore[no-any-return]


@measured
def take_over(peek: Any, release: Any, channel: int, n: int, private: int) -> int:
    """The consumer's part of one message; what it has read it spells out into its state."""
    ch = words(channel)
    place = peek(ch, n)
    if place < 0:
        return place  # type: ignore[no-any-return]
    if private != 0:
        memcpy(private, place, n)
        place = private
    spell(channel + 8 * TEXT, place, n)
    ch[PLACE] = place
    stop_at(channel, MOVED)
    return release(ch, n)  # type: ignore[no-any-return]


# Both take what every loop of a stream is given, `labkit.harness.loop.source`.


@measured
def send_one(
    claim: Any, publish: Any, channel: int, n: int,
    touch: int, private: int, warm: int, count: int, gate: int, record: int,
) -> int:  # fmt: skip
    """The producing end: one message."""
    start(channel, record)
    return end(channel, record, hand_over(claim, publish, channel, n, private))


@measured
def receive_one(
    peek: Any, release: Any, channel: int, n: int,
    touch: int, private: int, warm: int, count: int, gate: int, record: int,
) -> int:  # fmt: skip
    """The consuming end: one message."""
    start(channel, record)
    return end(channel, record, take_over(peek, release, channel, n, private))
