"""Tables with numbers that were made up, for what computes with them or writes them down."""

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from labkit.harness.request import Cell, build_request
from labkit.harness.run import Run
from labkit.harness.statistics import PERCENTILES, SAMPLE_COLUMNS, SUMMARY_COLUMNS, summarise

CELL = Cell("pipe", "kernel", "latency", "same-cpu", "copy", "ends", "compiled", 64)


def outcome(cell: Cell = CELL, **changed: Any) -> dict[str, Any]:
    """What the harness reports of a cell that went well, with changes."""
    return {
        **vars(cell),
        "in_flight_messages": 1024.0,
        "system_calls_source": "loop",
        "traced_calls_per_message": None,
        "status": "ok",
        "reason": "",
    } | changed


def sample(
    cell: Cell = CELL, repeat: int = 0, ns: float = 5000.0, **changed: Any
) -> dict[str, Any]:
    """One repeat of 1000 messages, with changes."""
    latency = cell.pattern == "latency"
    return {
        **vars(cell),
        "repeat": repeat,
        "started_s": 0.25 * repeat,
        "messages": 1000,
        "elapsed_ns": 1000 * ns,
        "ns_per_message": ns,
        "rtt_count": 100 if latency else 0,
        **{f"rtt_ns_{name}": ns if latency else np.nan for name in PERCENTILES},
        "rtt_ns_max": 9 * ns if latency else np.nan,
        "clock_ns": 20.0,
        "system_calls": 4000.0,
        "voluntary_switches": 2000,
        "involuntary_switches": 10,
        "page_faults": 500,
        "cpu_ns": 4_000_000,
        "user_ns": 1_000_000,
        "system_ns": 3_000_000,
        "producer_cpu": 0,
        "consumer_cpu": 0,
    } | changed


def samples(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as the samples table."""
    return pd.DataFrame(rows, columns=list(SAMPLE_COLUMNS))


def run() -> Run:
    """A run of three cells: one measured, one skipped, one failed."""
    stream = Cell("fifo", "kernel", "throughput", "free", "copy", "ends", "compiled", 1 << 20)
    other = Cell("tcp", "kernel", "latency", "same-cpu", "copy", "ends", "compiled", 8)
    rows = samples([sample(repeat=i, ns=5000 + i / 7) for i in range(7)])
    outcomes = [
        outcome(),
        outcome(stream, status="skipped", reason='the kernel refused 1 MiB, "too long".'),
        outcome(other, status="failed", reason="the consumer died with SIGKILL at message 3."),
    ]
    return Run(summarise(rows, outcomes), rows, {"kernel": "6.1", "cpus": [0, 1], "noise": {}})


def summary(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as the summary table, what is not given empty."""
    table = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    table["stable"] = table["stable"].eq(True)
    table[["messages", "repeats"]] = table[["messages", "repeats"]].fillna(0).astype(int)
    return table


CELLS = build_request(
    "pipe,fifo,posix_shm,memfd",
    "8,4K,1M",
    waiting="futex,spin",
    placements="all",
    copy="all",
    touch="ends,all",
    engine="all",
    cpus=2,
).cells()


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A summary's rows: any cells, any times, with and without intervals."""
    made = []
    for cell in draw(st.lists(st.sampled_from(CELLS), max_size=12, unique=True)):
        row: dict[str, Any] = {**vars(cell), "reason": ""}
        row["status"] = draw(st.sampled_from(["ok", "ok", "ok", "skipped", "failed"]))
        if row["status"] == "ok":
            ns = draw(st.floats(0.5, 1e9))
            row |= {"ns_per_message": ns, "messages": 100, "repeats": draw(st.integers(1, 25))}
            if draw(st.booleans()):
                row["ns_low"] = ns * draw(st.floats(0.5, 1))
                row["ns_high"] = ns * draw(st.floats(1, 2))
            if cell.pattern == "throughput" and (cell.copy, cell.touch) != ("in-place", "ends"):
                row["bytes_per_second"] = 1e9 * cell.message_size / ns
            row["stable"] = draw(st.booleans())
            if draw(st.booleans()):
                row |= {"system_calls_per_message": 2.0, "cpu_ns_per_message": ns}
        else:
            row["reason"] = draw(st.sampled_from(["it would not.", "it could not", ""]))
        made.append(row)
    return made
