"""The buttons under a question, where a person sits at a live kernel.

They only hand an answer to the same function that `labkit.answer` calls. ipywidgets draws them; a
front end without it shows nothing here, and the question above says how to answer in code.
"""

from collections.abc import Callable
from html import escape
from typing import Any

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
    fields, value = _fields(question, widgets, latest)
    status = widgets.HTML()
    send = widgets.Button(description="Commit", button_style="primary", tooltip="Keep this answer")

    def clicked(_: object) -> None:
        try:
            said = commit(value())
        except LabkitError as error:
            said = str(error)
        status.value = _STATUS.format(escape(said))

    send.on_click(clicked)
    if question.drawing is not None:
        return widgets.VBox([*fields, send, status])
    row = widgets.HBox([*fields, send], layout=widgets.Layout(flex_flow="row wrap"))
    return widgets.VBox([row, status])


def _fields(
    question: Question, widgets: Any, latest: Given | None
) -> tuple[list[Any], Callable[[], Any]]:
    """What is clicked or typed into, and the answer that it holds."""
    if question.drawing is not None:
        return _points(question.drawing, widgets, latest)
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


def _points(
    drawing: Drawing, widgets: Any, latest: Given | None
) -> tuple[list[Any], Callable[[], Any]]:
    """A pad to draw on; and a slider for each column, to be seen only where no pad can be.

    The kernel cannot know whether the front end can show the pad. So the sliders are always there,
    and the pad's own style sheet, which only comes with it, hides them.
    """
    axis = drawing.axis
    values = [drawing.fixed.get(key) for key in drawing.columns]
    if isinstance(latest, tuple):
        values = [float(each) for each in latest]
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
        for (key, label), value in zip(drawing.columns.items(), values, strict=True)
    ]
    without_pad = widgets.VBox(sliders)
    without_pad.add_class("labkit-without-pad")

    def by_slider() -> list[float | None]:
        return [None if each.value == "" else each.value for each in sliders]

    try:
        from labkit.answers.pad import Pad
    except ImportError:
        return [without_pad], by_slider
    pad = Pad(drawing, values)

    def moved(_: object) -> None:
        pad.values = by_slider()

    for each in sliders:
        each.observe(moved, "value")
    return [pad, without_pad], lambda: list(pad.values)
