"""What a notebook calls: predict, answer, reveal, check. None of them stops a notebook's run."""

from collections.abc import Mapping
from typing import Any

from labkit.answers import card, widget
from labkit.answers.card import Card
from labkit.answers.exercise import NotYet
from labkit.answers.question import Given, Question, Right, Undecided
from labkit.answers.questions import exercise as find_exercise
from labkit.answers.questions import question as find_question
from labkit.answers.store import Store
from labkit.errors import LabkitError, RequestError


class Prompt:
    """A question that shows itself: its words, and buttons where they would work."""

    def __init__(self, question: Question) -> None:
        """A question, for the person at this kernel."""
        self.question = question

    @property
    def card(self) -> Card:
        """Its words, and what was answered so far."""
        store = Store()
        kept = store.of(self.question.id) if card.shown_as() == "live" else None
        pad = self.question.drawing is not None and widget.live()
        return card.asked(self.question, _sane(self.question, kept), store.notice, pad)

    def __repr__(self) -> str:
        return self.card.text

    def _ipython_display_(self) -> None:
        """Words first, so that they stay where widgets are not shown; then the buttons."""
        from IPython.display import display

        display(self.card)  # type: ignore[no-untyped-call]
        if widget.live():
            kept = _sane(self.question, Store().of(self.question.id))
            latest = first_and_latest(self.question, kept)[1] if kept is not None else None
            box = widget.buttons(
                self.question, lambda given: answer(self.question.id, given).text, latest
            )
            if box is not None:
                display(box)  # type: ignore[no-untyped-call]


def predict(id: str) -> Prompt:
    """Ask question `id`; see `labkit.predict`."""
    return Prompt(find_question(id))


def answer(id: str, given: object) -> Card:
    """Keep an answer to question `id`; see `labkit.answer`."""
    question = find_question(id)
    parsed = question.parse(given)
    if card.shown_as() != "live":  # run for readers: it is nobody's answer
        entry: Mapping[str, Any] = {"first": {"answer": parsed, "at": ""}, "later": []}
        return card.kept_card(question, entry, "")
    store = Store()
    kept = store.commit(question.id, parsed)
    return card.kept_card(question, _sane(question, kept) or kept, store.notice)


def reveal(id: str, observed: object) -> Card:
    """Hold the prediction of question `id` against what was observed; see `labkit.reveal`."""
    question = find_question(id)
    try:
        facts = question.read(observed)
        saw, right, undecided = decide(question, facts)
        line = question.drawing.line(facts) if question.drawing is not None else None
    except RequestError as error:  # what could not be observed here is no reason to stop
        return card.unobserved(question, str(error))
    if card.shown_as() != "live":
        return card.for_readers(question, saw, right, undecided, line)
    store = Store()
    kept = _sane(question, store.of(question.id))
    if kept is None:
        return card.none_yet(question, saw, right, undecided, line)
    store.see(question.id, facts)
    given, latest = first_and_latest(question, kept)
    return card.held(question, given, latest, saw, right, undecided, store.notice, line)


def check(id: str, value: object) -> Card:
    """Check what the student made in exercise `id`; see `labkit.check`."""
    exercise = find_exercise(id)
    try:
        said, passed = exercise.check(value), True
    except NotYet as error:
        said, passed = str(error), False
    except LabkitError as error:
        said, passed = str(error), False
    except Exception as error:
        what = "nothing" if value is None else f"a {type(value).__name__}"
        why = "" if value is None else f" ({type(error).__name__})"
        said = f"The check is to be given {exercise.takes}; with {what} it cannot do its work{why}."
        passed = False
    notice = ""
    if card.shown_as() == "live":
        store = Store()
        store.attempt(exercise.id, passed)
        notice = store.notice
    return card.checked(exercise.id, exercise.text, passed, said, notice)


def decide(question: Question, facts: Mapping[str, Any]) -> tuple[str, Right | None, str]:
    """What was observed in a sentence, the right answer, and why there is none if there is none.

    Raises:
        RequestError: the facts contradict themselves.
    """
    try:
        saw = question.saw(facts)
        try:
            return saw, question.right(facts), ""
        except Undecided as open_end:
            return saw, None, str(open_end)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise RequestError(
            f"question {question.id} cannot be decided from these facts ({error})."
        ) from None


def first_and_latest(question: Question, kept: Mapping[str, Any]) -> tuple[Given, Given]:
    """The first answer and the latest, as the question takes them.

    Raises:
        RequestError: what was kept does not answer this question.
    """
    later = kept.get("later") or []
    first = question.parse(kept["first"]["answer"])
    return first, question.parse(later[-1]["answer"]) if later else first


def _sane(question: Question, kept: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What was kept, if it still answers the question; an edited file may hold anything."""
    if kept is None:
        return None
    try:
        first_and_latest(question, kept)
    except (RequestError, KeyError, TypeError, AttributeError):
        return None
    return kept
