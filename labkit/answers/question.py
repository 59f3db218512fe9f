"""A question that is answered before the kernel is asked, and how its answer follows from what
was observed.

No question holds its right answer. It holds a rule from observed facts to the right answer, so that
a machine on which something comes out differently is right about itself.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal

from labkit.answers.drawing import Drawing, Line, Misdrawn
from labkit.errors import RequestError

Facts = Mapping[str, Any]
# A key of a choice; a number; the keys of the items, first to last; a number for each column.
Given = str | float | tuple[str, ...] | Line
# The same, except that items that come out level share a rank, and that of a line it is the key of
# its shape.
Right = str | float | tuple[frozenset[str], ...]
Kind = Literal["choice", "number", "ordering", "drawing"]

_SHOWN = 60


class Undecided(Exception):
    """What was observed does not settle the question; the message says why, and what to do."""


@dataclass(frozen=True)
class Choice:
    """One possible answer, and what is to be said to whoever gives it."""

    text: str
    why: str


@dataclass(frozen=True)
class Question:
    """A question of a notebook.

    Exactly one of `choices`, `unit`, `items` and `drawing` is given, and makes it a choice, a
    number, an ordering or a drawing. Words may carry `code` in backticks, nothing else.

    Attributes:
        id: notebook and number, "01-1".
        text: what is asked.
        misconception: the belief that the question is out to meet.
        facts: what has to be observed: name and type of each fact.
        right: the rule from facts to the right answer; raises Undecided where they settle nothing.
        saw: the facts in a sentence.
        choices: key ("a", "b", ...) to choice.
        unit: what a number counts.
        items: key to what is to be ordered.
        drawing: over what a line is to be drawn, and which shapes it can have.
        slips: numbers that are likely and wrong, and what is to be said to them.
        why: the explanation of a number or an ordering, whatever was answered.
        observe: finds the facts in a live object, such as a run.
        graded: counts and orderings are; what hangs on this machine's times is not.
    """

    id: str
    text: str
    misconception: str
    facts: Mapping[str, type]
    right: Callable[[Facts], Right]
    saw: Callable[[Facts], str]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    unit: str = ""
    items: Mapping[str, str] = field(default_factory=dict)
    drawing: Drawing | None = None
    slips: Mapping[float, str] = field(default_factory=dict)
    why: str = ""
    observe: Callable[[Any], Facts] | None = None
    graded: bool = True

    @property
    def kind(self) -> Kind:
        """What sort of answer it takes."""
        if self.drawing is not None:
            return "drawing"
        return "choice" if self.choices else "ordering" if self.items else "number"

    @property
    def example(self) -> str:
        """An answer as it is written in code."""
        if self.drawing is not None:
            return self.drawing.example
        if self.kind == "choice":
            return f'"{list(self.choices)[1]}"'
        return f'"{" ".join(self.items)}"' if self.items else "3"

    def parse(self, answer: object) -> Given:
        """An answer as it is kept.

        Raises:
            RequestError: it is not one that this question takes.
        """
        if self.drawing is not None:
            return self._parse_drawing(self.drawing, answer)
        if self.kind == "choice":
            return self._parse_choice(answer)
        return self._parse_ordering(answer) if self.items else self._parse_number(answer)

    def _parse_choice(self, answer: object) -> str:
        key = answer.strip().lower() if isinstance(answer, str) else ""
        if key not in self.choices:
            raise RequestError(
                f"{_shown(answer)} does not answer question {self.id}: it takes"
                f" {_or(list(self.choices))}, as in labkit.answer({self.id!r}, {self.example})."
            )
        return key

    def _parse_number(self, answer: object) -> float:
        plain = python_value(answer)
        try:
            number = float(plain) if not isinstance(plain, bool) else float("nan")
        except (TypeError, ValueError, OverflowError):
            number = float("nan")
        if not isfinite(number):
            raise RequestError(
                f"{_shown(answer)} does not answer question {self.id}: it takes a number"
                f" ({self.unit}), as in labkit.answer({self.id!r}, {self.example})."
            )
        return int(number) if number.is_integer() else number

    def _parse_ordering(self, answer: object) -> tuple[str, ...]:
        if isinstance(answer, str):
            parts = answer.replace(",", " ").replace("<", " ").split()
        else:
            parts = [str(each) for each in answer] if isinstance(answer, Sequence) else []
        keys = tuple(part.strip().lower() for part in parts)
        if sorted(keys) != sorted(self.items):
            raise RequestError(
                f"{_shown(answer)} does not answer question {self.id}: it takes each of"
                f" {', '.join(self.items)} once, in order, as in"
                f" labkit.answer({self.id!r}, {self.example})."
            )
        return keys

    def _parse_drawing(self, drawing: Drawing, answer: object) -> Line:
        try:
            return drawing.parse(answer)
        except Misdrawn as wanted:
            raise RequestError(
                f"{_shown(answer)} does not answer question {self.id}: it takes {wanted}, as in"
                f" labkit.answer({self.id!r}, {self.example})."
            ) from None

    def read(self, observed: object) -> dict[str, Any]:
        """The facts that this question rests on, out of what was observed.

        Args:
            observed: a mapping of facts; anything with such a mapping as its `facts` (a
                walkthrough); or the live object that `observe` knows how to read (a run).

        Raises:
            RequestError: a fact is missing or is of the wrong type.
        """
        found = observed if isinstance(observed, Mapping) else getattr(observed, "facts", None)
        whole = isinstance(found, Mapping) and all(name in found for name in self.facts)
        if not (whole or isinstance(observed, Mapping)) and self.observe is not None:
            with suppress(AttributeError, LookupError, NameError, TypeError, ValueError):
                found = self.observe(observed)  # else it is something that it cannot read
        if not isinstance(found, Mapping):
            raise RequestError(
                f"question {self.id} cannot be held against a {type(observed).__name__}: give what"
                f" was observed as {self._wanted()}."
            )
        facts = {}
        for name, kind in self.facts.items():
            value = python_value(found.get(name))
            if kind is float and type(value) is int:
                with suppress(OverflowError):
                    value = float(value)
            if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
                what = "is missing" if name not in found else f"is {_shown(value)}"
                raise RequestError(
                    f"question {self.id} cannot be decided, because {name!r} {what}: give what"
                    f" was observed as {self._wanted()}."
                )
            facts[name] = value
        return facts

    def matches(self, given: Given, right: Right) -> bool:
        """Whether an answer is the right one; items that came out level may stand either way."""
        if self.drawing is not None:
            return self.counts_as(given) == right
        if isinstance(right, tuple):
            rank = {key: place for place, level in enumerate(right) for key in level}
            places = [rank[str(key)] for key in given] if isinstance(given, tuple) else [1, 0]
            return places == sorted(places)
        return given == right

    def counts_as(self, given: Given) -> Given:
        """What an answer is taken for when a class is counted: of a line, the key of its shape."""
        if self.drawing is not None and isinstance(given, tuple):
            return self.drawing.shape_of(tuple(map(float, given)))
        return given

    def say(self, given: Given | Right) -> str:
        """An answer in words."""
        if self.drawing is not None:
            return self._say_drawing(self.drawing, given)
        if isinstance(given, tuple):
            named = [each for each in given if isinstance(each, str | frozenset)]
            levels = [[each] if isinstance(each, str) else sorted(each) for each in named]
            return ", then ".join(
                level[0] if len(level) == 1 else f"{' and '.join(level)} (level)"
                for level in levels
            )
        if isinstance(given, str):
            return f"{given}: {self.choices[given].text}"
        unit = self.unit
        if given == 1 and unit.endswith("s"):  # 1 copy, 1 system call
            unit = f"{unit[:-3]}y" if unit.endswith("ies") else unit[:-1]
        return f"{given:,} {unit}".rstrip()

    def _say_drawing(self, drawing: Drawing, given: Given | Right) -> str:
        """A line with its numbers and its shape; the key of a shape, the shape alone."""
        if not isinstance(given, tuple):
            return drawing.shapes[str(given)].text
        line = tuple(each for each in given if isinstance(each, int | float))
        shape = drawing.shapes[drawing.shape_of(line)].text
        return f"{drawing.say(line)} ({shape[0].lower()}{shape[1:]})"

    def explain(self, given: Given) -> str:
        """What is to be said to whoever gave this answer."""
        if self.drawing is not None:
            return self.drawing.shapes[str(self.counts_as(given))].why
        if isinstance(given, str):
            return self.choices[given].why
        slip = self.slips.get(given, "") if not isinstance(given, tuple) else ""
        return " ".join(filter(None, [slip, self.why]))

    def _wanted(self) -> str:
        return "{" + ", ".join(f'"{name}": ...' for name in self.facts) + "}"


def python_value(value: Any) -> Any:
    """A plain value for what numpy and pandas hold; keys and members of mappings, too."""
    if isinstance(value, Mapping):
        return {str(key): python_value(each) for key, each in value.items()}
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def _or(keys: Sequence[str]) -> str:
    return f"{', '.join(keys[:-1])} or {keys[-1]}"


def _shown(value: object) -> str:
    try:
        text = " ".join(repr(value).split())  # arrays are printed in lines
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
