"""Told to stop in the middle: by Ctrl-C, a notebook's button, kill(1) or a closing terminal.

What was measured by then is not lost: it becomes a run like any other, marked as partial.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from labkit.errors import BrokenOff, Interrupted, LabkitError

if TYPE_CHECKING:
    from labkit.harness.run import Run

POLITE = (signal.SIGTERM, signal.SIGHUP)  # to a process that is to leave, signal(7)
NOTHING_SAVED = "interrupted; nothing was saved."
NOTHING_MEASURED = "interrupted before anything was measured, so nothing was saved."


class ToldToStop(KeyboardInterrupt):
    """A signal said so; `number` is which."""

    def __init__(self, number: int) -> None:
        super().__init__(NOTHING_SAVED)
        self.number = number


@contextmanager
def heeded() -> Iterator[None]:
    """Have SIGTERM and SIGHUP interrupt the block as Ctrl-C does: once, and time to save.

    A terminal that closes sends SIGHUP, and its shell sends it again; a notebook's restart sends
    SIGINT and then SIGTERM. So what follows the first is ignored, but for one more Ctrl-C, which
    is somebody who does not want to wait. Signals that are ignored, as by nohup(1), stay so, and
    so does whatever else has been arranged. Outside the main thread nothing is changed:
    Python runs its handlers there.
    """
    told: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        told.append(number)
        if len(told) == 1 or number == signal.SIGINT:
            raise ToldToStop(number)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (*POLITE, signal.SIGINT):
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            if signal.getsignal(number) == usual:
                before[number] = usual
    try:
        for number in before:
            signal.signal(number, hear)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def cause(stop: BaseException) -> str:
    """Why a run is partial, in words for its machine.json."""
    if isinstance(stop, KeyboardInterrupt):
        return f"it was interrupted by {signal.Signals(_number(stop)).name}"
    return str(stop).rstrip(".")


def partial(run: "Run") -> str:
    """How far a partial run came, in one sentence, as far as its machine.json tells."""
    about = run.machine.get("partial")
    told = about if isinstance(about, dict) else {}
    reason = str(told.get("reason") or "it was stopped")
    repeats, planned = told.get("repeats"), told.get("planned")
    counted = isinstance(repeats, int) and isinstance(planned, int)
    return f"{reason} after {repeats} of {planned} repeats." if counted else f"{reason}."


def stopped(stop: KeyboardInterrupt | LabkitError, run: "Run") -> Interrupted | BrokenOff:
    """What to raise in place of what stopped a comparison that has something to show."""
    if isinstance(stop, KeyboardInterrupt):
        return Interrupted("interrupted", run, _number(stop))
    return BrokenOff(str(stop), run)


def kept(
    stop: Interrupted | BrokenOff,
    out: str | Path | None = None,
    extra: Callable[[Path], None] | None = None,
) -> str:
    """Save the run of a comparison that was stopped; says in one sentence where, or why not.

    Args:
        out: the folder; by default a new one in data/runs.
        extra: writes the figures. One more Ctrl-C meanwhile, and it is saved without them.
    """
    said = str(stop).rstrip(".")
    try:
        try:
            stop.run.save(out, extra=extra)
        except KeyboardInterrupt:
            stop.run.save(out)
    except KeyboardInterrupt as enough:
        enough.args = (NOTHING_SAVED,)
        raise
    except LabkitError as error:
        return f"{said}; what was measured so far could not be saved: {error}"
    return f"{said}; what was measured so far is saved in {stop.run.path}."


def pass_on(stop: KeyboardInterrupt) -> None:
    """End this process by the signal that was heeded, if it is one that ends processes."""
    if _number(stop) in POLITE:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"labkit: {stop}", file=sys.stderr, flush=True)
        signal.raise_signal(_number(stop))


def plain(stop: KeyboardInterrupt) -> KeyboardInterrupt:
    """The same as Python's own: only that ends a script in the way its shell looks for, by SIGINT.

    `run`, if there is one, is an attribute of it.
    """
    same = KeyboardInterrupt(str(stop) or NOTHING_SAVED)
    told = [f"KeyboardInterrupt: {same}"]
    if isinstance(stop, Interrupted):
        vars(same)["run"] = stop.run
        if stop.run.path is not None:
            told.append(f'run = labkit.load("{stop.run.path}") brings it back.')
    # IPython asks for it: in a notebook the sentence alone, as of a LabkitError.
    vars(same)["_render_traceback_"] = lambda: told
    return same


def _number(stop: KeyboardInterrupt) -> int:
    return stop.number if isinstance(stop, ToldToStop | Interrupted) else signal.SIGINT
