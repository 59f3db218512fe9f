"""How the parts of a picture look: one table, for the browser, the still pictures and matplotlib.

A look is a fill, a line, its width and its dashes, by name of colour; the colours come in a light
and a dark set. The light ones are those of `labkit.plots.style`: what the kernel holds is warm and
round, shared memory cool and square, what belongs to a process neutral. No look is told from
another by its colour alone.
"""

from typing import NamedTuple

LIGHT = {
    "paper": "#ffffff",
    "ink": "#222222",
    "quiet": "#5c5c5c",
    "faint": "#dddddd",
    "process": "#4a4a4a",
    "process-fill": "#fafafa",
    "process-head": "#e9e9e9",
    "user-fill": "#ffffff",
    "kernel": "#B34F00",
    "kernel-fill": "#FFF4EA",
    "object-fill": "#FFE2C7",
    "memory": "#00639B",
    "memory-fill": "#E3F0FA",
    "private-fill": "#f1f1f1",
    "file": "#7A4419",
    "file-fill": "#FAF4EE",
    "alarm": "#A52A2A",
    "alarm-fill": "#FBE9E9",
    "copy": "#007A59",
    "signal": "#8F6200",
    "changed": "#A03E74",
}
DARK = {
    "paper": "#16181c",
    "ink": "#f1f1f1",
    "quiet": "#b4b8bf",
    "faint": "#3c4048",
    "process": "#c3c7ce",
    "process-fill": "#1d2025",
    "process-head": "#2e323a",
    "user-fill": "#16181c",
    "kernel": "#FF9D5C",
    "kernel-fill": "#2c2119",
    "object-fill": "#4a301b",
    "memory": "#6DBEF2",
    "memory-fill": "#15293a",
    "private-fill": "#292c32",
    "file": "#D9A877",
    "file-fill": "#2a241f",
    "alarm": "#FF9090",
    "alarm-fill": "#3b1d20",
    "copy": "#3FCFA4",
    "signal": "#E6B84D",
    "changed": "#F08CC4",
}


class Look(NamedTuple):
    """Fill and line by name of colour ("" for none), the line's width and its dashes."""

    fill: str = ""
    line: str = ""
    width: float = 0.0
    dashes: tuple[float, ...] = ()
    faded: float = 1.0  # opacity
    round: bool = False  # ends of lines


LOOKS: dict[str, Look] = {
    # boxes
    "process": Look("process-fill", "process", 3),
    "process-head": Look("process-head"),
    "user": Look("user-fill", "process", 2),
    "kernel": Look("kernel-fill", "kernel", 3),
    "kernel-ladder": Look("", "kernel", 12, (4, 7), 0.75),
    "memory": Look("memory-fill", "memory", 3),
    "memory-inner": Look("", "memory", 1.5),
    "private": Look("private-fill", "process", 2.5, (12, 7)),
    "object": Look("object-fill", "kernel", 4.5),
    "file": Look("file-fill", "file", 2.5),
    "file-ear": Look("file", "file", 2.5),
    "page": Look("paper", "ink", 2),
    "page-corner": Look("ink"),
    "guard": Look("paper", "alarm", 2.5, (3, 6)),
    "guard-hatch": Look("", "alarm", 1.5, (), 0.45),
    "note": Look("", "", 0),
    "note-bar": Look("", "quiet", 5),
    # states
    "active": Look("", "ink", 6),
    "gone": Look("", "quiet", 2.5, (4, 7)),
    "gone-cross": Look("", "quiet", 2.5, (), 0.45),
    "refused": Look("", "alarm", 5),
    "marked": Look("", "ink", 4, (18, 6, 4, 6)),
    "veil": Look("paper", "", 0, (), 0.38),
    "chip-ink": Look("ink", "paper", 2),
    "chip-alarm": Look("alarm", "paper", 2),
    "chip-quiet": Look("paper", "quiet", 2, (4, 4)),
    # the cells of a buffer
    "cell": Look("", "quiet", 1.5),
    "cell-empty": Look("paper", "quiet", 1.5, (3, 5)),
    # arrows: line, then head
    "mode": Look("", "kernel", 6),
    "mode-head": Look("kernel"),
    "mode-gate": Look("paper", "kernel", 4),
    "context": Look("", "ink", 18),
    "context-core": Look("", "paper", 9),
    "context-head": Look("ink"),
    "copy": Look("", "copy", 8, (0.1, 15), 1, True),
    "copy-head": Look("copy"),
    "map": Look("", "memory", 4, (16, 9)),
    "map-head": Look("memory"),
    "own": Look("", "process", 2.5),
    "own-head": Look("process"),
    "signal": Look("", "signal", 5, (20, 7, 4, 7)),
    "signal-head": Look("signal"),
    "refused-line": Look("", "alarm", 4, (12, 6)),
    "refused-head": Look("alarm"),
    "refused-cross": Look("", "alarm", 7, (), 1, True),
    # marks of change
    "ring": Look("", "changed", 4),
    "mark": Look("changed", "paper", 3),
    "mark-sign": Look("paper"),
}

_EDGE = {
    "process": "process", "user": "process", "kernel": "kernel", "memory": "memory",
    "private": "process", "object": "kernel", "file": "file", "page": "ink", "guard": "alarm",
    "note": "quiet",
}  # fmt: skip
_TINT = {
    "process": "process-head", "user": "user-fill", "kernel": "kernel-fill",
    "memory": "memory-fill", "private": "private-fill", "object": "object-fill",
    "file": "file-fill", "page": "paper", "guard": "alarm-fill", "note": "paper",
}  # fmt: skip
for _role, _edge in _EDGE.items():
    LOOKS[f"token-{_role}"] = Look(_edge, "paper", 3)
    _dashes = (8.0, 5.0) if _role == "private" else ()
    LOOKS[f"badge-{_role}"] = Look(_TINT[_role], _edge, 2.5, _dashes)
    LOOKS[f"full-{_role}"] = Look(_TINT[_role], _edge, 2.5)

# What colour words have, by role.
WORDS = {
    "ink": "ink", "quiet": "quiet", "user": "process", "kernel": "kernel", "memory": "memory",
    "alarm": "alarm", "process": "ink", "private": "ink", "object": "kernel", "file": "file",
    "page": "ink", "guard": "alarm", "note": "quiet", "paper": "paper", "copy": "copy",
    "signal": "signal", "mode": "kernel", "context": "ink", "map": "memory", "own": "process",
    "refused": "alarm", "changed": "changed",
}  # fmt: skip
for _role, _edge in _EDGE.items():
    LOOKS[f"{_role}-edge"] = Look("", _edge, 4.0 if _role == "object" else 3.0)
