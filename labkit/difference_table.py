"""What changed between two runs, for a terminal: the cells that did, most first, and how sure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from labkit.table import console, plain_table
from labkit.units import format_size, format_time

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 24  # changed cells; the rest is counted
FIXED = ("waiting", "copy", "touch", "engine")


def print_difference(table: "pd.DataFrame", stream: TextIO) -> None:
    """Print the changed cells of a table of labkit.harness.diff, those that changed most first."""
    from labkit.harness.diff import FASTER, SLOWER, biggest

    out = console(stream)
    for verdict in (SLOWER, FASTER):
        rows = biggest(table, verdict)
        if rows.empty:
            continue
        out.print(f"{verdict} in B", style="bold")
        drawn = plain_table()
        for heading in ("mechanism", "pattern", "placement"):
            drawn.add_column(heading, overflow="fold")
        for heading in ("size", "A", "B", "B to A", "95 % interval"):
            drawn.add_column(heading, justify="right", no_wrap=True)
        for row in rows.head(SHOWN).to_dict("records"):
            drawn.add_row(*_line({str(k): v for k, v in row.items()}, _varied(table)))
        out.print(drawn)
        if len(rows) > SHOWN:
            out.print(f"and {len(rows) - SHOWN} more; --format csv has all.", style="dim")
        out.print()


def _varied(table: "pd.DataFrame") -> list[str]:
    return [column for column in FIXED if table[column].nunique() > 1]


def _line(row: dict[str, Any], varied: Sequence[str]) -> list[str]:
    more = [str(row[column]) for column in varied if row[column] != "kernel"]
    return [
        ", ".join([str(row["mechanism"]), *more]),
        str(row["pattern"]),
        str(row["placement"]),
        format_size(int(row["message_size"])),
        format_time(row["ns_a"]),
        format_time(row["ns_b"]),
        f"{row['ratio']:.2f}",
        f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}",
    ]
