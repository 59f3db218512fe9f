"""A walkthrough that was observed, and ways to look at it: here, as table, figure or file."""

import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import RequestError
from labkit.whole_file import place, write_file

if TYPE_CHECKING:
    import pandas as pd

    from labkit.plots.style import Picture


def check_file(path: str | os.PathLike[str]) -> Path:
    """The path of a file to be written.

    Raises:
        RequestError: there is no such folder, or it is the name of a folder itself.
    """
    try:
        target = Path(path).expanduser()
        if "\0" in str(target):
            raise ValueError("a null character")
        if target.is_dir() or not target.name:
            raise RequestError(f"{str(path)!r} is no file; name one, such as walk.html.")
        place(target)
        if not target.parent.is_dir():
            raise RequestError(f"there is no folder {str(target.parent)!r}; make it first.")
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(
            f"{str(path)[:80]!r} is no path for a file; give one such as walk.html."
        ) from error
    return target


class Walk:
    """What was observed, step by step; shows itself as a player in a notebook.

    Attributes:
        name, title, question: what it is about.
        steps: the steps, as dictionaries with title, narration, call, evidence, counts, scene,
            changed and alt: see `labkit.walkthroughs.step.Step`.
        facts: what was observed, by name, for a prediction to be held against.
        notes: what could not be shown on this machine, and why.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data
        self.name: str = data["name"]
        self.title: str = data["title"]
        self.question: str = data["question"]
        self.steps: list[dict[str, Any]] = data["steps"]
        self.facts: dict[str, Any] = data.get("facts", {})
        self.notes: list[str] = data["notes"]

    def __repr__(self) -> str:
        return f"<walkthrough {self.name}: {len(self.steps)} steps>"

    def __len__(self) -> int:
        return len(self.steps)

    def data(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        return self._data

    @cached_property
    def table(self) -> "pd.DataFrame":
        """The steps as a table: one row a step, with what was counted up to it.

        Columns: step (from 1), title, narration, call, evidence (a line each), and one for each
        thing counted, a whole number, empty where it was not.
        """
        import pandas as pd

        rows = [
            {
                "step": number,
                "title": step["title"],
                "narration": step["narration"],
                "call": step["call"],
                "evidence": "\n".join(
                    f"{each['what']} ({each['where']}): {each['value']}"
                    for each in step["evidence"]
                ),
                **step["counts"],
            }
            for number, step in enumerate(self.steps, 1)
        ]
        table = pd.DataFrame(rows)
        counted = {name: "Int64" for step in self.steps for name in step["counts"]}
        return table.astype(counted)

    def figure(self, step: int) -> "Picture":
        """One step as a matplotlib figure.

        Args:
            step: its number, from 1, as the player counts.

        Raises:
            RequestError: there is no such step.
        """
        if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= len(self.steps):
            raise RequestError(
                f"there is no step {step!r}: this walkthrough has 1 to {len(self.steps)}."
            )
        from labkit.plots.scene import picture

        return picture(self.steps[step - 1], self._data)

    def html(self, page: bool = False) -> str:
        """The player: a fragment to put into a page, or a page of its own."""
        from labkit.player import html

        return html(self._data, page=page)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the player as one HTML file that needs neither kernel nor network.

        An existing file is replaced, at once and whole or not at all.

        Raises:
            RequestError: the path is no place for a file.
            LabkitError: it cannot be written there.
        """
        target = check_file(path)
        return write_file(target, self.html(page=True), replace=True)

    def json(self) -> str:
        """All of it as JSON."""
        return json.dumps(self._data)

    def _repr_html_(self) -> str:
        return self.html()
