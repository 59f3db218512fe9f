"""Experiments for tests of walkthroughs: a walkthrough under circumstances that one cannot ask for.

They run in the stage's clean process, whose PYTHONPATH has this folder.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

from labkit.errors import LabkitError
from labkit.harness.stage import Stage
from labkit.kernel import trace
from labkit.walkthroughs import recording
from labkit.walkthroughs.one_message import sight, watch
from labkit.walkthroughs.one_message.watch import Watch
from labkit.walkthroughs.step import Steps


def without_ptrace(stage: Stage, name: str, options: dict[str, Any]) -> Any:
    """A walkthrough where the kernel refuses ptrace and what goes with it."""

    def refused(*_: object) -> Any:
        raise LabkitError("refused")

    trace.why_not = lambda: "ptrace is refused, for this test"
    trace.Tracer.attach = refused  # type: ignore[assignment]
    vars(sight)["read_memory"] = refused
    return recording.record(stage, name, options)


def killed_on_the_way(stage: Stage, moment: int, who: str) -> Any:
    """A walkthrough one of whose processes is killed at the n-th moment of the traced message."""
    note: Callable[..., None] = Watch._note

    def note_or_kill(self: Any, *what: Any) -> None:
        note(self, *what)
        if self._stops and len(self._found.moments) == moment:
            os.kill(os.getpid() if who == "stage" else self._pids[who], signal.SIGKILL)

    vars(watch)["Watch"]._note = note_or_kill
    return recording.record(stage, "mode_switches", {"mechanism": "posix_shm"})


def killed_at_step(stage: Stage, step: int) -> Any:
    """The walkthrough of synchronisation, whose stage is killed when it would add its n-th step."""
    add = Steps.add

    def add_or_die(self: Steps, *what: Any, **how: Any) -> None:
        if len(self.steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        add(self, *what, **how)

    vars(recording)["Steps"].add = add_or_die
    return recording.record(stage, "synchronisation", {"rounds": 1000})
