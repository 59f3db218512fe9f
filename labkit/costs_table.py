"""This machine's constants for a terminal: those that are one number first, then those by size."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from labkit.costs.catalogue import CATALOGUE, NS_PER_BYTE, size_of
from labkit.table import console, plain_table
from labkit.units import format_size, format_time

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

# What a person needs is here; --format csv has all of it.
LEFT_OUT = ("own_work", "send_alone", "calls_to_self")


def print_costs(table: "pd.DataFrame", stream: TextIO) -> None:
    """Print a table of `labkit.costs()`, at most 100 columns wide."""
    out = console(stream)
    rows: list[Row] = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    known = [r for r in rows if r["unit"] and r["name"].partition("/")[0] not in LEFT_OUT]
    sized = [r for r in known if CATALOGUE[r["name"].partition("/")[0]].sized]
    single = plain_table()
    single.add_column("constant", no_wrap=True)
    for heading in ("value", "95 % interval"):
        single.add_column(heading, justify="right", no_wrap=True)
    single.add_column("how it is measured", style="dim")
    for row in known:
        if row not in sized:
            single.add_row(row["name"], _value(row, "value"), _interval(row), row["how"])
    out.print(single)
    for title, group in _groups(sized):
        out.print()
        out.print(title, style="bold")
        out.print(_by_size(group))
    out.print()
    for row in rows:
        if not row["unit"]:
            name = row["name"].partition("/")[2].replace("_", " ")
            out.print(f"{name}: {row['how']}", style="dim")
    out.print("All of these with their intervals: labkit costs --format csv", style="dim")


def _groups(rows: Sequence[Row]) -> "Iterator[tuple[str, list[Row]]]":
    """Rows that share a table: their sizes mean the same."""
    titles = {
        "by working set, ns per byte": ("memcpy", "kernel_write", "kernel_read"),
        "by size, ns per byte": ("fill", "check", "copy_in_cross", "copy_out_cross"),
        "send to self, one at a time, by message size": ("send_to_self",),
        "send to self, as a stream does, by message size": ("send_to_self",),
    }
    for title, kinds in titles.items():
        group = [r for r in rows if r["name"].partition("/")[0] in kinds]
        if "send to self" in title:
            pattern = "latency" if "one at a time" in title else "throughput"
            group = [r for r in group if f"/{pattern}/" in r["name"]]
        if group:
            yield title, group


def _by_size(rows: Sequence[Row]) -> Any:
    sizes = sorted({size_of(row["name"]) for row in rows})
    lines: dict[str, dict[int, str]] = {}
    for row in rows:
        name = row["name"].rpartition("/")[0].split("/")
        label = name[1] if name[0] == "send_to_self" else name[0]
        lines.setdefault(label, {})[size_of(row["name"])] = _value(row, "value", bare=True)
    table = plain_table()
    table.add_column("", no_wrap=True)
    for size in sizes:
        table.add_column(format_size(size), justify="right", no_wrap=True)
    for label, values in lines.items():
        table.add_row(label, *(values.get(size, "") for size in sizes))
    return table


def _value(row: Row, column: str, bare: bool = False) -> str:
    value = float(row[column])
    if row["unit"] == NS_PER_BYTE:
        return f"{value:.3f}" if bare else f"{value:.3f} ns/B"
    return format_time(value) or ""


def _interval(row: Row) -> str:
    ends = [_value(row, column) for column in ("low", "high") if row[column] == row[column]]
    return " to ".join(ends)
