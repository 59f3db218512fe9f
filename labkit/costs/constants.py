"""The constants of one machine, and what they come to at a size that was not measured itself."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from labkit.costs.catalogue import CATALOGUE, size_of
from labkit.errors import RequestError


class Constants:
    """Values by name, with their intervals: what `machine.json` keeps under `costs`.

    Args:
        values: name -> [value, low, high], in the unit that the catalogue gives; low and high are
            None where there is no interval.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self._curves: dict[str, tuple[list[float], list[float]]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def value(self, name: str) -> float:
        """One constant; NaN where it is not known."""
        found = self.values.get(name)
        return float(found[0]) if found else math.nan

    def interval(self, name: str) -> tuple[float, float]:
        """Its 95 % interval; NaN where there is none."""
        found = self.values.get(name) or [math.nan] * 3
        low, high = (math.nan if each is None else float(each) for each in found[1:3])
        return low, high

    def at(self, curve: str, size: int) -> float:
        """A time that grows with the size, such as `send_to_self/pipe/latency`, in ns.

        Between two measured sizes on the straight line through them, beyond the largest on with
        the last one's slope, below the smallest as there; NaN where none was measured.
        """
        sizes, values = self._curve(curve)
        if not sizes:
            return math.nan
        if size > sizes[-1]:
            if len(sizes) == 1:
                return values[0] * size / sizes[0] if size > sizes[0] else values[0]
            slope = (values[-1] - values[-2]) / (sizes[-1] - sizes[-2])
            return values[-1] + max(0.0, slope) * (size - sizes[-1])
        return float(np.interp(size, sizes, values))

    def per_byte(self, curve: str, working_set: float) -> float:
        """A cost in ns per byte, such as `memcpy`, by the bytes that are gone through again.

        Between two measured ones on a straight line over the size's logarithm; beyond, the last.
        """
        sizes, values = self._curve(curve)
        if not sizes:
            return math.nan
        return float(np.interp(math.log(max(1.0, working_set)), np.log(sizes), values))

    def measured_at(self, curve: str) -> list[int]:
        """The sizes at which a curve was measured."""
        return [int(size) for size in self._curve(curve)[0]]

    def _curve(self, curve: str) -> tuple[list[float], list[float]]:
        if curve not in self._curves:
            points = sorted(
                (float(size_of(name)), float(value[0]))
                for name, value in self.values.items()
                if name.rpartition("/")[0] == curve
            )
            self._curves[curve] = ([x for x, _ in points], [y for _, y in points])
        return self._curves[curve]


def constants_of(machine: Mapping[str, Any]) -> Constants:
    """The constants that a run carries in its machine.json.

    Raises:
        RequestError: it carries none.
    """
    told = machine.get("costs")
    kept = told.get("constants") if isinstance(told, Mapping) else None
    values = {n: v for n, v in kept.items() if _sound(n, v)} if isinstance(kept, Mapping) else {}
    if not values:
        why = told.get("left_out") if isinstance(told, Mapping) else None
        raise RequestError(
            "this run carries no constants of its machine"
            + (f" ({str(why).rstrip('.')})" if why else "")
            + ": measure again with a longer budget, or give it constants=labkit.costs()."
        )
    return Constants(values)


def _sound(name: object, value: object) -> bool:
    """Whether a file's entry is a constant: somebody may have been at it, or another labkit."""
    kind = CATALOGUE.get(str(name).partition("/")[0])
    if kind is None or (kind.sized and not str(name).rpartition("/")[2].isdecimal()):
        return False
    if not isinstance(value, list) or len(value) != 3:
        return False
    ends = [each for each in value if each is not None]
    numbers = all(isinstance(each, int | float) and math.isfinite(each) for each in ends)
    return numbers and value[0] is not None and value[0] >= 0


def constants_from(table: Any) -> Constants:
    """The constants of a table that `labkit.costs()` returned."""
    rows = zip(table["name"], table["value"], table["low"], table["high"], strict=True)
    return Constants({str(n): [v, low, high] for n, v, low, high in rows if not math.isnan(v)})
