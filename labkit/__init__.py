"""labkit: see, measure and understand inter-process communication on your own Linux kernel.

    run = labkit.compare(mechanisms=["pipe", "posix_shm"], sizes=["64", "64K"], budget=10)
    labkit.plots.latency(run)

Importing this costs next to nothing: heavy parts load when they are first used.
"""

from collections.abc import Callable
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

from labkit.errors import LabkitError, RequestError

if TYPE_CHECKING:
    from types import ModuleType

    import pandas as pd

    from labkit.answers.card import Card
    from labkit.answers.predictions import Prompt
    from labkit.costs import costs as costs
    from labkit.harness.cohort import Cohort
    from labkit.harness.request import Names, Sizes
    from labkit.harness.run import Run
    from labkit.player.walk import Walk
    from labkit.progress import Progress
    from labkit.word_table import Readable

    plots: ModuleType

__version__ = "0.1.0"
__all__ = [
    "LabkitError",
    "RequestError",
    "answer",
    "check",
    "check_claims",
    "clean",
    "compare",
    "costs",
    "diff",
    "doctor",
    "load",
    "plots",
    "pool",
    "predict",
    "readable",
    "reveal",
    "walk",
]


def compare(
    mechanisms: "Names" = None,
    sizes: "Sizes" = None,
    patterns: "Names" = None,
    placements: "Names" = None,
    waiting: "Names" = None,
    copy: "Names" = None,
    touch: "Names" = None,
    engine: "Names" = None,
    budget: float | None = None,
    verify: str = "ends",
    thorough: bool = False,
    progress: "Callable[[Progress], None] | bool" = True,
) -> "Run":
    """Measure mechanisms under one producer and one consumer, and return the run.

    Args:
        mechanisms: names, as in `labkit.mechanisms.names()`; None for those thirteen;
            "pipe_vmsplice" and "process_vm" are measured when named, and so is a mechanism of
            your own, by its file: "./my_mechanism.py".
        sizes: bytes of payload, 64 or "64", "4K", "1M"; None for 8 B to 1 MiB.
        patterns: "latency" (a ping-pong, timed there and back), "throughput" (a one-way stream).
        placements: "same-cpu", "cross-cpu" (pinned), "free" (the scheduler decides).
        waiting: for shared memory: "spin", "futex", "posix_sem", "sysv_sem", "eventfd".
        copy: for shared memory: "copy" (memcpy in, memcpy out) or "in-place".
        touch: "ends" (stamps only: what transport costs) or "all" (every byte).
        engine: "compiled" or "python" (the same source, interpreted).
        budget: seconds for the whole run; None for 60, or 255 for a thorough one.
        verify: "ends", or "full" to check every byte of every message.
        thorough: what is None above is then all there is; see `labkit compare --help`.
        progress: True draws a bar, False is silent; or a function that is told.

    Raises:
        RequestError: something asked for is unknown, out of bounds or impossible here.
        LabkitError: the measuring process could not do its work.
        KeyboardInterrupt: you interrupted it. What was measured by then is a run in data/runs,
            marked as partial; the exception names the folder and has the run as `run`.
    """
    from labkit.costs.beside import compare_and_keep as measure
    from labkit.harness.request import DEFAULT_BUDGET, THOROUGH_BUDGET, build_request

    if budget is None:
        budget = THOROUGH_BUDGET if thorough else DEFAULT_BUDGET
    asked = (mechanisms, sizes, patterns, placements, waiting, copy, touch, engine)
    request = build_request(*asked, budget, verify, thorough=thorough)
    if not isinstance(progress, bool):
        return measure(request, _function(progress))
    if not progress:
        return measure(request)
    from labkit.progress import shown

    with shown() as tell:
        return measure(request, tell)


def walk(name: str, **options: Any) -> "Walk":
    """Watch the kernel do something, here and now, and return it step by step.

    In a notebook the result shows itself as a player; it has `.steps`, `.table`, `.figure(number)`
    and `.save(path)`.

    Args:
        name: mode_switches, shm_lifecycle, persistence_after_read, fork_inheritance,
            exec_detachment, synchronisation or rendezvous.
        options: what that walkthrough takes; a wrong one is answered with those there are.

    Raises:
        RequestError: the name or an option is unknown, or its value is not allowed.
        LabkitError: it cannot be observed on this machine; says why.
    """
    from labkit.player.walk import Walk
    from labkit.walkthroughs import observe

    return Walk(observe(name, options))


def diff(a: "Run | str", b: "Run | str") -> "pd.DataFrame":
    """What changed from run A to run B, cell by cell; `labkit.plots.diff(a, b)` draws it.

    Args:
        a, b: runs, or the folders they were saved in.

    Returns:
        One row for each cell of either run: the cell's columns, ns_a and ns_b (medians), ratio
        (b to a) with the ends of its 95 % interval, verdict ("faster", "slower", "within noise",
        "too few repeats", "only in A", "only in B", "in neither") and reason.

    Raises:
        RequestError: there is no run, or a damaged one; says what is wrong with it.
    """
    from labkit.harness.diff import diff as find
    from labkit.harness.run import Run
    from labkit.harness.run import load as read

    return find(*(each if isinstance(each, Run) else read(each) for each in (a, b)))


