"""From which size on one mechanism is quicker than another, and how sure that is."""

from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from labkit.harness.run import Run

    Floats = NDArray[np.float64]

WHERE = ("pattern", "placement", "touch", "engine")
WHO = ("mechanism", "waiting", "copy")
COVERED = (2.5, 97.5)
NOT_SHOWN = "not shown"

COLUMNS = (
    *WHERE,
    "a",
    "b",
    "winner",
    "verdict",
    "from_size",
    "low",
    "high",
    "smallest",
    "largest",
)


def crossover(run: "Run") -> "pd.DataFrame":
    """For each two that were measured alike: who is quicker, and from which size on.

    Between two sizes that were measured, the time is taken to lie on a straight line on
    logarithmic axes. The interval is the percentile bootstrap's over repeats, as for medians.

    Args:
        run: what was measured.

    Returns:
        One row for each pair: the columns of WHERE they share, `a` and `b` (mechanism, waiting,
        and in-place), `winner` at the largest size both were measured at, `verdict`, `from_size`
        (bytes, from which on the winner is quicker up to the largest; the smallest measured if at
        all of them), its 95 % interval `low` and `high`, and the `smallest` and `largest` size.
        The verdict is "at every size" or "from there on" where at least 97.5 % of the redrawn
        medians agree on the winner; else "not shown", and no interval.
    """
    import pandas as pd

    summary = run.summary
    measured = summary[(summary["status"] == "ok") & (summary["ns_per_message"] > 0)]
    rows: list[dict[str, Any]] = []
    for where, part in measured.groupby(list(WHERE), sort=False):
        here = run.samples
        for column, value in zip(WHERE, where, strict=True):
            here = here[here[column] == value]
        lines = {
            name_of(*who): _Line(cells, _of(here, who))
            for who, cells in part.groupby(list(WHO), sort=False)
        }
        for a, b in combinations(lines, 2):
            told = _cross(lines[a], lines[b], a, b)
            if told is not None:
                rows.append(dict(zip(WHERE, where, strict=True)) | {"a": a, "b": b} | told)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def name_of(mechanism: object, waiting: object, copy: object) -> str:
    """A line's name: "pipe", "posix_shm futex", "posix_shm futex in-place"."""
    about = [waiting] * (waiting != "kernel") + [copy] * (copy != "copy")
    return " ".join(map(str, [mechanism, *about]))


def _of(samples: "pd.DataFrame", who: Any) -> "pd.DataFrame":
    for column, value in zip(WHO, who, strict=True):
        samples = samples[samples[column] == value]
    return samples


class _Line:
    """The medians of one line by size, and its medians redrawn."""

    def __init__(self, cells: "pd.DataFrame", samples: "pd.DataFrame") -> None:
        from labkit.harness.statistics import LEAST_REPEATS, resampled_medians

        self.times: dict[int, float] = {}
        self.drawn: dict[int, Floats] = {}
        for number, (size, ns) in enumerate(
            sorted(zip(cells["message_size"], cells["ns_per_message"], strict=True))
        ):
            self.times[int(size)] = float(ns)
            values = samples.loc[samples["message_size"] == size, "ns_per_message"]
            if len(values) >= LEAST_REPEATS:
                row = values.to_numpy(float)[None, :]
                self.drawn[int(size)] = resampled_medians(row, seed=number + 1).ravel()


def _cross(one: _Line, other: _Line, a: str, b: str) -> dict[str, Any] | None:
    """Where two lines cross for the last time; None where they share no two sizes."""
    import numpy as np

    sizes = sorted(one.times.keys() & other.times.keys())
    if len(sizes) < 2:
        return None
    logs = np.log2(np.array(sizes, dtype=float))
    apart = np.array([[np.log(other.times[n] / one.times[n]) for n in sizes]])
    first = last_crossing(logs, apart)[0]
    winner = a if apart[0, -1] >= 0 else b
    found: dict[str, Any] = {
        "winner": winner,
        "verdict": NOT_SHOWN,
        "from_size": float(2**first),
        "low": float("nan"),
        "high": float("nan"),
        "smallest": sizes[0],
        "largest": sizes[-1],
    }
    if not all(n in line.drawn for n in sizes for line in (one, other)):
        return found
    # The second line's draws in another order: the two were drawn by the same ranks.
    turned = {n: np.roll(other.drawn[n], 1 + 7 * i) for i, n in enumerate(sizes)}
    drawn = np.stack([np.log(turned[n] / one.drawn[n]) for n in sizes], axis=1)
    agreeing = (drawn[:, -1] >= 0) == (winner == a)
    if agreeing.mean() < COVERED[1] / 100:
        return found
    low, high = np.percentile(last_crossing(logs, drawn[agreeing]), COVERED)
    always = high <= logs[0]
    return found | {
        "verdict": "at every size" if always else "from there on",
        "low": float(2**low),
        "high": float(2**high),
    }


def last_crossing(x: "Floats", apart: "Floats") -> "Floats":
    """For each row of differences, the x from which on their sign is the last one's.

    Args:
        x: where the differences are, ascending.
        apart: one row for each curve, one column for each x.
    """
    import numpy as np

    same = np.sign(apart) == np.sign(apart[:, -1:])
    # The last column at which the sign is another; -1 where there is none.
    differs = np.where(~same, np.arange(len(x)), -1).max(axis=1)
    found = np.full(len(apart), x[0], dtype=float)
    rows = np.flatnonzero(differs >= 0)
    left = differs[rows]
    before, after = apart[rows, left], apart[rows, left + 1]
    share = before / (before - after)
    found[rows] = x[left] + share * (x[left + 1] - x[left])
    return found
