"""Figure: time over bytes, taken apart into what a message costs and what its bytes do.

The straight line a + c x (what one copy of it costs) that `labkit.costs.copies` fits to a line's
times, drawn as its two parts: pale what every message costs, full what grows with its size.
"""

from typing import Literal, Unpack, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from labkit.costs.explanation import known_constants
from labkit.costs.slopes import fitted
from labkit.errors import RequestError
from labkit.plots import page, style
from labkit.plots.choice import Only, Run, cells, listed
from labkit.plots.explained import OnlyLines, usual
from labkit.plots.lines import name_of
from labkit.plots.smallprint import fixed_text, machine_text, placement_text
from labkit.plots.style import Look, Picture, look_of
from labkit.plots.units import time_text
from labkit.units import format_size

LINE = ["mechanism", "waiting", "copy"]
PANELS = 4


def copy_cost(
    run: Run,
    *,
    pattern: Literal["latency", "throughput"] = "latency",
    placement: str | None = None,
    constants: pd.DataFrame | None = None,
    **only: Unpack[OnlyLines],
) -> Picture:
    """Draw time over message size with its two fitted parts, one panel a mechanism.

    Args:
        run: what was measured, with its machine's constants.
        pattern: round trips, or messages of a stream.
        placement: "same-cpu", "cross-cpu" or "free"; same-cpu where it was measured.
        constants: what `labkit.costs()` returned, for a run that carries none.
        only: columns of the cell with the value, or list of values, to draw; without any, four
            lines: shared memory, and of the others the one that grows least, the pipe, and the one
            that costs most at the smallest size.

    Raises:
        RequestError: no line was measured at three sizes far enough apart.
    """
    known = known_constants(run, constants)  # type: ignore[arg-type]
    rows = cells(run, pattern, cast(Only, only))
    rows = rows[rows["status"] == "ok"]
    there = [str(p) for p in rows["placement"].unique()]
    if placement is None:
        placement = "same-cpu" if "same-cpu" in there else there[0]
    rows = rows[rows["placement"] == placement]
    for column in ("touch", "engine"):
        rows = rows[rows[column] == rows[column].iloc[0]] if len(rows) else rows
    rows = usual(rows) if "mechanism" not in only else rows
    lines = {
        key: (part.sort_values("message_size"), fit)
        for key, part in rows.groupby(LINE, sort=False)
        if (fit := fitted(part.sort_values("message_size"), known)) is not None
    }
    if not lines:
        raise RequestError(
            f"Time over size needs a line of three sizes, the largest 64 times the smallest; none"
            f" of {listed(there) or 'what was measured'} ({pattern}) has them."
        )
    chosen = list(lines) if only.get("mechanism") else _chosen(lines)
    chosen = chosen[:PANELS]

    picture = Picture()
    each = "a round trip" if pattern == "latency" else "a message of a stream"
    title = f"What {each} costs, and what its bytes cost"
    words = [
        ("", style.INK, "Pale: what every message costs. Full: what grows with its size."),
    ]
    page.head(picture, title, words)
    names = [name_of(str(m), str(w), [] if c == "copy" else [str(c)]) for m, w, c in chosen]
    axes = page.panels(picture, names, 0.75, [0.1] * len(names))
    sizes = sorted({int(n) for key in chosen for n in lines[key][0]["message_size"]})
    times = np.concatenate([lines[key][0]["ns_per_message"].to_numpy(float) for key in chosen])
    axes[0].set_yscale("log")
    page.size_ticks(axes[0], sizes)
    axes[0].set_ylim(times.min() / 3, times.max() * 1.6)
    for ax, key in zip(axes, chosen, strict=True):
        part, fit = lines[key]
        look = look_of(str(key[0]), str(key[1]))
        _draw(ax, part, fit, look)
        title_above = style.PANEL if len(names) < 3 else style.TEXT
        ax.set_title(
            ax.get_title(loc="left"), loc="left", fontsize=title_above, pad=32, family=style.FONT,
            color=style.INK,
        )  # fmt: skip
        page.log_ticks(ax, "y", time_text)
        ax.set_xlabel("message size", fontsize=style.TEXT, family=style.FONT, color=style.INK)
        ax.text(
            0, 1.015, f"{time_text(fit[0])} + {_number(fit[2])} memcpys", transform=ax.transAxes,
            fontsize=style.TEXT, color=look.text, family=style.FONT, va="bottom",
        )  # fmt: skip
    page.foot(
        picture,
        [
            "Points: measured medians; hollow where not stable. Fitted with relative errors, over"
            " all sizes, to a constant and a number of memcpys, each as dear as this machine's"
            " memcpy is at that size" + (" (both ways together)." if pattern == "latency" else "."),
            f"Placement {placement_text(placement)}.",
            fixed_text(rows),
        ],
        machine_text(run.machine),
    )
    told = [
        f"{name}: {time_text(lines[key][1][0])} for each, and {_number(lines[key][1][2])} memcpys;"
        f" at {format_size(int(lines[key][0]['message_size'].iloc[-1]))} measured"
        f" {time_text(lines[key][0]['ns_per_message'].iloc[-1])}"
        for name, key in zip(names, chosen, strict=True)
    ]
    picture.alt_text = f"{title}. One panel a mechanism, on logarithmic axes. {'; '.join(told)}."
    return picture


