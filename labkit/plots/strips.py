"""The strips of the distribution figure: the quantiles of single round trips, row by row."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from labkit.plots.choice import FIXED
from labkit.plots.lines import alike, name_of, varying
from labkit.plots.style import Look, look_of

QUANTILES = ("p1", "p5", "p25", "p50", "p75", "p95", "p99", "p999", "max")
BODY = ["p5", "p25", "p50", "p75", "p95"]  # what must be alike for segments to share a strip
LEAST = {"p1": 100, "p99": 100, "p999": 1000}  # round trips of a repeat that such a quantile needs


@dataclass(frozen=True)
class Strip:
    """One row of the figure: `by_placement` has the columns QUANTILES (ns) and stable.

    `kinds` are the mechanisms it stands for.
    """

    name: str
    kinds: tuple[str, ...]
    waiting: str
    look: Look
    by_placement: pd.DataFrame

    @property
    def median(self) -> float:
        """The geometric mean of its medians over placements: what rows are sorted by."""
        return float(np.exp(np.log(self.by_placement["p50"]).mean()))

    def at(self, placement: str) -> dict[str, float] | None:
        """Its quantiles on one placement (ns, NaN where unknown) and stable; None if not there."""
        here = self.by_placement[self.by_placement.index == placement]
        return None if here.empty else {str(name): here[name].iloc[0] for name in here.columns}


def strips_of(samples: pd.DataFrame, summary: pd.DataFrame, together: float) -> list[Strip]:
    """The rows, fastest first.

    Args:
        samples: those with single round trips of one message size.
        summary: the rows of the same cells.
        together: shared-memory segments whose quantiles from 5 to 95 % lie within this factor,
            or have repeats that do, on every placement, share a strip; 1 keeps all apart.
    """
    strips: list[Strip] = []
    for (waiting, *way), group in samples.groupby(["waiting", *FIXED], sort=False):
        extra = varying(waiting, way, samples)
        parts = {str(m): part for m, part in group.groupby("mechanism", sort=False)}
        found = {
            m: _quantiles(part, summary[_same(summary, m, waiting, *way)])
            for m, part in parts.items()
        }
        shapes = {m: _shape(part) for m, part in parts.items()}
        one = [] if waiting == "kernel" else alike(shapes, together)
        if one:
            name = ", ".join(["shared", str(waiting), *extra]) + f" ({len(one)} kinds)"
            gathered = _gathered([found[m] for m in one])
            look = look_of(one[0], str(waiting))
            strips.append(Strip(name, tuple(one), str(waiting), look, gathered))
        for m in (m for m in found if m not in one):
            name, look = name_of(m, str(waiting), extra), look_of(m, str(waiting))
            strips.append(Strip(name, (m,), str(waiting), look, found[m]))
    return sorted(strips, key=lambda strip: strip.median)


def _same(summary: pd.DataFrame, *line: object) -> pd.Series:
    return (summary[["mechanism", "waiting", *FIXED]] == list(line)).all(axis=1)


def _quantiles(samples: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Each quantile's median over repeats, by placement; NaN where repeats are too short."""
    repeats = samples.groupby("placement", sort=False)
    found = repeats[[f"rtt_ns_{q}" for q in QUANTILES]].median()
    found.columns = pd.Index(QUANTILES)
    found["max"] = repeats["rtt_ns_max"].max()
    count = repeats["rtt_count"].median()
    for quantile, least in LEAST.items():
        found[quantile] = found[quantile].where(count >= least)
    stable = summary.set_index("placement")["stable"]
    found["stable"] = stable.reindex(found.index).fillna(False).astype(bool)
    return found


def _shape(samples: pd.DataFrame) -> pd.DataFrame:
    """What `alike` compares: each quantile's median over repeats, and the repeats' range."""
    repeats = samples.groupby("placement")[[f"rtt_ns_{q}" for q in BODY]]
    found = {"value": repeats.median(), "low": repeats.min(), "high": repeats.max()}
    return pd.DataFrame({name: table.stack() for name, table in found.items()})


def _gathered(parts: list[pd.DataFrame]) -> pd.DataFrame:
    every = pd.concat(parts).groupby(level=0, sort=False)
    found = every[list(QUANTILES)].median()
    found["max"] = every["max"].max()
    found["stable"] = every["stable"].all()
    return found
