"""How steady the machine was during a run: did it drift, what made cells unstable, what to do.

Every round measures each cell once, so a machine that gets slower makes late repeats slower than
early ones in all cells alike. That is what is looked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from labkit.harness.run import Run

    Floats = NDArray[np.float64]

WORTH_SAYING = 0.05  # of the time: a smaller drift is within what two runs differ by
UNSTABLE = 0.25  # share of the cells from which on a remedy is named
LEAST_CELLS = 8
LEAST_REPEATS = 6
OTHERS = 0.1  # CPUs' worth of somebody else's work
STOLEN = 0.01  # share of the time in which the hypervisor ran somebody else
RESAMPLES = 1000
COVERED = (2.5, 97.5)


def drift(samples: "pd.DataFrame") -> tuple[float, float, float]:
    """How much longer the last third of a run's repeats took than the first third.

    Args:
        samples: one row for each repeat (SAMPLE_COLUMNS).

    Returns:
        The median over cells of the ratio of the later repeats' median to the earlier ones', less
        one, and its 95 % interval (bootstrap over cells); NaN where there are too few cells of six
        repeats or more.
    """
    import numpy as np

    from labkit.harness.statistics import CELL_COLUMNS

    ratios = []
    for _, cell in samples.groupby(list(CELL_COLUMNS), sort=False):
        if len(cell) >= LEAST_REPEATS:
            times = cell.sort_values("started_s")["ns_per_message"].to_numpy(float)
            third = len(times) // 3
            ratios.append(float(np.median(times[-third:]) / np.median(times[:third])))
    if len(ratios) < LEAST_CELLS:
        return float("nan"), float("nan"), float("nan")
    found = np.array(ratios)
    picks = np.random.default_rng(1).integers(0, len(found), (RESAMPLES, len(found)))
    low, high = np.percentile(np.median(found[picks], axis=1), COVERED)
    return float(np.median(found)) - 1, float(low) - 1, float(high) - 1


def warnings(run: "Run") -> list[str]:
    """What to be careful about, each with what to do; nothing where the machine was steady."""
    said = []
    late, low, high = drift(run.samples)
    if abs(late) >= WORTH_SAYING and (low > 0 or high < 0):
        how = "longer" if late > 0 else "less time"
        said.append(
            f"The machine drifted: the last third of the repeats took {100 * abs(late):.0f} % {how}"
            f" than the first, so {_remedy_of_drift(run.machine)}."
        )
    rows = run.summary[(run.summary["status"] == "ok") & (run.summary["ns_per_message"] > 0)]
    unstable = int((~rows["stable"].astype(bool)).sum())
    if len(rows) and unstable > UNSTABLE * len(rows):
        said.append(f"{unstable} of {len(rows)} cells are not stable: {_remedy(run, rows)}.")
    return said


def _remedy_of_drift(machine: dict[str, Any]) -> str:
    governor = machine.get("frequency_governor")
    if governor not in (None, "performance"):
        return (
            f"hold the clock rate ({governor} decides on it now: `cpupower frequency-set -g"
            " performance`) and measure again"
        )
    return (
        "let it come to rest, as another program or the heat may have changed it, and measure again"
    )


def _remedy(run: "Run", rows: "pd.DataFrame") -> str:
    """What most likely makes cells unstable here, and what to do about it."""
    machine: dict[str, Any] = run.machine
    noise = machine.get("noise") or {}
    governor = machine.get("frequency_governor")
    if (rows["repeats"] < 5).mean() > UNSTABLE:
        return "they have too few repeats for an interval, so give it more time with --budget"
    if (noise.get("other_load") or 0) > OTHERS:
        return (
            f"others kept {noise['other_load']:.1f} CPUs busy meanwhile, so close what else runs"
            " here and measure again"
        )
    if (noise.get("stolen") or 0) > STOLEN:
        return (
            f"the hypervisor ran somebody else for {100 * noise['stolen']:.0f} % of the time, so"
            " measure again when it has less to do, or on a machine of your own"
        )
    if machine.get("cpu_quota") is not None:
        return "a CPU quota makes processes stand still, so lift it (docker: without --cpus)"
    if governor not in (None, "performance"):
        return (
            f"the clock rate changes under the governor {governor}, so hold it (`cpupower"
            " frequency-set -g performance`)"
        )
    across = rows[rows["placement"] != "same-cpu"]
    shaky = float((~across["stable"].astype(bool)).mean()) if len(across) else 0.0
    alone = rows[rows["placement"] == "same-cpu"]
    if len(alone) and shaky > 2 * float((~alone["stable"].astype(bool)).mean()):
        return (
            "most of them across CPUs, where a wake-up or a cache line takes one of several times"
            + (" on a virtual machine" if machine.get("virtual_machine") else "")
            + ": compare on one CPU (--placement same-cpu), or give it more time with --budget"
        )
    return "give it more time with --budget, or fewer cells, and each gets longer repeats"
