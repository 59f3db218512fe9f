"""The likely reason why a cell took more, or less, than its parts: from its own numbers."""

from typing import Any

from labkit.costs.model import Parts
from labkit.units import format_time

Row = dict[str, Any]

AWAY = 0.15  # of the time nobody's: from here on that is worth saying
LARGE = 1 << 15  # bytes: no longer at home in a nearest cache


def likely_reason(row: Row, parts: Parts, remainder: float) -> str:
    """One sentence; it says likely where it cannot know.

    Args:
        row: the summary's row.
        parts: what was predicted for it.
        remainder: measured less predicted, ns.
    """
    measured = float(row["ns_per_message"])
    told = f"{format_time(abs(remainder))} {'more' if remainder > 0 else 'less'} than predicted"
    if not row["stable"]:
        return f"{told}; the measurement itself is not stable."
    used = float(row["cpu_ns_per_message"])
    if row["placement"] == "same-cpu" and used < (1 - AWAY) * measured and remainder > 0:
        away = format_time(measured - used)
        return f"{told}, and for {away} neither end had the CPU: idle, or somebody else's."
    if row["placement"] == "cross-cpu":
        return f"{told}: {_across(row, parts)}."
    return f"{told}: {_on_one_cpu(row, parts, remainder)}."


def _across(row: Row, parts: Parts) -> str:
    if row["pattern"] == "throughput" and row["waiting"] == "spin":
        return "likely how far one end runs ahead, which decides whose caches hold the lines"
    if row["pattern"] == "throughput":
        return "likely how often an end falls asleep just before it has something to do"
    if parts.wakeups > 0.4 * float(row["ns_per_message"]):
        return "likely the wake-up, whose time on another CPU is anything but constant"
    return "likely the way of the payload's lines between the caches"


def _on_one_cpu(row: Row, parts: Parts, remainder: float) -> str:
    size = int(row["message_size"])
    if row["mechanism"] == "tcp" and row["pattern"] == "throughput" and remainder < 0:
        return (
            "likely that small messages of a stream share segments and acknowledgements, which"
            " those that one process sends to itself do not"
        )
    if size >= LARGE and row["waiting"] == "kernel":
        if remainder > 0:
            return (
                "likely page allocation and caches, as two processes go through more memory than"
                " one that sends to itself"
            )
        return "likely pages that are handed on warm, where one process alone found them cold"
    if size >= LARGE:
        return "likely caches: which part of the ring is still there when it is needed again"
    if parts.switches + parts.wakeups > 0.4 * float(row["ns_per_message"]):
        return "likely the switch, which leaves colder caches behind than the one that was measured"
    return "likely short runs of messages between switches, each of which starts in colder caches"
