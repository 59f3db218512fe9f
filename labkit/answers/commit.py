"""The button that commits to an answer, with what is on the screen when it is clicked."""

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from anywidget import AnyWidget
from ipywidgets import widget_serialization
from traitlets import List

# Where this style sheet is, the button is, too, and nobody needs what would stand in for it.
PLAIN = "labkit-plain"


class Commit(AnyWidget):
    """A button that reads its fields where they are shown, and hands over what they hold."""

    _esm = (files("labkit.answers") / "commit.js").read_text(encoding="utf-8")
    _css = f".{PLAIN} {{ display: none !important; }}"
    fields: Any = List().tag(sync=True, **widget_serialization)
    states: Any = List().tag(sync=True)

    def __init__(
        self, fields: Sequence[Any], states: Sequence[str], take: Callable[[list[Any]], None]
    ) -> None:
        """A button for some fields.

        Args:
            fields: widgets.
            states: of each, the name of what it holds: "index", "value", "values".
            take: is given what they hold.
        """
        super().__init__(fields=list(fields), states=list(states))

        def clicked(_: object, content: dict[str, Any], __: object) -> None:
            take(content["answer"])
            self.send({})  # so that the front end knows that the kernel has come to it

        self.on_msg(clicked)
