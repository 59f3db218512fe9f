"""What a summary says against what its samples give: numbers that were changed later show here.

Every column of summary.csv that follows from samples.csv (data/README.md says how) is computed
again. It takes a few milliseconds a run, so that a class's thousand runs can be checked too.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labkit.harness.statistics import CELL_COLUMNS, COUNTED, LEAST_REPEATS, MEDIANS, TRUSTED_CPU_NS

CLOSE = 1e-6  # numbers are written with all their digits; this is for sums in another order
# What is read of each table: SUMMARY_READ and SAMPLES_READ, beyond the columns of the cell.
SUMMARY_READ = (
    "status",
    "system_calls_source",
    "messages",
    "repeats",
    *MEDIANS,
    "rtt_ns_max",
    "ns_low",
    "ns_high",
    "bytes_per_second",
    *(f"{name}_per_message" for name in COUNTED),
)
SAMPLES_READ = ("messages", "elapsed_ns", *MEDIANS, "rtt_ns_max", *COUNTED)

Table = Mapping[str, NDArray[Any]]
Numbers = NDArray[np.float64]


class Numbered(NamedTuple):
    """Which cell each row is of: the number of the first row of the summary that has that cell.

    Attributes:
        summary: for each row of the summary; its own number, unless a cell is there twice.
        samples: for each row of the samples; -1 where the summary lacks the cell.
    """

    summary: NDArray[np.int64]
    samples: NDArray[np.int64]


def numbered(summary: NDArray[np.int64], samples: NDArray[np.int64]) -> Numbered:
    """Which rows are of one cell, from a number that stands for the cell in each row."""
    codes, first, place = np.unique(summary, return_index=True, return_inverse=True)
    at = np.searchsorted(codes, samples).clip(max=max(0, len(codes) - 1))
    known = codes[at] == samples if len(codes) else np.zeros(len(samples), dtype=bool)
    return Numbered(first[place], np.where(known, first[at] if len(codes) else -1, -1))


def disagreements(summary: Table, samples: Table, cells: Numbered) -> Iterator[tuple[str, str]]:
    """Where two tables of one run cannot both be right, worst first.

    Args:
        summary, samples: a column of numbers, or of text, for each of SUMMARY_READ, SAMPLES_READ
            and CELL_COLUMNS (the latter of the summary only), all empty values as NaN.
        cells: which rows belong together.

    Yields:
        The file to blame, and a clause naming the row (from 1) and both values.
    """
    rows = len(cells.summary)
    for row in np.flatnonzero(cells.summary != np.arange(rows)):
        first = int(cells.summary[row])
        yield "summary.csv", f"row {row + 1} is of the same cell as row {first + 1}"
    for row in np.flatnonzero(cells.samples < 0):
        yield (
            "samples.csv",
            f"row {row + 1} is a repeat of a cell that summary.csv does not have",
        )
    for row in np.flatnonzero(~(samples["messages"] > 0)):
        yield "samples.csv", f"row {row + 1}, a repeat, has no messages"
    each = _divided(samples["elapsed_ns"], samples["messages"])
    for row in _differing(samples["ns_per_message"], each):
        yield (
            "samples.csv",
            f"row {row + 1} has ns_per_message {samples['ns_per_message'][row]:.9g}, where"
            f" elapsed_ns / messages is {each[row]:.9g}",
        )
    done = summary["status"] == "ok"
    counts = np.where(done, np.bincount(_of(cells), minlength=rows), 0).astype(float)
    for row in _differing(summary["repeats"], counts):
        yield (
            "summary.csv",
            f"{_row(summary, row)} has {summary['repeats'][row]:g} repeats, and samples.csv has"
            f" {counts[row]:g} of it",
        )
    for name, expected in _expected(summary, samples, cells, done & (counts > 0)).items():
        for row in _differing(summary[name], expected):
            yield (
                "summary.csv",
                f"{_row(summary, row)} has {name} {_said(summary[name][row])}, which from its"
                f" {counts[row]:g} repeats in samples.csv is {_said(expected[row])}",
            )
    yield from _intervals(summary, samples, cells, counts)


def _expected(
    summary: Table, samples: Table, cells: Numbered, measured: NDArray[np.bool_]
) -> dict[str, Numbers]:
    """The summary's columns, from the samples; NaN where there is nothing to know."""
    rows, of = len(measured), _of(cells)
    found: dict[str, Numbers] = {}
    for name in MEDIANS:
        found[name] = _Ordered(samples[name], of, rows).medians()
    found["rtt_ns_max"] = _Ordered(samples["rtt_ns_max"], of, rows).ends()[1]
    sums = {
        name: np.bincount(of, weights=samples[name], minlength=rows)
        for name in ("messages", *COUNTED)
    }
    for name in COUNTED:
        found[f"{name}_per_message"] = _divided(sums[name], sums["messages"])
    # What only a trace could count is not in the samples.
    traced = summary["system_calls_source"] != "loop"
    calls = "system_calls_per_message"
    found[calls] = np.where(traced, summary[calls], found[calls])
    guessed = sums["cpu_ns"] < TRUSTED_CPU_NS
    for name in ("user_ns_per_message", "system_ns_per_message"):
        found[name] = np.where(guessed, np.nan, found[name])
    rate = _divided(1e9 * summary["message_size"].astype(float), found["ns_per_message"])
    handed_over = (summary["copy"] == "in-place") & (summary["touch"] == "ends")
    moved = (summary["pattern"] == "throughput") & ~handed_over
    found["bytes_per_second"] = np.where(moved, rate, np.nan)
    found = {name: np.where(measured, values, np.nan) for name, values in found.items()}
    found["messages"] = np.where(measured, sums["messages"], 0.0)
    return found


