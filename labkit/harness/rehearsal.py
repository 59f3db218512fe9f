"""Somebody's own mechanism is tried in the helper process before anything is measured.

Its file runs, its channels are made and dropped, its verbs are compiled. What can go wrong there is
told at once, with its line; what goes wrong while messages travel is a failed cell, like that of
any mechanism. Before each step the helper says what it is at, so that a crash is told by name.
"""

from collections.abc import Callable, Iterable
from typing import Any

from labkit import mechanisms
from labkit.harness.ends import Engine
from labkit.harness.request import Cell, format_size
from labkit.kernel.objects import Objects
from labkit.kernel.refusals import REFUSALS
from labkit.mechanisms.contract import Mechanism, room_for
from labkit.mechanisms.own import Own
from labkit.mechanisms.own_running import check_compiled, guarded, load, translated

# A value that makes no sense is the author's mistake here, not the kernel's answer.
KERNEL_SAID_NO = tuple(each for each in REFUSALS if each is not ValueError)

Emit = Callable[..., None]


def rehearse(
    own: Iterable[Own],
    cells: list[Cell],
    engines: Callable[[str, Mechanism], Engine],
    emit: Emit,
) -> None:
    """Have every mechanism of somebody's own known, by name, in this process.

    Raises:
        RequestError: one of them will not do; says in which line.
    """
    for each in own:
        of_it = [cell for cell in cells if cell.mechanism == each.name]
        emit("trying", file=each.file, doing="its file was read")
        kind = load(each)
        for size, pattern in dict.fromkeys((cell.message_size, cell.pattern) for cell in of_it):
            doing = f"create() and discard() made a channel for {format_size(size)}"
            emit("trying", file=each.file, doing=doing)
            _make(kind, each, size, pattern)
        if any(cell.engine == "compiled" for cell in of_it):
            emit("trying", file=each.file, doing="its verbs were compiled")
            with translated(each):
                compiled = engines("compiled", kind)
            check_compiled(each, compiled.verbs)
        mechanisms.add(kind)
    emit("trying", file="", doing="")


def _make(kind: Mechanism, own: Own, size: int, pattern: str) -> None:
    """Make a channel and drop it. That the kernel refuses is told when its cell's turn comes."""
    with Objects() as objects:
        room = room_for(pattern, size)
        try:
            with guarded(own.file, "create()", KERNEL_SAID_NO):
                channel = kind.channel(objects, size, room, own.waiting)
        except KERNEL_SAID_NO:
            return
        with guarded(own.file, "discard()"):
            channel.discard()


def read(plan: dict[str, Any]) -> list[Own]:
    """The mechanisms of somebody's own that a plan brings along."""
    return [Own(**each) for each in plan.get("own", ())]
