"""One step of a walkthrough as a figure: the picture that the player shows, for print."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from matplotlib import patheffects
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.text import Text

from labkit.player.drawing import HEIGHT, WIDTH, things
from labkit.player.letters import printable, shorten
from labkit.player.looks import LIGHT, LOOKS, WORDS
from labkit.player.marks import Disc, Mark, Path, Rectangle, Words
from labkit.plots import style
from labkit.plots.style import Picture

MONO = "DejaVu Sans Mono"
EDGE = 0.12  # inches of white at the sides
ABOVE = 0.66  # inches for the title
POINTS = (style.INCHES[0] - 2 * EDGE) * 72 / WIDTH  # of one unit of the canvas


def picture(step: Mapping[str, Any], walk: Mapping[str, Any]) -> Picture:
    """One step as a figure: title, picture, the call in C, and the machine in small print.

    Args:
        step: one of the walk's steps, as in `walk["steps"]`.
        walk: the walk, as `walk.data()` gives it.
    """
    steps = list(walk["steps"])
    number = next((n for n, each in enumerate(steps) if each is step or each == step), 0)
    page = Picture()
    wide, high = page.get_size_inches()
    page.title = printable(str(step["title"]))
    page.alt_text = _in_words(step, walk)

    def put(y: float, words: str, size: float, units: float, **how: Any) -> None:
        look: dict[str, Any] = {"color": style.INK, "family": style.FONT, "va": "baseline", **how}
        mono, bold = "Mono" in look["family"], look.get("fontweight") == "bold"
        room = (wide - 0.7 - units) * 72
        short = shorten(words, room, size, bold, mono)
        page.text(
            0.3 / wide, y / high, _known(short, mono), fontsize=size, parse_math=False, **look
        )

    put(high - 0.5, f"{number + 1}. {page.title}", style.TITLE, 0, fontweight="bold")
    inches = HEIGHT * POINTS / 72
    bottom = high - ABOVE - inches
    axes = page.add_axes((EDGE / wide, bottom / high, 1 - 2 * EDGE / wide, inches / high))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(HEIGHT, 0)
    axes.set_axis_off()
    before = steps[number - 1] if number else None
    marks = [mark for thing in things(step, before) for mark in thing.marks]
    for order, mark in enumerate(marks):
        _draw(axes, mark, order + 1)
    call = " ".join(printable(str(step["call"])).split())
    if call:
        put(bottom - 0.23, call, style.TEXT, 0, family=MONO)
    said = f"{walk['title']}. {walk.get('machine', '')}"
    put(0.08, printable(said), style.SMALL, 0, color=style.QUIET)
    return page


def _in_words(step: Mapping[str, Any], walk: Mapping[str, Any]) -> str:
    evidence = [f"{each['what']} ({each['where']}): {each['value']}" for each in step["evidence"]]
    counts = [f"{name}: {value}" for name, value in step["counts"].items()]
    parts = [
        f"{walk['title']}: {step['title']}.", step["narration"], step.get("alt", ""),
        "Evidence: " + "; ".join(evidence) + "." if evidence else "",
        "Counted so far: " + ", ".join(counts) + "." if counts else "",
    ]  # fmt: skip
    return printable(" ".join(part for part in parts if part))


@cache
def _letters(family: str) -> frozenset[int]:
    """What a font has."""
    return frozenset(get_font(findfont(FontProperties(family=family))).get_charmap())


def _known(words: str, mono: bool = False) -> str:
    """The words with a mark for each letter that the font lacks, emoji for example."""
    letters = _letters(MONO if mono else style.FONT)
    return "".join(each if ord(each) in letters else "\ufffd" for each in words)


def _draw(axes: Axes, mark: Mark, order: int) -> None:
    if isinstance(mark, Words):
        _write(axes, mark, order)
        return
    look = LOOKS[mark.look]
    how: dict[str, Any] = {
        "facecolor": LIGHT[look.fill] if look.fill else "none",
        "edgecolor": LIGHT[look.line] if look.line and look.width else "none",
        "linewidth": look.width * POINTS,
        "alpha": look.faded if look.faded < 1 else None,
        "capstyle": "round" if look.round else "butt",
        "joinstyle": "miter",
        "zorder": order,
        "clip_on": False,
    }
    if look.dashes:  # matplotlib counts dashes in widths of the line
        how["linestyle"] = (0, [dash / look.width for dash in look.dashes])
    artist: Artist
    if isinstance(mark, Rectangle):
        bend = f"round,pad=0,rounding_size={mark.corner}" if mark.corner > 0 else "square,pad=0"
        artist = FancyBboxPatch((mark.x, mark.y), mark.w, mark.h, boxstyle=bend, **how)
    elif isinstance(mark, Disc):
        artist = Circle((mark.x, mark.y), mark.r, **how)
    else:
        artist = PathPatch(_outline(mark), **how)
    axes.add_artist(artist)


def _outline(mark: Path) -> Outline:
    corners: list[Sequence[float]] = []
    codes: list[Any] = []
    for line in mark.lines:
        corners += [*line, line[0]] if mark.closed else line
        codes += [Outline.MOVETO] + [Outline.LINETO] * (len(line) - 1)
        codes += [Outline.CLOSEPOLY] if mark.closed else []
    return Outline(corners, codes)


def _write(axes: Axes, mark: Words, order: int) -> None:
    across = {"start": "left", "middle": "center", "end": "right"}
    text = Text(
        mark.x,
        mark.y,
        _known(mark.text, mark.mono),
        fontsize=mark.size * POINTS,
        color=LIGHT[WORDS.get(mark.colour, "ink")],
        ha=across.get(mark.anchor, "left"),
        va="baseline",
        family=MONO if mark.mono else style.FONT,
        fontweight="bold" if mark.bold else "normal",
        zorder=order,
        parse_math=False,  # a dollar is a dollar
        transform=axes.transData,
    )
    if mark.halo:
        halo = patheffects.withStroke(linewidth=6 * POINTS, foreground=LIGHT["paper"])
        text.set_path_effects([halo])
    axes.add_artist(text)
