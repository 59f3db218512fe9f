"""Two runs, cell by cell: what changed, by how much, and what two runs of one machine differ by.

The ratio of two medians has an interval of its own: both runs' repeats are drawn anew, again and
again, and the ratio of the medians is taken each time (percentile bootstrap; B. Efron,
R. Tibshirani, An Introduction to the Bootstrap, chapter 13). The interval knows what varied from
repeat to repeat within a run, and nothing of what was the same in all of them and is another in the
next run: where memory lay, which other cells stood beside, how warm the machine was. So a change is
only called one if it also is larger than what two runs one after the other agree within.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.errors import RequestError
from labkit.harness.statistics import (
    CELL_COLUMNS,
    COVERED,
    LEAST_REPEATS,
    resampled_medians,
)
from labkit.units import format_size, format_time

if TYPE_CHECKING:
    from labkit.harness.run import Run

AGREES_WITHIN = 1.10  # two runs of one machine, one after the other, do so in most stable cells
FASTER, SLOWER, WITHIN_NOISE = "faster", "slower", "within noise"
UNSURE, ONLY_A, ONLY_B, NEITHER = "too few repeats", "only in A", "only in B", "in neither"
VERDICTS = (SLOWER, FASTER, WITHIN_NOISE, UNSURE, ONLY_A, ONLY_B, NEITHER)
DIFF_COLUMNS = (
    *CELL_COLUMNS,
    "ns_a",
    "ns_b",
    "ratio",
    "ratio_low",
    "ratio_high",
    "verdict",
    "reason",
)

NAMED = 3  # changes that a sentence names
AT_ONCE = 256  # cells whose medians are drawn at once
BUSY, STOLEN = 0.3, 0.02  # others' load in CPUs, and the share of time the hypervisor took

# Facts of machine.json in which two machines, or one machine on two days, may differ.
_OF_THE_MACHINE = {
    "cpu_model": "processor",
    "cpus_online": "CPUs online",
    "memory_bytes": "memory",
    "virtual_machine": "virtual machine",
    "architecture": "architecture",
    "caches": "caches",
}
_OF_ITS_STATE = {
    "kernel": "kernel",
    "cpus_allowed": "CPUs allowed",
    "cpu_quota": "CPU quota",
    "container": "container",
    "mitigations": "mitigations",
    "preemption": "preemption",
    "frequency_governor": "frequency governor",
    "clock_source": "clock source",
    "transparent_huge_pages": "huge pages",
    "shared_memory_huge_pages": "huge pages of shared memory",
    "limits": "limits",
    "libc": "C library",
    "python": "Python",
    "libraries": "libraries",
}
_NO_SETTING = ("seed",)  # what changes no measurement
_LONG = 40  # characters of a fact that are still shown


def diff(a: "Run", b: "Run") -> pd.DataFrame:
    """What changed from run A to run B.

    Returns:
        DIFF_COLUMNS, one row for each cell of either run, in the order of A. `ns_a`, `ns_b`:
        medians, ns, empty where not measured. `ratio`: `ns_b` / `ns_a`, above 1 where B takes
        longer, with the ends of its 95 % interval, empty where a run has fewer than 5 repeats.
        `verdict`: "faster" or "slower" (B than A) where the interval leaves out 1 and the ratio is
        beyond what two runs of one machine agree within (10 %); else "within noise"; "too few
        repeats" where there is no interval; "only in A", "only in B", "in neither". `reason`: why a
        cell was not measured.

    Raises:
        RequestError: a run has two rows for one cell, so which of them to take is not known.
    """
    left, right = (_by_cell(run, name) for run, name in ((a, "A"), (b, "B")))
    asked = pd.concat([run.summary[list(CELL_COLUMNS)] for run in (a, b)])
    cells = pd.MultiIndex.from_frame(asked.drop_duplicates())
    table = cells.to_frame(index=False)
    here = [each.reindex(cells) for each in (left, right)]
    ns_a, ns_b = (each["ns_per_message"].to_numpy(dtype=float) for each in here)
    low, high = _ratio_intervals(cells, a.samples, b.samples)
    measured = ~np.isnan(ns_a) & ~np.isnan(ns_b)
    low[~measured] = high[~measured] = np.nan
    ratio = ns_b / ns_a
    table["ns_a"], table["ns_b"], table["ratio"] = ns_a, ns_b, ratio
    table["ratio_low"], table["ratio_high"] = low, high
    table["verdict"] = np.select(
        [
            np.isnan(ns_a) & np.isnan(ns_b),
            np.isnan(ns_b),
            np.isnan(ns_a),
            np.isnan(low),
            (low > 1) & (ratio > AGREES_WITHIN),
            (high < 1) & (ratio < 1 / AGREES_WITHIN),
        ],
        [NEITHER, ONLY_A, ONLY_B, UNSURE, SLOWER, FASTER],
        WITHIN_NOISE,
    )
    table["reason"] = [_why(*pair) for pair in zip(*map(_reasons, here), strict=True)]
    table["message_size"] = table["message_size"].astype("int64")
    return table[list(DIFF_COLUMNS)]


def _by_cell(run: "Run", name: str) -> pd.DataFrame:
    table = run.summary.set_index(list(CELL_COLUMNS))
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()][0]
        raise RequestError(
            f"run {name} has two rows for {cell_name(dict(zip(CELL_COLUMNS, twice, strict=True)))}"
            " in its summary, so it cannot be compared: it was changed after it was saved."
        )
    return table


def sentences(a: "Run", b: "Run", table: pd.DataFrame | None = None) -> list[str]:
    """What `diff` found, in sentences: what changed and what did not, and what else was different.

    Args:
        table: what `diff` returned, if it is there already.
    """
    found = diff(a, b) if table is None else table
    count = Counter(found["verdict"])
    compared = found["ratio"].notna().sum()
    if not compared:
        said = ["No cell was measured in both runs, so nothing can be compared."]
    else:
        said = [
            f"Of {_cells(compared)} measured in both runs, B is slower in {count[SLOWER]}, faster"
            f" in {count[FASTER]}, and within noise in {count[WITHIN_NOISE]}: there the interval"
            " of the ratio holds 1, or the two are less than"
            f" {100 * (AGREES_WITHIN - 1):.0f} % apart."
        ]
        said += [_changes(found, verdict) for verdict in (SLOWER, FASTER) if count[verdict]]
        if count[WITHIN_NOISE]:
            middle = found.loc[found["verdict"] == WITHIN_NOISE, "ratio"]
            said.append(
                f"Within noise, B takes {middle.median():.2f} times as long in the middle, and half"
                f" of these cells lie from {middle.quantile(0.25):.2f} to"
                f" {middle.quantile(0.75):.2f}."
            )
    if count[UNSURE]:
        said.append(
            f"{_cells(count[UNSURE])} had fewer than {LEAST_REPEATS} repeats in a run, too few to"
            " tell a change from noise: give both runs more time with --budget."
        )
    alone = [(ONLY_A, "A"), (ONLY_B, "B")]
    said += [f"{_cells(count[v])} measured in {run} only." for v, run in alone if count[v]]
    return [*said, *_circumstances(a.machine, b.machine)]


def biggest(table: pd.DataFrame, verdict: str) -> pd.DataFrame:
    """The cells with this verdict, those that changed most first."""
    rows = table[table["verdict"] == verdict]
    change = np.log(rows["ratio"].to_numpy(dtype=float))
    return rows.iloc[np.argsort(-np.abs(change), kind="stable")]


def cell_name(row: Mapping[Any, Any]) -> str:
    """A cell in words: "pipe latency 64 B same-cpu", with what is not the usual choice."""
    words = [str(row["mechanism"]), str(row["pattern"]), format_size(int(row["message_size"]))]
    words += [str(row["placement"])]
    usual = {"waiting": "kernel", "copy": "copy", "touch": "ends", "engine": "compiled"}
    words += [str(row[column]) for column, value in usual.items() if row[column] != value]
    return " ".join(words)


def _changes(table: pd.DataFrame, verdict: str) -> str:
    rows = biggest(table, verdict)
    named = [
        f"{cell_name(row)} from {format_time(row['ns_a'])} to {format_time(row['ns_b'])}"
        f" ({row['ratio']:.2f} times as long, {row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        for row in rows.head(NAMED).to_dict("records")
    ]
    common = [
        str(rows[column].iloc[0]).replace("kernel", "kernel-copied")
        for column in CELL_COLUMNS[:-1]
        if rows[column].nunique() == 1 and table[column].nunique() > 1
    ]
    who = f"all of them {', '.join(common)}; " if common and len(rows) > 1 else ""
    middle = f"{rows['ratio'].median():.2f} times as long in the middle; " if len(rows) > 1 else ""
    most = "most changed: " if len(rows) > NAMED else ""
    return f"{verdict.capitalize()} in B: {who}{middle}{most}{'; '.join(named)}."


def _circumstances(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """What else differs: the machines, their state, the settings, what went on beside."""
    said = []
    if machines := _differences(a, b, _OF_THE_MACHINE):
        said.append(
            f"These are two machines ({', '.join(machines)}): read the differences as theirs, and"
            " compare the order of the mechanisms before the numbers."
        )
    if state := _differences(a, b, _OF_ITS_STATE):
        said.append(f"The machine was not in the same state: {', '.join(state)}.")
    cpus = [each.get("cpus") for each in (a, b)]
    pairs = [
        [each.get(key) if isinstance(each, dict) else None for key in ("first", "second")]
        for each in cpus
    ]
    if pairs[0] != pairs[1] and not machines:
        said.append("The runs used different CPUs: {} and {}.".format(*map(_pair, pairs)))
    settings_of = (each.get("settings") for each in (a, b))
    mine, other = (each if isinstance(each, dict) else {} for each in settings_of)
    names = {
        key: key.replace("_", " ")
        for key in (*mine, *(key for key in other if key not in mine))
        if key not in _NO_SETTING
    }
    if settings := _differences(mine, other, names):
        said.append(f"The settings differ: {', '.join(settings)}.")
    for name, machine in (("A", a), ("B", b)):
        noise = machine.get("noise") or {}
        load, stolen = noise.get("other_load") or 0, noise.get("stolen") or 0
        parts = [f"others used {load:.1f} CPUs"] * (load > BUSY)
        parts += [f"the hypervisor took {100 * stolen:.0f} % of the time"] * (stolen > STOLEN)
        if parts:
            said.append(f"While {name} was measured, {' and '.join(parts)}.")
        if machine.get("partial"):
            said.append(f"{name} was stopped before it was whole.")
    return said


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    """Which of these facts differ, with both values where they are short."""
    found = []
    for key, name in names.items():
        mine, other = a.get(key), b.get(key)
        if mine == other:
            continue
        if isinstance(mine, dict) and isinstance(other, dict):
            inner = [k for k in (*mine, *other) if mine.get(k) != other.get(k)]
            found.append(f"{name} ({_listed(dict.fromkeys(map(str, inner)))})")
            continue
        one, two = _value(key, mine), _value(key, other)
        short = len(one) <= _LONG and len(two) <= _LONG and one != two
        found.append(f"{name} {one} against {two}" if short else name)
    return found


def _pair(cpus: Iterable[object]) -> str:
    return " with ".join(str(cpu) for cpu in cpus if cpu is not None) or "none named"


def _value(key: str, value: object) -> str:
    if value is None:
        return "unknown" if key != "virtual_machine" else "none"
    if key == "memory_bytes" and isinstance(value, int | float):
        return f"{value / (1 << 30):.1f} GiB"
    if isinstance(value, list):
        return "+".join(str(each) for each in value) or "none"
    return str(value)


def _listed(names: Iterable[str]) -> str:
    words = list(names)
    return ", ".join(words[:NAMED]) + (f" and {len(words) - NAMED} more" * (len(words) > NAMED))


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _reasons(summary: pd.DataFrame) -> list[str]:
    """For each cell, why this run has no number for it; empty where it has, or never asked."""
    asked = summary["reason"].notna() & summary["ns_per_message"].isna()
    return [str(r) if there else "" for r, there in zip(summary["reason"], asked, strict=True)]


def _why(a: str, b: str) -> str:
    if a == b:
        return a
    return " ".join(f"{name}: {each}" for name, each in (("A", a), ("B", b)) if each)


def _ratio_intervals(
    cells: pd.MultiIndex, a: pd.DataFrame, b: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the ratios' intervals, one for each cell, NaN where repeats are too few."""
    low, high = np.full(len(cells), np.nan), np.full(len(cells), np.nan)
    drawn = [_repeats(cells, samples) for samples in (a, b)]
    alike: dict[tuple[int, int], list[int]] = {}
    for place in range(len(cells)):
        counts = (len(drawn[0][place]), len(drawn[1][place]))
        if min(counts) >= LEAST_REPEATS:
            alike.setdefault(counts, []).append(place)
    for places in alike.values():
        for start in range(0, len(places), AT_ONCE):
            these = places[start : start + AT_ONCE]
            medians = [
                # Two seeds: with one, the runs would be drawn from in step.
                resampled_medians(np.array([run[place] for place in these]), seed)
                for seed, run in enumerate(drawn, start=1)
            ]
            low[these], high[these] = np.percentile(medians[1] / medians[0], COVERED, axis=1)
    return low, high


def _repeats(cells: pd.MultiIndex, samples: pd.DataFrame) -> list[NDArray[np.float64]]:
    """Each cell's repeats, in ns per message."""
    keys = pd.MultiIndex.from_frame(samples[list(CELL_COLUMNS)])
    order = cells.get_indexer(keys) if len(samples) else np.empty(0, dtype=int)
    values = samples["ns_per_message"].to_numpy(dtype=float)
    sorting = np.argsort(order, kind="stable")
    bounds = np.searchsorted(order[sorting], np.arange(len(cells) + 1))
    grouped = values[sorting]
    return [grouped[i:j] for i, j in pairwise(bounds)]
