"""What the values of a run's tables can be: a file that says otherwise was changed, or is damaged.

The rules are those of the data dictionary (data/README.md).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from labkit import mechanisms
from labkit.errors import RequestError
from labkit.harness import recomputed
from labkit.harness.recomputed import CLOSE
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
    for file, wrong in _disagreements(folder, summary, samples):
        _refuse(file, iter([wrong]))


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


def _disagreements(
    folder: Path, summary: pd.DataFrame, samples: pd.DataFrame
) -> Iterator[tuple[Path, str]]:
    """Where the two tables disagree, with the file to blame."""
    keys = list(CELL_COLUMNS)
    both = pd.concat([summary[keys], samples[keys]], ignore_index=True)
    codes = both.groupby(keys, sort=False).ngroup().to_numpy().astype(np.int64)
    cells = recomputed.numbered(codes[: len(summary)], codes[len(summary) :])
    said = {name: summary[name].to_numpy() for name in (*keys, *recomputed.SUMMARY_READ)}
    made = {name: samples[name].to_numpy(dtype=float) for name in recomputed.SAMPLES_READ}
    for file, wrong in recomputed.disagreements(said, made, cells):
        yield folder / file, wrong
