"""The figures: what they draw, leave out and say, and that they can be read."""

import io
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter
from matplotlib import image
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from labkit import plots
from labkit.errors import RequestError
from labkit.plots import style, units
from labkit.plots.labels import spread
from labkit.plots.style import Picture

KERNEL = (
    "pipe",
    "fifo",
    "sysv_mq",
    "posix_mq",
    "unix_stream",
    "unix_dgram",
    "unix_seqpacket",
    "tcp",
)
SEGMENTS = ("sysv_shm", "posix_shm", "mmap_file", "mmap_anon", "memfd")
QUANTILES = {"p1": 0.8, "p5": 0.9, "p10": 0.92, "p25": 0.95, "p50": 1, "p75": 1.1, "p90": 1.2}
QUANTILES |= {"p95": 1.3, "p99": 2, "p999": 5, "max": 40}


@dataclass
class Tables:
    """As much of a run as a figure needs."""

    summary: pd.DataFrame
    samples: pd.DataFrame
    machine: dict[str, Any]


def tables(
    sizes: tuple[int, ...] = (8, 4096, 1 << 20),
    placements: tuple[str, ...] = ("same-cpu", "cross-cpu"),
    waitings: tuple[str, ...] = ("futex", "spin"),
    copies: tuple[str, ...] = ("copy",),
    mechanisms: tuple[str, ...] = KERNEL + SEGMENTS,
) -> Tables:
    """Invented numbers in the form of a run: the mechanisms differ, the segments don't."""
    rows: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    for pattern, placement, name, size in product(
        ("latency", "throughput"), placements, mechanisms, sizes
    ):
        ways = product(waitings, copies) if name in SEGMENTS else [("kernel", "copy")]
        for waiting, copy in ways:
            cell = {
                "mechanism": name, "waiting": waiting, "pattern": pattern, "placement": placement,
                "copy": copy, "touch": "ends", "engine": "compiled", "message_size": size,
            }  # fmt: skip
            ns = 200.0 if waiting == "spin" else 4000.0 if name in SEGMENTS else 5000.0
            ns = ns + 0.1 * size + 300 * (KERNEL.index(name) if name in KERNEL else 0)
            skipped = waiting == "spin" and placement == "same-cpu"
            handed_over = copy == "in-place"
            rows.append(
                cell
                | {
                    "ns_per_message": np.nan if skipped else ns,
                    "ns_low": np.nan if skipped else 0.98 * ns,
                    "ns_high": np.nan if skipped else 1.03 * ns,
                    "bytes_per_second": np.nan
                    if skipped or handed_over or pattern == "latency"
                    else 1e9 * size / ns,
                    "stable": not skipped,
                    "status": "skipped" if skipped else "ok",
                    "reason": "no." if skipped else "",
                }
            )
            if pattern == "latency" and not skipped:
                single = {f"rtt_ns_{q}": ns * factor for q, factor in QUANTILES.items()}
                samples += [cell | {"repeat": i, "rtt_count": 4000} | single for i in range(5)]
    machine = {
        "cpu_model": "Some Processor", "kernel": "6.1.0", "virtual_machine": "KVM",
        "container": None, "started": "2025-11-23T10:33:00+00:00", "libraries": {"labkit": "1.0"},
    }  # fmt: skip
    return Tables(pd.DataFrame(rows), pd.DataFrame(samples), machine)


@pytest.fixture
def run() -> Tables:
    return tables()


def said(picture: Picture) -> list[str]:
    """Every text on the page."""
    return [text.get_text() for text in picture.findobj(Text) if isinstance(text, Text)]


def drawn(picture: Picture) -> list[Text]:
    """Every text that shows: matplotlib keeps tick labels beyond the axes' ends, but hides them."""
    picture.canvas.draw()
    texts = list(picture.texts)
    for ax in picture.axes:
        texts += [ax.xaxis.label, *(each for each in ax.get_children() if isinstance(each, Text))]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
    return [text for text in texts if text.get_text().strip() and text.get_visible()]


def small_print(picture: Picture) -> str:
    lines = [text for text in picture.texts if text.get_fontsize() == style.SMALL]
    lines.sort(key=lambda text: -text.get_position()[1])
    return " ".join(line.get_text() for line in lines)


