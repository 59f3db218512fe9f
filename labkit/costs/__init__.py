"""What things cost on this machine, and how much of a measured time these costs explain.

    labkit.costs()              the machine's constants, measured now
    explain(run)                each cell of a run, predicted from them, part by part
    copies(run), crossover(run) what a run's times say of copies, and of who is quicker from where

`labkit.costs` is this package and, called, the first of these.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from labkit.costs.measure import Tell
    from labkit.harness.run import Run

__all__ = ["copies", "costs", "crossover", "explain"]


def costs(progress: "Tell | None" = None) -> "pd.DataFrame":
    """Measure this machine's constants: in compiled loops, in under ten seconds.

    A clean process does it, pinned to a quiet CPU, every constant once and then every one again;
    each value is the median over these rounds.

    Args:
        progress: called now and then with what is being done.

    Returns:
        One row for each constant: name, value, unit, low and high (the 95 % interval), and how it
        is measured; then, without values, what the kernel does about flaws of the processor.

    Raises:
        LabkitError: the measuring process could not do its work.
    """
    from labkit.costs.measure import measure, table, thorough_plan

    made: pd.DataFrame = table(measure(thorough_plan(), progress))
    return made


def explain(run: "Run", constants: "pd.DataFrame | None" = None) -> "pd.DataFrame":
    """What each cell of a run should take, from parts: see `labkit.costs.explanation.explain`."""
    from labkit.costs.explanation import explain as tell

    return tell(run, constants)


def copies(run: "Run", constants: "pd.DataFrame | None" = None) -> "pd.DataFrame":
    """Effective copies from the slope of time over size: see `labkit.costs.slopes.copies`."""
    from labkit.costs.slopes import copies as tell

    return tell(run, constants)


def crossover(run: "Run") -> "pd.DataFrame":
    """From which size on who is quicker: see `labkit.costs.crossing.crossover`."""
    from labkit.costs.crossing import crossover as tell

    return tell(run)


class _Callable(ModuleType):
    """A package that is called for its main result: `labkit.costs()`."""

    def __call__(self, progress: "Tell | None" = None) -> "pd.DataFrame":
        return costs(progress)


def __dir__() -> list[str]:
    return __all__


sys.modules[__name__].__class__ = _Callable
