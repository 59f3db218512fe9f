"""A machine's constants, and runs on it, whose every part is known."""

from typing import Any

import made_up
import pandas as pd

from labkit.costs.constants import Constants
from labkit.harness.request import Cell
from labkit.harness.run import Run
from labkit.harness.statistics import SAMPLE_COLUMNS, summarise

SIZES = (64, 4096, 65536, 1 << 20)

# Whatever a message costs, it costs by these; own_work is made of them below.
NULL, SWITCH, WAKE, WAKE_ACROSS, LINE, FAULT = 100.0, 1000.0, 500.0, 20000.0, 50.0, 700.0
MEMCPY, KERNEL, PAGES = 0.02, 0.05, 0.01  # ns per byte
QUEUEING = 300.0  # of a kernel-copied message, whatever its size
RING = 40.0
FUTEX_WAKE, FUTEX_WAIT = 300.0, 400.0


def values() -> dict[str, list[Any]]:
    """The constants as machine.json keeps them."""
    found: dict[str, float] = {
        "clock_read": 20.0,
        "null_call": NULL,
        "futex_wake": FUTEX_WAKE,
        "futex_wait": FUTEX_WAIT,
        "switch": SWITCH,
        "wake/same-cpu": WAKE,
        "wake/cross-cpu": WAKE_ACROSS,
        "cache_line": LINE,
        "memcpy_call": 0.0,
        "fault_present": FAULT,
    }
    for whole in (1 << 13, 1 << 23):
        found[f"memcpy/{whole}"] = MEMCPY
        found[f"kernel_write/{whole}"] = found[f"kernel_read/{whole}"] = KERNEL
    for size in SIZES:
        found[f"fill/{size}"] = found[f"check/{size}"] = 0.05
        for pattern in ("latency", "throughput"):
            for mechanism in ("pipe", "unix_dgram", "tcp"):
                own = QUEUEING + (2 * KERNEL + PAGES) * size
                found[f"own_work/{mechanism}/{pattern}/{size}"] = own
                found[f"send_to_self/{mechanism}/{pattern}/{size}"] = own + 2 * NULL
                found[f"calls_to_self/{mechanism}/{pattern}/{size}"] = 2.0
                found[f"send_alone/{mechanism}/{pattern}/{size}"] = (own + 2 * NULL) / 2
        if size >= 4096:
            found[f"copy_in_cross/{size}"] = found[f"copy_out_cross/{size}"] = 3 * MEMCPY
    for pattern in ("latency", "throughput"):
        for waiting in ("futex", "spin", "posix_sem", "sysv_sem"):
            found[f"own_work/{waiting}/{pattern}/8"] = RING
    return {name: [value, value * 0.99, value * 1.01] for name, value in found.items()}


def constants() -> Constants:
    """The same, to compute with."""
    return Constants(values())


def row(**changed: Any) -> dict[str, Any]:
    """A row of the summary: a round trip of 64 B through a pipe, with changes."""
    return {
        **vars(made_up.CELL),
        "ns_per_message": 4000.0,
        "system_calls_per_message": 4.0,
        "voluntary_switches_per_message": 1.0,
        "involuntary_switches_per_message": 1.0,
        "page_faults_per_message": 0.0,
        "cpu_ns_per_message": 4000.0,
        "stable": True,
        "status": "ok",
    } | changed


def run_of(
    cells: dict[Cell, float], repeats: int = 7, spread: float = 0.001, **counts: float
) -> Run:
    """A run of these cells and times, in ns, with the constants of this machine.

    Args:
        repeats: of each cell; they lie around its time, `spread` of it from one to the next.
        counts: of a thousand messages, for the columns of the samples.
    """
    rows = []
    for cell, ns in cells.items():
        for repeat in range(repeats):
            time = ns * (1 + spread * (repeat - repeats // 2))
            rows.append(made_up.sample(cell, repeat, time, page_faults=0) | counts)
    samples = pd.DataFrame(rows, columns=list(SAMPLE_COLUMNS))
    summary = summarise(samples, [made_up.outcome(cell) for cell in cells])
    machine = {"cpu_model": "Some Processor", "kernel": "6.1", "costs": {"constants": values()}}
    return Run(summary, samples, machine)
