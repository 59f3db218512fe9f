"""The comparison: a request goes to the helper process, what it measures comes back as a run."""

import dataclasses
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from labkit.errors import RequestError
from labkit.harness.request import Cell, Request
from labkit.harness.session import Session
from labkit.kernel import machine
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
        LabkitError: the helper process could not do its work.
    """
    began, started = time.monotonic(), datetime.now(UTC)
    cells = request.cells()
    possible = [cell for cell in cells if request.impossible(cell) is None]
    least = LEAST_REPEAT_S * len(possible)
    if least > request.budget:
        raise RequestError(
            f"a budget of {request.budget:g} s cannot fit one repeat of {len(possible)} cells:"
            f" give it at least {least:.1f} s, or ask for fewer mechanisms or sizes."
        )
    wanted = int(request.budget / (REPEAT_S * max(1, len(possible))))
    repeats = max(LEAST_REPEATS, min(MOST_REPEATS, wanted))
    plan = {
        "cells": [dataclasses.asdict(cell) for cell in cells],
        "reasons": [request.impossible(cell) for cell in cells],
        "deadline": began + request.budget - FINISHING_S,
        "least_seconds": request.budget / 2,
        "repeats": repeats,
    }
    collected = _Collected(cells, repeats * len(possible), request.budget, progress)
    before, cpu_before = machine.snapshot(), _cpu_seconds()
    with Session(plan) as session:
        # Heavy libraries load while the helper gets ready, not while it measures.
        from labkit.harness.run import Run
        from labkit.harness.statistics import summarise

        facts = machine.describe()
        if meanwhile is not None:
            meanwhile()
        for event in session.events():
            if event["event"] == "ready":
                session.go()
                collected.expect_end(time.monotonic() + request.budget / 2 + FINISHING_S)
            collected.take(event)
    noise = machine.noise(before, machine.snapshot(), _cpu_seconds() - cpu_before)
    samples = collected.table()
    facts |= {
        "cpus": collected.cpus,
        "settings": request.settings(),
        "started": started.isoformat(timespec="seconds"),
        "duration_s": round(time.monotonic() - began, 3),
        "noise": noise | {"notes": collected.notes},
    }
    return Run(summarise(samples, collected.outcomes, seed=request.seed), samples, facts)


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
        self._rows: list[dict[str, Any]] = []
        self.cpus: dict[str, Any] = {}
        self.notes: list[str] = []
        self.outcomes: list[dict[str, Any]] = [
            cell
            | {
                "in_flight_messages": None,
                "system_calls_source": "trace" if cell["waiting"] == "posix_sem" else "loop",
                "traced_calls_per_message": None,
                "status": "skipped",
                "reason": "the budget ended before its turn.",
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
            self._rows.append(self._cells[number] | event)
            self._tell("measuring", len(self._rows), self._expected, self._name(number))
        elif kind == "outcome":
            number = event.pop("cell")
            self.outcomes[number].update(event)
        elif kind == "stage":
            self._tell(event["stage"], event["done"], event["total"], event["detail"])
        elif kind == "note":
            self.notes.append(event["text"])
        elif kind == "cpus":
            self.cpus = event

    def table(self) -> "pd.DataFrame":
        """The samples as a table with the columns of the data dictionary."""
        import pandas as pd

        from labkit.harness.statistics import SAMPLE_COLUMNS

        return pd.DataFrame(self._rows).reindex(columns=list(SAMPLE_COLUMNS))

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
