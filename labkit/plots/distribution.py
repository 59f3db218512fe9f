"""Figure: how single round trips of one size are spread, one strip a mechanism.

A median hides what a program waits for once in a thousand times; the tail of a strip shows it.
"""

from collections.abc import Sequence
from math import isnan
from typing import Unpack

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from labkit.errors import RequestError
from labkit.plots import page, style
from labkit.plots.choice import Only, Run, cells, factor, keep, size_of
from labkit.plots.lines import TOGETHER
from labkit.plots.smallprint import (
    fixed_text,
    machine_text,
    missing_text,
    placement_text,
    unstable_text,
)
from labkit.plots.strips import QUANTILES, Strip, strips_of
from labkit.plots.style import Look, Picture
from labkit.plots.units import time_text
from labkit.units import format_size

# From, to, thickness as a share of the row: the more round trips lie there, the thicker.
PARTS = (("p1", "p999", 0.03), ("p1", "p99", 0.2), ("p5", "p95", 0.45), ("p25", "p75", 0.75))
WORDS = ("1 %", "5", "25", "median", "75", "95", "99", "99.9 %", "longest")
ROW = 0.235  # inches, the least that a row's label needs
THICK = 0.34  # inches, the most that a row's strip takes


def distribution(
    run: Run,
    *,
    size: int | str | None = None,
    together: float = TOGETHER,
    **only: Unpack[Only],
) -> Picture:
    """Draw the spread of single round trips of one message size, one panel a placement.

    A quantile is the median over repeats of each repeat's quantile; the longest round trip is
    the longest of all repeats. What a repeat has too few round trips to know is left out.

    Args:
        run: what was measured; the quantiles in its samples are drawn.
        size: bytes, or text such as "4K"; the smallest measured when None.
        together: shared-memory segments whose quantiles from 5 to 95 % lie within this factor of
            one another, or have repeats that do, share a strip; 1 keeps them apart.
        only: columns of the cell with the value, or list of values, to draw, for example
            placement="same-cpu" or mechanism=["pipe", "tcp"].

    Raises:
        RequestError: no such round trip was measured; the sentence says what is there.
    """
    rows = cells(run, "latency", only)
    samples = keep(run.samples[run.samples["pattern"] == "latency"], only, "latency")
    samples = samples[samples["rtt_count"] > 0]
    if samples.empty:
        raise RequestError("No single round trip was recorded in this run; measure latency again.")
    wanted = size_of(size, [int(n) for n in samples["message_size"].unique()])
    rows, samples = (table[table["message_size"] == wanted] for table in (rows, samples))
    strips = strips_of(samples, rows, factor(together))
    measured = rows["placement"].isin(samples["placement"])
    placements = [str(placement) for placement in rows.loc[measured, "placement"].unique()]

    picture = Picture(max(style.INCHES[1], ROW * len(strips) + page.TOP + page.BOTTOM))
    title = f"Spread of single round trips of {format_size(wanted)}"
    page.head(picture, title, style.key(strip.waiting for strip in strips))
    _reading_aid(picture)
    height = (picture.get_figheight() - page.TOP - page.BOTTOM) / len(strips)
    largest = style.PANEL if len(placements) < 3 else style.TEXT
    points = min(largest, style.TEXT * height / ROW)
    labels = [_label(picture, strip, points) for strip in strips]
    left = 0.4 + max(page.width_of(name, picture) for _, name in labels)
    titles = [placement_text(placement) for placement in placements]
    axes = page.panels(picture, titles, left, [0.4] * len(titles))
    quantiles = pd.concat([strip.by_placement[list(QUANTILES)] for strip in strips])
    axes[0].set_xscale("log")
    axes[0].set_xlim(float(quantiles.min().min() / 1.3), float(quantiles.max().max() * 1.3))
    axes[0].set_ylim(len(strips) - 0.4, -0.6)
    for ax, placement in zip(axes, placements, strict=True):
        ax.set_yticks([])
        ax.set_xlabel("time there and back", fontsize=style.TEXT, family=style.FONT)
        page.log_ticks(ax, "x", time_text)
        for place, strip in enumerate(strips):
            if quantile := strip.at(placement):
                _draw(ax, place, quantile, strip.look, min(1.0, THICK / height))
            else:
                ax.text(
                    0.01, place, "not measured", transform=ax.get_yaxis_transform(), va="center",
                    fontsize=style.SMALL, color=style.QUIET, family=style.FONT,
                )  # fmt: skip
    for place, label in enumerate(labels):
        y = axes[0].transData.transform((1, place))[1] / picture.bbox.height
        for x, text in zip((page.EDGE, page.EDGE + 0.28), label, strict=True):
            text.set_position((x / picture.get_figwidth(), y))
    shared = any(len(strip.kinds) > 1 for strip in strips)
    page.foot(
        picture,
        [
            "A percentage says how many round trips took no longer: median over repeats.",
            "Longest: of all repeats." if not shared else "Longest: of all repeats and kinds.",
            "Those that nothing tells apart from 5 to 95 % share a strip." * shared,
            "What too few round trips tell is left out." * bool(quantiles.isna().any(axis=None)),
            "Sorted by median.",
            unstable_text(stable for strip in strips for stable in strip.by_placement["stable"]),
            fixed_text(samples),
            missing_text(rows),
        ],
        machine_text(run.machine),
    )
    picture.alt_text = _alt_text(title, strips, placements)
    return picture


