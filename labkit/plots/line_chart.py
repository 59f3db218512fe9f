"""A chart of lines over message size, one panel a placement, each line named at its end.

Latency and throughput are both this chart; they differ in what they read from the summary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Text

from labkit.plots import page, style
from labkit.plots.labels import spread
from labkit.plots.lines import Line, Values, lines_of
from labkit.plots.smallprint import (
    fixed_text,
    machine_text,
    missing_text,
    placement_text,
    unstable_text,
)
from labkit.plots.style import Picture
from labkit.plots.units import Say
from labkit.units import format_size

LEADER = 0.32  # inches from a panel to its labels
BELOW = 0.3  # inches that labels may reach down beside the tick labels
LINE_HEIGHT = 1.22  # of the font size


@dataclass(frozen=True)
class Chart:
    """What a chart of lines shows: how to read a value from the summary and how to say it."""

    title: str
    measure: str  # the value, in the middle of a sentence
    values: Values  # value, low and high for rows of the summary
    say: Say
    notes: tuple[str, ...] = ()


def draw(chart: Chart, rows: pd.DataFrame, machine: dict[str, object], together: float) -> Picture:
    """The figure for rows of the summary that all have one pattern."""
    shown = rows[rows["status"] == "ok"]
    panels = {
        str(placement): lines_of(part, chart.values, together, shown)
        for placement, part in shown.groupby("placement", sort=False)
    }
    every = [line for lines in panels.values() for line in lines]
    tallest = max(sum(_heights(lines)) for lines in panels.values()) - BELOW
    picture = Picture(max(style.INCHES[1], tallest + page.TOP + page.BOTTOM))
    page.head(picture, chart.title, style.key(line.waiting for line in every))
    labels = [[_label(picture, line) for line in lines] for lines in panels.values()]
    beside = [LEADER + max(page.width_of(t, picture) for t in texts) for texts in labels]
    titles = [placement_text(name) for name in panels]
    axes = page.panels(picture, titles, _tick_width(chart, every), beside)

    axes[0].set_yscale("log")
    page.size_ticks(axes[0], sorted(shown["message_size"].unique()))
    axes[0].set_ylim(*_limits(every))
    for ax, lines, texts in zip(axes, panels.values(), labels, strict=True):
        for line in lines:
            _plot(ax, line)
        page.log_ticks(ax, "y", chart.say)
        ax.set_xlabel("message size", fontsize=style.TEXT, family=style.FONT, color=style.INK)
        _name(picture, ax, lines, texts)

    stable = pd.concat([line.points["stable"] for line in every])
    told = "Bands: range of medians of segments that no size tells apart; bars there: their middle."
    bands = any(len(line.kinds) > 1 and len(line.points) > 1 for line in every)
    page.foot(
        picture,
        [
            "Points: median over repeats; bars: its 95 % interval.",
            told * bands,
            unstable_text(stable),
            fixed_text(shown),
            *chart.notes,
            missing_text(rows),
        ],
        machine_text(machine),
    )
    picture.alt_text = _alt_text(chart, panels, stable)
    return picture


def _label(picture: Picture, line: Line) -> Text:
    return page.put(
        picture, 0, 0, line.name, style.TEXT, color=line.look.text, va="center", linespacing=1.1
    )


def _heights(lines: Sequence[Line]) -> list[float]:
    """The height of each line's label, in inches."""
    return [style.TEXT / 72 * LINE_HEIGHT * (1 + line.name.count("\n")) for line in lines]


def _tick_width(chart: Chart, lines: Sequence[Line]) -> float:
    longest = max(len(chart.say(v)) for line in lines for v in line.points["value"])
    return 0.1 + 0.6 * style.TEXT / 72 * longest


def _limits(lines: Sequence[Line]) -> tuple[float, float]:
    points = pd.concat([line.points.drop(columns="stable") for line in lines])
    return float(points.min().min() / 1.3), float(points.max().max() * 1.3)


def _plot(ax: Axes, line: Line) -> None:
    x = line.points.index.to_numpy(dtype=float)
    value, low, high = (line.points[c].to_numpy(dtype=float) for c in ("value", "low", "high"))
    stable = line.points["stable"].to_numpy(dtype=bool)
    over = 3 if line.waiting == "kernel" else 4
    ax.plot(x, value, color=line.look.colour, linestyle=line.dash, linewidth=2.2, zorder=over)
    ax.vlines(x, low, high, color=line.look.colour, linewidth=2.2, alpha=0.6, zorder=over)
    if len(line.kinds) > 1:
        least, most = (line.points[c].to_numpy(dtype=float) for c in ("least", "most"))
        ax.fill_between(x, least, most, color=line.look.colour, alpha=0.25, linewidth=0, zorder=2)
    for solid in (True, False):
        these = stable == solid
        ax.plot(
            x[these], value[these], line.look.marker, markersize=8.5, zorder=over + 2,
            markerfacecolor=line.look.colour if solid else "white",
            markeredgecolor="white" if solid else line.look.colour,
            markeredgewidth=0.8 if solid else 1.8,
        )  # fmt: skip


def _name(picture: Picture, ax: Axes, lines: Sequence[Line], texts: Sequence[Text]) -> None:
    """Put each label beside its line's end, and a thin thread between the two."""
    box = ax.get_position()
    width, height = picture.get_size_inches()
    low, high = box.y0 * height, box.y1 * height
    ends = [(line.points.index[-1], line.points["value"].iloc[-1]) for line in lines]
    spots = ax.transData.transform(np.array(ends, dtype=float)) / picture.dpi
    centres = spread([y for _, y in spots], _heights(lines), low - BELOW, high)
    x = box.x1 * width + LEADER
    last = max(size for size, _ in ends)
    for line, text, spot, y, (size, _) in zip(lines, texts, spots, centres, ends, strict=True):
        text.set_position((x / width, y / height))
        thread = ax.plot(
            [spot[0] + 0.09, x - 0.06], [spot[1], y], color=line.look.colour, linewidth=1.1,
            linestyle="-" if size == last else ":", alpha=0.8, transform=picture.dpi_scale_trans,
            clip_on=False, zorder=1,
        )  # fmt: skip
        thread[0].set_in_layout(False)


def _alt_text(chart: Chart, panels: dict[str, list[Line]], stable: pd.Series) -> str:
    said = [f"{chart.title}. Chart of {chart.measure} over message size, both axes logarithmic."]
    for placement, lines in panels.items():
        sizes = sorted({size for line in lines for size in line.points.index})
        for size in dict.fromkeys((sizes[0], sizes[-1])):
            at = {
                line.name.replace("\n", " "): float(line.points["value"][size])
                for line in lines
                if size in line.points.index
            }
            ranked = sorted(at.items(), key=lambda item: item[1])
            told = "; ".join(f"{name} {chart.say(value)}" for name, value in ranked)
            said.append(f"{placement}, {format_size(size)}: {told}.")
    if not stable.all():
        said.append(f"{int((~stable).sum())} of {len(stable)} points are unstable.")
    return " ".join(said)