def load(path: "str | PathLike[str]") -> "Run":
    """A run that was saved as a folder.

    Args:
        path: its folder, or the name of a reference run that comes with labkit, such as
            "kvm-amd-epyc-2-cpus"; a folder of that name goes before.

    Raises:
        RequestError: there is no run, or a damaged one; says what is wrong with it.
    """
    from labkit.harness.run import load as read

    return read(path)


def pool(place: "str | PathLike[str]", out: "str | PathLike[str]" = "class.parquet") -> "Cohort":
    """Pool a class's runs into one Parquet file; `labkit.plots.cohort(pooled)` draws the spread.

    Args:
        place: a folder with runs in any folders and zips, or one zip.
        out: the file; one that is there already is replaced.

    Returns:
        What was pooled (`path`, `runs`, `machines`, `table`) and what was `refused`, and why.

    Raises:
        RequestError: there is no run that could be used, or the file cannot be made.
        LabkitError: the file could not be written.
    """
    from labkit.harness.cohort import pool as gather

    return gather(place, out)


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


def check_claims(progress: "Callable[[Progress], None] | bool" = True) -> "pd.DataFrame":
    """Try every statement of the class notes, and more, on this kernel, in under 15 s.

    Nothing is left behind. The verdicts follow from what was observed a moment ago.

    Args:
        progress: True draws a bar, False is silent; or a function that is told.

    Returns:
        One row for each claim: id; topic; said (the words of the notes, empty for what a teacher
        would add); claim; verdict ("holds", "holds, with a condition", "does not hold", "not tried
        here", or "failed" where the experiment itself went wrong); observed; remark (the condition,
        or what is true instead); evidence (raw lines, and where they were read); source (the manual
        page or book that says so).

    Raises:
        LabkitError: the process that tries them could not do its work.
    """
    from labkit.claims import table

    if not isinstance(progress, bool):
        return table(_function(progress))
    if not progress:
        return table()
    from labkit.progress import shown

    with shown() as tell:
        return table(tell)


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


def predict(id: str) -> "Prompt":
    """Ask a question of a notebook before anything runs; shows itself, with buttons in a notebook.

    Args:
        id: notebook and number, "01-1"; the questions are in `labkit.answers.questions`.

    Raises:
        RequestError: there is no such question.
    """
    from labkit.answers.predictions import predict as ask

    return ask(id)


def answer(id: str, given: object) -> "Card":
    """Answer a question in code: the first answer is kept as the prediction, later ones beside it.

    Args:
        id: notebook and number, "01-1".
        given: the letter of a choice, a number, or an order ("b a c", or a list of letters).

    Raises:
        RequestError: there is no such question, or it takes another kind of answer.
    """
    from labkit.answers.predictions import answer as keep

    return keep(id, given)


def reveal(id: str, observed: object) -> "Card":
    """Hold a prediction against what was observed. Without a prediction it says so and goes on.

    Args:
        id: notebook and number, "01-1".
        observed: facts by name, {"nattch": 2}; or what they can be read from: a walkthrough, a run.

    Raises:
        RequestError: there is no such question.
    """
    from labkit.answers.predictions import reveal as hold

    return hold(id, observed)


def check(id: str, value: object) -> "Card":
    """Check an exercise by looking at what you made: an object, a number, a run.

    Args:
        id: notebook and number, "01-e1".
        value: what the exercise asks for.

    Raises:
        RequestError: there is no such exercise.
    """
    from labkit.answers.predictions import check as examine

    return examine(id, value)


def readable(table: "pd.DataFrame", fold: str = "") -> "Readable":
    """A table of words, shown in a notebook from the left and with nothing cut off.

    Args:
        table: any table of pandas; its rows and columns stay as they are.
        fold: what to click on to see it; "" shows it at once.

    Raises:
        RequestError: it is no table.
    """
    from labkit.word_table import Readable

    if not hasattr(table, "to_html"):
        raise RequestError(
            f"{table!r:.60} is no table of pandas: a column of one is (table.to_frame())."
        )
    return Readable(table, fold)


def _function(progress: Any) -> Any:
    if progress is not None and not callable(progress):
        raise RequestError(
            f"progress is True, False or a function that is told, and not {progress!r:.60}."
        )
    return progress


def __getattr__(name: str) -> Any:
    """Load `labkit.plots` and `labkit.costs` when they are first asked for."""
    if name in ("plots", "costs"):
        return import_module(f"labkit.{name}")
    raise AttributeError(f"labkit has no {name!r}")
