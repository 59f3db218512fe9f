"""Copies as the clock sees them: how much a message's time grows with its size, in copies.

The time of a message is fitted as a + c x (what one copy of it costs), over its sizes: c is how
many such copies its growth is worth. One yardstick is this machine's memcpy(3), the other the
kernel's own copy (pwrite(2) and pread(2) of a memfd), both at the size in question, so that
caches make the yardstick longer where they make the message slower.

What the method can tell: what a byte more costs. What it can't: how many copies were made. A byte
more also costs a share of a page to be allocated, charged and freed, a larger part of the caches,
and in two processes at once it can cost nothing. So a pipe's slope can be five memcpys where two
copies are made; the parts of the model (`labkit.costs.explain`) say what the rest is.
"""

from typing import TYPE_CHECKING, Any

from labkit.costs.constants import Constants
from labkit.costs.explanation import known_constants
from labkit.costs.model import PARTS, kernel_copies, memory_passed, predict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from labkit.harness.run import Run

    Floats = NDArray[np.float64]

LINE = ("mechanism", "waiting", "pattern", "placement", "copy", "touch", "engine")
LEAST_SIZES = 3
LEAST_SPAN = 64  # the largest size over the smallest, or there is no slope to speak of

Row = dict[str, Any]

COLUMNS = (
    *LINE,
    "sizes",
    "inferred_copies",
    "memcpys",
    "memcpys_low",
    "memcpys_high",
    "kernel_copies",
    "kernel_copies_low",
    "kernel_copies_high",
    "of_copies",
    "of_own",
    "of_other",
    "remainder",
)


def copies(run: "Run", constants: "pd.DataFrame | None" = None) -> "pd.DataFrame":
    """Effective copies of each message, beside those inferred from the calls.

    Args:
        run: what was measured, at three sizes or more, the largest 64 times the smallest.
        constants: what `labkit.costs()` returned; by default those that the run carries.

    Returns:
        One row for each mechanism, waiting, pattern, placement, copy, touch and engine: `sizes`
        (how many), `inferred_copies` (from what the calls carry), `memcpys` with its 95 %
        interval `memcpys_low` and `memcpys_high` (slope over this machine's memcpy),
        `kernel_copies` and its interval (over the kernel's own copy); and what the slope is made
        of, in memcpys: `of_copies` (the model's copies), `of_own` (the mechanism's own work, such
        as pages), `of_other` (whatever else grows) and `remainder`. Intervals are empty where
        a cell has fewer than five repeats. In round trips, one message is half of what was timed.

    Raises:
        RequestError: there are no constants.
    """
    import numpy as np
    import pandas as pd

    known = known_constants(run, constants)
    summary = run.summary
    measured = summary[(summary["status"] == "ok") & (summary["ns_per_message"] > 0)]
    repeats = dict(iter(run.samples.groupby(list(LINE), sort=False)))
    rows: list[Row] = []
    for key, part in measured.groupby(list(LINE), sort=False):
        cells = _cells(part)
        if not far_enough(cells):
            continue
        sizes = np.array([int(cell["message_size"]) for cell in cells])
        times = np.array([float(cell["ns_per_message"]) for cell in cells])
        told = _slopes(cells, sizes, times, repeats.get(key), known)
        if told is not None:
            rows.append(dict(zip(LINE, key, strict=True)) | told)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _cells(part: "pd.DataFrame") -> list[Row]:
    """Rows of the summary as plain rows, by size."""
    ordered = part.sort_values("message_size").to_dict("records")
    return [{str(c): v for c, v in row.items()} for row in ordered]


def far_enough(cells: list[Row]) -> bool:
    """Whether there are sizes enough, and far enough apart, for a slope."""
    sizes = [int(cell["message_size"]) for cell in cells]
    return len(sizes) >= LEAST_SIZES and max(sizes) >= LEAST_SPAN * min(sizes)


def memcpy_times(cells: list[Row], known: Constants) -> "Floats":
    """What one memcpy of a message of each cell costs on this machine, ns."""
    import numpy as np

    return np.array(
        [int(c["message_size"]) * known.per_byte("memcpy", memory_passed(c)) for c in cells]
    )