def change(run: Tables, change_to: dict[str, Any], **where: object) -> None:
    """Give the summary's rows that match `where` other values."""
    these = pd.Series(True, index=run.summary.index)
    for column, value in where.items():
        these &= run.summary[column] == value
    for column, value in change_to.items():
        run.summary.loc[these, column] = value


FIGURES = [plots.latency, plots.throughput, plots.distribution]


@pytest.mark.parametrize("draw", FIGURES)
def test_there_is_one_panel_for_each_placement_and_they_share_their_axes(
    run: Tables, draw: Any
) -> None:
    picture = draw(run)
    panels = [ax for ax in picture.axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left").split(":")[0] for ax in panels] == ["same-cpu", "cross-cpu"]
    assert panels[0].get_xlim() == panels[1].get_xlim()
    assert panels[0].get_ylim() == panels[1].get_ylim()


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize("placements", [("same-cpu",), ("same-cpu", "cross-cpu", "free")])
@pytest.mark.parametrize("together", [1.0, 1.5])
def test_no_text_lies_over_another_or_beyond_the_page(
    draw: Any, placements: tuple[str, ...], together: float
) -> None:
    all_waitings = ("spin", "futex", "posix_sem", "sysv_sem")
    picture = draw(tables(placements=placements, waitings=all_waitings), together=together)
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn(picture)]
    page = picture.bbox
    for text, box in boxes:
        assert page.x0 <= box.x0, text
        assert box.x1 <= page.x1, text
        assert page.y0 <= box.y0, text
        assert box.y1 <= page.y1, text
    for (one, a), (other, b) in combinations(boxes, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide <= 2 or high <= 4, (one, other)  # pixels: a line's spacing is no overlap


@pytest.mark.parametrize("draw", FIGURES)
def test_a_slide_is_16_by_9_and_only_small_print_is_small(run: Tables, draw: Any) -> None:
    picture = draw(run)
    assert tuple(picture.get_size_inches()) == style.INCHES
    sizes = {t.get_fontsize() for t in picture.findobj(Text) if t.get_text().strip()}
    assert {size for size in sizes if size < 14} == {style.SMALL}


def test_segments_that_measure_the_same_are_one_line(run: Tables) -> None:
    picture = plots.latency(run)
    assert "shared memory,\nspin (5 kinds)" in said(picture)
    assert "Bands:" in small_print(picture)
    apart = said(plots.latency(run, together=1))
    assert {f"{name}, spin" for name in SEGMENTS} <= set(apart)


def test_a_segment_that_measures_otherwise_has_a_line_of_its_own(run: Tables) -> None:
    other = {"ns_per_message": 9e3, "ns_low": 8.9e3, "ns_high": 9.1e3}
    change(run, other, mechanism="mmap_file", waiting="futex", placement="same-cpu", message_size=8)
    labels = said(plots.latency(run, placement="same-cpu"))
    assert "mmap_file, futex" in labels
    assert "shared memory,\nfutex (4 kinds)" in labels


def test_a_wide_interval_does_not_tell_segments_apart(run: Tables) -> None:
    unsure = {"ns_per_message": 9e3, "ns_low": 4e3, "ns_high": 2e4}
    change(run, unsure, mechanism="mmap_file", waiting="futex", message_size=8)
    assert "mmap_file, futex" not in said(plots.latency(run))


def test_families_differ_in_colour_and_marker(run: Tables) -> None:
    looks = [style.look_of(name, "kernel") for name in KERNEL]
    shared = [style.look_of("memfd", way) for way in ("spin", "futex", "posix_sem", "sysv_sem")]
    for mine, theirs in product(looks, shared):
        assert mine.colour != theirs.colour
        assert mine.marker != theirs.marker
    assert len({look.marker for look in shared}) == len(shared)


def test_a_mechanism_that_somebody_added_is_drawn_too(run: Tables) -> None:
    change(run, {"mechanism": "my_own"}, mechanism="tcp")
    assert "my_own" in said(plots.latency(run))


def test_unstable_cells_are_hollow_and_said_so(run: Tables) -> None:
    def hollow(picture: Picture) -> int:
        lines = [line for ax in picture.axes for line in ax.lines]
        white = [line for line in lines if line.get_markerfacecolor() == "white"]
        return sum(len(np.asarray(line.get_xdata())) for line in white)

    assert hollow(plots.latency(run)) == 0
    assert "Hollow" not in small_print(plots.latency(run))
    change(run, {"stable": False}, mechanism="tcp", placement="same-cpu", message_size=8)
    assert hollow(plots.latency(run)) == 1
    assert "Hollow: unstable" in small_print(plots.latency(run))
    assert "Hollow: unstable" in small_print(plots.distribution(run))
    assert "1 of" in plots.latency(run).alt_text


def test_the_interval_of_each_median_is_drawn() -> None:
    run = tables(mechanisms=("pipe",), placements=("same-cpu",))
    (panel,) = plots.latency(run).axes
    bars = panel.collections[0].get_segments()
    rows = run.summary[run.summary["pattern"] == "latency"]
    for bar, low, high in zip(bars, rows["ns_low"], rows["ns_high"], strict=True):
        assert tuple(bar[:, 1]) == pytest.approx((low, high))


def test_cells_without_interval_are_drawn_without_one(run: Tables) -> None:
    change(run, {"ns_low": np.nan, "ns_high": np.nan, "stable": False})
    for draw in FIGURES:
        assert "too few repeats" in small_print(draw(run))


def test_what_was_skipped_or_failed_is_named(run: Tables) -> None:
    change(run, {"status": "skipped"}, mechanism="posix_mq", message_size=1 << 20)
    change(run, {"status": "failed"}, mechanism="fifo", placement="cross-cpu", message_size=4096)
    text = small_print(plots.latency(run))
    assert "Skipped: spin on same-cpu; posix_mq at 1 MiB." in text
    assert "Failed: fifo at 4 KiB on cross-cpu." in text


def test_the_small_print_names_machine_and_date(run: Tables) -> None:
    last = "Some Processor · Linux 6.1.0 · KVM virtual machine · 2025-11-23 10:33 UTC · labkit 1.0"
    for draw in FIGURES:
        assert last in small_print(draw(run))
    run.machine = {}
    plots.latency(run)  # an old run may say nothing at all


def test_throughput_leaves_out_what_moves_no_payload() -> None:
    run = tables(copies=("copy", "in-place"))
    bytes_ = plots.throughput(run)
    assert not any("in-place" in label for label in said(bytes_) if "kinds" in label)
    assert "In-place with touch=ends is left out" in small_print(bytes_)
    messages = plots.throughput(run, rate="messages")
    assert any("in-place" in label for label in said(messages) if "kinds" in label)
    assert "left out" not in small_print(messages)
    with pytest.raises(RequestError, match="rate='messages'"):
        plots.throughput(run, copy="in-place")


def test_throughput_has_the_slower_end_of_the_interval_below() -> None:
    run = tables(mechanisms=("pipe",), placements=("same-cpu",), sizes=(8, 64))
    (panel,) = plots.throughput(run).axes
    low, high = panel.collections[0].get_segments()[0][:, 1]
    row = run.summary[run.summary["pattern"] == "throughput"].iloc[0]
    assert low == pytest.approx(8e9 / row["ns_high"])
    assert low < row["bytes_per_second"] < high


def test_distribution_takes_the_smallest_size_unless_told(run: Tables) -> None:
    assert plots.distribution(run).title.endswith("8 B")
    assert plots.distribution(run, size=4096).title == plots.distribution(run, size="4K").title


def test_distribution_leaves_out_quantiles_that_it_cannot_know(run: Tables) -> None:
    def widest(picture: Picture) -> float:
        bars = [bar for bar in picture.axes[1].patches if isinstance(bar, Rectangle)]
        return max(float(bar.get_x() + bar.get_width()) for bar in bars)

    pipe = {"mechanism": "pipe", "placement": "same-cpu"}
    assert widest(plots.distribution(run, **pipe)) == pytest.approx(5 * 5000.8)
    run.samples["rtt_count"] = 50
    assert widest(plots.distribution(run, **pipe)) == pytest.approx(1.3 * 5000.8)


def test_the_description_has_the_numbers(run: Tables) -> None:
    assert "same-cpu, 8 B: shared memory, futex (5 kinds) 4 µs; pipe 5 µs;" in (
        plots.latency(run).alt_text
    )
    assert (
        "pipe median 5 µs, 95 % within 6.5 µs, longest 200 µs" in plots.distribution(run).alt_text
    )


@pytest.mark.parametrize("draw", [plots.latency, plots.distribution])
def test_without_latency_rows_it_says_what_there_is(run: Tables, draw: Any) -> None:
    run.summary = run.summary[run.summary["pattern"] == "throughput"]
    with pytest.raises(RequestError, match="measured is throughput"):
        draw(run)


def test_what_is_not_there_is_refused_with_what_is(run: Tables) -> None:
    with pytest.raises(RequestError, match="8 B, 4 KiB and 1 MiB"):
        plots.distribution(run, size=100)
    with pytest.raises(RequestError, match="same-cpu and cross-cpu"):
        plots.latency(run, placement="free")
    with pytest.raises(RequestError, match=r"'nonsense'.*pipe"):
        plots.latency(run, mechanism=["pipe", "nonsense"])
    with pytest.raises(RequestError, match="mechanism, waiting, placement"):
        plots.latency(run, colour="red")
    with pytest.raises(RequestError, match="'bytes' or 'messages'"):
        plots.throughput(run, rate="bits")


def test_saving_writes_both_forms_with_title_and_description(run: Tables, tmp_path: Path) -> None:
    picture = plots.latency(run)
    svg, png = plots.save(picture, tmp_path / "a.figure")
    assert {svg.name, png.name} == {"a.figure.svg", "a.figure.png"}
    root = ElementTree.parse(svg).getroot()
    assert root.findtext("{*}title") == picture.title
    assert root.findtext("{*}desc") == picture.alt_text
    assert image.imread(png).shape[:2] == (1080, 1920)
    written = png.read_bytes()  # text in a PNG is Latin-1 or, where that lacks a letter, UTF-8
    assert any(picture.alt_text.encode(code) in written for code in ("latin-1", "utf-8"))


def test_the_same_run_gives_the_same_files(run: Tables, tmp_path: Path) -> None:
    for draw in FIGURES:
        first = [f.read_bytes() for f in plots.save(draw(run), tmp_path / "first")]
        assert [f.read_bytes() for f in plots.save(draw(run), tmp_path / "again")] == first


def test_a_folder_that_is_not_there_is_refused(run: Tables, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="No such file or directory"):
        plots.save(plots.latency(run), tmp_path / "nowhere" / "figure")
    assert not list(tmp_path.iterdir())


def test_a_figure_shows_itself_in_a_notebook(run: Tables) -> None:
    picture = plots.latency(run)
    data, about = DisplayFormatter().format(picture)  # type: ignore[no-untyped-call]
    assert image.imread(io.BytesIO(data["image/png"])).ndim == 3
    assert data["text/plain"] == about["image/png"]["alt"] == picture.alt_text


def test_drawing_needs_no_pyplot() -> None:
    code = "import sys, labkit.plots; print('matplotlib.pyplot' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.time_text(0.5), "0.5 ns"),
        (units.time_text(120), "120 ns"),
        (units.time_text(999.9), "1 µs"),
        (units.time_text(8421.3), "8.4 µs"),
        (units.time_text(2e9), "2 s"),
        (units.byte_rate_text(1.234e9), "1.2 GB/s"),
        (units.byte_rate_text(1e5), "100 kB/s"),
        (units.message_rate_text(2.5e5), "250 k/s"),
    ],
)
def test_numbers_are_said_in_human_units(text: str, expected: str) -> None:
    assert text == expected


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0.01, 2)), min_size=1, max_size=30),
)
def test_labels_are_spread_apart_within_their_room(wanted: list[tuple[float, float]]) -> None:
    places, heights = [p for p, _ in wanted], [h for _, h in wanted]
    high = max(10.0, sum(heights))
    centres = spread(places, heights, 0.0, high)
    order = sorted(range(len(wanted)), key=lambda i: centres[i])
    ends = [(centres[i] - heights[i] / 2, centres[i] + heights[i] / 2) for i in order]
    assert ends[0][0] >= -1e-6
    assert ends[-1][1] <= high + 1e-6
    assert all(below[1] <= above[0] + 1e-6 for below, above in pairwise(ends))
    assert [places[i] for i in order] == sorted(places)


def test_labels_with_room_enough_stay_where_they_are() -> None:
    assert spread([1.0, 5.0, 3.0], [1.0, 1.0, 1.0], 0.0, 10.0) == [1.0, 5.0, 3.0]
