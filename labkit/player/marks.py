"""The few marks that every picture is made of; who draws them knows nothing of processes."""

from dataclasses import dataclass
from typing import Literal

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Rectangle:
    """A rectangle with rounded corners."""

    x: float
    y: float
    w: float
    h: float
    look: str
    corner: float = 0.0


@dataclass(frozen=True)
class Path:
    """Lines from point to point, one or several, or an area."""

    lines: tuple[tuple[Point, ...], ...]
    look: str
    closed: bool = False


@dataclass(frozen=True)
class Disc:
    """A circle."""

    x: float
    y: float
    r: float
    look: str


@dataclass(frozen=True)
class Words:
    """One line of text, y at its baseline.

    Attributes:
        colour: a key of `labkit.player.looks.WORDS`.
        full: the whole text, where it was shortened.
        halo: whether it stands over lines, and needs the paper's colour around it.
    """

    x: float
    y: float
    text: str
    size: float
    anchor: Anchor = "start"
    colour: str = "ink"
    bold: bool = False
    mono: bool = False
    full: str = ""
    halo: bool = False


Mark = Rectangle | Path | Disc | Words


@dataclass(frozen=True)
class Thing:
    """An item of a scene as it is drawn: its id, its marks, and the place they take.

    Attributes:
        place: x, y, width and height of what it covers.
        over: marks that stand over everything else, rings of change too.
        cut: texts that were too long for their place.
    """

    name: str
    marks: tuple[Mark, ...]
    place: tuple[float, float, float, float]
    over: tuple[Mark, ...] = ()
    cut: tuple[str, ...] = ()
