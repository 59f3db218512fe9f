"""One message from user mode to user mode: every crossing into the kernel, and every copy.

A mode switch is one process changing its mode, at each system call twice; a context switch is
another process getting the CPU. syscalls(2), ptrace(2), getrusage(2), futex(2), pipe(7); Bovet and
Cesati, Understanding the Linux Kernel, chapters 3 and 10.
"""

import dataclasses
import os
from typing import Any

from labkit.errors import RequestError
from labkit.harness.request import PLACEMENTS, WAITINGS
from labkit.harness.stage import Stage
from labkit.kernel import cpus, trace
from labkit.mechanisms import names, own
from labkit.walkthroughs.mode_switches.side import facts, passed
from labkit.walkthroughs.mode_switches.steps import alone, together
from labkit.walkthroughs.one_message import MOST_BYTES, channel, tried
from labkit.walkthroughs.options import known, showable
from labkit.walkthroughs.step import Steps

TITLE = "Mode switches: one message on its way"
QUESTION = "How often does one message cross into the kernel, and how often is it copied?"

Given = str | dict[str, Any]


def check(
    mechanism: str, beside: str | None, waiting: str, message: str, placement: str
) -> dict[str, Any]:
    """The options in good order.

    Raises:
        RequestError: one of them is not allowed.
    """
    sides = [_read("mechanism", mechanism)]
    if beside is not None:
        sides.append(_read("mechanism to stand beside it", beside))
        first, second = (side if isinstance(side, str) else side["name"] for side in sides)
        if first == second:
            raise RequestError(
                f"{first} cannot stand beside itself: name another mechanism, or none."
            )
    known("way of waiting", waiting, WAITINGS)
    known("placement", placement, PLACEMENTS)
    showable(message, MOST_BYTES)
    if placement == "cross-cpu" and len(cpus.allowed()) < 2:
        raise RequestError("this process may use only one CPU: cross-cpu needs two.")
    return {
        "mechanism": sides[0],
        "beside": sides[1] if beside is not None else None,
        "waiting": waiting,
        "message": message,
        "placement": placement,
    }


def _read(what: str, given: object) -> Given:
    """A mechanism's name; one of somebody's own as its text, for the stage to run."""
    if isinstance(given, os.PathLike):
        given = os.fspath(given)
    mechanisms = names(extra=True)
    if isinstance(given, str) and given not in mechanisms and own.is_path(given):
        return dataclasses.asdict(own.read(given))
    return known(what, given, mechanisms)


def observe(
    stage: Stage,
    steps: Steps,
    mechanism: Given = "pipe",
    beside: Given | None = None,
    waiting: str = "futex",
    message: str = "hello",
    placement: str = "same-cpu",
) -> None:
    """Watch one message pass.

    Args:
        mechanism: what carries it: a name, or as `check` returns a file of somebody's own.
        beside: a second mechanism, drawn beside the first.
        waiting: how an end waits in shared memory.
        message: its bytes; ASCII, 1 to 8 characters.
        placement: "same-cpu", "cross-cpu" or "free".
    """
    if why := trace.why_not():
        stage.notes.append(f"System calls are not traced here, only counted by the loops: {why}.")
    allowed = cpus.allowed()
    pinned: tuple[int | None, int | None] = {
        "same-cpu": (allowed[0], allowed[0]),
        "cross-cpu": (allowed[0], allowed[-1]),
        "free": (None, None),
    }[placement]
    sides = []
    for given in [mechanism] if beside is None else [mechanism, beside]:
        name = given if isinstance(given, str) else tried(stage, own.Own(**given), len(message))
        with channel(stage, name, waiting, len(message), pinned) as way:
            sides.append(passed(way, message, pinned, traced=not why))
    for side in sides:
        facts(steps, side)
    if len(sides) == 1:
        alone(steps, sides[0])
    else:
        together(steps, sides)
