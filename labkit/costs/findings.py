"""Sentences on where the time goes, at a small, a middle and a large message, from this run alone.

What is said of a cell follows from its own parts (`labkit.costs.explain`): which is the largest,
and how much of the measured time all of them reach. Nothing is said that the parts don't bear.
"""

from typing import TYPE_CHECKING, Any

from labkit.costs.explanation import WITHIN, explain
from labkit.costs.steadiness import warnings
from labkit.errors import RequestError
from labkit.units import format_size, format_time

if TYPE_CHECKING:
    import pandas as pd

    from labkit.harness.run import Run

Row = dict[str, Any]

CLEAR = 0.4  # of the time: from here on a part is said to be what takes it
SIZES = (64, 65536, 1 << 20)
USUAL = {"touch": "ends", "engine": "compiled"}
# What the parts are in a sentence, those first of which one needs the other.
GROUPS = {
    "switching": ("switches_ns", "wakeups_ns"),
    "calls": ("calls_ns",),
    "own": ("own_ns",),
    "copying": ("copies_ns",),
    "payload": ("payload_ns",),
    "faults": ("faults_ns",),
}
NAMES = {
    "switching": "switching and waking",
    "calls": "entering and leaving the kernel",
    "own": "the mechanism's own work",
    "copying": "copying",
    "payload": "writing and reading the payload",
    "faults": "page faults",
}
WHERE = {"same-cpu": "on one CPU", "cross-cpu": "across CPUs"}


def findings(run: "Run") -> list[str]:
    """What dominates at 64 B, 64 KiB and 1 MiB, and how well the parts explain the whole run.

    A sentence for each of these sizes that was measured (the nearest where none was), and one on
    the model, and what to do where the machine was not steady; a single one that says why, where
    the run carries no constants.
    """
    try:
        table = explain(run)
    except RequestError:
        told = run.machine.get("costs")
        why = told.get("left_out") if isinstance(told, dict) else None
        return [f"Where the time goes is not told here: {str(why).rstrip('.')}."] if why else []
    return [*sentences(table), *warnings(run)]


def sentences(table: "pd.DataFrame") -> list[str]:
    """The same, from the table that `explain` returned."""
    rows: list[Row] = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    view = _view([row for row in rows if row["predicted_ns"] > 0])
    said = []
    for size in _sizes(view):
        said.append(_said(_chosen([row for row in view if row["message_size"] == size]), size))
    return [*said, *_trust(rows)]


def dominating(row: Row) -> tuple[str, float]:
    """The part that takes most of a cell's measured time, and its share of it.

    Where the parts are more than that, or overlap in time (a stream across CPUs), it is the share
    of all parts.
    """
    worth = {name: sum(row[column] for column in columns) for name, columns in GROUPS.items()}
    name = max(worth, key=lambda each: worth[each])
    return name, worth[name] / max(row["measured_ns"], sum(worth.values()))


def why(row: Row, part: str) -> str:
    """Why a part is what takes the time, as far as the cell's own parts say it."""
    size = int(row["message_size"])
    kernel = row["waiting"] == "kernel"
    if part == "switching":
        return "an end that waits sleeps, and has to be woken and switched to"
    if part == "copying":
        if kernel:
            return f"each of the {format_size(size)} goes into the kernel and out again"
        return f"each of the {format_size(size)} is copied in and out of the shared memory"
    if part == "own":
        if kernel and row["own_ns"] > 2 * row["copies_ns"] and row["copies_ns"] > row["calls_ns"]:
            return "pages and buffers to take and give back cost more than the copying itself"
        if kernel:
            return "locks, queues and buffers in the kernel cost more than anything else"
        return "little else is left to do than to say that a message is there"
    if part == "calls":
        return "little else is done than to go into the kernel and back"
    if part == "payload":
        return "every byte is written and read where it is used"
    return "pages have to be found or made first"


