"""Boxes and buffers of a scene, as marks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from labkit.player.letters import drawable, width
from labkit.player.marks import Disc, Mark, Path, Rectangle, Thing, Words
from labkit.player.writing import LINE, TEXT, below, centred, cut, fitted

TITLE = 26.0  # size of a title, in units
PAD = 16.0
LABEL = 32.0  # what the label of a buffer takes above it
FIRST = 38.0  # from the upper edge to the first baseline
ROLES = (
    "process", "user", "kernel", "memory", "private", "object", "file", "page", "guard", "note",
)  # fmt: skip
STATES = {"gone": "gone", "refused": "refused", "marked": "marked for removal"}
_CORNERS = {"process": 18.0, "user": 12.0, "kernel": 24.0, "private": 12.0, "object": 30.0}
_EAR, _RISE = 26.0, 8.0
_HATCH = 18.0


def role_of(item: Mapping[str, Any]) -> str:
    """The role of an item; what is unknown is drawn as a note."""
    role = item.get("role", "note")
    return role if role in ROLES else "note"


def box(item: Mapping[str, Any]) -> Thing:
    """A rectangle whose border says what it is, with its title, its lines and its state."""
    x, y, w, h = (float(item[side]) for side in "xywh")
    role, state = role_of(item), str(item.get("state", ""))
    marks = frame(role, x, y, w, h, bool(item.get("title")))
    words = _written(item, role, (x, y, w, h))
    marks += words
    marks += _state(state, role, x, y, w, h)
    over = _chip(STATES[state], state, x + w - 14, min(y + h, 738.0)) if state in STATES else []
    return Thing(str(item["id"]), tuple(marks), (x, y, w, h), tuple(over), cut(words))


def frame(role: str, x: float, y: float, w: float, h: float, headed: bool) -> list[Mark]:
    """The empty box of a role."""
    corner = min(_CORNERS.get(role, 0.0), h / 3, w / 3)
    if role == "file":
        ear = min(_EAR, h / 2, w / 3)
        outline = ((x, y), (x + w - ear, y), (x + w, y + ear), (x + w, y + h), (x, y + h))
        fold = ((x + w - ear, y), (x + w, y + ear), (x + w - ear, y + ear))
        return [Path((outline,), "file", True), Path((fold,), "file-ear", True)]
    if role == "note":
        return [Path((((x + 3, y + 4), (x + 3, y + h - 4)),), "note-bar")]
    marks: list[Mark] = [Rectangle(x, y, w, h, role, corner)]
    if role == "process" and headed and h > 100:
        marks.append(Rectangle(x + 4, y + 4, w - 8, 50, "process-head", corner - 4))
    elif role == "kernel" and h > 50:
        ladder = ((x + 13, y + corner), (x + 13, y + h - corner))
        marks.append(Path((ladder,), "kernel-ladder"))
    elif role == "memory" and h > 36:
        marks.append(Rectangle(x + 6, y + 6, w - 12, h - 12, "memory-inner"))
    elif role == "page":
        marks.append(Path((((x, y), (x + 14, y), (x, y + 14)),), "page-corner", True))
    elif role == "guard":
        marks.append(Path(_hatching(x, y, w, h), "guard-hatch"))
    return marks


def _hatching(
    x: float, y: float, w: float, h: float
) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Lines from lower left to upper right that fill a rectangle."""
    lines = []
    for number in range(1, int((w + h) / _HATCH) + 1):
        reach = number * _HATCH  # where the line meets the left and the upper edge
        start = (x + max(0.0, reach - h), y + min(reach, h))
        end = (x + min(reach, w), y + max(0.0, reach - w))
        if start[0] < end[0]:
            lines.append((start, end))
    return tuple(lines)


def _written(
    item: Mapping[str, Any], role: str, place: tuple[float, float, float, float]
) -> list[Words]:
    """The title and the lines of a box."""
    x, y, w, h = place
    title, mono = drawable(str(item.get("title", ""))), bool(item.get("mono", False))
    lines = [drawable(str(line)) for line in item.get("lines", ())]
    inset = min({"kernel": 30.0, "memory": 18.0, "note": 20.0, "page": 18.0}.get(role, PAD), w / 8)
    room = w - 2 * inset
    colour = "quiet" if role == "note" else "ink"
    plain = Words(x + inset, y + FIRST, "", TEXT, colour=colour, mono=mono, halo=role == "guard")
    if title and not lines and (h < 84 or role == "page"):
        return centred(title, replace(plain, bold=not mono), place, room)
    last = y + h - 8
    written: list[Words] = []
    if title:
        headed = role == "process" and h > 100
        heading = replace(plain, size=28.0 if headed else TITLE, bold=True, mono=False)
        beside = room - (_EAR if role == "file" else 0.0)
        wraps = not lines and role not in ("process", "kernel")
        written = below([title], heading, beside, last if wraps else plain.y)
        if not wraps and written[0].full:
            written = [fitted(replace(heading, text=title), beside)]
        plain = replace(plain, y=written[-1].y + LINE + (14 if headed else 2))
    if lines and plain.y <= last:
        written += below(lines, plain, room, last)
    elif lines:
        end = written[-1]
        written[-1] = replace(end, full=" ".join([end.full or end.text, *lines]))
    return written