def fitted(part: "pd.DataFrame", known: Constants) -> "tuple[float, Floats, float] | None":
    """A line's times as a constant and a number of memcpys: what `copies` fits.

    Args:
        part: rows of the summary that differ in size only, by size.
        known: this machine's constants.

    Returns:
        The constant in ns, what one memcpy costs at each size in ns, and how many of them; None
        where the sizes are too few or too near one another, or there is no yardstick.
    """
    import numpy as np

    cells = _cells(part)
    if not far_enough(cells):
        return None
    times = part["ns_per_message"].to_numpy(float)
    user = memcpy_times(cells, known)
    if not np.isfinite(user).all():
        return None
    number = float(slope(user, times[None, :], times)[0])
    weights = 1 / times**2
    constant = float((weights * (times - number * user)).sum() / weights.sum())
    return constant, user, number


def inferred(cell: Row) -> int:
    """How often each byte of a message is copied, from the calls that carry it."""
    if cell["waiting"] == "kernel":
        return kernel_copies(str(cell["mechanism"]))
    return 2 if cell["copy"] == "copy" else 0


def _slopes(
    cells: list[Row],
    sizes: "Floats",
    times: "Floats",
    samples: "pd.DataFrame | None",
    known: Constants,
) -> Row | None:
    """One row of the table but for the columns of the line; None without a yardstick."""
    import numpy as np

    each = 2 if cells[0]["pattern"] == "latency" else 1
    user = memcpy_times(cells, known)
    ways = ("kernel_write", "kernel_read")
    kernel = sizes * np.array(
        [sum(known.per_byte(way, 2 * int(n)) for way in ways) / 2 for n in sizes]
    )
    if not (np.isfinite(user).all() and np.isfinite(kernel).all()):
        return None
    drawn = _redrawn(sizes, samples)
    found: Row = {"sizes": len(sizes), "inferred_copies": inferred(cells[0])}
    for name, yardstick in (("memcpys", user), ("kernel_copies", kernel)):
        found[name] = float(slope(yardstick, times[None, :], times)[0]) / each
        low = high = float("nan")
        if drawn is not None:
            slopes = slope(yardstick, drawn, times) / each
            low, high = (float(x) for x in np.percentile(slopes, (2.5, 97.5)))
        found[f"{name}_low"], found[f"{name}_high"] = low, high
    parts = [predict(cell, known)[0] for cell in cells]
    shares = dict.fromkeys(("of_copies", "of_own", "of_other", "remainder"), float("nan"))
    if all(part is not None for part in parts):
        worth = {
            name: float(slope(user, np.array([[getattr(part, name) for part in parts]]), times)[0])
            / each
            for name in PARTS
        }
        shares["of_copies"], shares["of_own"] = worth["copies"], worth["own"]
        shares["of_other"] = sum(worth.values()) - worth["copies"] - worth["own"]
        shares["remainder"] = found["memcpys"] - sum(worth.values())
    return found | shares


def slope(x: "Floats", y: "Floats", size_of_error: "Floats") -> "Floats":
    """Slopes of straight lines through rows of y over x, by least squares of relative errors.

    Args:
        x: one value for each point.
        y: one row for each line, one column for each point.
        size_of_error: what the error of each point is proportional to.
    """
    weights = 1 / size_of_error**2
    weights = weights / weights.sum()
    middle = (weights * x).sum()
    spread = (weights * (x - middle) ** 2).sum()
    slopes: Floats = (y * weights * (x - middle)).sum(axis=1) / spread
    return slopes


def _redrawn(sizes: "Floats", samples: "pd.DataFrame | None") -> "Floats | None":
    """Medians of repeats drawn with replacement: one row a draw, one column a size."""
    import numpy as np

    from labkit.harness.statistics import LEAST_REPEATS, resampled_medians

    if samples is None:
        return None
    columns = []
    for number, size in enumerate(sizes):
        values = samples.loc[samples["message_size"] == size, "ns_per_message"].to_numpy(float)
        if len(values) < LEAST_REPEATS:
            return None
        columns.append(resampled_medians(values[None, :], seed=number + 1).ravel())
    return np.stack(columns, axis=1)
