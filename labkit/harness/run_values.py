"""What the values of a run's tables can be: a file that says otherwise was changed, or is damaged.

The rules are those of the data dictionary (data/README.md).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labkit import mechanisms
from labkit.errors import RequestError
from labkit.harness.request import COPIES, ENGINES, PATTERNS, PLACEMENTS, TOUCHES, WAITINGS
from labkit.harness.statistics import CELL_COLUMNS, PERCENTILES, SAMPLE_COLUMNS, SUMMARY_COLUMNS
from labkit.mechanisms.own import NAME

NAMES: dict[str, Sequence[str]] = {
    "mechanism": mechanisms.names(extra=True),
    "waiting": ("kernel", *WAITINGS, "own"),
    "pattern": PATTERNS,
    "placement": PLACEMENTS,
    "copy": COPIES,
    "touch": TOUCHES,
    "engine": ENGINES,
    "system_calls_source": ("loop", "trace", ""),
}
WHOLE = (
    "message_size",
    "messages",
    "repeats",
    "repeat",
    "rtt_count",
    "voluntary_switches",
    "involuntary_switches",
    "page_faults",
    "producer_cpu",
    "consumer_cpu",
)
LEAST = {"message_size": 1, "producer_cpu": -1, "consumer_cpu": -1}  # all others: 0
TEXT = (*CELL_COLUMNS[:-1], "system_calls_source", "status", "reason", "stable")
QUANTILES = tuple(f"rtt_ns_{name}" for name in (*PERCENTILES, "max"))
MEASURED = tuple(
    name for name in SUMMARY_COLUMNS if name not in (*CELL_COLUMNS, *TEXT, "messages", "repeats")
)
CLOSE = 1e-6  # numbers are written with all their digits; this is for sums in another order


def check(folder: Path, summary: pd.DataFrame, samples: pd.DataFrame) -> None:
    """Refuse tables that no run could have written.

    Args:
        folder: what a refusal names.
        summary, samples: tables of SUMMARY_COLUMNS and SAMPLE_COLUMNS.

    Raises:
        RequestError: in one sentence, the first thing that is wrong.
    """
    for name, table, columns in (
        ("summary.csv", summary, SUMMARY_COLUMNS),
        ("samples.csv", samples, SAMPLE_COLUMNS),
    ):
        for found in (_values(table, columns), _order(table)):
            _refuse(folder / name, found)
    _refuse(folder / "summary.csv", _cells(summary))
    _refuse(folder / "samples.csv", _repeats(summary, samples))


def _refuse(file: Path, wrong: Iterator[str]) -> None:
    if (first := next(wrong, None)) is not None:
        raise RequestError(f"{file} is damaged: {first}.")


def _values(table: pd.DataFrame, columns: Sequence[str]) -> Iterator[str]:
    """What is wrong with single values."""
    for column in columns:
        values = table[column]
        if column in NAMES:
            for odd in set(values) - set(NAMES[column]):
                if column == "mechanism" and NAME.fullmatch(odd):
                    continue  # of somebody's own
                yield f"there is no {column.replace('_', ' ')} {odd!a:.60}"
        elif column not in TEXT:
            if (values < LEAST.get(column, 0)).any():
                yield f"column {column} has numbers that are too small"
            if column in WHOLE and not (values == np.round(values)).all():
                yield f"column {column} has values that are no whole numbers"


def _order(table: pd.DataFrame) -> Iterator[str]:
    """What is wrong with numbers of which one cannot be more than the next."""
    several = [
        ("ns_low", "ns_per_message", "ns_high"),
        tuple(name for name in QUANTILES if name in table),
    ]
    for names in several:
        if not set(names) <= set(table):
            continue
        for less, more in pairwise(names):
            if (table[less] > table[more] * (1 + CLOSE)).any():
                yield f"a {less} is greater than its {more}"


def _cells(summary: pd.DataFrame) -> Iterator[str]:
    """What is wrong with a row as a whole."""
    done = (summary["status"] == "ok") & (summary["repeats"] > 0)
    if not (summary.loc[done, "ns_per_message"] > 0).all():
        yield "a cell that was measured has no ns_per_message"
    if (summary.loc[done, "ns_low"].isna() != summary.loc[done, "ns_high"].isna()).any():
        yield "an interval has one end only"
    numbers = summary.loc[~done, [name for name in MEASURED if name != "in_flight_messages"]]
    counts = summary.loc[~done, ["messages", "repeats"]]
    if numbers.notna().any(axis=None) or counts.any(axis=None):
        yield "a cell that was not measured has numbers"


def _repeats(summary: pd.DataFrame, samples: pd.DataFrame) -> Iterator[str]:
    """Where the two tables disagree."""
    keys = list(CELL_COLUMNS)
    groups = samples.groupby(keys)["ns_per_message"] if len(samples) else None
    medians: dict[Any, float] = {} if groups is None else groups.median().to_dict()
    counts: dict[Any, int] = {} if groups is None else groups.size().to_dict()
    cells = [tuple(row) for row in summary[keys].itertuples(index=False, name=None)]
    if set(counts) - set(cells):
        yield "it has repeats of a cell that summary.csv does not have"
    columns = (summary[name] for name in ("status", "repeats", "ns_per_message"))
    for cell, status, repeats, ns in zip(cells, *columns, strict=True):
        if status != "ok":
            continue
        if counts.get(cell, 0) != repeats:
            yield f"it has {counts.get(cell, 0)} repeats of a cell with {repeats:g} in summary.csv"
        elif repeats and not np.isclose(ns, medians[cell], rtol=CLOSE, atol=0):
            yield "the median of a cell's repeats is not the one in summary.csv"
    if not (samples["messages"] > 0).all():
        yield "a repeat has no messages"
