"""A step's scene as marks: those that each item is made of, and those that say it changed."""

from collections.abc import Callable, Mapping
from typing import Any

from labkit.player.arrows import along, arrow
from labkit.player.boxes import badge, box, buffer, changed_mark, token
from labkit.player.letters import drawable, width
from labkit.player.marks import Mark, Rectangle, Thing, Words
from labkit.player.writing import TEXT

WIDTH, HEIGHT = 1600, 760
RING = 8.0  # from what has changed to the ring around it


def text(item: Mapping[str, Any]) -> Thing:
    """Words on their own, y at the baseline."""
    size, bold, mono = float(item.get("size", TEXT)), bool(item.get("bold")), bool(item.get("mono"))
    x, y, anchor = float(item["x"]), float(item["y"]), item.get("anchor", "start")
    lines = drawable(str(item["text"])).split("\n")
    wide = max(width(line, size, bold, mono) for line in lines)
    height = size * 1.33
    marks = tuple(
        Words(x, y + number * height, line, size, anchor, item.get("role", "ink"), bold, mono)
        for number, line in enumerate(lines)
    )
    left = x - {"start": 0.0, "middle": wide / 2, "end": wide}.get(anchor, 0.0)
    return Thing(str(item["id"]), marks, (left, y - size * 0.85, wide, height * len(lines)))


_KINDS: dict[str, Callable[[Mapping[str, Any]], Thing]] = {
    "box": box,
    "bytes": buffer,
    "text": text,
    "arrow": arrow,
    "token": token,
    "badge": badge,
}


def things(step: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> list[Thing]:
    """What a step's picture is made of, in the order it is drawn.

    Args:
        step: a step as `labkit.walkthroughs` makes it.
        before: the step before. What stands in a box that is itself new has no ring of its own,
            nor has a box of which only the frame says that it is active.
    """
    items = [item for item in step["scene"] if item["kind"] in _KINDS]
    drawn = [_KINDS[item["kind"]](item) for item in items]
    known = {item["id"]: item for item in before["scene"]} if before else {}
    marked = set(step.get("changed", ()))
    fresh = [
        thing.place
        for item, thing in zip(items, drawn, strict=True)
        if item["kind"] == "box" and item["id"] in marked and item["id"] not in known
    ]
    rings = [
        _ring(item, thing)
        for item, thing in zip(items, drawn, strict=True)
        if item["id"] in marked
        and not _only_runs(known.get(item["id"], {}), item)
        and (item["kind"] == "arrow" or not any(_inside(thing.place, box) for box in fresh))
    ]
    over = [Thing(f"state {each.name}", each.over, each.place) for each in drawn if each.over]
    return [*drawn, *rings, *over]


def _only_runs(was: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether nothing has changed but that a box is active, or no longer: its frame says that."""
    states = {was.get("state"), item.get("state")}
    return states == {"", "active"} and {**was, "state": ""} == {**item, "state": ""}


def _inside(
    inner: tuple[float, float, float, float], outer: tuple[float, float, float, float]
) -> bool:
    x, y, w, h = inner
    left, top, wide, high = outer
    inside = left <= x and top <= y and x + w <= left + wide and y + h <= top + high
    return inside and inner != outer


def _ring(item: Mapping[str, Any], thing: Thing) -> Thing:
    """A ring around what has changed and a sign at its corner; an arrow has the sign alone."""
    if item["kind"] == "arrow":
        points = [(float(x), float(y)) for x, y in item["points"]]
        # Beside the tail, on the side where no label is.
        x, y = along(points, min(0.3, 40 / max(thing.place[2] + thing.place[3], 1)))
        steep = abs(points[1][1] - points[0][1]) > abs(points[1][0] - points[0][0])
        place = (max(x - 24, 16.0), y) if steep else (x, min(y + 24, HEIGHT - 16.0))
        return Thing(f"ring {thing.name}", tuple(changed_mark(*place)), (*place, 0, 0))
    x, y, w, h = thing.place
    above = 2.0 if item["kind"] == "text" else RING  # letters have air of their own
    left, top = max(x - RING, 3.0), max(y - above, 3.0)
    right, bottom = min(x + w + RING, WIDTH - 3.0), min(y + h + above, HEIGHT - 3.0)
    marks: list[Mark] = [Rectangle(left, top, right - left, bottom - top, "ring", 14)]
    marks += changed_mark(min(right + 4, WIDTH - 16.0), max(top - 4, 16.0))
    return Thing(f"ring {thing.name}", tuple(marks), (left, top, right - left, bottom - top))


def faults(walk: Mapping[str, Any]) -> list[str]:
    """What is wrong with the pictures of a walk: one sentence each, none if all is well.

    Texts that were cut, things that leave the canvas, ids that occur twice, text too small to read,
    texts over each other.
    """
    found = []
    for number, step in enumerate(walk["steps"], 1):
        said = f"step {number} ({step['title']}):"
        names = [str(item["id"]) for item in step["scene"]]
        for name in sorted({name for name in names if names.count(name) > 1}):
            found.append(f"{said} the id {name!r} occurs twice")
        drawn = things(step)[: len(names)]
        for thing in drawn:
            found += [f"{said} {thing.name}: no room for {text!r}" for text in thing.cut]
            words = [mark for mark in thing.marks if isinstance(mark, Words)]
            for mark in words:
                if mark.size < TEXT:
                    found.append(f"{said} {thing.name}: {mark.text!r} is smaller than {TEXT:g}")
            for x, y, w, h in [thing.place, *map(_extent, words)]:
                if x < -1 or y < -1 or x + w > WIDTH + 1 or y + h > HEIGHT + 1:
                    found.append(f"{said} {thing.name} leaves the canvas")
                    break
        found += [f"{said} {one}" for one in _collisions(drawn)]
    return found


def _extent(mark: Words) -> tuple[float, float, float, float]:
    """The place that words take: from the height of an x to the baseline, a little narrowed."""
    wide = width(mark.text, mark.size, mark.bold, mark.mono)
    left = mark.x - {"start": 0.0, "middle": wide / 2, "end": wide}[mark.anchor]
    return (left, mark.y - mark.size * 0.74, wide, mark.size * 0.8)


def _collisions(drawn: list[Thing]) -> list[str]:
    """Words of different things that run into each other, or under a later chip."""
    words = [
        (order, thing.name, mark, _extent(mark))
        for order, thing in enumerate(drawn)
        for mark in thing.marks
        if isinstance(mark, Words) and mark.text.strip()
    ]
    found = []
    for number, (_, name, mark, place) in enumerate(words):
        for _, other, late, its in words[number + 1 :]:
            if name != other and _overlap(place, its):
                found.append(f"{mark.text!r} ({name}) and {late.text!r} ({other}) overlap")
    for order, thing in enumerate(drawn):
        shapes = [mark for mark in thing.marks if isinstance(mark, Rectangle)]
        if not shapes or not isinstance(thing.marks[-1], Words):
            continue
        for before, name, mark, place in words:
            if before < order and name != thing.name and _overlap(place, thing.place):
                found.append(f"{thing.name} covers {mark.text!r} ({name})")
    return found


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    x, y, w, h = one
    left, top, wide, high = other
    return x < left + wide and left < x + w and y < top + high and top < y + h
