"""labkit: see, measure and understand inter-process communication on your own Linux kernel.

    run = labkit.compare(mechanisms=["pipe", "posix_shm"], sizes=["64", "64K"], budget=10)
    labkit.plots.latency(run)

Importing this costs next to nothing: heavy parts load when they are first used.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from labkit.errors import LabkitError, RequestError

if TYPE_CHECKING:
    from types import ModuleType

    import pandas as pd

    from labkit.harness.request import Names, Sizes
    from labkit.harness.run import Run
    from labkit.progress import Progress

    plots: ModuleType

__version__ = "0.1.0"
__all__ = ["LabkitError", "RequestError", "clean", "compare", "doctor", "load", "plots"]


def compare(
    mechanisms: "Names" = None,
    sizes: "Sizes" = None,
    patterns: "Names" = None,
    placements: "Names" = None,
    waiting: "Names" = None,
    copy: "Names" = None,
    touch: "Names" = None,
    engine: "Names" = None,
    budget: float = 60,
    verify: str = "ends",
    progress: "Callable[[Progress], None] | bool" = True,
) -> "Run":
    """Measure mechanisms under one producer and one consumer, and return the run.

    Args:
        mechanisms: names, as in `labkit.mechanisms.names()`; None for all thirteen.
        sizes: bytes of payload, 64 or "64", "4K", "1M"; None for 8 B to 1 MiB.
        patterns: "latency" (a ping-pong, timed there and back), "throughput" (a one-way stream).
        placements: "same-cpu", "cross-cpu" (pinned), "free" (the scheduler decides).
        waiting: for shared memory: "spin", "futex", "posix_sem", "sysv_sem".
        copy: for shared memory: "copy" (memcpy in, memcpy out) or "in-place".
        touch: "ends" (stamps only: what transport costs) or "all" (every byte).
        engine: "compiled" or "python" (the same source, interpreted).
        budget: seconds for the whole run.
        verify: "ends", or "full" to check every byte of every message.
        progress: True draws a bar, False is silent; or a function that is told.

    Raises:
        RequestError: something asked for is unknown, out of bounds or impossible here.
        LabkitError: the measuring process could not do its work.
    """
    from labkit.harness.compare import compare as measure
    from labkit.harness.request import build_request

    request = build_request(
        mechanisms, sizes, patterns, placements, waiting, copy, touch, engine, budget, verify
    )
    if not isinstance(progress, bool):
        return measure(request, progress)
    if not progress:
        return measure(request)
    from labkit.progress import shown

    with shown() as tell:
        return measure(request, tell)


def load(path: str) -> "Run":
    """A run that was saved as a folder.

    Raises:
        RequestError: there is no run, or a damaged one; says what is wrong with it.
    """
    from labkit.harness.run import load as read

    return read(path)


def clean(dry_run: bool = False) -> "pd.DataFrame":
    """Remove the kernel objects and files that killed runs of yours have left on this machine.

    Every run begins with it. Nothing else is touched: see `labkit.cleanup.clean`.

    Args:
        dry_run: remove nothing, and say what would be removed.

    Returns:
        One row for each object: kind, name, made (UTC) and pid of the process that made it.
    """
    from labkit.cleanup import clean as remove

    return remove(dry_run)


def doctor(quick: bool = False) -> "pd.DataFrame":
    """What this machine lets labkit do, why not, and what to type then.

    Everything is tried or read here and now, in under two seconds; nothing is left behind.

    Args:
        quick: leave out what has to be measured, the cost of waking another CPU.

    Returns:
        A table with the columns capability, available (bool: as the lab's default cells need it),
        why (what was read or answered, and where) and remedy (what to type; empty if nothing is
        needed). A check that itself fails is a row that says so.
    """
    from labkit.checkup import table

    return table(quick)


def __getattr__(name: str) -> Any:
    """Load `labkit.plots` when it is first asked for."""
    if name == "plots":
        return import_module("labkit.plots")
    raise AttributeError(f"labkit has no {name!r}")
