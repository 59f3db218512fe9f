"""Arrows of a scene, as marks: each kind has a line, a head and a sign of its own.

A mode switch is a line through a gate: the same process goes through. A context switch is a broad
tube: another process takes the CPU. Bytes that are copied are a row of dots.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import hypot
from typing import Any

from labkit.player.letters import drawable, width
from labkit.player.marks import Anchor, Disc, Mark, Path, Point, Rectangle, Thing, Words
from labkit.player.writing import LINE, TEXT

WAYS = {
    "mode": "mode switch",
    "context": "context switch",
    "copy": "bytes copied",
    "map": "mapped",
    "own": "refers to",
    "signal": "signal",
    "refused": "refused",
}
_HEADS = {"mode": 26.0, "context": 34.0, "copy": 24.0, "map": 22.0, "own": 18.0, "signal": 24.0}
_SPREAD = {"context": 25.0}


def arrow(item: Mapping[str, Any]) -> Thing:
    """A line along its points, with the head of its role, and its label beside it."""
    role = item.get("role", "own")
    role = role if role in WAYS else "own"
    points = [(float(x), float(y)) for x, y in item["points"]]
    marks = _line(role, points, bool(item.get("both", False)))
    label = drawable(str(item.get("label", "")))
    if label:
        marks += _label(label, role, points)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    place = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    return Thing(str(item["id"]), tuple(marks), place)


def _line(role: str, points: Sequence[Point], both: bool) -> list[Mark]:
    look = "refused-line" if role == "refused" else role
    head = "refused-head" if role == "refused" else f"{role}-head"
    length = min(_HEADS.get(role, 22.0), _reach(points) * 0.45)
    half = _SPREAD.get(role, length * 0.55)
    start = _towards(points[0], points[1], length * 0.9) if both else points[0]
    end = _towards(points[-1], points[-2], length * 0.9)
    drawn = (start, *points[1:-1], end)
    marks: list[Mark] = [Path((drawn,), look)]
    if role == "context":
        marks.append(Path((drawn,), "context-core"))
    if role in ("map", "own") and not both:
        x, y = points[0]
        marks.append(
            Rectangle(x - 7, y - 7, 14, 14, head) if role == "map" else Disc(x, y, 6, head)
        )
    marks.append(Path((_head(points[-2], points[-1], length, half),), head, True))
    if both:
        marks.append(Path((_head(points[1], points[0], length, half),), head, True))
    x, y = along(points, 0.5)
    if role == "mode":
        marks.append(Rectangle(x - 9, y - 9, 18, 18, "mode-gate", 2))
    if role == "refused":
        cross = (((x - 15, y - 15), (x + 15, y + 15)), ((x + 15, y - 15), (x - 15, y + 15)))
        marks.append(Path(cross, "refused-cross"))
    return marks


def _head(before: Point, tip: Point, length: float, half: float) -> tuple[Point, Point, Point]:
    away = hypot(tip[0] - before[0], tip[1] - before[1]) or 1.0
    ux, uy = (tip[0] - before[0]) / away, (tip[1] - before[1]) / away
    x, y = tip[0] - ux * length, tip[1] - uy * length
    return (x - uy * half, y + ux * half), tip, (x + uy * half, y - ux * half)


def _towards(start: Point, other: Point, far: float) -> Point:
    away = hypot(other[0] - start[0], other[1] - start[1]) or 1.0
    share = min(far / away, 1.0)
    return (start[0] + (other[0] - start[0]) * share, start[1] + (other[1] - start[1]) * share)


def _reach(points: Sequence[Point]) -> float:
    pairs = pairwise(points)
    return sum(hypot(b[0] - a[0], b[1] - a[1]) for a, b in pairs)


def along(points: Sequence[Point], share: float) -> Point:
    """The point at a share of the way, 0 at the tail and 1 at the tip."""
    left = _reach(points) * share
    for a, b in pairwise(points):
        here = hypot(b[0] - a[0], b[1] - a[1])
        if here >= left > 0:
            return _towards(a, b, left)
        left -= here
    return points[0] if share <= 0 else points[-1]


def _label(label: str, role: str, points: Sequence[Point]) -> list[Mark]:
    """Above the longest stretch if it lies, beside it if it stands."""
    a, b = max(
        pairwise(points),
        key=lambda pair: hypot(pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]),
    )
    x, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
    lines = label.split("\n")
    wide = max(width(line, TEXT, True) for line in lines)
    clear = 20.0 if role == "context" else 16.0
    anchor: Anchor = "start"
    steep = abs(b[1] - a[1]) > abs(b[0] - a[0])
    if steep:
        x, top = x + clear + 8, y - (len(lines) - 1) * LINE / 2 + TEXT * 0.35
        if x + wide > 1594:
            x, anchor = x - 2 * (clear + 8), "end"
    else:
        anchor = "middle"
        x = min(max(x, wide / 2 + 6), 1594 - wide / 2)
        slope = abs(b[1] - a[1]) / (abs(b[0] - a[0]) or 1.0) * wide / 2
        top = y - clear - min(slope, 60.0) - (len(lines) - 1) * LINE
        if top < TEXT:
            top = y + clear + TEXT
    return [
        Words(x, top + number * LINE, line, TEXT, anchor, role, True, halo=True)
        for number, line in enumerate(lines)
    ]
