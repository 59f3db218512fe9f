"""The figures of costs, drawn from a machine whose costs are known: what they show and say."""

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from made_up import CELL
from made_up_costs import KERNEL, MEMCPY, SIZES, run_of
from test_plots import drawn

from labkit import plots
from labkit.errors import RequestError
from labkit.harness.request import Cell
from labkit.harness.run import Run
from labkit.plots.crossover import rounded
from labkit.plots.kept import breakdown_of
from labkit.plots.style import Picture

FIGURES = (
    plots.cost_breakdown,
    plots.copy_cost,
    plots.copies,
    plots.crossover,
    plots.cpu_time,
)


def a_run(placements: tuple[str, ...] = ("same-cpu", "cross-cpu")) -> Run:
    """Pipes, sockets and two kinds of shared memory, at four sizes."""
    cells: dict[Cell, float] = {}
    for pattern in ("latency", "throughput"):
        for placement in placements:
            for size in SIZES:
                where = replace(CELL, pattern=pattern, placement=placement, message_size=size)
                each = 2 if pattern == "latency" else 1
                for number, name in enumerate(("pipe", "unix_dgram", "tcp")):
                    mine = replace(where, mechanism=name)
                    cells[mine] = 1700 + 900 * number + each * (2 + number) * KERNEL * size
                for name in ("posix_shm", "memfd"):
                    for copy in ("copy", "in-place"):
                        mine = replace(where, mechanism=name, waiting="futex", copy=copy)
                        cells[mine] = 1500.0 + (copy == "copy") * 2 * each * MEMCPY * size
    return run_of(cells, voluntary_switches=1000, involuntary_switches=1000)


@pytest.fixture(scope="module")
def run() -> Run:
    return a_run()


@pytest.mark.parametrize("draw", FIGURES, ids=lambda f: str(f.__name__))
def test_no_text_lies_over_another_or_beyond_the_page(run: Run, draw: Any) -> None:
    picture: Picture = draw(run)
    boxes = [
        (text.get_text(), text.get_window_extent().shrunk(0.94, 0.75))
        for text in drawn(picture)
        if text.get_rotation() == 0
    ]
    for text, box in boxes:
        assert picture.bbox.x0 <= box.x0, text
        assert box.x1 <= picture.bbox.x1, text
        assert picture.bbox.y0 <= box.y0, text
        assert box.y1 <= picture.bbox.y1, text
    for (one, a), (other, b) in combinations(boxes, 2):
        assert not a.overlaps(b), (one, other)


@pytest.mark.parametrize("draw", FIGURES, ids=lambda f: str(f.__name__))
def test_each_says_in_words_what_it_shows(run: Run, draw: Any) -> None:
    picture: Picture = draw(run)
    assert picture.title
    assert picture.alt_text.startswith(picture.title)
    for name in ("pipe", "posix_shm"):
        assert name in picture.alt_text
    assert picture.get_size_inches()[0] == pytest.approx(40 / 3)
    assert picture.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("draw", FIGURES, ids=lambda f: str(f.__name__))
def test_what_was_not_measured_is_refused_in_a_sentence(draw: Any) -> None:
    nothing = a_run(("same-cpu",))
    nothing.summary["status"] = "skipped"
    with pytest.raises(RequestError) as refused:
        draw(nothing)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("draw", [plots.cost_breakdown, plots.copies, plots.copy_cost])
def test_without_constants_it_says_what_to_do(draw: Any) -> None:
    bare = a_run(("same-cpu",))
    del bare.machine["costs"]
    with pytest.raises(RequestError, match="constants=labkit"):
        draw(bare)


def test_bars_reach_what_is_predicted_and_the_line_what_was_measured(run: Run) -> None:
    from labkit.costs import explain

    picture = plots.cost_breakdown(run, sizes=[64], mechanism="pipe")
    table = explain(run)
    (cell,) = table[
        (table["mechanism"] == "pipe")
        & (table["pattern"] == "latency")
        & (table["placement"] == "same-cpu")
        & (table["message_size"] == 64)
    ].to_dict("records")
    (ax,) = picture.axes
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches if not bar.get_hatch()]
    assert max(ends) == pytest.approx(cell["predicted_ns"])
    marks = [line.get_xdata()[0] for line in ax.lines]
    assert marks == [pytest.approx(cell["measured_ns"])]


def test_alike_segments_are_left_out_and_named(run: Run) -> None:
    said = " ".join(text.get_text() for text in plots.cost_breakdown(run).texts)
    assert "memfd differ little from posix_shm" in said.replace("\n", " ")
    named = plots.cost_breakdown(run, mechanism=["posix_shm", "memfd"])
    assert "memfd" in named.alt_text


def test_effective_copies_are_drawn_where_they_are(run: Run) -> None:
    picture = plots.copies(run, mechanism="pipe")
    drawn_at = [float(line.get_xdata()[0]) for line in picture.axes[0].lines]
    assert any(math.isclose(x, 2.0, rel_tol=0.01) for x in drawn_at)  # kernel copies
    assert any(math.isclose(x, 2 * KERNEL / MEMCPY, rel_tol=0.01) for x in drawn_at)


def test_other_sizes_and_placements_can_be_asked_for(run: Run) -> None:
    assert "4 KiB" in plots.cost_breakdown(run, sizes=[4096]).alt_text
    with pytest.raises(RequestError, match="64 B, 4 KiB"):
        plots.cost_breakdown(run, sizes=[100])
    with pytest.raises(RequestError, match="same-cpu and cross-cpu"):
        plots.crossover(run, placement="nowhere")


@pytest.mark.parametrize(
    ("size", "said"), [(8, "8 B"), (746.2, "746 B"), (24905.6, "24 KiB"), (2 << 20, "2 MiB")]
)
def test_sizes_between_those_measured_are_said_shortly(size: float, said: str) -> None:
    assert rounded(size) == said


def test_a_run_keeps_its_breakdown_if_it_can_be_explained(run: Run) -> None:
    assert list(breakdown_of(run)) == ["cost_breakdown"]
    free = a_run(("same-cpu",))
    free.summary["placement"] = "free"
    assert breakdown_of(free) == {}
    bare = a_run(("same-cpu",))
    bare.machine["costs"] = {"left_out": "no time"}
    assert breakdown_of(bare) == {}
