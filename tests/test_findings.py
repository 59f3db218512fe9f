import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from made_up import outcome, rows, run, sample, samples, summary

from labkit.harness.findings import NOT_SHOWN, WHERE, apart, fastest, findings, sentences
from labkit.harness.request import Cell
from labkit.harness.run import Run
from labkit.harness.statistics import summarise
from labkit.units import format_time


def ok(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"ns_low": math.nan, "ns_high": math.nan} | r for r in rows if r["status"] == "ok"]


@given(rows())
def test_always_three_sentences(rows: list[dict[str, Any]]) -> None:
    three = sentences(summary(rows))
    assert len(three) == 3
    for sentence in three:
        assert sentence.endswith(".")
        assert ". " not in sentence
        assert sentence.isprintable()
        assert "nan" not in re.split(r"\W", sentence)
        assert "  " not in sentence


@given(rows())
def test_no_difference_is_claimed_where_intervals_overlap(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["status"] == "ok":
            row |= {"ns_low": 0.1, "ns_high": 2e9}
    said = " ".join(sentences(summary(rows)))
    for claim in ("times as", "% longer", "as fast"):
        assert claim not in said


@given(rows())
def test_the_shortest_is_the_shortest(rows: list[dict[str, Any]]) -> None:
    first = sentences(summary(rows))[0]
    shortest = r"the shortest median is (\S+)(?: \([^)]*\))?, ([\d.]+ \S?s)"
    for placement, words in WHERE.items():
        found = re.search(f"{words} {shortest}", first)
        if found is None:
            continue
        like = ok(rows)
        for column, usual in (("touch", "ends"), ("engine", "compiled")):
            values = [r[column] for r in like]
            like = [r for r in like if r[column] == (usual if usual in values else values[0])]
        latency = [r for r in like if r["pattern"] == "latency"]
        size = min(r["message_size"] for r in latency)
        rivals = [r for r in latency if (r["message_size"], r["placement"]) == (size, placement)]
        best = min(r["ns_per_message"] for r in rivals)
        assert found[2] == format_time(best)
        assert found[1] in {r["mechanism"] for r in rivals if r["ns_per_message"] == best}


@given(rows())
def test_every_ratio_is_that_of_two_cells_apart(rows: list[dict[str, Any]]) -> None:
    measured = ok(rows)
    ratios = {
        f"{a['ns_per_message'] / b['ns_per_message']:.3g}"
        for a in measured
        for b in measured
        if apart(a, b) and a["ns_per_message"] > b["ns_per_message"]
    }
    for claimed in re.findall(r"([\d.]+) times as", " ".join(sentences(summary(rows)))):
        assert any(math.isclose(float(claimed), float(r), rel_tol=0.006) for r in ratios)


@given(rows())
def test_fastest_splits_all_others(rows: list[dict[str, Any]]) -> None:
    measured = ok(rows)
    if measured:
        first, equal, slower = fastest(measured)
        assert len(equal) + len(slower) + 1 == len(measured)
        assert all(first["ns_per_message"] <= r["ns_per_message"] for r in [*equal, *slower])
        assert all(apart(first, r) for r in slower)


def a_run(times: dict[tuple[str, str, str, str], float], spread: float = 0.01) -> Run:
    """A run of 8 B cells: (mechanism, waiting, pattern, placement) to its median."""
    taken, outcomes = [], []
    for (mechanism, waiting, pattern, placement), ns in times.items():
        cell = Cell(mechanism, waiting, pattern, placement, "copy", "ends", "compiled", 8)
        for i, factor in enumerate(np.linspace(1 - spread, 1 + spread, 5)):
            taken.append(sample(cell, i, ns * factor))
        outcomes.append(outcome(cell))
    table = samples(taken)
    return Run(summarise(table, outcomes), table, {})


PIPE = ("pipe", "kernel", "latency", "same-cpu")
FUTEX = ("memfd", "futex", "latency", "same-cpu")
SPIN = ("memfd", "spin", "latency", "cross-cpu")
FUTEX_ACROSS = ("memfd", "futex", "latency", "cross-cpu")
PIPE_ACROSS = ("pipe", "kernel", "latency", "cross-cpu")


@pytest.mark.parametrize(
    ("pipe", "shared", "said"),
    [
        (6000, 5000, "pipe (6.00 µs) takes 1.20 times as long as memfd (futex) (5.00 µs)"),
        (5000, 6000, "memfd (futex) (6.00 µs) takes 1.20 times as long as pipe (5.00 µs)"),
        (5000, 5010, f"between pipe (5.00 µs) and memfd (futex) (5.01 µs) there is {NOT_SHOWN}"),
    ],
)
def test_shared_memory_against_pipes_in_either_direction(
    pipe: float, shared: float, said: str
) -> None:
    assert said in " ".join(findings(a_run({PIPE: pipe, FUTEX: shared})))


@pytest.mark.parametrize(
    ("spin", "said"),
    [
        (100, "while spinning (memfd (spin), 100 ns) is 400 times as fast"),
        (80_000, "while spinning (memfd (spin), 80.0 µs) takes 2.00 times as long"),
        (40_100, f"while spinning (memfd (spin), 40.1 µs) makes {NOT_SHOWN}"),
    ],
)
def test_what_spinning_changes_in_either_direction(spin: float, said: str) -> None:
    times = {PIPE_ACROSS: 50_000.0, FUTEX_ACROSS: 40_000.0, SPIN: spin}
    assert said in " ".join(findings(a_run(times)))


def unsteady(summary: Any, mechanism: str, waiting: str, low: float, high: float) -> None:
    """Let one cell be fast in some repeats and slow in others."""
    row = (summary["mechanism"] == mechanism) & (summary["waiting"] == waiting)
    summary.loc[row, ["ns_low", "ns_high", "stable"]] = [low, high, False]


def test_a_stable_sleeper_stands_for_those_who_sleep() -> None:
    other = ("mmap_anon", "futex", "latency", "cross-cpu")
    one = a_run({PIPE_ACROSS: 35_000.0, FUTEX_ACROSS: 33_000.0, other: 30_000.0, SPIN: 126.0})
    unsteady(one.summary, "mmap_anon", "futex", 120.0, 43_000.0)
    said = " ".join(findings(one))
    assert "(of the stable cells, where there are any)" in said
    assert "pipe (35.0 µs) takes 1.06 times as long as memfd (futex) (33.0 µs)" in said
    assert "while spinning (memfd (spin), 126 ns) is 262 times as fast" in said


def test_where_no_sleeper_is_stable_that_is_why_nothing_can_be_told() -> None:
    one = a_run({PIPE_ACROSS: 35_000.0, FUTEX_ACROSS: 33_000.0, SPIN: 126.0})
    unsteady(one.summary, "memfd", "futex", 120.0, 43_000.0)
    said = " ".join(findings(one))
    assert "cannot be told from it, as memfd (futex) varies from 120 ns to 43.0 µs" in said
    assert f"(memfd (spin), 126 ns) makes {NOT_SHOWN}" not in said


def test_a_small_but_certain_difference() -> None:
    said = findings(a_run({PIPE: 5000, FUTEX: 5020}, spread=0.0001))
    assert "memfd (futex) takes less than 1 % longer" in said[0]


def test_what_is_unstable_or_missing_is_said() -> None:
    assert "(1 cell skipped, 1 cell failed)" in " ".join(findings(run()))
    unsteady = " ".join(findings(a_run({PIPE: 5000}, spread=0.3)))
    assert "1 of 1 cell not stable: pipe" in unsteady


def test_nothing_measured() -> None:
    nothing = summarise(samples([]), [outcome(status="skipped", reason="the kernel has none.")])
    assert sentences(nothing) == [
        "0 of 1 cell were measured (1 cell skipped).",
        "The most frequent reason: the kernel has none.",
        "So these numbers compare nothing.",
    ]