def _said(rows: list[Row], size: int) -> str:
    """One sentence on the cells of one size."""
    one = rows[0]
    what = "A round trip" if one["pattern"] == "latency" else "A message of a stream"
    unusual = [f"{c}={one[c]}" for c, usual in USUAL.items() if one[c] != usual]
    about = f" ({', '.join(unusual)})" if unusual else ""
    where = WHERE.get(str(one["placement"]), str(one["placement"]))
    if len(rows) == 2 and (told := _alike(*rows)):
        clauses = told
    else:
        clauses = "; and ".join(_clause(row) for row in rows)
    return f"{what} of {format_size(size)} {where}{about} takes {clauses}."


def _alike(one: Row, other: Row) -> str:
    """Two cells in one clause, where the same part takes most of both for the same reason."""
    part, share = dominating(one)
    same, its_share = dominating(other)
    reason = why(one, part)
    clear = all(abs(row["error"]) <= WITHIN for row in (one, other))
    if part != same or reason != why(other, same) or not clear or min(share, its_share) < CLEAR:
        return ""
    return (
        f"{_through(one)} and {_through(other)}, {_percent(share)} and {_percent(its_share)} of it"
        f" {NAMES[part]}: {reason}"
    )


def _clause(row: Row) -> str:
    part, share = dominating(row)
    if abs(row["error"]) > WITHIN:
        reach = row["predicted_ns"] / row["measured_ns"]
        return (
            f"{_through(row)}, but the parts add up to {_percent(reach)} of that, too far off to"
            " say what takes most of it"
        )
    if share < CLEAR:
        return f"{_through(row)}, the largest part of it ({_percent(share)}) {NAMES[part]}"
    return f"{_through(row)}, {_percent(share)} of it {NAMES[part]}: {why(row, part)}"


def _through(row: Row) -> str:
    return f"{format_time(row['measured_ns'])} through {_name(row)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _chosen(rows: list[Row]) -> list[Row]:
    """The quickest that the kernel copies, and the quickest of shared memory that also copies."""
    kernel = [row for row in rows if row["waiting"] == "kernel"]
    shared = [row for row in rows if row["waiting"] != "kernel"]
    shared = [row for row in shared if row["copy"] == "copy"] or shared
    return [
        min(some, key=lambda row: float(row["measured_ns"])) for some in (kernel, shared) if some
    ]


def _view(rows: list[Row]) -> list[Row]:
    """Cells of one touch, engine, placement and pattern: the usual ones, if measured."""
    usual = {**USUAL, "placement": "same-cpu", "pattern": "latency"}
    for column, value in usual.items():
        there = [row[column] for row in rows]
        if there:
            chosen = value if value in there else there[0]
            rows = [row for row in rows if row[column] == chosen]
    return rows


def _sizes(rows: list[Row]) -> list[int]:
    """Of the sizes measured, those to speak of: for each of SIZES the nearest, each once."""
    there = sorted({int(row["message_size"]) for row in rows})
    if not there:
        return []
    return sorted({min(there, key=lambda n: abs(n.bit_length() - size.bit_length()))
                   for size in SIZES})  # fmt: skip


def _name(row: Row) -> str:
    about = [row["waiting"]] * (row["waiting"] != "kernel")
    about += ["in place"] * (row["copy"] == "in-place")
    return f"{row['mechanism']} ({', '.join(about)})" if about else str(row["mechanism"])


def _trust(rows: list[Row]) -> list[str]:
    """How much of what was measured the parts explain."""
    here = [row for row in rows if row["placement"] == "same-cpu" and row["predicted_ns"] > 0]
    where, cells = "on one CPU", [row for row in here if row["stable"]]
    kind = "stable cells"
    if not cells:
        cells, kind = here, "cells, none of them stable,"
    if not cells:
        cells = [row for row in rows if row["predicted_ns"] > 0]
        kind, where = "cells", "across CPUs"
    if not cells:
        return []
    within = sum(bool(row["within"]) for row in cells)
    return [
        "Added up from parts that were measured apart, the predicted time is within"
        f" {_percent(WITHIN)} of the measured one for {within} of {len(cells)} {kind} {where}."
    ]
