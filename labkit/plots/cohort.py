"""Figure: how each mechanism's time is spread over a class's machines, with one's own marked.

The order of the mechanisms is often the same everywhere, and the numbers are not.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from labkit.errors import RequestError
from labkit.harness.request import shown
from labkit.plots import page, style
from labkit.plots.choice import FIXED, check_run, listed, size_of
from labkit.plots.lines import name_of, varying
from labkit.plots.smallprint import fixed_text, placement_text
from labkit.plots.style import Look, Picture, look_of
from labkit.plots.units import time_text
from labkit.units import format_size

if TYPE_CHECKING:
    from labkit.harness.cohort import Cohort
    from labkit.harness.run import Run

ROW = 0.235  # inches, the least that a row's label needs
MOST_ROWS = 40
COLUMNS = [
    "machine", "mechanism", "waiting", "pattern", "placement", *FIXED, "message_size",
    "ns_per_message",
]  # fmt: skip
NAMES = {"latency": "time there and back", "throughput": "time a message"}
FEW = 3  # machines, below which a bar from quarter to quarter says nothing


@dataclass(frozen=True)
class _Row:
    """One row of the figure: `times` has each machine's, ns, by placement and machine's tag."""

    name: str
    look: Look
    times: pd.Series

    @property
    def median(self) -> float:
        """The geometric mean of the medians over placements: what rows are sorted by."""
        return float(np.exp(np.log(self.times.groupby(level=0).median()).mean()))


def cohort(
    pooled: "Cohort | str | os.PathLike[str]",
    mine: "Run | str | None" = None,
    *,
    pattern: str = "latency",
    size: int | str | None = None,
) -> Picture:
    """Draw each mechanism's spread over machines at one message size, one panel a placement.

    A point is a machine: the median of its runs' medians.

    Args:
        pooled: what `labkit.pool` returned, or its Parquet file.
        mine: the run, or the tag of the machine, to mark.
        pattern: "latency" or "throughput".
        size: bytes, or text such as "4K"; the smallest that most runs measured when None.

    Raises:
        RequestError: nothing of that pattern or size, or no such machine, is there.
    """
    table = _measured(pooled, pattern)
    counts = table.groupby("message_size")["machine"].nunique()
    wanted = (
        int(counts.index[counts == counts.max()].min())
        if size is None
        else size_of(size, [int(n) for n in counts.index])
    )
    table = table[table["message_size"] == wanted]
    own, marked = _own(table, mine, pattern, wanted)
    rows = sorted(_rows(table), key=lambda row: row.median)
    left_out = len(rows) - MOST_ROWS
    rows = rows[:MOST_ROWS]
    placements = [str(each) for each in table["placement"].unique()]
    machines = int(table["machine"].nunique())

    picture = Picture(max(style.INCHES[1], ROW * len(rows) + page.TOP + page.BOTTOM))
    what = "round trips" if pattern == "latency" else "streams"
    title = f"{machines} machines: {what} of {format_size(wanted)}"
    key = style.key(str(waiting) for waiting in table["waiting"].unique())
    page.head(picture, title, [*key, ("D", style.INK, "yours")] if own is not None else key)
    height = (picture.get_figheight() - page.TOP - page.BOTTOM) / len(rows)
    points = min(style.TEXT, style.TEXT * height / ROW)
    labels = [
        page.put(picture, 0, 0, row.name, points, va="center", color=row.look.text) for row in rows
    ]
    left = 0.15 + max(page.width_of(label, picture) for label in labels)
    titles = [placement_text(placement) for placement in placements]
    axes = page.panels(picture, titles, left, [0.3] * len(titles))
    every = np.concatenate([row.times.to_numpy(dtype=float) for row in rows])
    if own is not None:
        every = np.concatenate([every, own.to_numpy(dtype=float)])
    axes[0].set_xscale("log")
    axes[0].set_xlim(float(every.min() / 1.4), float(every.max() * 1.4))
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    for ax, placement in zip(axes, placements, strict=True):
        ax.set_yticks([])
        ax.set_xlabel(NAMES.get(pattern, "time"), fontsize=style.TEXT, family=style.FONT)
        page.log_ticks(ax, "x", time_text)
        for place, row in enumerate(rows):
            here = row.times[row.times.index.get_level_values(0) == placement]
            _draw(ax, place, here.to_numpy(dtype=float), row.look, min(1.0, 0.34 / height))
            value = None if own is None else own.get((placement, row.name))
            if value is not None:
                ax.plot(
                    float(value), place, "D", markersize=8, markerfacecolor=style.INK,
                    markeredgecolor="white", markeredgewidth=1.2, zorder=9,
                )  # fmt: skip
    for place, label in enumerate(labels):
        y = axes[0].transData.transform((1, place))[1] / picture.bbox.height
        label.set_position((page.EDGE / picture.get_figwidth(), y))
    page.foot(
        picture,
        [
            "A point is a machine: the median of its runs. Bar: half of the machines; stroke:"
            " the machine in the middle. Sorted by it.",
            f"{left_out} slower rows are left out." * (left_out > 0),
            fixed_text(table),
        ],
        f"Yours: {marked}" if own is not None else "",
    )
    picture.alt_text = _alt_text(title, rows, placements, own)
    return picture


def _measured(pooled: "Cohort | str | os.PathLike[str]", pattern: str) -> pd.DataFrame:
    """The pooled rows of one pattern that have a time."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    path = Path(pooled) if isinstance(pooled, str | os.PathLike) else getattr(pooled, "path", None)
    if not isinstance(path, Path):
        raise RequestError(
            f"{shown(pooled)} is no class's runs: give what labkit.pool returned, or its file."
        )
    try:
        read: Any = parquet.read_table(
            path,
            columns=COLUMNS,
            filters=(pc.field("status") == "ok") & (pc.field("ns_per_message") > 0),
            read_dictionary=[c for c in COLUMNS if c not in ("message_size", "ns_per_message")],
        )
    except (OSError, pa.ArrowException) as error:
        raise RequestError(
            f"{path} cannot be read as a class's pooled runs ({str(error).splitlines()[0][:100]}):"
            " labkit class makes that file."
        ) from None
    there = sorted(read["pattern"].unique().to_pylist())
    read = read.filter(pc.equal(read["pattern"], pattern))
    if not read.num_rows:
        raise RequestError(
            f"No {pattern} cell was measured on these machines; there is"
            f" {listed(there) or 'nothing'}."
        )
    table: pd.DataFrame = read.to_pandas()
    for column in COLUMNS[:-2]:
        table[column] = table[column].astype(str)
    return table


