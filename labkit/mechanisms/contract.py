"""The contract that every mechanism keeps: four verbs on a one-way channel.

    producer   claim(ch, n)   -> address of room for n bytes; fill it, then
               publish(ch, n) -> the message is on its way
    consumer   peek(ch, n)    -> address of the next message; use it, then
               release(ch, n) -> its room can be used again

A kernel-copied mechanism claims a private buffer and its publish is the system call. A
shared-memory mechanism claims a place in the segment itself. The idea of a table of verbs under
one harness is that of the Cambridge ipc-bench suite.

`ch` is the channel's state at one end: an array of 64-bit words, numbered below. Verbs are
measured functions (`labkit.kernel.compiler.measured`): 64-bit integers, libc and memory words
only. They return a negative errno when the kernel refuses. All messages of a channel have the
same size, agreed beforehand, because a byte stream has no boundaries of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from labkit.kernel.objects import Objects

# The words of a channel's state that the harness and every mechanism share.
DESCRIPTOR = 0  # descriptor, or identifier, of the kernel's object
CALLS = 1  # system calls made through this end, counted where they are made
BUFFER = 2  # address of the private buffer, page-aligned
FLAGS = 3  # flags of the system call: what turns waiting into refusing
TAKEN = 4  # bytes of an unfinished message that the kernel has taken
SELF = 5  # address of this array
SEQUENCE = 6  # the message the loop is at, for whoever watches
EXPECTED = 7  # what the consumer should have found when a check fails,
FOUND = 8  # and what it found
OWN = 16  # from here on each mechanism numbers its own
STATE_WORDS = 64

PAGE = 4096
LEAST_ROOM = 64 * 1024  # bytes of payload that a stream may have under way

End = Literal["producer", "consumer"]
Verb = Callable[[Any, int], int]
Family = Literal["kernel-copied", "shared-memory"]


PING_PONG_MESSAGES = 8  # that a channel of a ping-pong should hold; one at a time is under way


def room_for(pattern: str, message_size: int) -> int:
    """Bytes of payload a channel should hold.

    A stream has 64 KiB or two messages, whichever is more; a ping-pong, which never has more than
    one message under way, eight messages at most, so that its places stay in the cache.
    """
    room = max(LEAST_ROOM, 2 * message_size)
    if pattern == "latency":
        room = min(room, PING_PONG_MESSAGES * message_size)
    return room


@dataclass(frozen=True)
class Verbs:
    """The four verbs, as plain Python functions that both engines can run."""

    claim: Verb
    publish: Verb
    peek: Verb
    release: Verb


class Channel(ABC):
    """One channel of a mechanism: made in the helper process, opened in the two ends."""

    def __init__(self, objects: "Objects", message_size: int, room: int, waiting: str) -> None:
        """Create the kernel's object.

        Args:
            message_size: payload of every message, bytes.
            room: bytes of payload it should hold, as far as the kernel lets it be set.
            waiting: the waiting strategy, for shared memory.

        Raises:
            OSError, sysv_ipc.Error, posix_ipc.Error: the kernel refused.
        """
        self.objects = objects
        self.message_size = message_size
        self.room = room
        self.waiting = waiting
        self.create()

    @abstractmethod
    def create(self) -> None:
        """Create the object, in the helper, before the ends are forked."""

    @abstractmethod
    def open(self, end: End, state: Any) -> None:
        """Open or attach this end, in its own process, and fill in its state words.

        Args:
            state: an array of STATE_WORDS words, zero but for SELF and BUFFER.
        """

    @abstractmethod
    def close(self) -> None:
        """Close or detach this end, in its own process."""

    def discard(self) -> None:  # noqa: B027  an anonymous object has nothing to remove
        """Remove the object and drop what the helper itself holds of it."""

    @abstractmethod
    def refuse_to_wait(self, state: Any) -> None:
        """Make this end answer EAGAIN where it would have to wait (to find how much it holds)."""


@dataclass(frozen=True)
class Mechanism:
    """What a mechanism says about itself, its verbs and its channel."""

    name: str
    title: str
    family: Family
    persistence: str  # process, kernel or filesystem: Stevens, UNP volume 2, section 1.3
    rendezvous: str  # how two unrelated processes find it
    verbs: Verbs
    channel: type[Channel]
    limits: Callable[[], dict[str, int | None]]  # what bounds it on this machine
    remedies: dict[str, str]  # errno name -> what it means here, and what to do
    channels_at_once: int = 64  # how many may exist side by side without starving other users

    WAITINGS: ClassVar[tuple[str, ...]] = ("spin", "futex", "posix_sem", "sysv_sem", "eventfd")
