"""How well the cost model predicts what is measured, and whether two runs agree.

    python benchmarks/model.py [--budget 60] [RUN RUN]

Two comparisons one after the other (or two saved runs). Aimed at: the prediction within 25 % of the
measured median for 85 % of the stable cells on one CPU, 8 B to 1 MiB; and, of the cells stable in
both runs, 90 % whose medians agree within 10 %. What is beyond 25 % is listed with its remainder.
"""

import argparse
import sys
from typing import Any

import labkit
from labkit.costs import copies, explain
from labkit.harness.run import Run
from labkit.harness.statistics import CELL_COLUMNS, agreement
from labkit.units import format_size, format_time

PREDICTED, AGREEING = 0.85, 0.90
WITHIN = 0.10


def accuracy(run: Run) -> bool:
    """Print how many cells the model predicts, and list the others. Whether it is enough."""
    table = explain(run)
    good = True
    for placement in table["placement"].unique():
        for kind, rows in (("stable", table[table["stable"]]), ("all", table)):
            here = rows[(rows["placement"] == placement) & rows["predicted_ns"].notna()]
            if here.empty:
                continue
            share = float(here["within"].mean())
            aim = placement == "same-cpu" and kind == "stable"
            print(
                f"  {placement}, {kind} cells: {int(here['within'].sum())} of {len(here)} within"
                f" 25 % ({share:.0%})" + (f", target {PREDICTED:.0%}" if aim else "")
            )
            good &= not aim or share >= PREDICTED
    beyond = table[(table["placement"] == "same-cpu") & table["stable"] & ~table["within"]]
    for row in beyond.to_dict("records"):
        print(
            f"    {_cell(row)}: measured {format_time(row['measured_ns'])}, predicted"
            f" {format_time(row['predicted_ns'])}; {row['reason']}"
        )
    return good


def slopes(run: Run) -> None:
    """Print the effective copies of each message on one CPU, and what they are made of."""
    table = copies(run)
    here = table[(table["placement"] == "same-cpu") & (table["pattern"] == "latency")]
    for row in here.to_dict("records"):
        print(
            f"    {row['mechanism']:15s} {row['waiting']:9s} {row['copy']:8s}"
            f" {row['memcpys']:5.2f} memcpys [{row['memcpys_low']:.2f}, {row['memcpys_high']:.2f}]"
            f" = copies {row['of_copies']:.2f} + own work {row['of_own']:.2f} + other"
            f" {row['of_other']:.2f} + remainder {row['remainder']:.2f};"
            f" {row['kernel_copies']:.2f} kernel copies; {row['inferred_copies']} inferred"
        )


def agree(a: Run, b: Run) -> bool:
    """Print how many of the cells that are stable in both runs agree. Whether it is enough."""
    both = agreement(a.summary, b.summary)
    for run in (a, b):
        stable = run.summary.loc[run.summary["stable"].astype(bool), list(CELL_COLUMNS)]
        both = both.merge(stable, on=list(CELL_COLUMNS))
    if both.empty:
        print("  no cell is stable in both runs")
        return False
    near = (both["ratio"] - 1).abs() <= WITHIN
    print(
        f"  {int(near.sum())} of {len(both)} cells stable in both agree within 10 %"
        f" ({near.mean():.0%}), target {AGREEING:.0%}"
    )
    for row in both[~near].to_dict("records"):
        print(f"    {_cell(row)}: {format_time(row['ns_a'])}, then {format_time(row['ns_b'])}")
    return bool(near.mean() >= AGREEING)


def _cell(row: dict[Any, Any]) -> str:
    names = [str(row[name]) for name in CELL_COLUMNS[:-1] if row[name] not in ("kernel", "ends")]
    return " ".join([*names, format_size(int(row["message_size"]))])


def main() -> int:
    """Print both figures; 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--budget", type=float, default=60)
    parser.add_argument("runs", nargs="*", metavar="RUN")
    asked = parser.parse_args()
    if len(asked.runs) not in (0, 2):
        parser.error("give two runs, or none to measure them now")
    runs = [labkit.load(path) for path in asked.runs] or [
        labkit.compare(budget=asked.budget) for _ in range(2)
    ]
    good = True
    for number, run in enumerate(runs, 1):
        print(f"run {number}: the model")
        good &= accuracy(run)
        slopes(run)
    print("run 1 against run 2")
    good &= agree(*runs)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
