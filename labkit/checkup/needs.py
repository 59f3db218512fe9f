"""What the lab's default cells need of the kernel, to judge its limits by."""

from labkit.harness.request import DEFAULT_SIZES, PATTERNS
from labkit.mechanisms.contract import room_for
from labkit.mechanisms.ring import Layout
from labkit.units import format_size

LARGEST = max(DEFAULT_SIZES)
ROOM = room_for("throughput", 1)  # bytes of payload under way that a stream of small messages has

DESCRIPTORS = 3  # of one channel at the most: a memory file and the sockets that it is passed over
OWN_DESCRIPTORS = 40  # of the interpreter, its libraries and the orders to the ends, with a reserve
PROCESSES = 4  # labkit itself, its helper and the two ends

# getrlimit(2), RLIMIT_MSGQUEUE: what the kernel adds for each message, since Linux 3.5.
MESSAGE_OVERHEAD = 48 + 48


def channels(pattern: str) -> int:
    """How many channels a cell has at once: one each way, and one to find out how much it holds."""
    return (2 if pattern == "latency" else 1) + 1


def largest_within(limit: int | None) -> int:
    """The largest default message of at most `limit` bytes; 0 if there is none."""
    return max((size for size in DEFAULT_SIZES if limit is None or size <= limit), default=0)


def beyond(limit: int) -> str:
    """The default sizes above a limit, in words: "64 KiB and 1 MiB"."""
    return " and ".join(format_size(size) for size in DEFAULT_SIZES if size > limit)


def segments() -> list[int]:
    """Bytes of each shared segment that the cells of one pair of ends have at the same time."""
    return [
        Layout(size, room_for(pattern, size)).size
        for size in DEFAULT_SIZES
        for pattern in PATTERNS
        for _ in range(channels(pattern))
    ]


def queue_bytes(messages: int, size: int) -> int:
    """What a POSIX queue takes of its user's RLIMIT_MSGQUEUE. getrlimit(2)"""
    return messages * (size + MESSAGE_OVERHEAD)


def queues_bytes(most_messages: int, largest: int) -> int:
    """What the queues of one cell take of RLIMIT_MSGQUEUE, for the cell that takes the most.

    Args:
        most_messages: that a queue may hold, fs.mqueue.msg_max.
        largest: message that a queue may take, fs.mqueue.msgsize_max.
    """
    return max(
        (
            channels(pattern)
            * queue_bytes(max(1, min(most_messages, room_for(pattern, size) // size)), size)
            for size in DEFAULT_SIZES
            if size <= largest
            for pattern in PATTERNS
        ),
        default=0,
    )
