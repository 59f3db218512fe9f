"""The comparison: a request goes to the helper process, what it measures comes back as a run."""

import dataclasses
import math
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from labkit.errors import BrokenOff, Interrupted, LabkitError, RequestError
from labkit.harness import interruption
from labkit.harness.neighbours import other_helpers
from labkit.harness.request import Cell, Request
from labkit.harness.session import HelperDied, Session
from labkit.kernel import machine
from labkit.kernel.cleaning import clean
from labkit.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from labkit.harness.run import Run

LEAST_REPEATS = 5  # a bootstrap interval from fewer does not cover what it claims
MOST_REPEATS = 25
REPEAT_S = 0.02  # what one repeat of one cell should get before there are more repeats
LEAST_REPEAT_S = 0.008  # the least that one can be done in, start and end included
FINISHING_S = 5.5  # for statistics, figures and saving, after the measurement
TELL_EVERY_S = 0.5
NOT_REACHED = "the budget ended before its turn."

ShowProgress = Callable[[Progress], None]


def compare(
    request: Request,
    progress: ShowProgress | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> "Run":
    """Measure every cell of a request on this machine.

    Cells that cannot be measured here come back as `skipped` rows, ends that die as `failed`
    ones, each with its reason. Pandas is loaded while the helper gets ready.

    Args:
        progress: called from this thread, at most a few times a second.
        meanwhile: called while the helper gets ready, before anything is measured: the place for
            whatever else is slow to load.

    Raises:
        RequestError: the budget cannot fit one repeat of each cell.
        LabkitError: the helper process could not do its work; BrokenOff if something had been
            measured by then.
        Interrupted: by a KeyboardInterrupt, with what had been measured; where that is nothing,
            the KeyboardInterrupt itself.
    """
    began, started = time.monotonic(), datetime.now(UTC)
    cells = request.cells()
    possible = [cell for cell in cells if request.impossible(cell) is None]
    least = LEAST_REPEAT_S * len(possible)
    if least > request.budget:
        raise RequestError(
            f"a budget of {request.budget:g} s cannot fit one repeat of {len(possible)} cells:"
            f" give it at least {math.ceil(least * 100) / 100:g} s, or ask for fewer mechanisms or"
            " sizes."
        )
    wanted = int(request.budget / (REPEAT_S * max(1, len(possible))))
    repeats = max(LEAST_REPEATS, min(MOST_REPEATS, wanted))
    plan = {
        "cells": [dataclasses.asdict(cell) for cell in cells],
        "reasons": [request.impossible(cell) for cell in cells],
        "deadline": began + request.budget - FINISHING_S,
        "least_seconds": request.budget / 2,
        "repeats": repeats,
        "own": [dataclasses.asdict(each) for each in request.own],
    }
    collected = _Collected(cells, repeats * len(possible), request.budget, progress)
    before, cpu_before = machine.snapshot(), _cpu_seconds()
    facts: dict[str, Any] = {}

    def finished(partial: str | None = None) -> "Run":
        from labkit.harness.run import Run
        from labkit.harness.statistics import summarise

        noise = machine.noise(before, machine.snapshot(), _cpu_seconds() - cpu_before)
        samples = collected.table()
        about = facts | {
            "cpus": collected.cpus,
            "settings": request.settings(),
            "started": started.isoformat(timespec="seconds"),
            "duration_s": round(time.monotonic() - began, 3),
            "noise": noise | {"notes": collected.notes},
        }
        if partial is not None:
            about["partial"] = {"reason": partial} | collected.stopped()
        return Run(summarise(samples, collected.outcomes, seed=request.seed), samples, about)

    try:
        with Session(plan) as session:
            # Heavy libraries load while the helper gets ready, not while it measures.
            import_module("labkit.harness.statistics")
            facts |= machine.describe()
            if meanwhile is not None:
                meanwhile()
            for event in session.events():
                if event["event"] == "ready":
                    collected.note_neighbours(session.pid)
                    session.go()
                    finishing = min(FINISHING_S, request.budget)  # few cells are soon drawn
                    collected.expect_end(time.monotonic() + request.budget / 2 + finishing)
                collected.take(event)
            collected.note_neighbours(session.pid)
        return finished()
    except (KeyboardInterrupt, LabkitError) as stop:
        clean()  # a helper that was killed could not remove its objects itself
        if isinstance(stop, HelperDied) and collected.trying.get("file"):
            raise stop.while_trying(**collected.trying) from None
        if not collected.rows:
            if isinstance(stop, KeyboardInterrupt):
                stop.args = (interruption.NOTHING_MEASURED,)
            raise
        run = finished(interruption.cause(stop))
        raise interruption.stopped(stop, run) from stop


def compare_and_keep(request: Request, progress: ShowProgress | None = None) -> "Run":
    """The same for whoever calls from Python: a run that is stopped is saved before that is said.

    Raises:
        KeyboardInterrupt, BrokenOff: with the run as `run`, and a message that says in which
            folder it is. A SIGTERM or SIGHUP then ends this process, as it would have done.
    """
    try:
        with interruption.heeded():
            try:
                return compare(request, progress)
            except (Interrupted, BrokenOff) as stop:
                stop.args = (interruption.kept(stop),)
                raise
    except KeyboardInterrupt as stop:
        interruption.pass_on(stop)
        raise interruption.plain(stop) from None


def _cpu_seconds() -> float:
    """CPU time of this process and of all it has waited for, getrusage(2)."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class _Collected:
    """What the helper has said so far, as rows of the tables."""

    def __init__(
        self, cells: list[Cell], expected: int, budget: float, progress: ShowProgress | None
    ) -> None:
        self._cells = [dataclasses.asdict(cell) for cell in cells]
        self._expected = expected
        self._deadline = time.monotonic() + budget
        self._progress = progress
        self._told = 0.0
        self._others = 0
        self.rows: list[dict[str, Any]] = []
        self.cpus: dict[str, Any] = {}
        self.trying: dict[str, str] = {}  # whose own file, and what the helper is doing with it
        self.notes: list[str] = []
        self.outcomes: list[dict[str, Any]] = [
            cell
            | {
                "in_flight_messages": None,
                "system_calls_source": "trace" if cell["waiting"] == "posix_sem" else "loop",
                "traced_calls_per_message": None,
                "status": "skipped",
                "reason": NOT_REACHED,
            }
            for cell in self._cells
        ]

    def expect_end(self, at: float) -> None:
        """It will not end before this, time.monotonic(): getting ready took its time."""
        self._deadline = max(self._deadline, at)

    def take(self, event: dict[str, Any]) -> None:
        """Take in one event of the helper's."""
        kind = event.pop("event")
        if kind == "sample":
            number = event.pop("cell")
            self.rows.append(self._cells[number] | event)
            self._tell("measuring", len(self.rows), self._expected, self._name(number))
        elif kind == "outcome":
            number = event.pop("cell")
            self.outcomes[number].update(event)
        elif kind == "stage":
            self._tell(event["stage"], event["done"], event["total"], event["detail"])
        elif kind == "note":
            self.notes.append(event["text"])
        elif kind == "cpus":
            self.cpus = event
        elif kind == "trying":
            self.trying = event

    def note_neighbours(self, helper: int) -> None:
        """Note as noise how many other comparisons are under way, if that is more than before."""
        others = len(other_helpers(helper))
        if others > self._others:
            self._others = others
            what = "1 other run of labkit was" if others == 1 else f"{others} other runs were"
            self.notes.append(f"{what} under way on this machine at the same time.")

    def stopped(self) -> dict[str, int]:
        """Have every cell say how far it came: the run ends here. Returns repeats and planned."""
        measured = {tuple(row[name] for name in self._cells[0]) for row in self.rows}
        for outcome, cell in zip(self.outcomes, self._cells, strict=True):
            if outcome["reason"] == NOT_REACHED:
                begun = tuple(cell.values()) in measured
                outcome["status"] = "ok" if begun else "skipped"
                outcome["reason"] = "" if begun else "the run was stopped before its turn."
            if (
                outcome["status"] == "ok"
                and outcome["system_calls_source"] == "trace"
                and outcome["traced_calls_per_message"] is None
                and not outcome["reason"]
            ):
                outcome["reason"] = "system calls are not counted: the run was stopped before that."
        return {"repeats": len(self.rows), "planned": self._expected}

    def table(self) -> "pd.DataFrame":
        """The samples as a table with the columns of the data dictionary."""
        import pandas as pd

        from labkit.harness.statistics import SAMPLE_COLUMNS

        return pd.DataFrame(self.rows).reindex(columns=list(SAMPLE_COLUMNS))

    def _name(self, number: int) -> str:
        cell = self._cells[number]
        return f"{cell['mechanism']} {cell['pattern']} {cell['placement']}"

    def _tell(self, stage: str, done: int, total: int, detail: str) -> None:
        """Pass progress on, but rarely: whoever draws it uses a CPU that is being measured."""
        now = time.monotonic()
        if self._progress is None or (now - self._told < TELL_EVERY_S and done < total):
            return
        self._told = now
        left = max(0.0, self._deadline - now) if stage == "measuring" else None
        self._progress(Progress(stage, done, total, left, detail))
