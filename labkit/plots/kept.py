"""The figures that are kept with a run, in its folder. None of them is worth the run."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from labkit.errors import LabkitError
from labkit.plots.choice import Only, Run, listed
from labkit.plots.cost_breakdown import cost_breakdown
from labkit.plots.distribution import distribution
from labkit.plots.latency import latency
from labkit.plots.save import save
from labkit.plots.style import Picture
from labkit.plots.throughput import throughput

MOST_WAYS = 3  # to wait, whose lines one figure can show apart
DRAWN = {
    "latency": ("latency", latency),
    "throughput": ("throughput", throughput),
    "distribution": ("latency", distribution),
}


def breakdown_of(run: Run) -> dict[str, tuple[str, Callable[..., Picture]]]:
    """Where the time goes, as one more figure; nothing for a run that cannot be explained."""
    told = run.machine.get("costs")
    if not (isinstance(told, dict) and told.get("constants")):
        return {}
    rows = run.summary
    rows = rows[(rows["status"] == "ok") & (rows["engine"] == "compiled")]
    there = set(rows.loc[rows["placement"] != "free", "pattern"])
    for pattern in ("latency", "throughput"):
        if pattern in there:
            return {"cost_breakdown": (pattern, partial(cost_breakdown, pattern=pattern))}
    return {}


def usual_of(run: Run, pattern: str) -> Only:
    """What to draw of a run in which more was varied than one figure can show: the usual cells."""
    rows = run.summary[run.summary["pattern"] == pattern]
    only: Only = {}
    for column, value in (("copy", "copy"), ("touch", "ends"), ("engine", "compiled")):
        there = set(rows[column])
        if len(there) > 1 and value in there:
            only[column] = value  # type: ignore[literal-required]
    ways = [way for way in rows["waiting"].unique() if way != "kernel"]
    usual = [way for way in rows["waiting"].unique() if way in ("kernel", "futex", "spin")]
    if len(ways) > MOST_WAYS and "futex" in usual:
        only["waiting"] = usual
    return only


def draw_all(run: Run, folder: Path) -> list[str]:
    """Write the figures of the patterns that were measured.

    Returns:
        A sentence if some had to be left out, for example because the disk is full; else nothing.
    """
    measured = set(run.summary.loc[run.summary["status"] == "ok", "pattern"])
    left_out: dict[str, str] = {}
    for name, (pattern, draw) in (DRAWN | breakdown_of(run)).items():
        if pattern not in measured:
            continue
        try:
            only = usual_of(run, pattern) if name in DRAWN else {}
            save(draw(run, **only), folder / name)
        except LabkitError as error:
            for suffix in (".svg", ".png"):
                with suppress(OSError):
                    (folder / f"{name}{suffix}").unlink()
            left_out[name] = getattr(error.__cause__, "strerror", None) or str(error).rstrip(".")
    if not left_out:
        return []
    names = listed(left_out)
    figures = f"figure {names} was" if len(left_out) == 1 else f"figures {names} were"
    why = "; ".join(dict.fromkeys(left_out.values()))
    return [f"the {figures} left out ({why}); labkit.plots draws them from the saved run."]
