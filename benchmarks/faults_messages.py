"""Very many messages with every byte checked; and mechanisms that are broken on purpose."""

import json
import random
import time
from typing import Any

import bench
import broken
import faults_worker
from faults_worker import Tally

from labkit.harness.payload import ALL, fill
from labkit.kernel.compiler import measured
from labkit.kernel.memory import get_byte, set_byte
from labkit.mechanisms import mechanism, ring
from labkit.mechanisms.contract import BUFFER, SEQUENCE, STATE_WORDS
from labkit.mechanisms.segment import SegmentChannel

WARM = 32
LARGE = (65536, 8192, 4096)  # the first of them that the kernel takes
SMALL = 16
UNLUCKY = STATE_WORDS - 1  # no mechanism uses this word: which message a broken one spoils


def carry(job: dict[str, Any], tally: Tally) -> None:
    """So many bytes in large messages and so many small messages, each byte checked."""
    for name, waiting in job["channels"]:
        _carry(name, waiting, job, tally)


def _carry(name: str, waiting: str, job: dict[str, Any], tally: Tally) -> None:
    total_bytes, total_messages = int(job["bytes"]), int(job["messages"])
    size = 0
    for size in LARGE:
        found = bench.measure([bench.cell(name, size, waiting=waiting)])
        status, reason = found.of(0)
        if status == "ok":
            break
    else:
        tally.counts[f"{name} {waiting}: not here"] += 1
        tally.bad += [reason] if status == "failed" else []
        return
    for each, count in ((size, -(-total_bytes // size)), (SMALL, total_messages)):
        began = time.monotonic()
        with bench.Ends(bench.cell(name, each, waiting=waiting)) as ends:
            ends.measure(count, WARM)
            arrived = {end: ends.pair.progress(end) for end in ("producer", "consumer")}
        if set(arrived.values()) != {count + WARM}:
            tally.bad.append(f"{name} {waiting}: {arrived} of {count + WARM} messages")
        tally.counts["messages"] += count
        tally.counts["bytes"] += count * each
        tally.counts["seconds"] += round(time.monotonic() - began)
    tally.counts["channels"] += 1


def spoil(job: dict[str, Any], tally: Tally) -> None:
    """A mechanism that spoils one message, at random among so many: is it caught, and named?"""
    chance = random.Random(job["seed"])
    among = int(job["among"])
    known = {name: mechanism(name) for name in ("pipe", "posix_shm")}
    for number in range(job["count"]):
        fault = FAULTS[number % len(FAULTS)]
        name = chance.choice(["pipe", "posix_shm"])
        at = chance.randint(1, among)
        broken_one = broken_channel(known[name].channel, at)
        verbs = bench.verbs_of(name, publish=VERBS[name][fault])
        bench.replace(name, verbs=verbs, channel=broken_one)
        size = chance.choice((16, 24, 100))
        cell = bench.cell(name, size, copy="copy" if name == "pipe" else "in-place")
        reason = said_of(cell, among)
        found = NAMED[fault].format(at=at, next=at + 1)
        first = at + 1 if fault == "repeat" else at
        expected = f"the consumer expected message {first} and found {found}."
        tally.counts["broken"] += 1
        tally.counts[f"broken: {fault}"] += 1
        if reason == expected:
            tally.counts["caught and named"] += 1
        else:
            tally.bad.append(f"{fault} at {at} of {name} {size} B: {reason}")


def said_of(cell: Any, among: int) -> str:
    """What the harness says of a stream of so many messages and some more."""
    import dataclasses

    from labkit.harness.pair import EndDied
    from labkit.harness.refusal import is_wrong_message, wrong_message
    from labkit.harness.rounds import mechanism as current

    ends = bench.Ends(cell)
    ends.kind = dataclasses.replace(current(cell.mechanism))
    with ends:
        what = {"do": "measure", "cell": 0, "warm": 0, "count": among + 8, "singles": 0}
        try:
            replies = ends.pair.order(what)
        except EndDied as died:
            return str(died)
        status = replies["consumer"]["status"]
        if is_wrong_message(status):
            return wrong_message("consumer", ends.shared.state("consumer", 0))
        return f"nothing ({status})"


def broken_channel(kind: type[Any], at: int) -> type[Any]:
    """The same channel, whose ends know which message is to be spoilt."""

    def open_and_mark(self: Any, end: Any, state: Any) -> None:
        kind.open(self, end, state)
        state[UNLUCKY] = at

    return type(f"Broken{kind.__name__}", (kind,), {"open": open_and_mark})


publish_to_pipe, publish_in_ring = broken.publish_to_pipe, broken.publish_in_ring


@measured
def pipe_drop(ch: Any, n: int) -> int:
    """One message is never sent."""
    if ch[SEQUENCE] == ch[UNLUCKY]:
        return 0
    return publish_to_pipe(ch, n)


@measured
def pipe_repeat(ch: Any, n: int) -> int:
    """One message is sent twice."""
    if ch[SEQUENCE] == ch[UNLUCKY]:
        publish_to_pipe(ch, n)
    return publish_to_pipe(ch, n)


@measured
def pipe_swap(ch: Any, n: int) -> int:
    """One message comes after the next one."""
    if ch[SEQUENCE] == ch[UNLUCKY]:
        fill(ch[BUFFER], n, ch[UNLUCKY] + 1, ALL)
    if ch[SEQUENCE] == ch[UNLUCKY] + 1:
        fill(ch[BUFFER], n, ch[UNLUCKY], ALL)
    return publish_to_pipe(ch, n)


@measured
def pipe_tear(ch: Any, n: int) -> int:
    """One message has one wrong bit behind its first bytes."""
    if ch[SEQUENCE] == ch[UNLUCKY]:
        place = ch[BUFFER] + n // 2
        set_byte(place, get_byte(place) ^ 1)
    return publish_to_pipe(ch, n)


@measured
def ring_drop(ch: Any, n: int) -> int:
    """One message is overwritten by the next before it is announced."""
    if ch[SEQUENCE] >= ch[UNLUCKY]:
        fill(ch[ring.PLACE], n, ch[SEQUENCE] + 1, ALL)
    return publish_in_ring(ch, n)


@measured
def ring_repeat(ch: Any, n: int) -> int:
    """One message stands there twice."""
    if ch[SEQUENCE] == ch[UNLUCKY] + 1:
        fill(ch[ring.PLACE], n, ch[UNLUCKY], ALL)
    return publish_in_ring(ch, n)


@measured
def ring_swap(ch: Any, n: int) -> int:
    """Two messages stand in each other's places."""
    if ch[SEQUENCE] == ch[UNLUCKY]:
        fill(ch[ring.PLACE], n, ch[UNLUCKY] + 1, ALL)
    if ch[SEQUENCE] == ch[UNLUCKY] + 1:
        fill(ch[ring.PLACE], n, ch[UNLUCKY], ALL)
    return publish_in_ring(ch, n)


@measured
def ring_tear(ch: Any, n: int) -> int:
    """One message has one wrong bit behind its first bytes."""
    if ch[SEQUENCE] == ch[UNLUCKY]:
        place = ch[ring.PLACE] + n // 2
        set_byte(place, get_byte(place) ^ 1)
    return publish_in_ring(ch, n)


FAULTS = ("drop", "swap", "tear", "repeat")
VERBS = {
    "pipe": dict(zip(FAULTS, (pipe_drop, pipe_swap, pipe_tear, pipe_repeat), strict=True)),
    "posix_shm": dict(zip(FAULTS, (ring_drop, ring_swap, ring_tear, ring_repeat), strict=True)),
}
NAMED = {
    "drop": "message {next} (one or more lost or reordered)",
    "swap": "message {next} (one or more lost or reordered)",
    "tear": "a torn one (its first bytes are right, others are not)",
    "repeat": "message {at} again or late (repeated or reordered)",
}

__all__ = ["SegmentChannel", "carry", "faults_worker", "json", "spoil"]
