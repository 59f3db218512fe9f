"""An exercise, and a check that looks at the student's object or number, never at their wording."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class NotYet(Exception):
    """What was handed to a check does not solve the exercise; the message says what it found."""


@dataclass(frozen=True)
class Exercise:
    """An exercise of a notebook.

    Attributes:
        id: notebook and number, "01-e1".
        text: what is to be done.
        takes: what the check is to be given.
        check: looks at it, on the live kernel where it can; returns what it found, in a sentence.
            Raises NotYet with what is still wrong. Any other error means that it was given
            something else.
    """

    id: str
    text: str
    takes: str
    check: Callable[[Any], str]
