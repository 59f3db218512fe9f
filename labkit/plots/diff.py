"""Figure: two runs, cell by cell: how many times as long it takes in the second.

Every cell has its interval, so one sees at a glance whether a change stands out from the noise.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from labkit.errors import RequestError
from labkit.harness.diff import AGREES_WITHIN, FASTER, SLOWER, UNSURE, WITHIN_NOISE, cell_name
from labkit.harness.diff import diff as differences
from labkit.harness.request import shown
from labkit.plots import page, style
from labkit.plots.choice import LINE, Only, check_run, keep, listed
from labkit.plots.lines import name_of, varying
from labkit.plots.smallprint import fixed_text, machine_text
from labkit.plots.style import Picture
from labkit.units import format_size

if TYPE_CHECKING:
    from labkit.harness.run import Run

ROW = 0.23  # inches of a line's row, the least that its label needs
MOST_ROWS = 36
MOST_PANELS = 4
SPREAD = 0.62  # of a row, over which its sizes lie
LOOKS = {
    SLOWER: (style.VERMILLION, 5),
    FASTER: (style.BLUE, 5),
    WITHIN_NOISE: ("#8a8a8a", 3),
    UNSURE: ("#8a8a8a", 3),
}
# Finer and coarser ones, of which the finest are taken whose labels have room.
TICKS = ((0.5, 0.7, 1, 1.4, 2), (0.2, 0.5, 1, 2, 5), (0.1, 0.3, 1, 3, 10), (0.01, 0.1, 1, 10, 100))
TICK_WIDTH = 0.5  # inches that a label takes
LEAST_REACH, MOST_REACH = 1.5, 100.0  # how far the axis goes to either side of 1


def diff(a: "Run", b: "Run", *, pattern: str | None = None, **only: Unpack[Only]) -> Picture:
    """Draw what changed from run A to run B, one panel a pattern and placement.

    Args:
        a, b: the runs; what `labkit.diff` says of them is drawn.
        pattern: "latency" or "throughput"; None for both, as far as there is room.
        only: columns of the cell with the value, or list of values, to draw, for example
            placement="same-cpu" or mechanism=["pipe", "tcp"].

    Raises:
        RequestError: no cell was measured in both; the sentence says what is there.
    """
    for run in (a, b):
        check_run(run)
    every = differences(a, b)
    table = every[every["ratio"].notna()]
    if table.empty:
        raise RequestError(
            "No cell was measured in both runs: labkit diff says what each of them has."
        )
    if pattern is not None:
        there = table["pattern"].unique()
        if not isinstance(pattern, str) or pattern not in there:
            raise RequestError(
                f"No cell of pattern {shown(pattern)} was measured in both runs; it can be"
                f" {listed(there)} here."
            )
        table = table[table["pattern"] == pattern]
    table = keep(table, only, pattern or "compared")
    both = table[["pattern", "placement"]].drop_duplicates()
    panels = [(str(p), str(where)) for p, where in both.itertuples(index=False, name=None)]
    cut = ""
    if len(panels) > MOST_PANELS:
        first = panels[0][0]
        others = [each for each in table["pattern"].unique() if each != first]
        cut = f"Not drawn: {listed(others)}; choose with pattern=."
        panels = [each for each in panels if each[0] == first][:MOST_PANELS]
        table = table[table["pattern"] == first]
    lines = _lines(table)
    if len(lines) > MOST_ROWS:
        cut += f" Drawn are the {MOST_ROWS} of {len(lines)} rows that changed most."
        lines = _most_changed(table, lines)[:MOST_ROWS]
    return _draw(table, every, lines, panels, cut, a, b)


def _lines(table: pd.DataFrame) -> list[tuple[str, ...]]:
    rows = table[LINE].drop_duplicates().itertuples(index=False, name=None)
    return [tuple(map(str, row)) for row in rows]


def _most_changed(table: pd.DataFrame, lines: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    log = np.log(table["ratio"]).abs()
    changed = log.where(table["verdict"].isin([SLOWER, FASTER]), 0.0)
    largest = changed.groupby([table[column] for column in LINE]).max()
    return sorted(lines, key=lambda line: -float(largest[line]))


def _draw(
    table: pd.DataFrame,
    every: pd.DataFrame,
    lines: Sequence[tuple[str, ...]],
    panels: Sequence[tuple[str, str]],
    cut: str,
    a: "Run",
    b: "Run",
) -> Picture:
    picture = Picture(max(style.INCHES[1], ROW * len(lines) + page.TOP + page.BOTTOM))
    count = table["verdict"].value_counts()
    page.head(
        picture,
        "Two runs: how many times as long B takes as A",
        [
            ("o", LOOKS[SLOWER][0], f"slower in B: {count.get(SLOWER, 0)}"),
            ("o", LOOKS[FASTER][0], f"faster in B: {count.get(FASTER, 0)}"),
            ("o", LOOKS[WITHIN_NOISE][0], f"within noise: {count.get(WITHIN_NOISE, 0)}"),
        ],
    )
    names = [name_of(line[0], line[1], varying(line[1], line[2:], table)) for line in lines]
    height = (picture.get_figheight() - page.TOP - page.BOTTOM) / len(lines)
    labels = [page.put(picture, 0, 0, name, style.TEXT, va="center") for name in names]
    left = 0.15 + max(page.width_of(label, picture) for label in labels)
    titles = [f"{pattern}: {placement}" for pattern, placement in panels]
    axes = page.panels(picture, titles, left, [0.1] * len(panels))
    reach = _reach(table)
    axes[0].set_xscale("log")
    axes[0].set_xlim(1 / reach, reach)
    axes[0].set_ylim(len(lines) - 0.4, -0.6)
    sizes = sorted(table["message_size"].unique())
    for ax, (pattern, placement) in zip(axes, panels, strict=True):
        here = table[(table["pattern"] == pattern) & (table["placement"] == placement)]
        _panel(ax, here, lines, sizes, reach, min(1.0, 0.45 / height))
        ax.set_xlabel("B to A", fontsize=style.TEXT, family=style.FONT, color=style.INK)
    for place, label in enumerate(labels):
        y = axes[0].transData.transform((1, place))[1] / picture.bbox.height
        label.set_position((page.EDGE / picture.get_figwidth(), y))
    noise = f"{100 * (AGREES_WITHIN - 1):.0f} %"
    alone = int(every["ratio"].isna().sum())
    page.foot(
        picture,
        [
            "Points: ratio of the medians; bars: its 95 % interval. In each row the sizes go from"
            f" {format_size(sizes[0])} (top) to {format_size(sizes[-1])} (bottom)."
            if len(sizes) > 1
            else "Points: ratio of the medians; bars: its 95 % interval. All of"
            f" {format_size(sizes[0])}.",
            f"Shaded: {noise}, which two runs of one machine differ by; in colour only what lies"
            " beyond it and whose interval leaves out 1.",
            "Hollow: too few repeats for an interval." * bool((table["verdict"] == UNSURE).any()),
            cut,
            f"{alone} cells were not measured in both." * bool(alone),
            fixed_text(table),
            f"A: {machine_text(a.machine)}.",
        ],
        f"B: {machine_text(b.machine)}",
    )
    picture.alt_text = _alt_text(table)
    return picture


def _reach(table: pd.DataFrame) -> float:
    """How far from 1 the axis goes: to the farthest median, and to most intervals' ends."""
    far = float(np.exp(np.log(table["ratio"]).abs().max()))
    ends = pd.concat([table["ratio_low"], table["ratio_high"]]).dropna()
    most = float(np.exp(np.log(ends).abs().quantile(0.95))) if len(ends) else 1.0
    return min(MOST_REACH, 1.08 * max(far, most, LEAST_REACH))


