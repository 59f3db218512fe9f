"""Mechanisms that go wrong at one message, to see that the harness says so.

All are pipes but for one verb, which both engines can run. Numbers instead of names of signals and
errnos: measured functions know integers only.
"""

from typing import Any

from labkit.harness.payload import ALL, fill
from labkit.kernel.compiler import measured
from labkit.kernel.libc import LibcFunction
from labkit.kernel.memory import get_byte, set_byte
from labkit.mechanisms import pipe, ring
from labkit.mechanisms.contract import BUFFER, SEQUENCE

AT = 40  # the message it happens at
SIGKILL, SIGSTOP = 9, 19

kill = LibcFunction("kill", "int", "int", "int")
getpid = LibcFunction("getpid", "int")
leave = LibcFunction("_exit", "int", "int")
publish_to_pipe, peek_into_pipe = pipe.publish, pipe.peek
publish_in_ring = ring.publish


@measured
def lose(ch: Any, n: int) -> int:
    """One message is never sent."""
    if ch[SEQUENCE] == AT:
        return 0
    return publish_to_pipe(ch, n)


@measured
def repeat(ch: Any, n: int) -> int:
    """One message is sent twice."""
    if ch[SEQUENCE] == AT:
        publish_to_pipe(ch, n)
    return publish_to_pipe(ch, n)


@measured
def swap(ch: Any, n: int) -> int:
    """One message comes after the next one."""
    if ch[SEQUENCE] == AT:
        fill(ch[BUFFER], n, AT + 1, ALL)
    if ch[SEQUENCE] == AT + 1:
        fill(ch[BUFFER], n, AT, ALL)
    return publish_to_pipe(ch, n)


@measured
def tear(ch: Any, n: int) -> int:
    """One message has one wrong bit in its middle."""
    if ch[SEQUENCE] == AT:
        place = ch[BUFFER] + n // 2
        set_byte(place, get_byte(place) ^ 1)
    return publish_to_pipe(ch, n)


@measured
def tear_in_place(ch: Any, n: int) -> int:
    """The same where it lies in shared memory."""
    if ch[SEQUENCE] == AT:
        place = ch[ring.PLACE] + n // 2
        set_byte(place, get_byte(place) ^ 1)
    return publish_in_ring(ch, n)


@measured
def scribble(ch: Any, n: int) -> int:
    """One message is overwritten with something else."""
    if ch[SEQUENCE] == AT:
        fill(ch[BUFFER], n, -5, ALL)
    return publish_to_pipe(ch, n)


@measured
def refuse(ch: Any, n: int) -> int:
    """The kernel refuses one message, EIO."""
    if ch[SEQUENCE] == AT:
        return -5
    return publish_to_pipe(ch, n)


@measured
def die_sending(ch: Any, n: int) -> int:
    """The producer kills itself."""
    if ch[SEQUENCE] == AT:
        kill(getpid(), SIGKILL)
    return publish_to_pipe(ch, n)


@measured
def die_receiving(ch: Any, n: int) -> int:
    """The consumer kills itself."""
    if ch[SEQUENCE] == AT:
        kill(getpid(), SIGKILL)
    return peek_into_pipe(ch, n)


@measured
def exit_receiving(ch: Any, n: int) -> int:
    """The consumer leaves."""
    if ch[SEQUENCE] == AT:
        leave(3)
    return peek_into_pipe(ch, n)


@measured
def stop_sending(ch: Any, n: int) -> int:
    """The producer stands still."""
    if ch[SEQUENCE] == AT:
        kill(getpid(), SIGSTOP)
    return publish_to_pipe(ch, n)


@measured
def stop_receiving(ch: Any, n: int) -> int:
    """The consumer stands still."""
    if ch[SEQUENCE] == AT:
        kill(getpid(), SIGSTOP)
    return peek_into_pipe(ch, n)


def raise_sending(ch: Any, n: int) -> int:
    """A mistake in the mechanism itself; for the interpreted engine."""
    if ch[SEQUENCE] == AT:
        raise KeyError("no such place")
    return publish_to_pipe(ch, n)
