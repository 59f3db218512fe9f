"""The picture of a drawing: its axes, and on them the lines that were drawn and observed.

It is plain SVG that takes its ink from the page around it, so it is dark on light and light on
dark. Lines differ without colour, too, and carry their names at their ends. The pad on which one
draws (pad.js) is this picture with no line yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from labkit.answers.drawing import Axis, Drawing, number

WIDTH, HEIGHT = 960, 540  # 16:9
TEXT = 27  # of the 540: readable from the last row where the picture fills a slide
TOP, LINE = 62, 32
LETTER = 0.64 * TEXT  # mean width
END = 205  # what the name at a line's end needs, right of the last column

Look = Literal["drawn", "revised", "observed"]


@dataclass(frozen=True)
class Named:
    """A line with the name that stands at its end."""

    name: str
    look: Look
    line: Sequence[float]


@dataclass(frozen=True)
class Frame:
    """Where a drawing's columns and heights are, in the picture's own units."""

    left: float
    right: float
    bottom: float
    columns: int

    @classmethod
    def of(cls, drawing: Drawing) -> "Frame":
        """The frame that leaves room for the words around it."""
        axis = drawing.axis
        left = 24 + LETTER * max(len(axis.label(each)) for each in axis.marks)
        count = len(drawing.columns)
        rows = max(len(_rows(label)) for label in drawing.columns.values())
        # The last column has half a step behind it, in which part of a line's name stands.
        half = (WIDTH - left) / (2 * count)
        right = WIDTH - max(16.0, (END - half) / (1 - 1 / (2 * count)))
        return cls(left, right, HEIGHT - 14 - LINE * rows, count)

    def x(self, column: int) -> float:
        """The middle of a column."""
        return self.left + (column + 0.5) * (self.right - self.left) / self.columns

    def y(self, axis: Axis, value: float) -> float:
        """The height of a value."""
        return self.bottom - axis.height(value) * (self.bottom - TOP)


def picture(drawing: Drawing, lines: Sequence[Named] = ()) -> str:
    """The axes and the lines, with alternative text that reads the values."""
    drawn = "".join(_drawn(drawing, each) for each in lines)
    inner = _axes(drawing) + drawn + _names(drawing, lines)
    return _svg(inner, f'role="img" aria-label="{escape(in_words(drawing, lines))}"')


def in_words(drawing: Drawing, lines: Sequence[Named]) -> str:
    """The picture for those who cannot see it."""
    where = f"{drawing.axis.name}, by {drawing.across}"
    if not lines:
        return f"Empty axes to draw on: {where}; {', '.join(drawing.columns.values())}."
    told = "; ".join(f"{each.name}: {drawing.say(each.line)}" for each in lines)
    return f"{where[0].upper()}{where[1:]}. {told[0].upper()}{told[1:]}."


def pad(drawing: Drawing) -> dict[str, Any]:
    """What pad.js needs to let somebody draw: the axes, and where columns and levels are."""
    axis, frame = drawing.axis, Frame.of(drawing)
    return {
        "axes": _svg(_axes(drawing), 'role="group" aria-label="Draw a line"'),
        "columns": [
            {"label": label, "x": round(frame.x(at), 1), "fixed": key in drawing.fixed}
            for at, (key, label) in enumerate(drawing.columns.items())
        ],
        "levels": [
            {
                "value": value,
                "y": round(frame.y(axis, value), 1),
                "label": axis.label(value),
                "spoken": f"{number(value)} {axis.unit}",
            }
            for value in axis.levels
        ],
    }


def _svg(inner: str, about: str) -> str:
    return (
        f'<svg class="lk-drawing" viewBox="0 0 {WIDTH} {HEIGHT}" {about} font-size="{TEXT}"'
        f' fill="currentColor" xmlns="http://www.w3.org/2000/svg">{inner}</svg>'
    )


def _axes(drawing: Drawing) -> str:
    axis, frame = drawing.axis, Frame.of(drawing)
    x = frame.left - 10
    parts = [_text(axis.name, x, LINE, 'font-weight="600"')]
    for mark in axis.marks:
        y = frame.y(axis, mark)
        parts.append(
            f'<path d="M{frame.left:.1f} {y:.1f}H{frame.right:.1f}" stroke="currentColor"'
            ' stroke-opacity=".28" stroke-width="2"/>'
            + _text(axis.label(mark), frame.left - 14, y + TEXT / 3, 'text-anchor="end"')
        )
    for at, label in enumerate(drawing.columns.values()):
        x = frame.x(at)
        parts.append(
            f'<path d="M{x:.1f} {TOP}V{frame.bottom + 8:.1f}" stroke="currentColor"'
            f' stroke-opacity=".16" stroke-width="2"/>'
        )
        for row, words in enumerate(_rows(label)):
            y = frame.bottom + 10 + TEXT + LINE * row
            parts.append(_text(words, x, y, 'text-anchor="middle"'))
    return "".join(parts)


def _drawn(drawing: Drawing, line: Named) -> str:
    """A line: what was observed is solid and filled, what was drawn is dashed and hollow."""
    frame = Frame.of(drawing)
    points = [(frame.x(at), frame.y(drawing.axis, value)) for at, value in enumerate(line.line)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    colour = COLOURS[line.look]
    if line.look == "observed":
        stroke, dots = 'stroke-width="7"', f'r="10" style="fill:{colour}"'
    else:
        dashes = "16 11" if line.look == "drawn" else "3 12"
        stroke = f'stroke-width="5" stroke-dasharray="{dashes}" stroke-linecap="round"'
        dots = f'r="15" fill="none" stroke-width="5" style="stroke:{colour}"'
    return (
        f'<polyline points="{path}" fill="none" {stroke} stroke-linejoin="round"'
        f' style="stroke:{colour}"/>'
        + "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" {dots}/>' for x, y in points)
    )


def _names(drawing: Drawing, lines: Sequence[Named]) -> str:
    """Each line's name behind its last point, moved apart where two would touch."""
    frame = Frame.of(drawing)
    ends = sorted((frame.y(drawing.axis, each.line[-1]), each.name) for each in lines)
    heights: list[float] = []
    for y, _ in ends:
        heights.append(max(y, heights[-1] + LINE) if heights else y)
    # What was pushed below the last level is pulled up again, with all above it.
    for at in range(len(heights) - 1, -1, -1):
        most = frame.bottom if at == len(heights) - 1 else heights[at + 1] - LINE
        heights[at] = min(heights[at], most)
    x = frame.x(frame.columns - 1) + 26
    return "".join(
        _text(name, x, y + TEXT / 3, 'font-weight="600"')
        for y, (_, name) in zip(heights, ends, strict=True)
    )


def _text(words: str, x: float, y: float, how: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {how}>{escape(words)}</text>'


def _rows(label: str) -> list[str]:
    """A label in one row, or in two where it is long: "first page touched"."""
    words = label.split()
    if len(label) <= 8 or len(words) == 1:
        return [label]
    breaks = range(1, len(words))
    return min(
        ([" ".join(words[:at]), " ".join(words[at:])] for at in breaks),
        key=lambda rows: max(map(len, rows)),
    )


# By themselves the colours of Okabe and Ito; a dark page makes them lighter (card.STYLE, pad.css).
COLOURS: Mapping[Look, str] = {
    "drawn": "var(--lk-drawn, #D55E00)",
    "revised": "var(--lk-revised, #AA4499)",
    "observed": "var(--lk-observed, #0072B2)",
}