def _ticks(reach: float, width: float) -> list[float]:
    """Ticks for an axis from 1 / reach to reach that is `width` inches wide."""
    for ticks in TICKS:
        shown = [tick for tick in ticks if 1 / reach <= tick <= reach]
        inches = np.diff(np.log(shown)) * width / (2 * np.log(reach))
        if len(shown) > 1 and inches.min() >= TICK_WIDTH:
            return shown
    return [1]


def _panel(
    ax: Axes,
    rows: pd.DataFrame,
    lines: Sequence[tuple[str, ...]],
    sizes: Sequence[int],
    reach: float,
    thick: float,
) -> None:
    ax.set_yticks([])
    ticks = _ticks(reach, ax.get_window_extent().width / style.PIXELS_PER_INCH)
    ax.grid(True, axis="x", color=style.FAINT, linewidth=1)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.axvspan(1 / AGREES_WITHIN, AGREES_WITHIN, color=style.FAINT, alpha=0.55, linewidth=0)
    ax.axvline(1, color=style.QUIET, linewidth=1, zorder=1)
    for place in range(1, len(lines)):
        ax.axhline(place - 0.5, color=style.FAINT, linewidth=0.8, zorder=0)
    step = SPREAD * thick / max(1, len(sizes) - 1)
    offset = {size: (n - (len(sizes) - 1) / 2) * step for n, size in enumerate(sizes)}
    where = {line: place for place, line in enumerate(lines)}
    keys = rows[LINE].astype(str).itertuples(index=False, name=None)
    for key, row in zip(keys, rows.to_dict("records"), strict=True):
        if key not in where:
            continue
        y = where[key] + offset[int(row["message_size"])]
        colour, over = LOOKS[str(row["verdict"])]
        if not np.isnan(row["ratio_low"]):
            ax.hlines(
                y, row["ratio_low"], row["ratio_high"], color=colour, linewidth=1.3,
                alpha=0.7, zorder=over,
            )  # fmt: skip
        ax.plot(
            row["ratio"], y, "o", markersize=4.2, markeredgecolor=colour, markeredgewidth=0.9,
            markerfacecolor="white" if row["verdict"] == UNSURE else colour, zorder=over + 1,
        )  # fmt: skip


def _alt_text(table: pd.DataFrame) -> str:
    said = [
        "Two runs, cell by cell: the ratio of B's time to A's, on a logarithmic axis, with its"
        f" interval. {len(table)} cells were measured in both."
    ]
    for verdict in (SLOWER, FASTER):
        rows = table[table["verdict"] == verdict]
        order = np.log(rows["ratio"]).abs().sort_values(ascending=False).index[:5]
        told = [f"{cell_name(r)} {r['ratio']:.2f}" for r in rows.loc[order].to_dict("records")]
        said.append(f"{len(rows)} {verdict} in B{': ' if told else ''}{'; '.join(told)}.")
    said.append(f"{int((table['verdict'] == WITHIN_NOISE).sum())} within noise.")
    return " ".join(said)
