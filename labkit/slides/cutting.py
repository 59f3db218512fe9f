"""Which cells make which slide, and which slides make which cut.

A cell says with JupyterLab's slide type (its Property Inspector sets it) where it belongs: `slide`
and `subslide` begin one, `-` and `fragment` go on with it, `notes` are for the speaker, `skip` is
left out. Tags of the cell that begins a slide say in which cuts it stands: `ten` (ten minutes) and
`demo`; all slides make the fifty minutes. The tags `remove-input` and `remove-output` leave out
code, or what it showed.

What the speaker is to know need not stand in the notebook, where students would read it: the cell
that begins a slide may carry it as metadata (Property Inspector, Advanced Tools):

    "labkit": {"minutes": 3, "ask": "...", "misconception": "...", "notes": "..."}

where `minutes` may differ by cut: {"ten": 1, "fifty": 3}.

A notebook in which no cell says anything gets a slide for each heading of the first two levels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Cut = Literal["ten", "fifty", "demo"]
CUTS: tuple[Cut, ...] = ("ten", "fifty", "demo")
BEGINS = ("slide", "subslide")
MOST_MINUTES = 24 * 60
_HEADING = re.compile(r"^##? ")


@dataclass
class Slide:
    """One slide: its cells, each with whether it waits for a step, and the speaker's notes."""

    cells: list[tuple[Any, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tags: frozenset[str] = frozenset()
    about: Mapping[str, Any] = field(default_factory=dict)

    def minutes(self, cut: Cut) -> float:
        """How long it is meant to take; 0 where nobody said."""
        said = self.about.get("minutes", 0)
        said = said.get(cut, said.get("fifty", 0)) if isinstance(said, Mapping) else said
        return float(said) if isinstance(said, int | float) and 0 <= said <= MOST_MINUTES else 0.0

    def spoken(self, cut: Cut, before: float) -> list[str]:
        """The speaker's notes, as Markdown.

        Args:
            cut: the minutes of which cut count.
            before: minutes that the slides before it take.
        """
        minutes = self.minutes(cut)
        told = []
        if minutes:
            told.append(f"**{minutes:g} min**, from {before:g} to {before + minutes:g}.")
        for name, words in (("ask", "Ask"), ("misconception", "Usual misconception")):
            if self.about.get(name):
                told.append(f"**{words}:** {self.about[name]}")
        return [
            *told,
            *([str(self.about["notes"])] if self.about.get("notes") else []),
            *self.notes,
        ]


def cut_slides(notebook: Any, cut: Cut) -> list[Slide]:
    """The slides of a notebook that belong to a cut, in order."""
    typed = any(slide_type(cell) not in ("", "-") for cell in notebook.cells)
    slides: list[Slide] = []
    for cell in notebook.cells:
        kind = slide_type(cell) if typed else _by_heading(cell)
        if kind == "skip":
            continue
        if kind in BEGINS or not slides:
            tags = cell.metadata.get("tags", [])
            about = cell.metadata.get("labkit")
            told = about if isinstance(about, Mapping) else {}  # it is edited by hand
            named = frozenset(map(str, tags)) if isinstance(tags, list) else frozenset()
            slides.append(Slide(tags=named, about=told))
        if kind == "notes":
            slides[-1].notes.append(cell.source)
        elif cell.source.strip():
            slides[-1].cells.append((cell, kind == "fragment"))
    kept = [slide for slide in slides if slide.cells]
    return [slide for slide in kept if cut == "fifty" or cut in slide.tags]


def slide_type(cell: Any) -> str:
    """JupyterLab's slide type of a cell; "" where none is set."""
    slideshow = cell.metadata.get("slideshow", {})
    return str(slideshow.get("slide_type") or "") if isinstance(slideshow, dict) else ""


def _by_heading(cell: Any) -> str:
    begins = cell.cell_type == "markdown" and _HEADING.match(cell.source)
    return "slide" if begins else "-"
