"""Which cells of a run the figures of costs draw: those of its explanation, narrowed and chosen."""

from collections.abc import Sequence
from typing import Any, TypedDict, cast

import pandas as pd

from labkit.costs.explanation import explain
from labkit.errors import RequestError
from labkit.plots.choice import Only, Run, keep, listed
from labkit.units import format_size

SIZES = (64, 65536, 1 << 20)
SEGMENTS = ("posix_shm", "sysv_shm", "mmap_anon", "memfd", "mmap_file")

Row = dict[str, Any]


class OnlyLines(TypedDict, total=False):
    """Columns of the cell to draw by, but for placement: these figures draw one placement each."""

    mechanism: str | Sequence[str]
    waiting: str | Sequence[str]
    copy: str | Sequence[str]
    touch: str | Sequence[str]
    engine: str | Sequence[str]


def narrowed(rows: pd.DataFrame, only: OnlyLines, pattern: str) -> pd.DataFrame:
    """The rows whose columns have the values asked for: `labkit.plots.choice.keep`."""
    return keep(rows, cast(Only, only), pattern)


def explained(
    run: Run, constants: pd.DataFrame | None, pattern: str, placement: str | None, only: OnlyLines
) -> pd.DataFrame:
    """The explained cells of one pattern on one placement.

    Raises:
        RequestError: there are none, or the run carries no constants.
    """
    table = explain(run, constants)  # type: ignore[arg-type]
    rows = table[(table["pattern"] == pattern) & table["predicted_ns"].notna()]
    if rows.empty:
        raise RequestError(
            f"No {pattern} cell of this run can be explained: what can be is compiled, measured and"
            " pinned to CPUs (same-cpu or cross-cpu)."
        )
    there = list(rows["placement"].unique())
    if placement is None:
        placement = "same-cpu" if "same-cpu" in there else str(there[0])
    if placement not in there:
        raise RequestError(
            f"No {pattern} cell on {placement!r} can be explained here; it can be {listed(there)}."
        )
    return narrowed(rows[rows["placement"] == placement], only, pattern)


def usual(rows: pd.DataFrame) -> pd.DataFrame:
    """Of several kinds of shared memory the one that is there first: they differ in little."""
    for waiting in rows["waiting"].unique():
        if waiting == "kernel":
            continue
        there = [m for m in SEGMENTS if m in set(rows["mechanism"])]
        if there:
            gone = (rows["waiting"] == waiting) & rows["mechanism"].isin(there[1:])
            rows = rows[~gone]
    return rows


def left_out(rows: pd.DataFrame, kept: pd.DataFrame) -> str:
    """Which kinds of shared memory are not drawn, for the small print."""
    kept_names = set(kept["mechanism"])
    gone = [m for m in rows["mechanism"].unique() if m not in kept_names]
    if not gone:
        return ""
    one = next((m for m in SEGMENTS if m in kept_names), "the one shown")
    return f"{listed(gone)} differ little from {one} and are left out."


def sizes_to_show(there: Sequence[int], asked: Sequence[int] | None) -> list[int]:
    """The sizes asked for, or the nearest to a small, a middle and a large one.

    Raises:
        RequestError: one asked for was not measured.
    """
    if asked:
        for size in asked:
            if size not in there:
                known = listed(format_size(n) for n in sorted(there))
                raise RequestError(
                    f"No message of {size} bytes was measured here; there are {known}."
                )
        return sorted(set(asked))
    near = {min(there, key=lambda n: abs(n.bit_length() - s.bit_length())) for s in SIZES}
    return sorted(near)
