"""The page that every figure is drawn on: title, key, panels, small print, all in inches.

Nothing is laid out by trial: places are set once, so a figure costs one rendering.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from labkit.plots import style
from labkit.plots.style import Picture
from labkit.plots.units import Say
from labkit.units import format_size

EDGE = 0.35  # inches of white at the sides
GAP = 0.3  # between panels
TOP = 1.68  # from the top of the page to the panels: title, key and panel titles
BOTTOM = 1.68  # from the panels to the bottom: axis and small print
SMALL_LINE, SMALL_CHARACTERS = 0.185, 152
GLYPHS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "P": "✚", "X": "✖"}


def width_of(text: Text, picture: Picture) -> float:
    """The width of a text, in inches."""
    return text.get_window_extent().width / picture.dpi


def put(picture: Picture, x: float, y: float, words: str, size: float, **how: Any) -> Text:
    """Text at x, y inches from the lower left corner of the page."""
    look: dict[str, Any] = {"color": style.INK, "va": "baseline", "family": style.FONT, **how}
    width, height = picture.get_size_inches()
    return picture.text(x / width, y / height, words, fontsize=size, **look)


def head(picture: Picture, title: str, key: Iterable[tuple[str, str, str]]) -> None:
    """The title and, under it, one line of coloured key: marker, colour, words."""
    height = picture.get_size_inches()[1]
    picture.title = title
    put(picture, EDGE, height - 0.62, title, style.TITLE, fontweight="bold")
    x = EDGE
    for marker, colour, words in key:
        if marker:
            glyph = put(picture, x, height - 1.03, GLYPHS[marker], 16, color=colour)
            x += 0.05 + width_of(glyph, picture)
        x += (0.3 if marker else 0.12) + width_of(
            put(picture, x, height - 1.03, words, style.TEXT), picture
        )


def foot(picture: Picture, sentences: Sequence[str], machine: str) -> None:
    """The small print; the machine and the date stand last, at the bottom."""
    said = " ".join(filter(None, sentences))
    lines = textwrap.wrap(
        said, SMALL_CHARACTERS, max_lines=4, placeholder=" ...", break_on_hyphens=False
    )
    for above, line in enumerate([machine, *reversed(lines)]):
        put(picture, EDGE, 0.16 + above * SMALL_LINE, line, style.SMALL, color=style.QUIET)


def panels(
    picture: Picture, titles: Sequence[str], left: float, beside: Sequence[float]
) -> list[Axes]:
    """One panel a title, side by side and equally wide, sharing both axes.

    Args:
        left: inches for the tick labels of the first panel.
        beside: inches kept free on the right of each panel.
    """
    width, height = picture.get_size_inches()
    narrow = len(titles) > 2
    if narrow:
        titles = [title.replace(": ", "\n") for title in titles]
    top = TOP + 0.2 * narrow
    each = (width - 2 * EDGE - left - sum(beside) - GAP * (len(titles) - 1)) / len(titles)
    axes: list[Axes] = []
    x = EDGE + left
    for title, free in zip(titles, beside, strict=True):
        first = axes[0] if axes else None
        ax = picture.add_axes(
            (x / width, BOTTOM / height, each / width, (height - top - BOTTOM) / height),
            sharex=first, sharey=first,
        )  # fmt: skip
        ax.set_title(
            title, loc="left", fontsize=style.TEXT if narrow else style.PANEL, pad=9,
            family=style.FONT, color=style.INK,
        )  # fmt: skip
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set_color(style.QUIET)
        ax.tick_params(
            length=0, labelsize=style.TEXT, labelcolor=style.INK, labelfontfamily=style.FONT,
            labelleft=not axes,
        )  # fmt: skip
        ax.tick_params("x", pad=8)  # keeps clear of a label at the foot of the other axis
        ax.set_axisbelow(True)
        axes.append(ax)
        x += each + free + GAP
    return axes


def log_ticks(ax: Axes, which: str, say: Say) -> None:
    """Ticks at powers of ten, and at 2 and 5 between them where the axis is short."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(10, subs=(1.0,) if high / low > 60 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: say(value)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", length=0)
    axis.grid(True, which="major", color=style.FAINT, linewidth=1)


def size_ticks(ax: Axes, sizes: Sequence[int]) -> None:
    """Message sizes as measured, as many of them as fit without touching."""
    low, high = min(sizes), max(sizes)
    ax.set_xscale("log", base=2)
    ax.set_xlim(low / (1.6 if high > low else 16), high * 1.6)
    character = 0.55 * style.TEXT / 72  # inches, about

    def fit(some: Sequence[int]) -> bool:
        centres = ax.transData.transform([(size, 1) for size in some])[:, 0] / style.PIXELS_PER_INCH
        needs = [character * (len(format_size(size)) + 0.3) for size in some]
        return all(
            b - a >= (left + right) / 2
            for a, b, left, right in zip(centres, centres[1:], needs, needs[1:], strict=False)
        )

    ordered = sorted(sizes, reverse=True)
    every_nth = (ordered[::n] for n in range(1, len(ordered) + 1))
    kept = next(some for some in every_nth if fit(some[::-1]))
    ax.set_xticks(kept, [format_size(size) for size in kept])
    ax.set_xticks([], minor=True)
