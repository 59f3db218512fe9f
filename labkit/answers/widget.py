"""The buttons under a question, where a person sits at a live kernel.

They only hand an answer to the same function that `labkit.answer` calls. ipywidgets draws them; a
front end without it shows nothing here, and the question above says how to answer in code.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple

from labkit.answers.card import shown_as
from labkit.answers.drawing import Drawing
from labkit.answers.question import Given, Question
from labkit.errors import LabkitError

_STATUS = '<span role="status" style="line-height:2">{}</span>'


def live() -> bool:
    """Whether this Python is the kernel of a notebook that a person has open."""
    if shown_as() != "live":
        return False
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def buttons(question: Question, commit: Callable[[Any], str], latest: Given | None = None) -> Any:
    """A widget that takes an answer to a question.

    Args:
        question: what is asked.
        commit: is given the answer when it is committed to; returns what to say then.
        latest: what was answered last; a drawing goes on from there.

    Returns:
        An ipywidgets box; None where ipywidgets is not installed.
    """
    try:
        import ipywidgets as widgets
    except ImportError:
        return None
    status = widgets.HTML()

    def take(answer: object) -> None:
        try:
            said = commit(answer)
        except LabkitError as error:
            said = str(error)
        status.value = _STATUS.format(escape(said))

    plain = _fields(question, widgets, latest)
    send = widgets.Button(description="Commit", button_style="primary", tooltip="Keep this answer")
    send.on_click(lambda _: take(plain.answer(plain.held())))
    try:
        from labkit.answers.commit import PLAIN, Commit
        from labkit.answers.pad import Pad
    except ImportError:
        return widgets.VBox([*plain.widgets, send, status])
    # The kernel cannot know whether the front end can show widgets of our own. So what would stand
    # in for them is there as well, and the style sheet that comes with them hides it.
    shown = plain
    if question.drawing is not None:
        pad = Pad(question.drawing, _line(question.drawing, latest))
        shown = _Fields([pad], "values", lambda held: held[0])
        for each in plain.widgets:
            each.add_class(PLAIN)
    send.add_class(PLAIN)
    ours = Commit(
        shown.widgets, [shown.state] * len(shown.widgets), lambda held: take(shown.answer(held))
    )
    if question.drawing is not None:
        return widgets.VBox([*shown.widgets, *plain.widgets, ours, send, status])
    row = widgets.HBox([*plain.widgets, ours, send], layout=widgets.Layout(flex_flow="row wrap"))
    return widgets.VBox([row, status])


class _Fields(NamedTuple):
    """What is clicked, typed or drawn into.

    Attributes:
        state: the name of what each of them holds.
        answer: the answer that is in what they hold.
    """

    widgets: list[Any]
    state: str
    answer: Callable[[list[Any]], Any]

    def held(self) -> list[Any]:
        """What they hold, as far as the kernel has heard."""
        return [getattr(each, self.state) for each in self.widgets]


def _fields(question: Question, widgets: Any, latest: Given | None) -> _Fields:
    """Fields that every front end with widgets can show."""
    if question.drawing is not None:
        return _sliders(question.drawing, widgets, latest)
    if question.kind == "choice":
        keys = list(question.choices)
        one = widgets.ToggleButtons(
            options=[(key, key) for key in keys],
            value=None,
            tooltips=[choice.text for choice in question.choices.values()],
            style={"button_width": "4em"},
        )
        return _Fields([one], "index", lambda held: _at(keys, held[0]))
    if question.kind == "number":
        number = widgets.Text(placeholder="a number", layout=widgets.Layout(width="10em"))
        return _Fields([number], "value", lambda held: held[0])
    places = [
        widgets.Dropdown(
            options=[("-", ""), *((text, key) for key, text in question.items.items())],
            description=f"{place + 1}.",
            style={"description_width": "1.5em"},
        )
        for place in range(len(question.items))
    ]
    items = ["", *question.items]
    return _Fields(places, "index", lambda held: [_at(items, each) for each in held])


def _sliders(drawing: Drawing, widgets: Any, latest: Given | None) -> _Fields:
    """A slider for each column."""
    axis = drawing.axis
    levels = [("no point yet", ""), *((axis.label(level), level) for level in axis.levels)]
    sliders = [
        widgets.SelectionSlider(
            options=levels,
            value=axis.nearest(value) if value is not None else "",
            description=label,
            disabled=key in drawing.fixed,
            style={"description_width": "11em"},
            layout=widgets.Layout(width="34em"),
        )
        for (key, label), value in zip(drawing.columns.items(), _line(drawing, latest), strict=True)
    ]
    values = [None, *axis.levels]
    return _Fields(sliders, "index", lambda held: [_at(values, each) for each in held])


def _line(drawing: Drawing, latest: Given | None) -> list[float | None]:
    """The points there are already: of the latest answer, or what is so by definition."""
    if isinstance(latest, tuple):
        return [float(each) for each in latest]
    return [drawing.fixed.get(key) for key in drawing.columns]


def _at(options: Sequence[Any], index: int | None) -> Any:
    """The option that is chosen; None where none is."""
    return None if index is None else options[index]
