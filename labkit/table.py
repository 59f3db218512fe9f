"""The summary for a terminal: every number with its unit, what is unstable or missing named.

A few cells are shown in full, one row each. Many are shown as a grid of mechanisms and sizes for
each pattern and placement, where one number of each cell has room; summary.csv has all of them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from labkit.units import format_count, format_rate, format_size, format_time

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

Row = dict[str, Any]

WIDTH = 100  # columns, also when there is no terminal
IN_FULL = 24  # cells at most of a table with one row each
UNSTABLE = "~"
NAMED = 6  # mechanisms that a note names before it only counts
SIZE_WIDTH = 11  # of a column of the grid, its gap included
FIXED = ("copy", "touch", "engine")
WHERE = {
    "same-cpu": "both ends on one CPU",
    "cross-cpu": "each end on a CPU of its own",
    "free": "the scheduler chooses the CPUs",
}


def print_table(summary: "pd.DataFrame", stream: TextIO) -> None:
    """Print a summary (SUMMARY_COLUMNS), at most 100 columns wide; colours only on a terminal."""
    out = console(stream)
    rows: list[Row] = [{str(c): v for c, v in r.items()} for r in summary.to_dict("records")]
    varied = [c for c in FIXED if len({r[c] for r in rows}) > 1]
    in_full = sum(r["status"] == "ok" for r in rows) <= IN_FULL
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["pattern"], row["placement"]), []).append(row)
    for (pattern, placement), members in groups.items():
        if not any(r["status"] != "skipped" for r in members):
            continue
        what = "round trip" if pattern == "latency" else "one-way stream"
        where = WHERE.get(placement, placement)
        out.print(f"{pattern}, {placement}: {what}, {where}", style="bold")
        show = _in_full if in_full else _grid
        for table in show(members, varied, out.width):
            out.print(table)
        unstable = [r for r in members if _measured(r) and not r["stable"]]
        if unstable:
            told = f"{UNSTABLE} not stable, interval over 10 % of the median or too few repeats: "
            measured = [r for r in members if _measured(r)]
            out.print(told + _among(unstable, measured, varied), style="dim")
        out.print()
    same = [f"{c}={rows[0][c]}" for c in FIXED if rows and c not in varied]
    if same:
        out.print(f"All cells: {', '.join(same)}.", style="dim")
    if any(_measured(r) for r in rows):
        out.print(
            "CPU time, calls and switches are those of both ends, for each round trip or message.",
            style="dim",
        )
    if in_full and any(_measured(r) and r["pattern"] == "latency" for r in rows):
        out.print(
            "99 % within: of round trips timed one by one, a measurement apart from the median's,"
            " so it can be less.",
            style="dim",
        )
    for note in _notes(rows, varied):
        out.print(note)


def print_lines(lines: Sequence[str], stream: TextIO) -> None:
    """Print sentences, broken between words at the table's width on a terminal."""
    for line in lines:
        if stream.isatty():
            console(stream).print(line)
        else:
            print(line, file=stream)


def write_table(table: "pd.DataFrame", form: str, stream: TextIO) -> None:
    """Write any table for another program: "csv", or "json" with one object for each row."""
    if form == "csv":
        stream.write(table.to_csv(index=False))
    else:
        stream.write(table.to_json(orient="records", indent=1, double_precision=15) + "\n")


def console(stream: TextIO) -> "Console":
    """Where to print: colours only on a terminal, and at most 100 columns."""
    from rich.console import Console

    tty = stream.isatty()
    made = Console(file=stream, force_terminal=tty, markup=False, highlight=False, emoji=False)
    made.width = min(WIDTH, max(40, made.width)) if tty else WIDTH
    return made


