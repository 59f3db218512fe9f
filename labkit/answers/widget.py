"""The buttons under a question, where a person sits at a live kernel.

They only hand an answer to the same function that `labkit.answer` calls. ipywidgets draws them; a
front end without it shows nothing here, and the question above says how to answer in code.
"""

from collections.abc import Callable
from html import escape
from typing import Any

from labkit.answers.card import shown_as
from labkit.answers.question import Question
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


def buttons(question: Question, commit: Callable[[Any], str]) -> Any:
    """A widget that takes an answer to a question.

    Args:
        question: what is asked.
        commit: is given the answer when it is committed to; returns what to say then.

    Returns:
        An ipywidgets box; None where ipywidgets is not installed.
    """
    try:
        import ipywidgets as widgets
    except ImportError:
        return None
    fields, value = _fields(question, widgets)
    status = widgets.HTML()
    send = widgets.Button(description="Commit", button_style="primary", tooltip="Keep this answer")

    def clicked(_: object) -> None:
        try:
            said = commit(value())
        except LabkitError as error:
            said = str(error)
        status.value = _STATUS.format(escape(said))

    send.on_click(clicked)
    row = widgets.HBox([*fields, send], layout=widgets.Layout(flex_flow="row wrap"))
    return widgets.VBox([row, status])


def _fields(question: Question, widgets: Any) -> tuple[list[Any], Callable[[], Any]]:
    """What is clicked or typed into, and the answer that it holds."""
    if question.kind == "choice":
        one = widgets.ToggleButtons(
            options=[(key, key) for key in question.choices],
            value=None,
            tooltips=[choice.text for choice in question.choices.values()],
            style={"button_width": "4em"},
        )
        return [one], lambda: one.value
    if question.kind == "number":
        number = widgets.Text(placeholder="a number", layout=widgets.Layout(width="10em"))
        return [number], lambda: number.value
    places = [
        widgets.Dropdown(
            options=[("-", ""), *((text, key) for key, text in question.items.items())],
            description=f"{place + 1}.",
            style={"description_width": "1.5em"},
        )
        for place in range(len(question.items))
    ]
    return places, lambda: [each.value for each in places]
