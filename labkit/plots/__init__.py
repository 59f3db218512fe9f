"""Figures of a run. They take what was measured and never measure anything themselves."""

from labkit.plots import loading  # noqa: F401  # before anything else loads matplotlib
from labkit.plots.cohort import cohort
from labkit.plots.copies import copies
from labkit.plots.copy_cost import copy_cost
from labkit.plots.cost_breakdown import cost_breakdown
from labkit.plots.cpu_time import cpu_time
from labkit.plots.crossover import crossover
from labkit.plots.diff import diff
from labkit.plots.distribution import distribution
from labkit.plots.latency import latency
from labkit.plots.save import save
from labkit.plots.throughput import throughput

__all__ = [
    "cohort",
    "copies",
    "copy_cost",
    "cost_breakdown",
    "cpu_time",
    "crossover",
    "diff",
    "distribution",
    "latency",
    "save",
    "throughput",
]
