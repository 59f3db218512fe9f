"""Figures of rows: a name on the left, a mark or a bar in each panel, every panel with its axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from labkit.plots import page, style
from labkit.plots.lines import name_of
from labkit.plots.style import Look, Picture, look_of
from labkit.plots.units import Say

ROW = 0.235  # inches, the least that a row's label needs
BESIDE = 0.35  # inches kept free on the right of each panel


@dataclass(frozen=True)
class RowLabel:
    """What stands left of a row."""

    name: str
    look: Look


def label_of(row: dict[str, Any], in_place: bool = False) -> RowLabel:
    """The label of one line of a run: mechanism, waiting and, where asked for, in-place."""
    extra = ["in-place"] if in_place and row["copy"] == "in-place" else []
    mechanism, waiting = str(row["mechanism"]), str(row["waiting"])
    return RowLabel(name_of(mechanism, waiting, extra), look_of(mechanism, waiting))


def height_for(rows: int, per_row: float = ROW) -> float:
    """How high a page has to be for so many rows, in inches."""
    return max(style.INCHES[1], per_row * rows + page.TOP + page.BOTTOM)


def panels(picture: Picture, labels: Sequence[RowLabel], titles: Sequence[str]) -> list[Axes]:
    """Panels side by side that share their rows but not their axis of values; row 0 on top."""
    height = (picture.get_figheight() - page.TOP - page.BOTTOM) / max(1, len(labels))
    points = min(style.TEXT, style.TEXT * height / ROW)
    texts = [
        (
            page.put(picture, 0, 0, page.GLYPHS[label.look.marker], points, va="center",
                     color=label.look.colour),
            page.put(picture, 0, 0, label.name, points, va="center", color=label.look.text),
        )
        for label in labels
    ]  # fmt: skip
    left = page.EDGE + 0.45 + max((page.width_of(name, picture) for _, name in texts), default=0.0)
    wide, high = picture.get_size_inches()
    each = (wide - left - len(titles) * BESIDE) / len(titles)
    axes: list[Axes] = []
    for number, title in enumerate(titles):
        x = left + number * (each + BESIDE)
        place = (x, page.BOTTOM, each, high - page.TOP - page.BOTTOM)
        ax = picture.add_axes(
            (place[0] / wide, place[1] / high, place[2] / wide, place[3] / high),
            sharey=axes[0] if axes else None,
        )
        ax.set_title(
            title, loc="left", fontsize=style.PANEL if len(titles) < 3 else style.TEXT, pad=9,
            family=style.FONT, color=style.INK,
        )  # fmt: skip
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(style.QUIET)
        ax.tick_params(
            length=0, labelsize=style.TEXT, labelcolor=style.INK, labelfontfamily=style.FONT
        )
        ax.tick_params("x", pad=8)
        ax.set_axisbelow(True)
        ax.set_yticks([])
        axes.append(ax)
    axes[0].set_ylim(len(labels) - 0.45, -0.55)
    for row, pair in enumerate(texts):
        y = axes[0].transData.transform((1, row))[1] / picture.bbox.height
        for x, text in zip((page.EDGE, page.EDGE + 0.28), pair, strict=True):
            text.set_position((x / picture.get_figwidth(), y))
    return axes


def value_axis(ax: Axes, most: float, title: str, say: Say) -> None:
    """A linear axis from 0 with few, round ticks."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ax.set_xlim(0, most * 1.06 or 1)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], prune="upper"))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: say(value) if value else "0"))
    ax.grid(True, axis="x", color=style.FAINT, linewidth=1)
    ax.set_xlabel(title, fontsize=style.TEXT, family=style.FONT, color=style.INK)
