import re
from io import StringIO
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from made_up import CELLS, outcome, rows, sample, samples, summary

from labkit.harness.request import Cell, build_request
from labkit.harness.statistics import summarise
from labkit.table import WIDTH, print_table
from labkit.units import format_rate, format_time


def printed(table: pd.DataFrame) -> str:
    stream = StringIO()
    print_table(table, stream)
    return stream.getvalue()


def measured(cells: list[Cell]) -> pd.DataFrame:
    """A summary in which every cell that is possible took ten thousand times its size."""
    possible = [c for c in cells if c.impossible() is None]
    taken = [sample(c, i, 10_000.0 * c.message_size) for c in possible for i in range(5)]
    outcomes = []
    for cell in cells:
        reason = cell.impossible()
        outcomes.append(outcome(cell, status="skipped" if reason else "ok", reason=reason))
    return summarise(samples(taken), outcomes)


@given(rows())
def test_any_summary_fits_and_marks_what_is_unstable(rows: list[dict[str, Any]]) -> None:
    text = printed(summary(rows))
    assert all(len(line.rstrip()) <= WIDTH for line in text.splitlines())
    assert "nan" not in re.split(r"\W", text)
    assert "\x1b" not in text
    unstable = [r for r in rows if r["status"] == "ok" and not r["stable"]]
    assert ("~" in text) == bool(unstable)
    for status in ("skipped", "failed"):
        count = sum(int(n) for n in re.findall(rf"(\d+) cells? {status}", text))
        assert count == sum(r["status"] == status for r in rows)


@pytest.mark.parametrize("cells", [CELLS, build_request(cpus=2).cells()], ids=["most", "usual"])
def test_many_cells_are_a_grid_in_which_none_is_lost(cells: list[Cell]) -> None:
    table = measured(cells)
    text = printed(table)
    assert all(len(line.rstrip()) <= WIDTH for line in text.splitlines())
    assert "…" not in text
    groups = text.split("\n\n")
    for pattern, placement in {(c.pattern, c.placement) for c in cells}:
        (group,) = [g for g in groups if g.startswith(f"{pattern}, {placement}:")]
        these = table[(table["pattern"] == pattern) & (table["placement"] == placement)]
        for row in these[these["status"] == "ok"].to_dict("records"):
            rated = row["bytes_per_second"] > 0
            number = row["bytes_per_second"] if rated else row["ns_per_message"]
            assert (format_rate if rated else format_time)(number) in group
            assert re.search(rf"^{row['mechanism']}\b", group, re.MULTILINE)


def test_few_cells_are_shown_in_full() -> None:
    text = printed(measured(build_request("pipe", "64", ["latency"], cpus=2).cells()))
    assert re.search(r"pipe +64 B +640 µs +640 µs to 640 µs +640 µs +4 +2 +4.00 µs", text)


def test_what_was_chosen_otherwise_is_said() -> None:
    cells = build_request("memfd", "64", waiting="futex", engine="all", touch="all", cpus=2).cells()
    text = printed(measured(cells))
    assert "memfd futex python" in text
    assert "All cells: copy=copy, touch=all." in text


def test_that_the_tail_is_another_measurement_is_said_where_it_is_shown() -> None:
    cell = Cell("pipe", "kernel", "latency", "same-cpu", "copy", "ends", "compiled", 8)
    few = printed(measured([cell]))
    assert "99 % within: of round trips timed one by one" in few
    stream = Cell("pipe", "kernel", "throughput", "same-cpu", "copy", "ends", "compiled", 8)
    assert "99 % within" not in printed(measured([stream]))
    assert "99 % within" not in printed(measured(CELLS))
