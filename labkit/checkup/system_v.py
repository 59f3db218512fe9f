"""The kernel's limits on System V queues and segments. msgget(2), shmget(2), proc_sys_kernel(5)"""

from pathlib import Path

from labkit.checkup import needs
from labkit.checkup.amounts import amount
from labkit.checkup.check import Finding
from labkit.checkup.remedy import here, may_exceed_limits
from labkit.kernel.cpus import kernel_text
from labkit.kernel.limits import system_v_queues, system_v_segments
from labkit.mechanisms.contract import room_for

SEGMENTS_IN_USE = Path("/proc/sysvipc/shm")
QUEUES = {"kernel.msgmax": needs.LARGEST, "kernel.msgmnb": room_for("throughput", needs.LARGEST)}


def msgmax() -> Finding:
    """The largest message."""
    largest = system_v_queues()["msgmax"]
    if largest is None:
        return hidden("/proc/sys/kernel/msgmax", "System V message queues")
    why = f"a message may have {amount(largest)} (/proc/sys/kernel/msgmax)"
    if largest >= needs.LARGEST:
        return Finding(True, f"{why}, more than the lab sends by default")
    return Finding(
        False,
        f"{why}: sysv_mq is not measured with {needs.beyond(largest)}",
        here().change(QUEUES),
    )


def msgmnb() -> Finding:
    """How much a queue holds."""
    told = system_v_queues()
    held, largest = told["msgmnb"], told["msgmax"]
    if held is None:
        return hidden("/proc/sys/kernel/msgmnb", "System V message queues")
    wanted = room_for("throughput", needs.largest_within(largest) or 1)
    why = f"a queue holds {amount(held)} (/proc/sys/kernel/msgmnb)"
    if held >= wanted:
        return Finding(True, f"{why}, and a stream has {amount(wanted)} under way at most")
    if may_exceed_limits():
        return Finding(True, f"{why}, but this process may exceed that (CAP_SYS_RESOURCE)")
    more = {"kernel.msgmnb": max(wanted, needs.ROOM)}
    return Finding(
        False,
        f"{why}, less than the {amount(wanted)} that a stream has under way elsewhere: sysv_mq is"
        " measured with the less",
        # What lets larger messages in, msgmax(), sets this as well: one remedy for both.
        here().change(QUEUES if largest and largest < needs.LARGEST else more),
    )


def shmmax() -> Finding:
    """The largest segment."""
    largest, wanted = system_v_segments()["shmmax"], max(needs.segments())
    if largest is None:
        return hidden("/proc/sys/kernel/shmmax", "System V shared memory")
    why = f"bytes of a segment: {amount(largest)} (/proc/sys/kernel/shmmax)"
    if largest >= wanted:
        return Finding(True, f"{why}; the lab's largest has {amount(wanted)}")
    return Finding(
        False,
        f"{why}, less than the {amount(wanted)} of the lab's largest: sysv_shm is not measured"
        " with messages that need more",
        here().change({"kernel.shmmax": wanted}),
    )


def shmmni() -> Finding:
    """How many segments there may be."""
    most, wanted = system_v_segments()["shmmni"], len(needs.segments())
    if most is None:
        return hidden("/proc/sys/kernel/shmmni", "System V shared memory")
    taken = max(0, len((kernel_text(SEGMENTS_IN_USE) or "").splitlines()) - 1)
    why = f"{most} segments (/proc/sys/kernel/shmmni), of which {taken} exist ({SEGMENTS_IN_USE})"
    if most - taken >= wanted:
        return Finding(True, f"{why}; the lab has up to {wanted} at once")
    return Finding(
        False,
        f"{why}, and the lab has up to {wanted} at once: some cells of sysv_shm are skipped",
        here().change({"kernel.shmmni": max(4096, taken + 4 * wanted)}),
    )


def hidden(path: str, what: str) -> Finding:
    """A limit that the kernel doesn't tell, mostly because it lacks what is limited."""
    return Finding(
        False,
        f"{path} cannot be read: this kernel or container has no {what}, or hides its limits",
        here().unfiltered(),
    )
