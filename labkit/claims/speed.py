"""How quick shared memory is beside the others: measured, in one run, by the harness."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from labkit.claims.claim import Claim, Evidence, Found, NotHere
from labkit.kernel import cpus
from labkit.progress import Progress
from labkit.units import format_count, format_size, format_time

TOPIC = "speed"
MECHANISMS = ("pipe", "fifo", "sysv_mq", "posix_mq", "sysv_shm")
SIZES = ("64", "64K")
BUDGET_S = 3.0
CLEARLY = 2.0  # so many times as quick is no accident of one short run


def measure(progress: Callable[[Progress], None] | None = None) -> Found:
    """Round trips of a small and a large message through each mechanism, in a process of their own.

    Raises:
        NotHere: nothing that can be compared was measured.
        LabkitError: the measuring process could not do its work.
    """
    from labkit.harness.compare import compare
    from labkit.harness.request import build_request

    request = build_request(
        mechanisms=list(MECHANISMS),
        sizes=list(SIZES),
        patterns="latency",
        # One CPU has no other to cross to.
        placements=["same-cpu", "cross-cpu"] if len(cpus.allowed()) > 1 else ["same-cpu"],
        waiting=["futex", "spin"],
        budget=BUDGET_S,
    )
    summary = compare(request, progress).summary
    rows: list[dict[str, Any]] = [
        {str(name): value for name, value in row.items()} for row in summary.to_dict("records")
    ]
    return found_in(rows)


def found_in(rows: list[dict[str, Any]]) -> Found:
    """The facts in a summary's rows.

    Raises:
        NotHere: shared memory and another mechanism were not measured in one placement, or no
            number that a verdict could rest on was steady.
    """
    measured = [row for row in rows if row["status"] == "ok"]
    leads: list[_Lead] = []
    told = []
    for row in measured:
        others = [
            each
            for each in measured
            if each["waiting"] == "kernel"
            and each["placement"] == row["placement"]
            and each["message_size"] == row["message_size"]
        ]
        if row["waiting"] == "kernel" or not others:
            continue
        quickest = min(others, key=_ns)
        leads.append(_lead(quickest, row))
        told.append(
            f"{_cell(row)}, {row['waiting']} {format_time(_ns(row))}"
            f" ({quickest['mechanism']} {format_time(_ns(quickest))})"
        )
    if not leads:
        raise NotHere("shared memory and another mechanism could not be measured side by side.")
    for which in (max, min):  # does the best, and does the least, reach what is clearly quicker?
        if which(each.low for each in leads) < CLEARLY <= which(each.high for each in leads):
            raise NotHere(
                "the times of this run are not steady enough for a verdict, as their 95 %"
                f" intervals leave open whether it is {CLEARLY:g} times as quick:"
                f" {'; '.join(told)}; try again while the machine does nothing else."
            )
    best, least = max(each.middle for each in leads), min(each.middle for each in leads)
    lines = [f"{row['mechanism']} {row['waiting']} {_cell(row)} {_ns(row):.0f}" for row in measured]
    return Found(
        {
            "best_lead": max(each.low for each in leads),
            "least_lead": min(each.low for each in leads),
            "best": format_count(best),
            "least": format_count(least),
            "told": told,
        },
        [Evidence("labkit compare, latency, ns_per_message", ", ".join(lines))],
    )


class _Lead(NamedTuple):
    """How many times as quick one is as another, and between what, by the times' intervals."""

    low: float
    middle: float
    high: float


def _lead(other: dict[str, Any], row: dict[str, Any]) -> _Lead:
    middle = _ns(other) / _ns(row)
    if not all(each["ns_high"] > each["ns_low"] > 0 for each in (other, row)):
        return _Lead(0.0, middle, math.inf)  # measured too seldom for an interval
    return _Lead(other["ns_low"] / row["ns_high"], middle, other["ns_high"] / row["ns_low"])


def _ns(row: dict[str, Any]) -> float:
    return float(row["ns_per_message"])


def _cell(row: dict[str, Any]) -> str:
    return f"{format_size(int(row['message_size']))} {row['placement']}"


CLAIM = Claim(
    id="one-of-the-quickest",
    topic=TOPIC,
    said="therefore, shared memory is considered as one of the quickest means of IPC.",
    claim="Shared memory is one of the quickest means of interprocess communication.",
    source="Stevens, UNIX Network Programming, volume 2, chapter 12 and appendix A; futex(7)",
    experiment=None,
    holds=lambda f: f["best_lead"] >= CLEARLY,
    always=lambda f: f["least_lead"] >= CLEARLY,
    condition="It depends on how the receiver waits. Where it spins on a CPU of its own, nobody"
    " enters the kernel; where it is put to sleep and woken, that costs what it costs the others.",
    instead="In this run no form of it was clearly quicker than the others.",
    observed="Round trips through shared memory and, in brackets, the quickest of pipe, FIFO and"
    " queues, in one run: {told}. It was {best} times as quick at best, {least}"
    " times at worst.",
)
