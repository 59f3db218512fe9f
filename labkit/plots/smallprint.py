"""What stands under a figure in small print: how to read it, what is missing, which machine."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from labkit.plots.choice import FIXED, listed
from labkit.units import format_size

PLACEMENTS = {
    "same-cpu": "both ends on one CPU",
    "cross-cpu": "each end on its own CPU",
    "free": "the scheduler chooses",
}


def placement_text(placement: str) -> str:
    """A placement as a heading."""
    return f"{placement}: {PLACEMENTS[placement]}" if placement in PLACEMENTS else placement


def fixed_text(rows: pd.DataFrame) -> str:
    """What all drawn cells have in common, and so no label says."""
    same = [f"{c}={rows[c].iloc[0]}" for c in FIXED if rows[c].nunique() == 1]
    return f"All cells: {', '.join(same)}." if same else ""


def unstable_text(stable: Iterable[bool]) -> str:
    """How to read hollow markers, if there are any."""
    if all(stable):
        return ""
    return "Hollow: unstable (interval wider than 10 % of the median, or too few repeats for one)."


def missing_text(rows: pd.DataFrame) -> str:
    """Which cells are not drawn, in as few words as they allow."""
    parts = [
        f"{status.capitalize()}: {'; '.join(_absent(rows, status))}."
        for status in rows["status"].unique()
        if status != "ok"
    ]
    return " ".join([*parts, "The column `reason` says why."]) if parts else ""


def _absent(rows: pd.DataFrame, status: str) -> list[str]:
    said: list[str] = []
    gone = rows[rows["status"] == status]
    for (placement, waiting), group in rows.groupby(["placement", "waiting"], sort=False):
        if waiting != "kernel" and (group["status"] == status).all():
            said.append(f"{waiting} on {placement}")
            gone = gone[(gone["placement"] != placement) | (gone["waiting"] != waiting)]
    alike: defaultdict[tuple[tuple[int, ...], str], list[str]] = defaultdict(list)
    for (mechanism, waiting), group in gone.groupby(["mechanism", "waiting"], sort=False):
        here = group["placement"].unique()
        where = "" if len(here) == rows["placement"].nunique() else f" on {listed(here)}"
        name = str(mechanism) if waiting == "kernel" else f"{mechanism} ({waiting})"
        alike[tuple(sorted(group["message_size"].unique())), where].append(name)
    for (sizes, where), names in alike.items():
        everywhere = len(sizes) > 1 and len(sizes) == rows["message_size"].nunique()
        at = "" if everywhere else f" at {listed(format_size(size) for size in sizes)}"
        said.append(f"{listed(names)}{at}{where}")
    return said


def machine_text(machine: Mapping[str, Any]) -> str:
    """The machine, the date and labkit's version, from machine.json, as far as known."""
    kinds = [
        f"{kind} {what}".removeprefix("unnamed ")
        for key, what in (("virtual_machine", "virtual machine"), ("container", "container"))
        if (kind := machine.get(key))
    ]
    release, started = machine.get("kernel"), machine.get("started")
    version = (machine.get("libraries") or {}).get("labkit")
    facts = [
        machine.get("cpu_model"),
        release and f"Linux {release}",
        *kinds,
        started and str(started).replace("T", " ")[:16] + " UTC" * str(started).endswith("+00:00"),
        version and f"labkit {version}",
        "a partial run" if "partial" in machine else None,
    ]
    return " · ".join(str(fact) for fact in facts if fact)