def _intervals(
    summary: Table, samples: Table, cells: Numbered, counts: Numbers
) -> Iterator[tuple[str, str]]:
    """Intervals that no resampling of the repeats can give: it draws from them, nothing else."""
    least, most = _Ordered(samples["ns_per_message"], _of(cells), len(counts)).ends()
    low, high, ns = (summary[name] for name in ("ns_low", "ns_high", "ns_per_message"))
    enough = counts >= LEAST_REPEATS
    for row in np.flatnonzero(enough == (np.isnan(low) | np.isnan(high))):
        yield (
            "summary.csv",
            f"{_row(summary, row)} has ns_low {_said(low[row])} and ns_high {_said(high[row])},"
            f" and {counts[row]:g} repeats in samples.csv (an interval takes {LEAST_REPEATS})",
        )
    more = 1 + CLOSE
    sound = (least <= low * more) & (low <= ns * more) & (ns <= high * more) & (high <= most * more)
    for row in np.flatnonzero(enough & ~sound):
        yield (
            "summary.csv",
            f"{_row(summary, row)} has the interval {_said(low[row])} to {_said(high[row])} ns"
            f" about {_said(ns[row])}, and its repeats in samples.csv lie between"
            f" {_said(least[row])} and {_said(most[row])} ns",
        )


class _Ordered:
    """A column's known values, cell by cell and in each from the least to the greatest."""

    def __init__(self, values: Numbers, of: NDArray[np.int64], rows: int) -> None:
        known = ~np.isnan(values)
        of, values = of[known], values[known]
        self._values = values[np.lexsort((values, of))]
        self._counts = np.bincount(of, minlength=rows)
        self._starts = np.cumsum(self._counts) - self._counts

    def _at(self, places: NDArray[np.int64]) -> Numbers:
        found = np.full(len(self._counts), np.nan)
        there = self._counts > 0
        found[there] = self._values[(self._starts + places)[there]]
        return found

    def medians(self) -> Numbers:
        """The median of each cell; NaN of one without values."""
        middles = self._at((self._counts - 1) // 2) + self._at(self._counts // 2)
        halves: Numbers = middles / 2
        return halves

    def ends(self) -> tuple[Numbers, Numbers]:
        """The least and the greatest of each cell; NaN of one without values."""
        return self._at(np.zeros_like(self._counts)), self._at(self._counts - 1)


def _of(cells: Numbered) -> NDArray[np.int64]:
    return np.maximum(cells.samples, 0)  # those of no cell are told of before anything is counted


def _divided(total: NDArray[Any], by: NDArray[Any]) -> Numbers:
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Numbers = np.asarray(total, dtype=float) / np.asarray(by, dtype=float)
        return result


def _differing(said: NDArray[Any], expected: Numbers) -> NDArray[np.int64]:
    """The rows in which a value is not what it should be, within rounding."""
    said = said.astype(float)
    both = ~np.isnan(said) & ~np.isnan(expected)
    with np.errstate(invalid="ignore"):
        apart = both & (np.abs(said - expected) > CLOSE * np.abs(expected))
    return np.flatnonzero(apart | (np.isnan(said) != np.isnan(expected)))


def _row(summary: Table, row: int | np.integer[Any]) -> str:
    cell = " ".join(str(summary[name][row]) for name in CELL_COLUMNS)
    return f"row {row + 1} ({cell} B)"


def _said(value: float) -> str:
    return "empty" if np.isnan(value) else f"{value:.9g}"