def _state(state: str, role: str, x: float, y: float, w: float, h: float) -> list[Mark]:
    """What says that a box runs, is gone, refused or marked for removal."""
    corner = min(_CORNERS.get(role, 0.0), h / 3, w / 3)
    marks: list[Mark] = []
    if state == "active":
        marks.append(Rectangle(x - 1, y - 1, w + 2, h + 2, "active", corner))
        middle = y + h / 2
        flag = ((x - 14, middle - 16), (x + 12, middle), (x - 14, middle + 16))
        return [*marks, Path((flag,), "context-head", True)]
    if state not in STATES:
        return marks
    if state == "gone":
        marks.append(Rectangle(x - 2, y - 2, w + 4, h + 4, "veil", corner))
        marks.append(Rectangle(x, y, w, h, "gone", corner))
        cross = (((x, y), (x + w, y + h)), ((x + w, y), (x, y + h)))
        marks.append(Path(cross, "gone-cross"))
    else:
        marks.append(Rectangle(x, y, w, h, state, corner))
    return marks


def _chip(text: str, state: str, right: float, middle: float) -> list[Mark]:
    """A word on the lower edge of a box."""
    look, colour = {
        "gone": ("chip-quiet", "ink"), "refused": ("chip-alarm", "paper"),
        "marked": ("chip-ink", "paper"),
    }[state]  # fmt: skip
    room = width(text, TEXT, True) + 28
    return [
        Rectangle(right - room, middle - 19, room, 38, look, 6),
        Words(right - room / 2, middle + 8.5, text, TEXT, "middle", colour, True),
    ]


def buffer(item: Mapping[str, Any]) -> Thing:
    """A row of cells, its label above it; an empty cell is dotted."""
    x, y, w, h = (float(item[side]) for side in "xywh")
    role = role_of(item)
    cells = [drawable(str(cell)) for cell in item.get("cells", ())]
    label = drawable(str(item.get("label", "")))
    marks: list[Mark] = []
    written: list[Words] = []
    top = y
    if label:
        high = y >= LABEL + 4  # else the label stands below
        top = y - LABEL if high else y
        words = Words(x, y - 11 if high else y + h + 30, label, TEXT)
        written.append(fitted(words, min(1600 - x - 10, max(w, width(label, TEXT)))))
    each = w / max(len(cells), 1)
    sizes = (max(TEXT, min(32.0, h * 0.5)), TEXT)
    fits = [all(width(cell, size, mono=True) <= each - 6 for cell in cells) for size in sizes]
    size = sizes[0] if fits[0] else TEXT
    left = x
    for text, count in [(cell, 1) for cell in cells] if any(fits) else _runs(cells):
        wide = each * count
        marks.append(Rectangle(left, y, wide, h, f"full-{role}" if text else "cell-empty"))
        if text:
            words = Words(left + wide / 2, y + h / 2 + size * 0.35, text, size, "middle", mono=True)
            written.append(fitted(words, wide - 6))
        left += wide
    marks.append(Rectangle(x, y, w, h, f"{role}-edge"))
    place = (x, top, w, y + h - top)
    return Thing(str(item["id"]), (*marks, *written), place, (), cut(written))


def _runs(cells: Sequence[str]) -> list[tuple[str, int]]:
    """Neighbouring cells that are all full or all empty, where one alone is too narrow to read."""
    found = []
    for full, group in groupby(cells, bool):
        some = list(group)
        found.append((("" if all(len(c) == 1 for c in some) else " ").join(some) * full, len(some)))
    return found


def token(item: Mapping[str, Any]) -> Thing:
    """A filled chip with its middle at x, y."""
    text, size = drawable(str(item["text"])), 26.0
    w, h = width(text, size, True) + 36, 46.0
    x, y = float(item["x"]) - w / 2, float(item["y"]) - h / 2
    marks: list[Mark] = [
        Rectangle(x, y, w, h, f"token-{role_of(item)}", 12),
        Words(x + w / 2, y + h / 2 + size * 0.35, text, size, "middle", "paper", True),
    ]
    return Thing(str(item["id"]), tuple(marks), (x, y, w, h))


def badge(item: Mapping[str, Any]) -> Thing:
    """A pill with a fact in it, its middle at y."""
    text, anchor = drawable(str(item["text"])), item.get("anchor", "start")
    w, h = width(text, TEXT) + 34, 42.0
    x = float(item["x"]) - {"start": 0.0, "middle": w / 2, "end": w}.get(anchor, 0.0)
    y = float(item["y"]) - h / 2
    marks: list[Mark] = [
        Rectangle(x, y, w, h, f"badge-{role_of(item)}", h / 2),
        Words(x + w / 2, y + h / 2 + TEXT * 0.35, text, TEXT, "middle"),
    ]
    return Thing(str(item["id"]), tuple(marks), (x, y, w, h))


def changed_mark(x: float, y: float) -> list[Mark]:
    """The small sign of change, a disc with a triangle: delta."""
    triangle = ((x, y - 8), (x + 8, y + 6), (x - 8, y + 6))
    return [Disc(x, y, 14, "mark"), Path((triangle,), "mark-sign", True)]
