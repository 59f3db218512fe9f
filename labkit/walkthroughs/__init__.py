"""Walkthroughs: what the kernel did a moment ago, step by step.

Each is a module with `TITLE`, `QUESTION` and `observe(stage, steps, ...)`, which runs on a stage
(`labkit.harness.stage`) and adds its steps (`labkit.walkthroughs.step`) as it goes. Its further
arguments, all with defaults, are what `labkit.walk(name, ...)` takes; `check`, if there is one, is
given them first, in the process that asks, and returns them in good order.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from types import ModuleType
from typing import Any

from labkit.errors import RequestError
from labkit.harness import experiment
from labkit.harness.request import nearest
from labkit.progress import Progress

NAMES = (
    "mode_switches",
    "shm_lifecycle",
    "persistence_after_read",
    "fork_inheritance",
    "exec_detachment",
    "synchronisation",
    "rendezvous",
)


@dataclass(frozen=True)
class Subject:
    """What a walkthrough is about.

    Attributes:
        title: what it is called on a slide.
        question: the one question it answers.
        options: what `labkit.walk` takes for it besides its name, with the defaults.
    """

    name: str
    title: str
    question: str
    options: dict[str, Any]


def _module(name: str) -> ModuleType:
    if not isinstance(name, str) or name not in NAMES:
        near = nearest(name, NAMES) if isinstance(name, str) else None
        meant = f" (did you mean '{near}'?)" if near else ""
        shown = repr(name)[:60]
        raise RequestError(
            f"there is no walkthrough {shown}{meant}; it is one of {', '.join(NAMES)}."
        )
    return import_module(f"labkit.walkthroughs.{name}")


def subject(name: str) -> Subject:
    """What a walkthrough is about.

    Raises:
        RequestError: there is none of that name.
    """
    module = _module(name)
    parameters = list(inspect.signature(module.observe).parameters.values())[2:]
    options = {each.name: each.default for each in parameters}
    return Subject(name, module.TITLE, module.QUESTION, options)


def observe(
    name: str,
    options: dict[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Run a walkthrough's experiment on this machine, now, and return what was observed.

    Args:
        name: one of `NAMES`.
        options: the keyword arguments of that walkthrough's `observe`.

    Returns:
        name, title, question, machine (small print), notes (what could not be shown here and why),
        facts (observations by name, for predictions) and steps, see `labkit.walkthroughs.step`.

    Raises:
        RequestError: the walkthrough or an option is unknown, or an option's value is not allowed.
        LabkitError: the experiment could not be done here; says why.
    """
    about, options = subject(name), options or {}
    for option in options:
        if option not in about.options:
            near = nearest(option, list(about.options))
            meant = f" (did you mean '{near}'?)" if near else ""
            allowed = ", ".join(about.options) or "none"
            raise RequestError(
                f"the walkthrough {name} has no option {option[:60]!r}{meant}; it has: {allowed}."
            )
    module = _module(name)
    options = about.options | options
    if hasattr(module, "check"):
        options = module.check(**options)
    plan = {"name": name, "options": options}
    found = experiment.run("labkit.walkthroughs.recording:record", plan, progress)
    return {
        "name": name,
        "title": about.title,
        "question": about.question,
        "machine": _small_print(),
        "notes": found.notes,
        **found.value,
    }


def _small_print() -> str:
    """Which machine, and when."""
    import os

    kernel = os.uname()
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"Observed on Linux {kernel.release} ({kernel.machine}), {now}."
