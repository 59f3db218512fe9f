"""The pad on which a line is drawn, by mouse, finger or keyboard (pad.js does the drawing)."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from anywidget import AnyWidget
from traitlets import Dict, List

from labkit.answers.drawing import Drawing
from labkit.answers.sketch import pad

_HERE = files("labkit.answers")


class Pad(AnyWidget):
    """A widget with one point a column; `values` are theirs, None where there is none yet."""

    _esm = (_HERE / "pad.js").read_text(encoding="utf-8")
    _css = (_HERE / "pad.css").read_text(encoding="utf-8")
    pad: Any = Dict().tag(sync=True)
    values: Any = List().tag(sync=True)

    def __init__(self, drawing: Drawing, values: Sequence[float | None]) -> None:
        """A pad over a drawing's axes, with the points that are there already."""
        super().__init__(pad=pad(drawing), values=list(values))
