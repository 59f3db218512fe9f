"""What a frame rests on: a line of the trace, the bytes of a buffer, what the kernel says waits."""

from labkit.mechanisms.contract import End
from labkit.walkthroughs.mode_switches.calls import in_trace
from labkit.walkthroughs.mode_switches.lanes import Spot
from labkit.walkthroughs.one_message import Channel, Moment
from labkit.walkthroughs.step import Evidence


def line(way: Channel, moment: Moment) -> Evidence:
    """A call as the trace shows it."""
    assert moment.call is not None
    what = "entry" if moment.what == "entry" else "exit"
    order = f"ptrace, event {moment.call.order}"
    pid = way.pids[moment.end]
    return Evidence(f"{moment.end} (PID {pid}), {what}", order, in_trace(moment.call))


def contents(way: Channel, moment: Moment, spot: Spot, in_place: bool) -> list[Evidence]:
    """The bytes of a buffer."""
    end: End = "consumer" if spot == "consumer" else "producer"
    if in_place and way.shares:
        spot = "segment"
    seen = getattr(moment.seen, spot)
    where = f"/proc/{way.pids[end]}/mem"
    name = "the segment" if spot == "segment" else f"the {spot}'s buffer"
    if seen is None:
        return [Evidence(name, where, "cannot be read here")]
    return [Evidence(name, where, " ".join(f"{byte:02x}" for byte in seen))]


def amount(way: Channel, between: str, moment: Moment) -> list[Evidence]:
    """What the kernel says is in its buffer."""
    if moment.seen.queued is None:
        return []
    where = {"sysv_mq": "msgctl IPC_STAT", "posix_mq": "the queue's QSIZE"}
    told = where.get(way.kind.name, "ioctl FIONREAD")
    return [Evidence(f"waits in the {between}", told, f"{moment.seen.queued} bytes")]
