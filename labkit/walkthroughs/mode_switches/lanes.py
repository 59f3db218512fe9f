"""Two processes as lanes, each split into user and kernel mode, and what lies between them.

The kernel is no third process: its mode is the lower half of each lane, and its buffer stands
between the lower halves. A segment that both map stands between the upper halves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from labkit.mechanisms.contract import End
from labkit.walkthroughs.scene import Role, Scene

Mode = Literal["user", "kernel"]
Spot = Literal["producer", "consumer", "segment", "kernel"]

_TOP, _FOOT = 52.0, 636.0
_KERNEL = 190.0  # height of the lower half
_GAP = 84.0  # between the halves, which every system call crosses twice
_MARGIN = 14.0
_CELLS, _CELL = 86.0, 44.0  # from the upper edge of a half to its buffer, and its height


class Copy(NamedTuple):
    """Bytes that went from one place to another."""

    start: Spot
    end: Spot
    size: int


@dataclass
class Lanes:
    """What one side of the picture shows.

    Attributes:
        title: the mechanism.
        pids: of each end.
        between: what stands between the ends in the kernel, "pipe"; "" for nothing.
        segment: whether they share memory.
        cells: the bytes at each place that is shown; "" for an empty one.
        modes: in which mode each end is.
        pinned: the CPU that each end may have, such as "CPU 0": if it is one, they take turns.
        runs: the CPU that each running end has; not there for who does not run.
        states: a line about an end, "asleep in read".
        about: a line about the segment or the kernel's buffer.
        crossing: the ends that have just changed their mode, and to which; "both" for a call as a
            whole, into the kernel and out again.
        switch: from which end to which the CPU has just gone.
        copies: what was just copied.
    """

    title: str
    pids: dict[End, int]
    between: str
    segment: bool
    cells: dict[Spot, list[str]]
    modes: dict[End, Mode]
    pinned: dict[End, str]
    runs: dict[End, str]
    states: dict[End, str] = field(default_factory=dict)
    about: dict[Spot, str] = field(default_factory=dict)
    crossing: dict[End, Mode | Literal["both"]] = field(default_factory=dict)
    switch: tuple[End, End] | None = None
    copies: list[Copy] = field(default_factory=list)


class _Columns(NamedTuple):
    """x of the lanes and of what is between them, and their widths."""

    producer: float
    consumer: float
    lane: float
    middle: float
    between: float


def draw(
    scene: Scene, lanes: Lanes, counts: Sequence[str], x: float, width: float, prefix: str
) -> None:
    """Draw one side.

    Args:
        counts: what was counted, a few words each.
        x, width: where on the canvas.
        prefix: of the ids, so that two sides have different ones.
    """
    narrow = width < 1000
    gap, between = (26.0, 186.0) if narrow else (90.0, 360.0)
    lane = (width - 2 * gap - between) / 2
    columns = _Columns(x, x + width - lane, lane, x + lane + gap, between)
    scene.text(f"{prefix}title", (x + width / 2, 36), lanes.title, 28, "middle", True)
    upper = _TOP + (100 if narrow else 62)
    lower = _FOOT - _MARGIN - _KERNEL
    user_height = lower - _GAP - upper
    ends: tuple[End, End] = ("producer", "consumer")
    for end in ends:
        left = columns.producer if end == "producer" else columns.consumer
        name = f"{prefix}{end}"
        scene.box(name, (left, _TOP, lane, _FOOT - _TOP), "process", end)
        pid = f"PID {lanes.pids[end]}"
        if narrow:
            scene.badge(f"{name}.pid", (left + 16, _TOP + 76), pid, "process")
        else:
            scene.badge(f"{name}.pid", (left + lane - 16, _TOP + 29), pid, "process", "end")
        inner, room = left + _MARGIN, lane - 2 * _MARGIN
        scene.box(f"{name}.user", (inner, upper, room, user_height), "user", "user mode")
        scene.box(f"{name}.kernel", (inner, lower, room, _KERNEL), "kernel", "kernel mode")
        if state := lanes.states.get(end):
            words = state.replace(" in ", " in\n") if narrow and len(state) > 12 else state
            scene.text(f"{name}.state", (inner + 32, lower + 84), words)
        if end in lanes.cells:
            place = (inner + 14, upper + _CELLS, room - 28, _CELL)
            scene.bytes(f"{name}.buffer", place, "private", lanes.cells[end], "its buffer")
        if end in lanes.crossing:
            ends_at = (upper + user_height + 5, lower - 5)
            way = lanes.crossing[end]
            points = [(inner + 26, y) for y in (reversed(ends_at) if way == "user" else ends_at)]
            label = "mode switches" if way == "both" else "mode switch"
            scene.arrow(f"{name}.mode", points, "mode", label, way == "both")
        if end in lanes.runs:
            foot = lower + _KERNEL if lanes.modes[end] == "kernel" else upper + user_height
            shown = f"{prefix}cpu" if len(set(lanes.pinned.values())) == 1 else f"{name}.cpu"
            scene.token(shown, (inner + 100, foot - 30), lanes.runs[end].strip())
    _between(scene, lanes, columns, (upper, user_height, lower), prefix)
    if lanes.switch is not None:
        y = upper - (40 if narrow else 22)
        inside = columns.producer + lane + 4, columns.consumer - 4
        points = [(at, y) for at in (inside if lanes.switch[0] == "producer" else inside[::-1])]
        scene.arrow(f"{prefix}context", points, "context", "context switch")
    _copies(scene, lanes, columns, (upper, lower), prefix)
    _counts(scene, counts, x, width, prefix)


def _between(
    scene: Scene,
    lanes: Lanes,
    columns: _Columns,
    rows: tuple[float, float, float],
    prefix: str,
) -> None:
    """The segment between the upper halves, the kernel's buffer between the lower ones."""
    upper, user_height, lower = rows
    x, width = columns.middle, columns.between
    shown: list[tuple[Spot, str, float, float, Role]] = []
    if lanes.segment:
        shown.append(("segment", "segment", upper, user_height, "memory"))
    if lanes.between:
        shown.append(("kernel", lanes.between, lower, _KERNEL, "object"))
    for spot, title, y, height, role in shown:
        scene.box(f"{prefix}{spot}", (x, y, width, height), role, title)
        place = (x + 18, y + _CELLS, width - 36, _CELL)
        scene.bytes(f"{prefix}{spot}.bytes", place, role, lanes.cells[spot])
        if spot in lanes.about:
            at = (x + width / 2, y + height - 18)
            scene.text(f"{prefix}{spot}.about", at, lanes.about[spot], 24, "middle")
    if lanes.segment:
        y = upper + 48
        for end, start, tip in (
            ("producer", columns.producer + columns.lane - _MARGIN, x),
            ("consumer", columns.consumer + _MARGIN, x + width),
        ):
            scene.arrow(f"{prefix}{end}.map", [(start, y), (tip, y)], "map")


