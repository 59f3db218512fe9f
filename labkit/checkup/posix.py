"""The limits on POSIX queues and shared memory. mq_overview(7), shm_overview(7), getrlimit(2)"""

from labkit.checkup import needs
from labkit.checkup.amounts import amount
from labkit.checkup.check import Finding
from labkit.checkup.remedy import here
from labkit.checkup.system_v import hidden
from labkit.harness.request import PATTERNS
from labkit.kernel.limits import (
    SHARED_MEMORY_FOLDER,
    UNLIMITED,
    posix_queues,
    posix_segments,
    resources,
)
from labkit.mechanisms.contract import room_for

QUEUE_MESSAGES = 10  # what Linux lets a queue have by default, mq_overview(7)
QUEUES_AT_ONCE = max(needs.channels(pattern) for pattern in PATTERNS)


def msg_max() -> Finding:
    """How many messages a queue may hold."""
    told = posix_queues()
    most, largest = told["msg_max"], told["msgsize_max"]
    if most is None:
        return hidden("/proc/sys/fs/mqueue/msg_max", "POSIX message queues")
    size = min(largest or 8192, needs.LARGEST)
    wanted = room_for("throughput", size) // size
    why = f"a queue holds {most} messages (/proc/sys/fs/mqueue/msg_max)"
    if most >= wanted:
        return Finding(
            True, f"{why}; a stream of small ones has fewer under way than on other mechanisms"
        )
    return Finding(
        False,
        f"{why}, and of the largest, {amount(size)}, a stream should have {wanted} under way",
        here().change({"fs.mqueue.msg_max": max(QUEUE_MESSAGES, wanted)}),
    )


def msgsize_max() -> Finding:
    """The largest message."""
    told = posix_queues()
    largest, most = told["msgsize_max"], told["msg_max"]
    if largest is None:
        return hidden("/proc/sys/fs/mqueue/msgsize_max", "POSIX message queues")
    why = f"a message may have {amount(largest)} (/proc/sys/fs/mqueue/msgsize_max)"
    if largest >= needs.LARGEST:
        return Finding(True, f"{why}, more than the lab sends by default")
    return Finding(
        False,
        f"{why}: posix_mq is not measured with {needs.beyond(largest)}",
        here().change(*larger_messages(most)),
    )


def larger_messages(most: int | None) -> tuple[dict[str, int | str], dict[str, int]]:
    """The settings and limits that the largest default message takes."""
    wanted = needs.queues_bytes(most or QUEUE_MESSAGES, needs.LARGEST)
    limit = resources()["RLIMIT_MSGQUEUE"]
    enough = limit is not None and limit >= wanted
    return (
        {"fs.mqueue.msgsize_max": needs.LARGEST},
        {} if enough else {"RLIMIT_MSGQUEUE": 2 * wanted},
    )


def queues_max() -> Finding:
    """How many queues there may be."""
    most = posix_queues()["queues_max"]
    if most is None:
        return hidden("/proc/sys/fs/mqueue/queues_max", "POSIX message queues")
    why = f"{most} queues (/proc/sys/fs/mqueue/queues_max); the lab has {QUEUES_AT_ONCE} at once"
    if most >= QUEUES_AT_ONCE:
        return Finding(True, why)
    return Finding(
        False, f"{why}: posix_mq is skipped", here().change({"fs.mqueue.queues_max": 256})
    )


def rlimit_msgqueue() -> Finding:
    """How many bytes all queues of this user may take together."""
    told = posix_queues()
    limit = resources()["RLIMIT_MSGQUEUE"]
    wanted = needs.queues_bytes(told["msg_max"] or QUEUE_MESSAGES, told["msgsize_max"] or 8192)
    if limit is None:
        return Finding(False, "getrlimit(2) does not tell it", here().unfiltered())
    if limit == UNLIMITED:
        return Finding(True, "no limit (getrlimit, `ulimit -q`)")
    why = f"{limit} bytes for all queues of this user (getrlimit, `ulimit -q`)"
    if limit >= wanted:
        return Finding(True, f"{why}; the lab's take up to {wanted}")
    return Finding(
        False,
        f"{why}, and the lab's take up to {wanted}: posix_mq is skipped, or some of its cells",
        here().change(limits={"RLIMIT_MSGQUEUE": max(2 * wanted, 819_200)}),
    )


def shared_memory_folder() -> Finding:
    """The size of /dev/shm, and what is free of it."""
    told = posix_segments()
    size, free = told["dev_shm_size"], told["dev_shm_free"]
    wanted = sum(needs.segments())
    if size is None or free is None:
        return Finding(
            False,
            f"{SHARED_MEMORY_FOLDER} is not there: posix_shm is skipped",
            f"{here().sudo}mount -t tmpfs -o mode=1777 none {SHARED_MEMORY_FOLDER}",
        )
    why = f"{amount(size)}, of which {amount(free)} are free (statvfs of {SHARED_MEMORY_FOLDER})"
    if free >= wanted:
        return Finding(True, f"{why}; the lab's segments take up to {amount(wanted)}")
    return Finding(
        False,
        f"{why}, and the lab's segments take up to {amount(wanted)}: large cells of posix_shm are"
        " skipped",
        here().shared_memory(),
    )
