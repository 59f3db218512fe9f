"""Three sentences that a run's numbers support, whichever way they fall.

Two cells differ only where their 95 % intervals do not overlap; anything else is said to be no
difference that these numbers can show. Disjoint intervals are the stricter of the usual tests
(Schenker & Gentleman, The American Statistician 55, 2001), which is right for sentences that
nobody checks.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from labkit.units import format_count, format_rate, format_size, format_time

if TYPE_CHECKING:
    import pandas as pd

    from labkit.harness.run import Run

Row = dict[str, Any]

CELL = ("mechanism", "waiting", "pattern", "placement", "copy", "touch", "engine", "message_size")

SENTENCES = 3
NAMED = 3  # so many cells are named in a sentence, the others counted
NO_INTERVALS = (
    "No cell was repeated often enough to say how far it may be off: give it more time (a larger"
    " budget), end what else is running, or ask for fewer mechanisms or sizes."
)
NOT_SHOWN = "no difference that these numbers can show"
WHERE = {"same-cpu": "on one CPU", "cross-cpu": "across CPUs", "free": "with the CPUs left free"}
USUAL = {"touch": "ends", "engine": "compiled"}


def findings(run: "Run") -> list[str]:
    """Exactly three sentences saying what this run found.

    They speak of, in this order and as far as there are numbers for it: the shortest round trip,
    the highest payload rate, shared memory against kernel-copied at equal waiting; then of what
    else was varied, and of what the numbers rest on.
    """
    return sentences(run.summary)


def sentences(summary: "pd.DataFrame") -> list[str]:
    """The same, from the summary table alone (SUMMARY_COLUMNS)."""
    rows: list[Row] = [{str(c): v for c, v in r.items()} for r in summary.to_dict("records")]
    measured = [r for r in rows if r["status"] == "ok" and r["ns_per_message"] > 0]
    trust = _trust(rows, measured)
    if not measured:
        return [trust, _commonest_reason(rows), "So these numbers compare nothing."]
    if not any(r["ns_low"] > 0 for r in measured):
        return [trust, NO_INTERVALS, "So these numbers compare nothing yet."]
    view = _view(measured)
    chosen: list[str] = []
    for find in FINDERS:
        chosen += find(view, measured)
        if len(chosen) >= SENTENCES:
            break
    chosen = [*chosen, trust, *_basis(measured)]
    three = chosen[:SENTENCES]
    if trust not in three and (doubts := _doubts(rows, measured)):
        three[-1] = f"{three[-1].removesuffix('.')} ({doubts})."
    return three


def apart(a: Row, b: Row) -> bool:
    """Whether the intervals of two cells do not overlap; never where there is no interval."""
    return bool(a["ns_high"] < b["ns_low"] or b["ns_high"] < a["ns_low"])


def fastest(rows: Sequence[Row]) -> tuple[Row, list[Row], list[Row]]:
    """The cell of the smallest median, those no different from it, and the others, in order."""
    first, *others = sorted(rows, key=lambda r: float(r["ns_per_message"]))
    equal = [r for r in others if not apart(first, r)]
    return first, equal, [r for r in others if apart(first, r)]


def _shortest_round_trip(view: list[Row], _: list[Row]) -> Iterator[str]:
    """Who has the shortest round trip at the smallest size, for each placement."""
    latency = [r for r in view if r["pattern"] == "latency"]
    if latency:
        size = min(int(r["message_size"]) for r in latency)
        told = _bests(latency, size, "the shortest median is", _time)
        yield f"Of round trips of {format_size(size)}{_setting(view)}, {told}."


def _highest_rate(view: list[Row], _: list[Row]) -> Iterator[str]:
    """Who moves most bytes at the largest size that (nearly) all have, for each placement."""
    rated = [r for r in view if r["bytes_per_second"] > 0]
    if rated:
        size = _common_size(rated, max)
        told = _bests(rated, size, "most is moved by", _rate)
        yield f"In a stream of {format_size(size)} messages{_setting(view)}, {told}."


def _bests(rows: list[Row], size: int, best: str, say: Callable[[Row], str]) -> str:
    """For each placement the best cell of one size, and how far it is from pipe or the next."""
    clauses = []
    for where, these in _placements(rows, size):
        first, equal, slower = fastest(these)
        if len(these) == 1:
            clauses.append(f"{where} {_name(first)} comes to {say(first)}")
            continue
        told = f"{where} {best} {_name(first)}, {say(first)}"
        if equal:
            told += f", with {NOT_SHOWN} from {_names(equal)}"
        if slower:
            other = next((r for r in slower if r["mechanism"] == "pipe"), slower[0])
            told += f", and {_name(other)} takes {_longer(other, first)}"
        clauses.append(told)
    return "; ".join(clauses)


def _equal_waiting(view: list[Row], _: list[Row]) -> Iterator[str]:
    """Shared memory whose waiter sleeps against kernel-copied; what spinning then changes."""
    latency = [r for r in view if r["pattern"] == "latency" and r["copy"] == "copy"]
    if not latency:
        return
    size = _common_size(latency, min)
    clauses, passed_over = [], False
    for where, rows in _placements(latency, size):
        kernel = [r for r in rows if r["waiting"] == "kernel"]
        asleep = [r for r in rows if r["waiting"] not in ("kernel", "spin", "own")]
        if not (kernel and asleep):
            continue
        spinning = [r for r in rows if r["waiting"] == "spin"]
        shared, copied = _steadiest(asleep), _steadiest(kernel)
        told = f"{where} {_against(shared, copied)}"
        passed_over |= shared != fastest(asleep)[0] or copied != fastest(kernel)[0]
        if spinning:
            quick = _steadiest(spinning)
            passed_over |= quick != fastest(spinning)[0]
            told += f", while spinning {_change(quick, shared)}"
        clauses.append(told)
    if clauses:
        chosen = " (of the stable cells, where there are any)" if passed_over else ""
        yield (
            "Where both wait asleep, the best of shared memory against the best kernel-copied"
            f"{chosen}, round trips of {format_size(size)}{_setting(view)}: {'; '.join(clauses)}."
        )


def _steadiest(rows: list[Row]) -> Row:
    """The fastest stable cell; the fastest of all if none is.

    A cell that is fast now and slow then has an interval that no other is apart from.
    """
    return fastest([r for r in rows if r["stable"]] or rows)[0]


def _varied(column: str, say: str) -> Callable[[list[Row], list[Row]], Iterator[str]]:
    """A finder of what one column of the cell does where nothing else differs."""

    def find(_: list[Row], measured: list[Row]) -> Iterator[str]:
        alike: dict[tuple[Any, ...], list[Row]] = {}
        for row in sorted(measured, key=lambda r: int(r["message_size"])):
            if column != "waiting" or row["waiting"] != "kernel":
                alike.setdefault(tuple(row[c] for c in CELL if c != column), []).append(row)
        group = next((rows for rows in alike.values() if len(rows) > 1), None)
        if group:
            one, other = group[0], group[-1]
            at = "" if column == "message_size" else f" at {format_size(one['message_size'])}"
            yield (
                f"{say}, with {_name(one, column)}{at} ({_circumstances(one, column)}):"
                f" {_against(one, other, column)}."
            )

    return find


def _costs(view: list[Row], _: list[Row]) -> Iterator[str]:
    """What the cheapest cell takes of system calls and CPU time."""
    counted = [
        r for r in view if r["system_calls_per_message"] >= 0 and r["cpu_ns_per_message"] > 0
    ]
    if counted:
        row = min(counted, key=lambda r: float(r["cpu_ns_per_message"]))
        what = "round trip" if row["pattern"] == "latency" else "message"
        yield (
            f"The least CPU time of both ends together, {format_time(row['cpu_ns_per_message'])} a"
            f" {what}, is taken by {_name(row)} at {format_size(row['message_size'])}"
            f" ({_circumstances(row)}), with {format_count(row['system_calls_per_message'])}"
            " system calls."
        )


FINDERS: tuple[Callable[[list[Row], list[Row]], Iterator[str]], ...] = (
    _shortest_round_trip,
    _highest_rate,
    _equal_waiting,
    _varied("engine", "Compiled and interpreted"),
    _varied("copy", "Copied and in place"),
    _varied("touch", "Touched at the ends and throughout"),
    _varied("waiting", "One way of waiting and another"),
    _varied("placement", "One placement and another"),
    _varied("message_size", "One size and another"),
    _costs,
)


def _trust(rows: list[Row], measured: list[Row]) -> str:
    """How many cells there are numbers for, and how good those are."""
    doubts = _doubts(rows, measured)
    verb = "was" if len(measured) == 1 else "were"
    told = f"{len(measured)} of {_cells(len(rows))} {verb} measured"
    return f"{told} ({doubts})." if doubts else f"{told}, and no number is unstable."


def _doubts(rows: list[Row], measured: list[Row]) -> str:
    """What to be careful about; empty if nothing."""
    unstable = [r for r in measured if not r["stable"]]
    told = []
    if unstable:
        which = f": {_names(unstable)}" if len(unstable) <= NAMED else ""
        told.append(f"{len(unstable)} of {_cells(len(measured))} not stable{which}")
    for status in ("skipped", "failed"):
        number = sum(r["status"] == status for r in rows)
        if number:
            told.append(f"{_cells(number)} {status}")
    return ", ".join(told)


def _commonest_reason(rows: list[Row]) -> str:
    reasons = [str(r["reason"]).rstrip(".") for r in rows if r["reason"]]
    if not reasons:
        return "No reason was noted."
    commonest = max(dict.fromkeys(reasons), key=reasons.count)
    return f"The most frequent reason: {commonest}."


def _basis(measured: list[Row]) -> Iterator[str]:
    """What can be said of any run: how much it rests on, and how far its cells lie apart."""
    messages = sum(int(r["messages"]) for r in measured)
    repeats = sorted(int(r["repeats"]) for r in measured)
    several = f"{repeats[0]} to {repeats[-1]}" if repeats[0] != repeats[-1] else f"{repeats[0]}"
    yield f"That rests on {messages} timed messages, in {several} repeats of each cell."
    times = sorted(float(r["ns_per_message"]) for r in measured)
    if times[0] == times[-1]:
        yield f"The median is {format_time(times[0])}."
    else:
        yield f"The medians lie between {format_time(times[0])} and {format_time(times[-1])}."


def _view(measured: list[Row]) -> list[Row]:
    """The cells of one touch and one engine, the usual ones if measured: only like with like."""
    for column, usual in USUAL.items():
        values = [r[column] for r in measured]
        chosen = usual if usual in values else values[0]
        measured = [r for r in measured if r[column] == chosen]
    return measured


def _setting(view: list[Row]) -> str:
    """Touch and engine of a view, where they are not the usual ones."""
    unusual = [f"{c}={view[0][c]}" for c, usual in USUAL.items() if view[0][c] != usual]
    return f" ({', '.join(unusual)})" if unusual else ""


def _placements(rows: list[Row], size: int) -> Iterator[tuple[str, list[Row]]]:
    """In words, where the cells of one size were placed, and those cells."""
    for placement in dict.fromkeys(r["placement"] for r in rows):
        these = [r for r in rows if r["placement"] == placement and r["message_size"] == size]
        if these:
            yield WHERE.get(placement, f"placed {placement}"), these


def _common_size(rows: list[Row], extreme: Callable[[list[int]], int]) -> int:
    """The largest or smallest of the sizes that most cells were measured at."""
    sizes = [int(r["message_size"]) for r in rows]
    most = max(sizes.count(size) for size in sizes)
    return extreme([size for size in sizes if sizes.count(size) == most])


def _against(a: Row, b: Row, column: str | None = None) -> str:
    """How two cells compare, in either direction."""
    faster, slower = sorted((a, b), key=lambda r: float(r["ns_per_message"]))
    first, second = (
        f"{_value(r, column) if column else _name(r)} ({_time(r)})" for r in (faster, slower)
    )
    if not apart(faster, slower):
        return f"between {first} and {second} there is {NOT_SHOWN}"
    longer = _longer(slower, faster)
    return f"{second} takes {longer} {'than' if longer.endswith('longer') else 'as'} {first}"


def _change(row: Row, base: Row) -> str:
    """What a cell's time is to another's: the verb and the rest of a clause."""
    named = f"({_name(row)}, {_time(row)})"
    if not apart(row, base):
        unsteady = [r for r in (row, base) if not r["stable"] and r["ns_high"] > r["ns_low"]]
        if not unsteady:
            return f"{named} makes {NOT_SHOWN}"
        widest = max(unsteady, key=lambda r: float(r["ns_high"] / r["ns_low"]))
        low, high = format_time(widest["ns_low"]), format_time(widest["ns_high"])
        return f"{named} cannot be told from it, as {_name(widest)} varies from {low} to {high}"
    if row["ns_per_message"] > base["ns_per_message"]:
        return f"{named} takes {_longer(row, base)}"
    return f"{named} is {_ratio(base, row)} times as fast"


def _longer(slower: Row, faster: Row) -> str:
    """How much longer the one takes than the other."""
    if slower["ns_per_message"] < 1.01 * faster["ns_per_message"]:
        return "less than 1 % longer"
    return f"{_ratio(slower, faster)} times as long"


def _ratio(slower: Row, faster: Row) -> str:
    """The longer time over the shorter one, to three digits."""
    ratio = float(slower["ns_per_message"] / faster["ns_per_message"])
    return f"{ratio:.{0 if ratio >= 99.5 else 1 if ratio >= 9.95 else 2}f}"


def _name(row: Row, but: str | None = None) -> str:
    """A mechanism, with its way of waiting and, if it is, in place; short of one column."""
    about = []
    if row["waiting"] != "kernel" and but != "waiting":
        about.append(str(row["waiting"]))
    if row["copy"] == "in-place" and but != "copy":
        about.append("in place")
    return f"{row['mechanism']} ({', '.join(about)})" if about else str(row["mechanism"])


def _names(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(_name(r) for r in rows))
    if len(names) > NAMED + 1:
        names = [*names[:NAMED], f"{len(names) - NAMED} others"]
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _circumstances(row: Row, but: str | None = None) -> str:
    """Pattern, placement and what else is not as usual, short of one column."""
    told = [str(row[c]) for c in ("pattern", "placement") if c != but]
    told += [f"{c}={row[c]}" for c, usual in USUAL.items() if c != but and row[c] != usual]
    return ", ".join(told)


def _time(row: Row) -> str:
    return format_time(row["ns_per_message"])


def _rate(row: Row) -> str:
    return format_rate(row["bytes_per_second"])


def _value(row: Row, column: str) -> str:
    return format_size(int(row[column])) if column == "message_size" else str(row[column])


def _cells(number: int) -> str:
    return "1 cell" if number == 1 else f"{number} cells"