def plain_table() -> "Table":
    """A table with a line under its head and no frame."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)


def _in_full(rows: list[Row], varied: Sequence[str], width: int) -> "Iterator[Table]":
    """One row for each cell."""
    latency = rows[0]["pattern"] == "latency"
    table = plain_table()
    table.add_column("mechanism", overflow="fold")
    for heading in (
        "size",
        "median",
        "95 % interval",
        "99 % within" if latency else "rate",
        "calls",
        "switches",
        "CPU time",
    ):
        table.add_column(heading, justify="right", no_wrap=width >= WIDTH)
    for row in rows:
        if row["status"] == "skipped":
            continue
        size = format_size(int(row["message_size"]))
        if not _measured(row):
            table.add_row(_name(row, varied), size, str(row["status"]))
            continue
        interval = [format_time(row["ns_low"]), format_time(row["ns_high"])]
        switches = row["voluntary_switches_per_message"] + row["involuntary_switches_per_message"]
        table.add_row(
            _name(row, varied),
            size,
            _marked(row, format_time(row["ns_per_message"])),
            " to ".join(filter(None, interval)),
            format_time(row["rtt_ns_p99"]) if latency else format_rate(row["bytes_per_second"]),
            format_count(row["system_calls_per_message"]),
            format_count(switches),
            format_time(row["cpu_ns_per_message"]),
        )
    yield table


def _grid(rows: list[Row], varied: Sequence[str], width: int) -> "Iterator[Table]":
    """A row for each mechanism, a column for each size; as many tables as the width needs."""
    lines: dict[str, dict[int, Row]] = {}
    for row in rows:
        lines.setdefault(_name(row, varied), {})[int(row["message_size"])] = row
    lines = {n: cells for n, cells in lines.items() if not _all_skipped(cells)}
    sizes = sorted({size for cells in lines.values() for size in cells})
    room = width - max(map(len, lines)) - SIZE_WIDTH
    at_once = max(1, room // SIZE_WIDTH)
    for first in range(0, len(sizes), at_once):
        some = sizes[first : first + at_once]
        table = plain_table()
        table.add_column("mechanism", no_wrap=True)
        for size in some:
            table.add_column(format_size(size), justify="right", no_wrap=True)
        table.add_column(f"CPU, {format_size(some[0])}", justify="right", no_wrap=True, style="dim")
        for name, cells in lines.items():
            numbers = [_number(cells[size]) if size in cells else "" for size in some]
            cpu = cells[some[0]]["cpu_ns_per_message"] if some[0] in cells else float("nan")
            table.add_row(name, *numbers, format_time(cpu))
        yield table


def _number(row: Row) -> str:
    """What the grid shows of a cell: the rate of a stream that moves bytes, else the time."""
    if not _measured(row):
        return "-" if row["status"] == "skipped" else str(row["status"])
    if row["bytes_per_second"] > 0:
        return _marked(row, format_rate(row["bytes_per_second"]))
    return _marked(row, format_time(row["ns_per_message"]))


def _marked(row: Row, text: str) -> str:
    return text if row["stable"] else f"{UNSTABLE}{text}"


def _measured(row: Row) -> bool:
    return bool(row["status"] == "ok" and row["ns_per_message"] > 0)


def _all_skipped(cells: dict[int, Row]) -> bool:
    return all(row["status"] == "skipped" for row in cells.values())


def _notes(rows: list[Row], varied: Sequence[str]) -> Iterator[str]:
    """How many cells were skipped or failed, for each reason and with their names."""
    for status in ("skipped", "failed"):
        reasons: dict[str, list[Row]] = {}
        for row in rows:
            if row["status"] == status:
                reasons.setdefault(str(row["reason"]) or "no reason noted", []).append(row)
        for reason, members in reasons.items():
            number = "1 cell" if len(members) == 1 else f"{len(members)} cells"
            yield f"{number} {status} ({_cells(members, varied)}): {reason.rstrip('.')}."


def _among(some: list[Row], all_of_them: list[Row], varied: Sequence[str]) -> str:
    """Some cells by name; mechanisms all of whose sizes are among them need no sizes."""
    if len(some) == len(all_of_them) > 1:
        return "all of these."
    counts = Counter(_name(row, varied) for row in all_of_them)
    found = Counter(_name(row, varied) for row in some)
    whole = [name for name in found if found[name] == counts[name] > 1]
    rest = [row for row in some if _name(row, varied) not in whole]
    parts = [f"{', '.join(whole)} at every size"] if whole else []
    parts += [_cells(rest, varied)] if rest else []
    return f"{'; '.join(parts)}."


def _cells(rows: list[Row], varied: Sequence[str]) -> str:
    """Cells by mechanism and, where there are few of them, by size."""
    sizes: dict[str, list[str]] = {}
    for row in rows:
        known = sizes.setdefault(_name(row, varied), [])
        size = format_size(int(row["message_size"])).replace(" ", "")  # never broken between lines
        if size not in known:
            known.append(size)
    if len({tuple(each) for each in sizes.values()}) == 1:
        at = next(iter(sizes.values()))
        return f"{_counted(list(sizes))} at {_counted(at)}"
    return "; ".join(f"{name} {' '.join(each)}" for name, each in sizes.items())


def _counted(names: Sequence[str]) -> str:
    if len(names) > NAMED + 1:
        names = [*names[:NAMED], f"{len(names) - NAMED} more"]
    return ", ".join(names)


def _name(row: Row, varied: Sequence[str]) -> str:
    """A mechanism with its way of waiting and whatever else differs within the run."""
    parts = [row["mechanism"]]
    if row["waiting"] != "kernel":
        parts.append(row["waiting"])
    parts += [f"touch={row[c]}" if c == "touch" else row[c] for c in varied]
    return " ".join(map(str, parts))
