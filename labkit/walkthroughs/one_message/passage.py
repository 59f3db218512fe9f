"""What was found of one message's passage: its moments, in order, and what was counted."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from labkit.kernel.trace import SystemCall
from labkit.mechanisms.contract import End

What = Literal["entry", "exit", "asleep", "spinning", "made", "moved", "done"]


class Seen(NamedTuple):
    """What was where at one moment; None where it could not be read, or there is no such thing.

    Attributes:
        producer, consumer: the bytes of each end's private buffer.
        segment: those of the place in shared memory.
        ready: the number that says whether a message is there: the ready word, or the semaphore.
        queued: bytes that the kernel says wait in its buffer.
    """

    producer: bytes | None
    consumer: bytes | None
    segment: bytes | None
    ready: int | None
    queued: int | None


class Moment(NamedTuple):
    """Something that happened.

    Attributes:
        what: entry or exit of a system call; the consumer asleep, or spinning (it looks again and
            again, with or without system calls); at the producer "made", its message is written;
            "moved", an end has copied it between its buffer and the segment (or the consumer has
            it in hand); "done".
        call: of an entry or exit.
    """

    what: What
    end: End
    call: SystemCall | None
    seen: Seen


@dataclass
class Passage:
    """One message's passage.

    Attributes:
        moments: in the order in which they were seen.
        traced: whether system calls are among them.
        loop_calls: system calls as the loops counted them; None where libc makes and hides them.
        voluntary, involuntary: context switches, getrusage(2), of both ends; meaningless if
            traced, as each stop for the tracer is one.
        faults: page faults, both ends.
        arrived: the bytes that the consumer has read.
    """

    moments: list[Moment] = field(default_factory=list)
    traced: bool = False
    loop_calls: int | None = None
    voluntary: dict[End, int] = field(default_factory=dict)
    involuntary: dict[End, int] = field(default_factory=dict)
    faults: int = 0
    arrived: bytes = b""

    @property
    def trace_calls(self) -> int:
        """System calls in the trace."""
        return sum(moment.what == "entry" for moment in self.moments)
