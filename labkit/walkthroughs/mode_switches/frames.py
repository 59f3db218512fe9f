"""A frame: one step of one side of the picture, with what was counted up to it."""

from dataclasses import dataclass

from labkit.walkthroughs.mode_switches.lanes import Lanes
from labkit.walkthroughs.step import Evidence

# What happens, in the order in which it usually does: two sides are shown step by step together.
(BEFORE, ASKED, WAITS, MADE, ROOM, HANDED, INSIDE, ANNOUNCED, RETURNED, WOKEN, FETCHES, FETCHED,
 TAKEN, BACK, AGAIN, FOUND, IN_PLACE, ALL) = range(18)  # fmt: skip

TITLES = {
    BEFORE: "Two processes, two ways",
    ASKED: "The consumer asks first",
    WAITS: "Nothing there: the consumer waits",
    MADE: "The producer writes its message",
    ROOM: "A place is taken",
    HANDED: "The message is handed over",
    INSIDE: "Inside the kernel",
    ANNOUNCED: "Waking who waits",
    RETURNED: "The producer's call returns",
    WOKEN: "The consumer goes on",
    FETCHES: "The consumer fetches the message",
    FETCHED: "The message is fetched",
    TAKEN: "The consumer has the message",
    BACK: "The place is given back",
    AGAIN: "A second message: the producer first",
    FOUND: "A second message: it is there already",
    IN_PLACE: "Shared memory used in place",
    ALL: "What it took",
}


@dataclass
class Counts:
    """What was counted of one message so far."""

    system_calls: int = 0
    mode_switches: int = 0
    context_switches: int = 0
    copies: int = 0
    copied: int = 0  # bytes
    hidden: bool = False  # system calls could not be counted

    def named(self) -> dict[str, int]:
        """What was counted, by name."""
        crossings = {"system calls": self.system_calls, "mode switches": self.mode_switches}
        return ({} if self.hidden else crossings) | {
            "context switches": self.context_switches,
            "copies": self.copies,
            "bytes copied": self.copied,
        }

    def shown(self) -> list[str]:
        """The same, a few words each."""
        return [
            f"system calls {'?' if self.hidden else self.system_calls}",
            f"mode switches {'?' if self.hidden else self.mode_switches}",
            f"context switches {self.context_switches}",
            f"copies {self.copies}, {self.copied} bytes",
        ]


@dataclass
class Frame:
    """One step of one side: `brief` is its one sentence where two sides share a step."""

    phase: int
    title: str
    said: str
    brief: str
    call: str
    evidence: list[Evidence]
    lanes: Lanes
    counts: Counts
