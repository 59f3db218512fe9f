"""This machine's constants beside a comparison: measured on the same CPUs, right after it.

They take a share of the budget, so that the whole takes no longer. Where the budget is too small
for them, the run says so and is otherwise the same.
"""

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from labkit import mechanisms
from labkit.errors import Interrupted, LabkitError
from labkit.harness import interruption
from labkit.harness.compare import ShowProgress
from labkit.harness.compare import compare_and_keep as measure_cells
from labkit.harness.request import Request

if TYPE_CHECKING:
    from labkit.harness.run import Run

SHARE_S = 3.5  # of the budget, for the constants
ROUNDS_S = 2.4  # of that, for their rounds; the rest goes by until the process is there and gone
LEAST_BUDGET = 30.0  # seconds, from which on a run has them


def leave_room(request: Request) -> Request:
    """The request with as much less budget as its constants will take."""
    if _why_not(request):
        return request
    return dataclasses.replace(request, budget=request.budget - SHARE_S)


def add_constants(run: "Run", request: Request, progress: ShowProgress | None = None) -> None:
    """Measure the constants that explain the cells of a run, and keep them in its machine.

    That they could not be measured is no error: the run then says why it has none.

    Args:
        run: what came of `leave_room(request)`.
        request: what was asked for.

    Raises:
        Interrupted: by a KeyboardInterrupt, with the run, which is whole but for them.
    """
    run.machine["settings"] = request.settings()
    if why_not := _why_not(request):
        run.machine["costs"] = {"left_out": why_not}
        return
    began = time.monotonic()
    try:
        run.machine["costs"] = _constants(request, run, progress)
    except KeyboardInterrupt as stop:
        run.machine["costs"] = {"left_out": "the run was interrupted before they were measured"}
        raise interruption.stopped(stop, run) from stop
    run.machine["duration_s"] = round(run.machine["duration_s"] + time.monotonic() - began, 3)


def compare_and_keep(request: Request, progress: ShowProgress | None = None) -> "Run":
    """What `labkit.harness.compare` does for whoever calls from Python, and the constants.

    Raises:
        KeyboardInterrupt, BrokenOff: as there.
    """
    run = measure_cells(leave_room(request), progress)
    try:
        with interruption.heeded():
            try:
                add_constants(run, request, progress)
            except Interrupted as stop:
                stop.args = (interruption.kept(stop),)
                raise
    except KeyboardInterrupt as stop:
        interruption.pass_on(stop)
        raise interruption.plain(stop) from None
    return run


def _why_not(request: Request) -> str:
    """Why a run of this request has no constants; empty if it has."""
    if request.budget < LEAST_BUDGET:
        return (
            f"a budget of {request.budget:g} s leaves no time for this machine's constants, which"
            f" a run has from {LEAST_BUDGET:g} s on"
        )
    if "compiled" not in request.engines:
        return "this machine's constants are those of compiled code, and no cell is compiled"
    return ""


def _constants(request: Request, run: "Run", progress: ShowProgress | None) -> dict[str, Any]:
    """What machine.json keeps of them: those that explain the cells of this run."""
    from labkit.costs.measure import measure, short_plan

    told = run.machine.get("cpus") or {}
    cpus = (int(told["first"]), told.get("second")) if "first" in told else None
    own = {each.name for each in request.own}  # of these the constants say nothing
    names = [name for name in request.mechanisms if name not in own]
    shared = any(mechanisms.family(name) == "shared-memory" for name in names)
    waiting = request.waiting if shared else ()
    plan = short_plan(names, waiting, request.sizes, cpus, ROUNDS_S)
    try:
        return measure(plan, progress).as_json()
    except LabkitError as error:
        return {"left_out": f"this machine's constants could not be measured: {error}"}
