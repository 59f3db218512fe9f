"""The lines of one panel: a measured value over message size, and which of them are one line.

Shared-memory segments that differ only in how they were made often measure the same. Those that
do are gathered into one line, in a band from the lowest to the highest of their medians.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from labkit.plots.choice import FIXED
from labkit.plots.style import Look, look_of

TOGETHER = 1.5  # medians within this factor are hard to tell apart on an axis of several decades
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)),
)  # fmt: skip

Values = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Line:
    """One line. `points` has the index message_size and the columns value, low, high, stable.

    `kinds` are the mechanisms it stands for; if several, `points` has least and most, too.
    """

    name: str
    kinds: tuple[str, ...]
    waiting: str
    look: Look
    dash: str | tuple[int, tuple[float, ...]]
    points: pd.DataFrame


def lines_of(
    rows: pd.DataFrame, values: Values, together: float, shown: pd.DataFrame
) -> list[Line]:
    """The lines of one panel.

    Args:
        rows: the panel's measured rows of the summary.
        values: gives value, low and high, in that order, for rows of the summary.
        together: the factor within which shared-memory segments become one line; 1 keeps all apart.
        shown: the rows of all panels, which decide what a label must say to be unambiguous.
    """
    ways = list(shown[list(FIXED)].drop_duplicates().itertuples(index=False, name=None))
    lines: list[Line] = []
    for (waiting, *way), group in rows.groupby(["waiting", *FIXED], sort=False):
        dash = DASHES[ways.index(tuple(way)) % len(DASHES)]
        extra = varying(waiting, way, shown)
        points = {
            str(m): _points(part, values) for m, part in group.groupby("mechanism", sort=False)
        }
        one = [] if waiting == "kernel" else alike(points, together)
        if one:
            name = "shared memory,\n" + ", ".join([str(waiting), *extra]) + f" ({len(one)} kinds)"
            look = look_of(one[0], str(waiting))
            gathered = _gathered([points[m] for m in one])
            lines.append(Line(name, tuple(one), str(waiting), look, dash, gathered))
        for m in (m for m in points if m not in one):
            name, look = name_of(m, str(waiting), extra), look_of(m, str(waiting))
            lines.append(Line(name, (m,), str(waiting), look, dash, points[m]))
    return sorted(lines, key=lambda line: float(line.points["value"].iloc[-1]))


def varying(waiting: object, way: Iterable[object], shown: pd.DataFrame) -> list[str]:
    """What a label must tell of copy, touch and engine: whatever others of its family differ in."""
    family = shown[(shown["waiting"] == "kernel") == (waiting == "kernel")]
    told = zip(FIXED, way, strict=True)
    return [
        f"touch {value}" if column == "touch" else str(value)
        for column, value in told
        if family[column].nunique() > 1
    ]


def name_of(mechanism: str, waiting: str, extra: Iterable[str]) -> str:
    """A label: "pipe", or "posix_shm, futex, in-place"."""
    return ", ".join([mechanism, *([] if waiting == "kernel" else [waiting]), *extra])


def _points(rows: pd.DataFrame, values: Values) -> pd.DataFrame:
    points = values(rows).set_axis(["value", "low", "high"], axis=1)
    points["stable"] = rows["stable"].fillna(False).astype(bool)
    return points.set_index(rows["message_size"]).sort_index()


def alike(points: dict[str, pd.DataFrame], together: float) -> list[str]:
    """The mechanisms that no point tells apart from the middle of them all; none if only one.

    At each point (a size, say) the value must lie within the square root of `together` of the
    middle, so that two of them are within `together`, or its interval must reach into that range.
    """
    if together <= 1 or len(points) < 2:
        return []
    middle = pd.DataFrame({m: p["value"] for m, p in points.items()}).median(axis=1)
    reach = float(np.sqrt(together))

    def near(p: pd.DataFrame) -> bool:
        centre = middle.reindex(p.index)
        low, high = p["low"].fillna(p["value"]), p["high"].fillna(p["value"])
        return bool(((low <= centre * reach) & (high >= centre / reach)).all())

    whole = [m for m, p in points.items() if len(p) == len(middle) and near(p)]
    return whole if len(whole) > 1 else []


def _gathered(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Segments as one: the middle of their medians and of their intervals, the medians' range."""
    every = pd.concat(parts).groupby(level=0)
    points = every[["value", "low", "high"]].median()
    points["stable"] = every["stable"].all()
    points["least"], points["most"] = every["value"].min(), every["value"].max()
    return points
