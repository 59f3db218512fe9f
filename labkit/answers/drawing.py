"""A prediction that is drawn: one line over named columns, and the shape that it has.

What is held against the kernel is the shape, never the numbers: a rule names the shape of any line,
and the same rule names the shape of the line that was observed. So no shape is written down as the
right one, and nobody has to foresee a measurement to be right about it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite, log
from typing import Any

Line = tuple[float, ...]  # a number for each column


class Misdrawn(ValueError):
    """Something is no line over these columns; the message says what it takes, after "it takes"."""


@dataclass(frozen=True)
class Shape:
    """What a line can look like, and what is to be said to whoever draws one like that."""

    text: str
    why: str


@dataclass(frozen=True)
class Axis:
    """What the height of a point means.

    Attributes:
        name: what stands above the axis, "times as long as 64 B".
        levels: the heights at which a point can be put by hand, from the lowest up.
        marks: the levels that have a line of the grid.
        unit: said after a number, as in "4 KiB: 10 times".
        sign: written after a number on the axis, as in "10x".
        factors: whether equal steps are equal factors (logarithmic), or equal differences.
        counts: whether only the levels make sense, as with whole numbers of pages.
    """

    name: str
    levels: Sequence[float]
    marks: Sequence[float]
    unit: str
    sign: str = ""
    factors: bool = False
    counts: bool = False

    def height(self, value: float) -> float:
        """Where a value stands, from 0 at the lowest level to 1 at the highest; never outside."""
        low, high = self.levels[0], self.levels[-1]
        inside = min(max(value, low), high)
        if self.factors:
            return log(inside / low) / log(high / low)
        return (inside - low) / (high - low)

    def nearest(self, value: float) -> float:
        """The level that a value is nearest to."""
        return min(self.levels, key=lambda level: abs(self.height(level) - self.height(value)))

    def label(self, value: float) -> str:
        """A value as it stands on the axis: "10x"."""
        return f"{number(value)}{self.sign}"


@dataclass(frozen=True)
class Drawing:
    """Where a line is drawn, and what can be seen in it.

    Attributes:
        columns: key to label, from left to right; the label is for eyes, either is for code.
        axis: what the height of a point means.
        shapes: key to shape.
        shape_of: the rule: the key of the shape of any line.
        observed: the line in the facts.
        fixed: columns whose value is so by definition.
        across: what the columns are, "message size".
    """

    columns: Mapping[str, str]
    axis: Axis
    shapes: Mapping[str, Shape]
    shape_of: Callable[[Line], str]
    observed: Callable[[Mapping[str, Any]], Sequence[float]]
    fixed: Mapping[str, float] = field(default_factory=dict)
    across: str = ""

    def line(self, facts: Mapping[str, Any]) -> Line:
        """The line that was observed.

        Raises:
            ValueError, TypeError, LookupError: the facts hold no line over these columns.
        """
        found = tuple(float(value) for value in self.observed(facts))
        if len(found) != len(self.columns) or not all(map(isfinite, found)):
            raise ValueError(f"there must be {len(self.columns)} numbers")
        return found

    def shape(self, facts: Mapping[str, Any]) -> str:
        """The key of the shape of the line that was observed."""
        return self.shape_of(self.line(facts))

    @property
    def example(self) -> str:
        """A line as it is written in code; it only shows the form."""
        middle = self.axis.marks[len(self.axis.marks) // 2]
        return str([_plain(self.fixed.get(key, middle)) for key in self.columns])

    def parse(self, answer: object) -> Line:
        """A line out of numbers in the columns' order, or out of a mapping from columns.

        Raises:
            Misdrawn: it is neither, or a number is missing, out of range or not a number.
        """
        given = self._by_column(answer) if isinstance(answer, Mapping) else _listed(answer)
        names = ", ".join(self.columns.values())
        if given is None or len(given) != len(self.columns):
            raise Misdrawn(f"{len(self.columns)} numbers ({self.axis.name}), for {names}")
        return tuple(
            self._point(*each) for each in zip(self.columns, map(_number, given), strict=True)
        )

    def _by_column(self, answer: Mapping[Any, object]) -> list[object] | None:
        """The values of a mapping in the columns' order; None where a key is no column."""
        known = {_key(name): key for pair in self.columns.items() for name, key in
                 ((pair[0], pair[0]), (pair[1], pair[0]))}  # fmt: skip
        try:
            given = {known[_key(name)]: value for name, value in answer.items()}
        except KeyError:
            return None
        return [given.get(key, self.fixed.get(key)) for key in self.columns]

    def _point(self, key: str, value: float | None) -> float:
        low, high = self.axis.levels[0], self.axis.levels[-1]
        label = self.columns[key]
        if value is None:
            raise Misdrawn(f"a number for each column, and {label} has none")
        if not low <= value <= high:
            raise Misdrawn(f"numbers from {number(low)} to {number(high)} ({self.axis.name})")
        if key in self.fixed and value != self.fixed[key]:
            raise Misdrawn(f"{number(self.fixed[key])} for {label}, which is so by definition")
        return _plain(self.axis.nearest(value) if self.axis.counts else value)

    def say(self, line: Sequence[float]) -> str:
        """A line in words: each column and its value."""
        return ", ".join(
            f"{label}: {self.axis.label(value)}"
            for label, value in zip(self.columns.values(), line, strict=True)
        )


def number(value: float) -> str:
    """A number to three digits, or all of them before the point: 1.07, 26.8, 16,384."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def falls(line: Line, share: float = 0.6) -> bool:
    """Whether a line goes down anywhere, to less than this share of the point before."""
    return any(after < share * before for before, after in pairwise(line))


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else float(value)


def _key(name: object) -> str:
    return "".join(str(name).split()).casefold()


def _listed(answer: object) -> list[object] | None:
    """The members of a list, a tuple or an array; None for anything else."""
    listed = getattr(answer, "tolist", None)  # numpy and pandas
    found = listed() if callable(listed) else answer
    return list(found) if isinstance(found, list | tuple) else None


def _number(value: object) -> float | None:
    """A finite number, or nothing."""
    item = getattr(value, "item", None)
    single = callable(item) and getattr(value, "shape", ()) == ()
    plain = item() if callable(item) and single else value
    if isinstance(plain, bool) or not isinstance(plain, str | int | float):
        return None
    try:
        found = float(plain)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None
