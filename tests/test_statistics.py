from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_up import CELL, outcome, sample, samples

from labkit.harness.request import Cell
from labkit.harness.statistics import (
    CELL_COLUMNS,
    SUMMARY_COLUMNS,
    agreement,
    median_interval,
    summarise,
)

STREAM = Cell("memfd", "futex", "throughput", "same-cpu", "copy", "ends", "compiled", 4096)
TIMES = st.floats(1, 1e9)


def one(rows: list[dict[str, Any]], **changed: Any) -> Any:
    """The summary's only row."""
    cell = {name: rows[0][name] for name in CELL_COLUMNS}
    table = summarise(samples(rows), [outcome() | cell | changed])
    assert len(table) == 1
    return table.iloc[0]


def test_columns_are_the_contract() -> None:
    table = summarise(samples([sample(repeat=i) for i in range(5)]), [outcome()])
    assert tuple(table.columns) == SUMMARY_COLUMNS


def test_every_number_follows_from_the_samples() -> None:
    rows = [
        sample(
            repeat=i,
            ns=ns,
            messages=1000 * (i + 1),
            rtt_ns_p50=10.0 * i,
            rtt_ns_p99=100.0 * i,
            rtt_ns_max=7.0 * i,
            system_calls=4000.0 * (i + 1),
            page_faults=i,
        )
        for i, ns in enumerate([5.0, 1.0, 4.0, 2.0, 3.0])
    ]
    row = one(rows)
    assert (row["messages"], row["repeats"]) == (15000, 5)
    assert row["ns_per_message"] == 3.0
    assert (row["rtt_ns_p50"], row["rtt_ns_p99"], row["rtt_ns_max"]) == (20, 200, 28)
    assert row["system_calls_per_message"] == 4.0
    assert row["page_faults_per_message"] == 10 / 15000
    assert row["mode_switches_per_message"] == 2 * (4 + 10 / 15000)
    assert row["voluntary_switches_per_message"] == 5 * 2000 / 15000
    assert row["involuntary_switches_per_message"] == 5 * 10 / 15000
    assert row["cpu_ns_per_message"] == 5 * 4_000_000 / 15000
    assert row["in_flight_messages"] == 1024
    assert pd.isna(row["bytes_per_second"])


def test_the_split_of_cpu_time_needs_enough_of_it() -> None:
    little = [sample(repeat=i, cpu_ns=99_999_999) for i in range(5)]
    enough = [sample(repeat=i, cpu_ns=100_000_000) for i in range(5)]
    assert pd.isna(one(little)["user_ns_per_message"])
    assert one(enough)["user_ns_per_message"] == 1000
    assert one(enough)["system_ns_per_message"] == 3000


def test_traced_calls_stand_where_libc_hides_them() -> None:
    hidden = [sample(repeat=i, system_calls=np.nan) for i in range(5)]
    row = one(hidden, system_calls_source="trace", traced_calls_per_message=2.5)
    assert row["system_calls_per_message"] == 2.5
    assert row["mode_switches_per_message"] == 2 * (2.5 + 0.5)
    row = one(hidden, system_calls_source="trace")
    assert pd.isna(row["system_calls_per_message"])
    assert pd.isna(row["mode_switches_per_message"])
    hidden[0]["system_calls"] = 4000.0  # what four repeats do not know, the whole does not know
    assert pd.isna(one(hidden)["system_calls_per_message"])


def test_rates_are_of_messages_that_were_moved() -> None:
    def rate(**changed: str) -> Any:
        rows = [sample(STREAM, i, ns=1000.0) | changed for i in range(5)]
        return one(rows)["bytes_per_second"]

    assert rate() == 4.096e9
    assert rate(copy="in-place", touch="all") == 4.096e9
    assert pd.isna(rate(copy="in-place"))


@pytest.mark.parametrize(
    ("times", "stable"),
    [
        ([100, 100, 100, 100, 109], True),
        ([100, 100, 100, 100, 111], False),
        ([100, 100, 100, 100], False),
    ],
)
def test_stable_is_an_interval_within_a_tenth(times: list[float], stable: bool) -> None:
    row = one([sample(repeat=i, ns=float(ns)) for i, ns in enumerate(times)])
    assert row["stable"] == stable
    assert pd.isna(row["ns_low"]) == (len(times) < 5)


@pytest.mark.parametrize("status", ["skipped", "failed"])
def test_what_was_not_measured_has_no_numbers(status: str) -> None:
    rows = [sample(repeat=i) for i in range(5)]
    row = one(rows, status=status, reason="it\nbroke\x1b[1m.")
    assert (row["messages"], row["repeats"], row["stable"]) == (0, 0, False)
    assert row["reason"] == "it broke?[1m."
    numbers = [c for c in SUMMARY_COLUMNS if "_per_" in c or c.startswith(("ns_", "rtt_", "in_"))]
    assert row[numbers].isna().all()


def test_no_samples_at_all() -> None:
    table = summarise(samples([]), [outcome(status="skipped", reason="no.")])
    assert list(table["status"]) == ["skipped"]
    assert summarise(samples([]), []).empty


def test_rows_keep_the_order_of_the_outcomes_and_cells_stay_apart() -> None:
    rows = [sample(STREAM, i, ns=50.0) for i in range(6)]
    rows += [sample(CELL, i, ns=9000.0) for i in range(5)]
    table = summarise(samples(rows), [outcome(CELL), outcome(STREAM)])
    assert list(table["mechanism"]) == ["pipe", "memfd"]
    assert list(table["ns_low"]) == list(table["ns_high"]) == [9000.0, 50.0]
    assert list(table["repeats"]) == [5, 6]


@given(arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=TIMES))
def test_an_interval_holds_the_median_and_lies_within_the_values(values: np.ndarray) -> None:
    low, high = median_interval(values)
    median = np.median(values, axis=1)
    slack = 1e-9 * median
    assert (low <= median + slack).all()
    assert (median <= high + slack).all()
    assert (values.min(axis=1) <= low + slack).all()
    assert (high <= values.max(axis=1) + slack).all()
    again = median_interval(values[:, ::-1])
    assert (again[0] == low).all()
    assert (again[1] == high).all()


@pytest.mark.parametrize("repeats", [5, 8, 25])
def test_the_interval_is_that_of_plain_resampling(repeats: int) -> None:
    draw = np.random.default_rng(5)
    values = draw.normal(1000, 50, repeats)
    medians = np.median(draw.choice(values, (20000, repeats)), axis=1)
    expected = np.percentile(medians, [2.5, 97.5])
    found = np.array(median_interval(values[None, :])).ravel()
    # Both are quantiles of one distribution, known from finitely many draws.
    assert np.abs(found - expected).max() <= 0.2 * values.std()


def test_the_interval_of_five_covers_about_what_it_claims() -> None:
    values = np.random.default_rng(6).exponential(size=(4000, 5))
    low, high = median_interval(values)
    covered = np.mean((low <= np.log(2)) & (np.log(2) <= high))
    assert 0.92 < covered < 0.96


def test_agreement_of_two_runs() -> None:
    def table(ns: float) -> pd.DataFrame:
        rows = [sample(repeat=i, ns=ns + i) for i in range(5)]
        return summarise(samples(rows), [outcome(), outcome(STREAM, status="skipped")])

    both = agreement(table(100), table(200))
    assert len(both) == 1
    assert both["ratio"][0] == 202 / 102
    assert not both["overlap"][0]
    assert agreement(table(100), table(102))["overlap"].all()
