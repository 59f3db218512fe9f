"""A scene: the picture of one step as a list of plain items, in the order they are drawn.

The canvas is 1600 x 760 units, x to the right and y down. An item that keeps its id from one step
to the next is the same thing: a player moves it, and marks what changed. Nothing here draws;
`labkit.player` and `labkit.plots.scene` do.

Roles: process, user (user mode, user memory), kernel (kernel mode, the kernel's memory), memory
(shared memory), private (private memory), object (a kernel object), file, page, guard, note.
"""

from collections.abc import Sequence
from typing import Any, Literal

WIDTH, HEIGHT = 1600, 760
TEXT = 24.0  # the least size of text

Item = dict[str, Any]
Role = Literal[
    "process", "user", "kernel", "memory", "private", "object", "file", "page", "guard", "note"
]
State = Literal["", "active", "gone", "refused", "marked"]
Way = Literal["mode", "context", "copy", "map", "own", "signal", "refused"]


class Scene:
    """Items under way; each method adds one.

    Attributes:
        items: what was added, as plain dictionaries.
    """

    def __init__(self) -> None:
        self.items: list[Item] = []

    def box(
        self,
        name: str,
        place: tuple[float, float, float, float],
        role: Role,
        title: str = "",
        lines: Sequence[str] = (),
        state: State = "",
        mono: bool = False,
    ) -> None:
        """A rectangle at (x, y, width, height) with a title and lines of text in it."""
        x, y, w, h = place
        box = {"id": name, "kind": "box", "x": x, "y": y, "w": w, "h": h, "role": role}
        self.items.append(
            box | {"title": title, "lines": list(lines), "state": state, "mono": mono}
        )

    def bytes(
        self,
        name: str,
        place: tuple[float, float, float, float],
        role: Role,
        cells: Sequence[str],
        label: str = "",
    ) -> None:
        """A buffer with what is in it: one cell a byte (or a few), "" for an empty one."""
        x, y, w, h = place
        buffer = {"id": name, "kind": "bytes", "x": x, "y": y, "w": w, "h": h, "role": role}
        self.items.append(buffer | {"cells": list(cells), "label": label})

    def text(
        self,
        name: str,
        at: tuple[float, float],
        words: str,
        size: float = TEXT,
        anchor: Literal["start", "middle", "end"] = "start",
        bold: bool = False,
        mono: bool = False,
        role: Literal["ink", "quiet", "user", "kernel", "memory", "alarm"] = "ink",
    ) -> None:
        """Words at (x, y of the baseline)."""
        text = {"id": name, "kind": "text", "x": at[0], "y": at[1], "text": words, "size": size}
        self.items.append(text | {"anchor": anchor, "bold": bold, "mono": mono, "role": role})

    def arrow(
        self,
        name: str,
        points: Sequence[tuple[float, float]],
        role: Way,
        label: str = "",
        both: bool = False,
    ) -> None:
        """An arrow along points: a mode switch, a context switch, bytes copied, a mapping, ..."""
        arrow = {"id": name, "kind": "arrow", "points": [list(point) for point in points]}
        self.items.append(arrow | {"role": role, "label": label, "both": both})

    def token(self, name: str, at: tuple[float, float], words: str, role: Role = "note") -> None:
        """A small chip with its middle at (x, y): the message itself, or what runs where."""
        token = {"id": name, "kind": "token", "x": at[0], "y": at[1], "text": words}
        self.items.append(token | {"role": role})

    def badge(
        self,
        name: str,
        at: tuple[float, float],
        words: str,
        role: Role = "note",
        anchor: Literal["start", "middle", "end"] = "start",
    ) -> None:
        """A pill with a fact, such as "PID 4711" or "nattch 2", its middle at y."""
        badge = {"id": name, "kind": "badge", "x": at[0], "y": at[1], "text": words}
        self.items.append(badge | {"role": role, "anchor": anchor})


def changed(before: Sequence[Item], after: Sequence[Item]) -> list[str]:
    """The ids of what is new in a scene or not as it was in the one before."""
    known = {item["id"]: item for item in before}
    return [item["id"] for item in after if known.get(item["id"]) != item]


def in_words(items: Sequence[Item]) -> str:
    """A scene in words, for those who cannot see it."""
    said = []
    for item in items:
        kind = item["kind"]
        if kind == "box":
            state = f" ({item['state']})" if item["state"] in ("gone", "refused", "marked") else ""
            words = f"{item['title']}{state}: {'; '.join(item['lines'])}" if item["lines"] else ""
            said.append(words or f"{item['title']}{state}")
        elif kind == "bytes":
            filled = "".join(cell or "_" for cell in item["cells"])
            said.append(f"{item['label'] or 'a buffer'} holds {filled}")
        elif kind == "arrow":
            said.append(f"{_WAYS[item['role']]}{': ' + item['label'] if item['label'] else ''}")
        else:
            said.append(item["text"])
    return ". ".join(" ".join(words.split()).rstrip(".") for words in said if words.strip()) + "."


_WAYS = {
    "mode": "an arrow for a mode switch",
    "context": "an arrow for a context switch",
    "copy": "an arrow for a copy",
    "map": "a line to what is mapped",
    "own": "a line to what is held open",
    "signal": "an arrow for a signal",
    "refused": "a crossed-out arrow",
}