def _own(
    table: pd.DataFrame, mine: "Run | str | None", pattern: str, size: int
) -> tuple[pd.Series | None, str]:
    """One's own times by placement and row name, and whose they are; None if nobody's."""
    if mine is None:
        return None, ""
    if isinstance(mine, str):
        rows = table[table["machine"] == mine]
        if rows.empty:
            raise RequestError(
                f"There is no machine {mine[:60]!r} among these; there are"
                f" {listed(sorted(table['machine'].unique())[:8])}."
            )
        marked = mine
    else:
        from labkit.harness.cohort import tag

        check_run(mine)
        summary = mine.summary
        rows = summary[
            (summary["status"] == "ok")
            & (summary["pattern"] == pattern)
            & (summary["message_size"] == size)
        ].assign(machine="yours")
        marked = tag(mine.machine)
        if rows.empty:
            raise RequestError(
                f"Your run has no {pattern} of {format_size(size)} to mark; choose another size."
            )
    names: dict[tuple[str, str], float] = {}
    for row in _rows(rows, table):
        for placement, value in row.times.groupby(level=0).median().items():
            names[str(placement), row.name] = float(value)
    return pd.Series(names), marked


def _rows(table: pd.DataFrame, shown: pd.DataFrame | None = None) -> Iterator[_Row]:
    """A row for each mechanism and way to wait; `shown` decides what a name has to tell."""
    keys = ["mechanism", "waiting", *FIXED]
    for (mechanism, waiting, *way), group in table.groupby(keys, sort=False):
        extra = varying(waiting, way, table if shown is None else shown)
        times = group.groupby(["placement", "machine"])["ns_per_message"].median()
        name = name_of(str(mechanism), str(waiting), extra)
        yield _Row(name, look_of(str(mechanism), str(waiting)), times)


def _draw(ax: Axes, place: float, times: NDArray[np.float64], look: Look, thick: float) -> None:
    if not len(times):
        return
    # Moved up and down at random, so that machines do not hide one another; always the same way.
    jitter = np.random.default_rng(1).uniform(-0.32, 0.32, len(times)) * thick
    ax.plot(
        times, place + jitter, "o", markersize=3.4 if len(times) > 60 else 5,
        markerfacecolor=look.colour, markeredgewidth=0, zorder=4,
        alpha=max(0.25, min(0.8, 40 / len(times))),
    )  # fmt: skip
    if len(times) >= FEW:
        low, middle, high = np.percentile(times, (25, 50, 75))
        ax.barh(
            place, high - low, left=low, height=0.74 * thick, zorder=3, facecolor=look.colour,
            alpha=0.25, linewidth=0,
        )  # fmt: skip
        ax.plot(middle, place, "|", color=look.text, markersize=15, markeredgewidth=2.4, zorder=6)


def _alt_text(title: str, rows: list[_Row], placements: list[str], own: pd.Series | None) -> str:
    said = [f"{title}. One row a mechanism, fastest first, on a logarithmic axis of time."]
    for placement in placements:
        told = []
        for row in rows:
            here = row.times[row.times.index.get_level_values(0) == placement]
            if here.empty:
                continue
            text = f"{row.name} {time_text(float(here.median()))} in the middle"
            value = None if own is None else own.get((placement, row.name))
            told.append(text + (f", yours {time_text(float(value))}" if value is not None else ""))
        said.append(f"{placement}: {'; '.join(told)}.")
    return " ".join(said)
