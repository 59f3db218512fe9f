"""How far a run is: what the harness tells, and ways of showing it: a terminal's, a notebook's.

Nothing here runs on its own: a bar that is redrawn by a thread would take CPU time from what is
being measured, so it is redrawn only when there is something to tell, and not too often.
"""

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TextIO, cast

LINE_EVERY_S = 10.0
REDRAW_EVERY_S = 0.1


@dataclass(frozen=True)
class Progress:
    """One thing to tell."""

    stage: str  # what is being done: "compiling", "measuring"
    done: int  # steps
    total: int  # steps; 0 if unknown
    seconds_left: float | None = None  # of the whole run
    detail: str = ""  # what the present step is about


Tell = Callable[[Progress], None]


@contextmanager
def shown(stream: TextIO | None = None) -> Iterator[Tell]:
    """Show progress while the block runs: a bar where one can be drawn, else a line now and then.

    Args:
        stream: where to; by default a bar in the notebook, elsewhere standard error.

    Yields:
        The function to call with each Progress.
    """
    if stream is None and _in_notebook():
        with _notebook_bar() as tell:
            yield tell
        return
    stream = sys.stderr if stream is None else stream
    if stream.isatty() and _can_redraw():
        with _bar(stream) as tell:
            yield tell
    else:
        yield _lines(stream)


def time_left(seconds: float) -> str:
    """Seconds as people say them: "45 s left", "2 min 05 s left"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s left"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s left"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min left"


def _can_redraw() -> bool:
    import os

    return os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    # IPython in a terminal has a shell too, but no kernel.
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


@contextmanager
def _notebook_bar() -> Iterator[Tell]:
    """A bar under the cell that is gone when the work is done: nothing of it is saved."""
    from html import escape
    from importlib import import_module

    notebook: Any = import_module("IPython.display")  # which has no types

    def draw(name: str, span: str = "", *more: str) -> Any:
        words = ", ".join(filter(None, (name, *more)))
        return notebook.HTML(f'<progress {span} style="width: 20em"></progress> {escape(words)}')

    bar = notebook.display(draw("starting"), display_id=True)

    def tell(progress: Progress) -> None:
        left = "" if progress.seconds_left is None else time_left(progress.seconds_left)
        span = f'value="{progress.done}" max="{progress.total}"' if progress.total else ""
        bar.update(draw(progress.stage, span, left, progress.detail))

    try:
        yield tell
    finally:
        bar.update(notebook.HTML(""))


@contextmanager
def _bar(stream: TextIO) -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[detail]}", markup=False, style="dim"),
        console=Console(file=cast("TextIO", _Patient(stream)), force_terminal=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    task = bar.add_task("starting", total=None, left="", detail="")
    redrawn, stage = -REDRAW_EVERY_S, ""

    def tell(progress: Progress) -> None:
        nonlocal redrawn, stage
        now = time.monotonic()
        if stage == progress.stage and now - redrawn < REDRAW_EVERY_S:
            return
        redrawn, stage = now, progress.stage
        left = "" if progress.seconds_left is None else time_left(progress.seconds_left)
        bar.update(
            task,
            description=progress.stage,
            completed=progress.done,
            total=progress.total or None,
            left=left,
            detail=progress.detail,
        )
        bar.refresh()

    with bar:
        bar.refresh()
        yield tell


class _Patient(io.TextIOBase):
    """A terminal that may be closed meanwhile: then it is told no more, and the work goes on."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What rich asks for, to know which characters can be drawn."""
        return self._terminal.encoding

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._terminal.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._terminal.flush()


def _lines(stream: TextIO) -> Tell:
    patient = _Patient(stream)
    told, stage = 0.0, ""

    def tell(progress: Progress) -> None:
        nonlocal told, stage
        now = time.monotonic()
        if stage == progress.stage and now - told < LINE_EVERY_S:
            return
        told, stage = now, progress.stage
        parts = [progress.stage]
        if progress.total:
            parts.append(f"{progress.done} of {progress.total}")
        if progress.seconds_left is not None:
            parts.append(time_left(progress.seconds_left))
        print(f"labkit: {', '.join(parts)}", file=patient, flush=True)

    return tell
