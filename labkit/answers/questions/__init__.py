"""The questions and exercises of all notebooks: one file a notebook, found here by their ids."""

from importlib import import_module
from typing import TypeVar

from labkit.answers.exercise import Exercise
from labkit.answers.question import Question
from labkit.errors import RequestError

Asked = TypeVar("Asked", Question, Exercise)

# Number of the notebook, and the file here with its questions.
NOTEBOOKS = {
    "00": "start_here",
    "01": "mode_switches",
    "02": "segment_life",
    "03": "persistence",
    "04": "fork_inheritance",
    "05": "exec_detachment",
    "06": "copy_overhead",
    "07": "synchronisation",
    "08": "class_notes",
    "09": "other_machines",
    "10": "own_mechanism",
}


def questions(notebook: str | None = None) -> tuple[Question, ...]:
    """The questions of a notebook ("01"), or of all."""
    found: list[Question] = []
    for number, name in NOTEBOOKS.items():
        if notebook in (None, number):
            found += import_module(f"{__name__}.{name}").QUESTIONS
    return tuple(found)


def exercises(notebook: str | None = None) -> tuple[Exercise, ...]:
    """The exercises of a notebook ("01"), or of all."""
    found: list[Exercise] = []
    for number, name in NOTEBOOKS.items():
        if notebook in (None, number):
            found += import_module(f"{__name__}.{name}").EXERCISES
    return tuple(found)


def question(id: object) -> Question:
    """The question with this id.

    Raises:
        RequestError: there is none.
    """
    return _one(id, {each.id: each for each in questions()}, "question")


def exercise(id: object) -> Exercise:
    """The exercise with this id.

    Raises:
        RequestError: there is none.
    """
    return _one(id, {each.id: each for each in exercises()}, "exercise")


def _one(id: object, known: dict[str, Asked], what: str) -> Asked:
    if isinstance(id, str) and id in known:
        return known[id]
    raise RequestError(f"there is no {what} {str(id)[:40]!r}; there are {', '.join(known)}.")