Fit = tuple[float, "np.ndarray[tuple[int], np.dtype[np.float64]]", float]


def _chosen(lines: dict[tuple[object, ...], tuple[pd.DataFrame, Fit]]) -> list[tuple[object, ...]]:
    """Lines that differ: shared memory, the least growing, the pipe, the dearest of all."""
    shared = [key for key in lines if key[1] != "kernel"]
    kernel = [key for key in lines if key[1] == "kernel"]
    # A queue that ends at small messages shows no growth.
    most = max(int(part["message_size"].max()) for part, _ in lines.values())
    far = [k for k in kernel if int(lines[k][0]["message_size"].max()) == most] or kernel
    wanted = [next((k for k in shared if k[2] == way), None) for way in ("in-place", "copy")]
    if far:
        wanted.append(min(far, key=lambda k: lines[k][1][2]))
        wanted.append(next((k for k in far if k[0] == "pipe"), None))
        wanted.append(max(far, key=lambda k: lines[k][1][0]))
    return list(dict.fromkeys(k for k in wanted if k is not None))


def _number(copies: float) -> str:
    """A number of copies, to two digits; next to none is none."""
    return "0" if abs(copies) < 0.05 else f"{copies:.2g}"


def _draw(ax: Axes, part: pd.DataFrame, fit: Fit, look: Look) -> None:
    constant, yardstick, copies = fit
    sizes = part["message_size"].to_numpy(float)
    # Between the sizes measured, the yardstick is taken to be a straight line on these axes.
    x = np.geomspace(sizes[0], sizes[-1], 100)
    y = constant + copies * np.exp(np.interp(np.log(x), np.log(sizes), np.log(yardstick)))
    low = ax.get_ylim()[0]
    pale = tuple(0.7 + 0.3 * each for each in to_rgb(look.colour))
    floor = np.maximum(low, np.minimum(constant, y))
    ax.fill_between(x, low, floor, color=pale, linewidth=0, zorder=2)
    ax.fill_between(x, floor, np.maximum(floor, y), color=look.colour, alpha=0.75, linewidth=0,
                    zorder=2)  # fmt: skip
    times = part["ns_per_message"].to_numpy(float)
    stable = part["stable"].to_numpy(bool)
    for solid in (True, False):
        these = stable == solid
        ax.plot(
            sizes[these], times[these], "o", markersize=8, zorder=5, markeredgecolor=style.INK,
            markerfacecolor=style.INK if solid else "white", markeredgewidth=1.6,
        )  # fmt: skip
