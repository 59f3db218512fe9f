"""From samples to the summary: one row for each cell, its median, how sure that is, what it cost.

The columns are those of the data dictionary (data/README.md).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CELL_COLUMNS = (
    "mechanism",
    "waiting",
    "pattern",
    "placement",
    "copy",
    "touch",
    "engine",
    "message_size",
)

# Column name (rtt_ns_...) and percentile.
PERCENTILES: dict[str, float] = {
    "p1": 1,
    "p5": 5,
    "p10": 10,
    "p25": 25,
    "p50": 50,
    "p75": 75,
    "p90": 90,
    "p95": 95,
    "p99": 99,
    "p999": 99.9,
}

# What is counted of each repeat, and given for each message in the summary.
COUNTED = (
    "system_calls",
    "voluntary_switches",
    "involuntary_switches",
    "page_faults",
    "cpu_ns",
    "user_ns",
    "system_ns",
)
SAMPLE_COLUMNS = (
    *CELL_COLUMNS,
    "repeat",
    "started_s",
    "messages",
    "elapsed_ns",
    "ns_per_message",
    "rtt_count",
    *(f"rtt_ns_{name}" for name in PERCENTILES),
    "rtt_ns_max",
    "clock_ns",
    *COUNTED,
    "producer_cpu",
    "consumer_cpu",
)

SUMMARY_COLUMNS = (
    *CELL_COLUMNS,
    "messages",
    "repeats",
    "ns_per_message",
    "ns_low",
    "ns_high",
    "in_flight_messages",
    "bytes_per_second",
    "rtt_ns_p50",
    "rtt_ns_p99",
    "rtt_ns_max",
    "system_calls_per_message",
    "system_calls_source",
    "mode_switches_per_message",
    "voluntary_switches_per_message",
    "involuntary_switches_per_message",
    "cpu_ns_per_message",
    "user_ns_per_message",
    "system_ns_per_message",
    "page_faults_per_message",
    "stable",
    "status",
    "reason",
)

LEAST_REPEATS = 5  # an interval from 3 covers about 74 % where 95 is claimed, from 5 about 94
RESAMPLES = 4000
COVERED = (2.5, 97.5)  # percentiles between which 95 % of the resampled medians lie
STABLE_WITHIN = 0.10  # of the median
TRUSTED_CPU_NS = 500e6  # below, a kernel that counts by ticks can only guess user and system time

MEDIANS = ("ns_per_message", "rtt_ns_p50", "rtt_ns_p99")
_SUMS = ("messages", *COUNTED)

Floats = NDArray[np.float64]


def summarise(
    samples: pd.DataFrame, outcomes: Sequence[Mapping[str, Any]], seed: int = 1
) -> pd.DataFrame:
    """The summary of a run.

    Args:
        samples: SAMPLE_COLUMNS, one row for each repeat of a cell.
        outcomes: one mapping for each cell, in the order wanted: CELL_COLUMNS,
            `in_flight_messages`, `system_calls_source` ("loop" or "trace"),
            `traced_calls_per_message` (None unless traced), `status`, `reason`.
        seed: of the bootstrap; the same samples and seed give the same intervals.

    Returns:
        SUMMARY_COLUMNS, one row for each outcome. Cells that were skipped or failed have no
        numbers, and neither has one without samples.
    """
    asked = pd.DataFrame(
        [[each.get(c) for c in _OUTCOME_COLUMNS] for each in outcomes],
        columns=list(_OUTCOME_COLUMNS),
    )
    for column in ("in_flight_messages", "traced_calls_per_message"):
        asked[column] = asked[column].astype(float)
    asked["reason"] = [_sentence(reason) for reason in asked["reason"]]
    # Numbers stand for cells, so that nothing below has to match eight columns.
    numbers = {_key(row): i for i, row in enumerate(asked[list(CELL_COLUMNS)].to_numpy())}
    cell = [numbers.get(_key(row), -1) for row in samples[list(CELL_COLUMNS)].to_numpy()]
    measured = pd.DataFrame({c: samples[c].astype(float) for c in {*MEDIANS, *_SUMS}})
    measured["rtt_ns_max"] = samples["rtt_ns_max"].astype(float)
    measured["cell"] = cell
    done = asked.index[asked["status"] == "ok"]
    measured = measured[measured["cell"].isin(done)]

    groups = measured.groupby("cell")
    everything = asked.index
    medians = groups[list(MEDIANS)].median().reindex(everything)
    # A count that one repeat does not know, the whole does not know.
    sums = groups[list(_SUMS)].sum(skipna=False).reindex(everything)
    low, high = _intervals(measured, len(asked), seed)

    table = asked.copy()
    ns = medians["ns_per_message"]
    table["messages"] = sums["messages"].fillna(0).astype("int64")
    table["repeats"] = groups.size().reindex(everything, fill_value=0).astype("int64")
    table["ns_per_message"], table["ns_low"], table["ns_high"] = ns, low, high
    table["in_flight_messages"] = asked["in_flight_messages"].where(asked["status"] == "ok")
    handed_over = (asked["copy"] == "in-place") & (asked["touch"] == "ends")
    moved = (asked["pattern"] == "throughput") & ~handed_over
    table["bytes_per_second"] = (1e9 * asked["message_size"].astype(float) / ns).where(moved)
    table["rtt_ns_p50"], table["rtt_ns_p99"] = medians["rtt_ns_p50"], medians["rtt_ns_p99"]
    table["rtt_ns_max"] = groups["rtt_ns_max"].max().reindex(everything)
    each = sums.div(sums["messages"], axis=0)
    traced = asked["system_calls_source"] == "trace"
    calls = each["system_calls"].where(~traced, asked["traced_calls_per_message"])
    table["system_calls_per_message"] = calls.where(sums["messages"].notna())
    faults = each["page_faults"]
    table["mode_switches_per_message"] = 2 * (table["system_calls_per_message"] + faults)
    for name in ("voluntary_switches", "involuntary_switches", "cpu_ns"):
        table[f"{name}_per_message"] = each[name]
    trusted = sums["cpu_ns"] >= TRUSTED_CPU_NS
    for name in ("user_ns", "system_ns"):
        table[f"{name}_per_message"] = each[name].where(trusted)
    table["page_faults_per_message"] = faults
    table["stable"] = (high - low) <= STABLE_WITHIN * ns
    return table[list(SUMMARY_COLUMNS)]


def median_interval(values: Floats, seed: int = 1) -> tuple[Floats, Floats]:
    """95 % percentile-bootstrap intervals of the medians of rows (Efron & Tibshirani, ch. 13).

    Args:
        values: one row for each cell, one column for each repeat; at least one column.

    Returns:
        Lower and upper ends, one for each row.
    """
    low, high = np.percentile(resampled_medians(values, seed), COVERED, axis=1)
    return low, high


def resampled_medians(values: Floats, seed: int = 1) -> Floats:
    """The medians of RESAMPLES draws with replacement from each row: one row for each row."""
    repeats = values.shape[1]
    # A resample's median depends only on which ranks were drawn, so the draws serve all rows.
    drawn = np.random.default_rng(seed).integers(0, repeats, (RESAMPLES, repeats))
    drawn.sort(axis=1)
    middle = drawn[:, [(repeats - 1) // 2, repeats // 2]]
    ordered = np.sort(values, axis=1)
    medians: Floats = (ordered[:, middle[:, 0]] + ordered[:, middle[:, 1]]) / 2
    return medians


def agreement(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """How far two summaries agree, cell by cell.

    Args:
        a, b: summaries (SUMMARY_COLUMNS); only cells measured in both are compared.

    Returns:
        CELL_COLUMNS, `ns_a`, `ns_b` (medians, ns), `ratio` (b to a) and `overlap` (whether the
        intervals do, so that no difference is shown).
    """
    columns = [*CELL_COLUMNS, "ns_per_message", "ns_low", "ns_high"]
    left, right = (t.loc[t["ns_per_message"].notna(), columns] for t in (a, b))
    both = left.merge(right, on=list(CELL_COLUMNS), suffixes=("_a", "_b"))
    apart = (both["ns_high_a"] < both["ns_low_b"]) | (both["ns_high_b"] < both["ns_low_a"])
    table = both[list(CELL_COLUMNS)].copy()
    table["ns_a"], table["ns_b"] = both["ns_per_message_a"], both["ns_per_message_b"]
    table["ratio"] = table["ns_b"] / table["ns_a"]
    table["overlap"] = ~apart
    return table


_OUTCOME_COLUMNS = (
    *CELL_COLUMNS,
    "in_flight_messages",
    "system_calls_source",
    "traced_calls_per_message",
    "status",
    "reason",
)


def _key(row: Any) -> tuple[str, ...]:
    *names, size = row
    return (*map(str, names), str(int(size)))


def _sentence(reason: object) -> str:
    """A reason on one line, whatever a system's message had in it."""
    line = " ".join(str(reason or "").split())
    return "".join(c if c.isprintable() else "?" for c in line)


def _intervals(measured: pd.DataFrame, cells: int, seed: int) -> tuple[pd.Series, pd.Series]:
    """Interval ends for all cells, empty where the repeats are too few; indexed by cell."""
    low, high = np.full(cells, np.nan), np.full(cells, np.nan)
    ordered = measured.sort_values("cell", kind="stable")
    counts = ordered["cell"].value_counts(sort=False)
    for repeats in sorted(set(counts)):
        if repeats < LEAST_REPEATS:
            continue
        these = np.sort(counts.index[counts == repeats].to_numpy())
        values = ordered.loc[ordered["cell"].isin(these), "ns_per_message"].to_numpy()
        low[these], high[these] = median_interval(values.reshape(-1, repeats), seed)
    return pd.Series(low), pd.Series(high)
