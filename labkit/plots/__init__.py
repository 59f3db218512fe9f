"""Figures of a run. They take what was measured and never measure anything themselves."""

from labkit.plots.distribution import distribution
from labkit.plots.latency import latency
from labkit.plots.save import save
from labkit.plots.throughput import throughput

__all__ = ["distribution", "latency", "save", "throughput"]