def _copies(
    scene: Scene, lanes: Lanes, columns: _Columns, rows: tuple[float, float], prefix: str
) -> None:
    """Dotted arrows from buffer to buffer."""
    upper, lower = rows
    y = upper + _CELLS + _CELL / 2
    edges: dict[str, float] = {
        "producer": columns.producer + columns.lane - _MARGIN - 14,
        "consumer": columns.consumer + _MARGIN + 14,
    }
    x, width = columns.middle, columns.between
    for copy in lanes.copies:
        label = f"{copy.size} bytes" if width > 300 else ""
        inwards = copy.start == "producer"
        edge = edges["producer" if inwards else "consumer"]
        if copy.start == "producer" and copy.end == "consumer":
            points = [(edge, y), (edges["consumer"], y)]
        elif "segment" in copy:
            points = [(edge, y), (x + 18 if inwards else x + width - 18, y)]
        else:
            turn = x + (0.3 if inwards else 0.7) * width
            points = [(edge, y), (turn, y), (turn, lower + _CELLS - 4)]
        backwards = copy.end == "consumer" and not inwards
        points = points[::-1] if backwards else points
        scene.arrow(f"{prefix}copy.{copy.start}.{copy.end}", points, "copy", label)


def _counts(scene: Scene, counts: Sequence[str], x: float, width: float, prefix: str) -> None:
    """What was counted, along the foot."""
    columns = 2 if width < 1000 else len(counts)
    each = width / max(columns, 1)
    for number, words in enumerate(counts):
        row, column = divmod(number, columns)
        at = (x + (column + 0.5) * each, 676 + 52 * row)
        scene.badge(f"{prefix}count.{number}", at, words, "note", "middle")