def _label(picture: Picture, strip: Strip, points: float) -> tuple[Text, Text]:
    """A row's marker and name; where they go is known when the panels are."""
    glyph, look = page.GLYPHS[strip.look.marker], strip.look
    marker = page.put(picture, 0, 0, glyph, points, va="center", color=look.colour)
    return marker, page.put(picture, 0, 0, strip.name, points, va="center", color=look.text)


def _draw(ax: Axes, place: float, quantile: dict[str, float], look: Look, thick: float) -> None:
    fill = _pale(look.colour) if quantile["stable"] else "white"
    for low, high, share in PARTS:
        if not isnan(quantile[high]):
            start = quantile["p5" if isnan(quantile[low]) else low]
            ax.barh(
                place, quantile[high] - start, left=start, height=share * thick, zorder=3,
                facecolor=fill, edgecolor=look.colour, linewidth=1.2,
            )  # fmt: skip
    for name, length, width in (("max", 11.0, 2.0), ("p50", 16.0, 2.2)):
        ax.plot(
            quantile[name], place, "|", color=look.text, markersize=length, markeredgewidth=width,
            zorder=5,
        )  # fmt: skip


def _pale(colour: str) -> tuple[float, ...]:
    return tuple(0.5 + 0.5 * part for part in to_rgb(colour))


def _reading_aid(picture: Picture) -> None:
    """A strip in the corner that names its parts; its lengths mean nothing."""
    width, height = picture.get_size_inches()
    at = dict(zip(QUANTILES, (1.0, 1.45, 1.9, 2.5, 3.1, 3.7, 4.4, 5.2, 6.1), strict=True))
    ax = picture.add_axes(
        ((width - 5.3) / width, (height - 0.85) / height, 5.1 / width, 0.6 / height),
        frameon=False, xticks=[], yticks=[], xlim=(0.7, 6.6), ylim=(2.2, -0.5),
    )  # fmt: skip
    _draw(ax, 0, {**at, "stable": True}, Look(style.QUIET, style.QUIET, "o"), 1.0)
    for name, word in zip(QUANTILES, WORDS, strict=True):
        ax.text(
            at[name], 1.5, word, ha="center", fontsize=style.SMALL, color=style.QUIET,
            family=style.FONT,
        )  # fmt: skip


def _alt_text(title: str, strips: Sequence[Strip], placements: Sequence[str]) -> str:
    said = [f"{title}. One strip a row, fastest first, on a logarithmic axis of time."]
    for placement in placements:
        told = [
            f"{strip.name} median {time_text(there['p50'])}, 95 % within {time_text(there['p95'])},"
            f" longest {time_text(there['max'])}"
            for strip in strips
            if (there := strip.at(placement))
        ]
        said.append(f"{placement}: {'; '.join(told)}.")
    return " ".join(said)
