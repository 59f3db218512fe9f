"""This machine's constants, measured now: the clean process asked, its rounds made into medians."""

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from labkit.costs.catalogue import CATALOGUE, constant_of, how
from labkit.costs.derived import derive
from labkit.errors import LabkitError
from labkit.harness.session import Session
from labkit.kernel import machine
from labkit.progress import Progress

SIZES = (8, 64, 512, 4096, 65536, 1 << 20)
WAITING = ("futex", "spin", "posix_sem", "sysv_sem", "eventfd")
LEAST_ROUNDS = 5  # an interval from fewer does not cover what it claims
THOROUGH_ROUNDS = 9
THOROUGH_S = 5.0  # for the rounds; starting and ending take their time too
LARGEST = 1 << 26  # bytes: beyond the caches of most machines
QUICK = 1 << 20  # bytes of a message
MOST_SIZES = 7  # of messages, beside a run
LEAST_WORKING_SET = 1 << 13
FACTOR = 4  # from one working set to the next
NOT_AFFECTED = "Not affected"  # by a flaw, says the kernel

Tell = Callable[[Progress], None]


class Measured:
    """What was found.

    Attributes:
        constants: name -> [value, low, high].
        cpus: the CPUs it was measured on, `first` and `second`.
        notes: what could not be measured, and why, in sentences.
    """

    def __init__(
        self, constants: dict[str, list[Any]], cpus: dict[str, Any], notes: list[str]
    ) -> None:
        self.constants, self.cpus, self.notes = constants, cpus, notes

    def as_json(self) -> dict[str, Any]:
        """What machine.json keeps."""
        return {"constants": self.constants, "cpus": self.cpus, "notes": self.notes}


def thorough_plan() -> dict[str, Any]:
    """Everything, at the usual sizes."""
    from labkit import mechanisms

    return _plan(mechanisms.names(extra=True), WAITING, SIZES, _largest(), True) | {
        "seconds": THOROUGH_S, "rounds": THOROUGH_ROUNDS, "least_rounds": LEAST_ROUNDS,
    }  # fmt: skip


def short_plan(
    mechanisms: Iterable[str],
    waiting: Iterable[str],
    sizes: Iterable[int],
    cpus: tuple[int, int | None] | None,
    seconds: float,
) -> dict[str, Any]:
    """What it takes to explain a run of these cells, on the CPUs that it ran on."""
    sizes = _few(sorted(set(sizes)))
    # A ring of two places each way and two buffers: six times the largest message is gone through.
    plan = _plan(mechanisms, waiting, sizes, min(LARGEST, max(1 << 23, 8 * sizes[-1])), False)
    return plan | {
        "cpus": cpus, "seconds": seconds, "rounds": LEAST_ROUNDS, "least_rounds": 2,
    }  # fmt: skip


def _few(sizes: list[int]) -> list[int]:
    """As many sizes as there is time for, from the smallest to the largest that is quick to send.

    What lies between or beyond follows from them: `labkit.costs.constants.Constants.at`.
    """
    quick = [size for size in sizes if size <= QUICK] or [min(sizes[0], QUICK)]
    step = max(1, -(-(len(quick) - 1) // (MOST_SIZES - 1)))
    return sorted({*quick[::step], quick[-1]})


def _plan(
    mechanisms: Iterable[str],
    waiting: Iterable[str],
    sizes: Iterable[int],
    largest: int,
    thorough: bool,
) -> dict[str, Any]:
    largest = 1 << (largest.bit_length() - 1)
    sets = [LEAST_WORKING_SET]
    while sets[-1] < largest:
        sets.append(min(largest, sets[-1] * FACTOR))
    return {
        "mechanisms": list(mechanisms),
        "waiting": list(waiting),
        "sizes": list(sizes),
        "working_sets": sets,
        "thorough": thorough,
        "cpus": None,
    }


def _largest() -> int:
    """A working set that no cache holds, if there is memory for it."""
    cached = max((each["size"] or 0 for each in machine.caches()), default=1 << 23)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    most = max(1 << 23, min(LARGEST, free // 8))
    return min(most, 4 * cached)


def measure(plan: dict[str, Any], tell: Tell | None = None) -> Measured:
    """Have the constants of a plan measured.

    Raises:
        LabkitError: the measuring process could not do its work.
    """
    rounds: dict[str, list[float]] = defaultdict(list)
    cpus: dict[str, Any] = {}
    notes: list[str] = []
    with Session(plan, "labkit.costs.measuring") as session:
        for event in session.events():
            kind = event.pop("event")
            if kind == "values":
                for name, value in derive(event["values"]).items():
                    rounds[name].append(value)
            elif kind == "cpus":
                cpus = event
            elif kind == "note":
                notes.append(event["text"])
            elif kind == "step" and tell is not None:
                whole = event["total"] * (plan["rounds"] + 1)
                done = event["round"] * event["total"] + event["done"]
                tell(Progress("measuring constants", done, whole))
    if not rounds:
        raise LabkitError("no round of this machine's constants came to its end.")
    return Measured(_medians(rounds), cpus, notes)


def _medians(rounds: dict[str, list[float]]) -> dict[str, list[Any]]:
    """Median over rounds and its bootstrap interval, to six digits."""
    import numpy as np

    from labkit.harness.statistics import LEAST_REPEATS, median_interval

    found: dict[str, list[Any]] = {}
    for name, values in rounds.items():
        low = high = None
        if len(values) >= LEAST_REPEATS:
            lows, highs = median_interval(np.array([values]))
            low, high = _short(lows[0]), _short(highs[0])
        found[name] = [_short(np.median(values)), low, high]
    return found


def _short(value: float) -> float:
    return float(f"{float(value):.6g}")


def table(found: Measured) -> Any:
    """The constants as people read them: name, value, unit, low, high, how; mitigations last."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    kinds = list(CATALOGUE)
    ordered = sorted(found.constants, key=lambda name: kinds.index(name.partition("/")[0]))
    for name in ordered:
        value, low, high = found.constants[name]
        row = {"name": name, "value": value, "unit": constant_of(name).unit}
        rows.append(row | {"low": low, "high": high, "how": how(name)})
    affecting = {n: told for n, told in machine.mitigations().items() if told != NOT_AFFECTED}
    for name, told in affecting.items():
        row = {"name": f"mitigation/{name}", "value": math.nan, "unit": ""}
        rows.append(row | {"low": math.nan, "high": math.nan, "how": told})
    columns = ["name", "value", "unit", "low", "high", "how"]
    made = pd.DataFrame(rows, columns=columns)
    return made.astype({"value": float, "low": float, "high": float})
