"""Figure: who burns CPU for their latency: how long a round trip takes, and what CPU time it costs.

Who sleeps while waiting costs CPU time only for work; who spins costs two CPUs for as long as it
takes, and is quicker.
"""

from typing import Unpack

import pandas as pd
from matplotlib.axes import Axes

from labkit.plots import page, rows, style
from labkit.plots.choice import Only, Run, cells, size_of
from labkit.plots.explained import left_out, usual
from labkit.plots.smallprint import (
    fixed_text,
    machine_text,
    missing_text,
    placement_text,
    unstable_text,
)
from labkit.plots.style import Picture
from labkit.plots.units import time_text
from labkit.units import format_size

LINE = ["mechanism", "waiting", "copy"]


def cpu_time(run: Run, *, size: int | str | None = None, **only: Unpack[Only]) -> Picture:
    """Draw the time of a round trip and the CPU time of both ends, one panel a placement.

    Args:
        run: what was measured; its latency rows are drawn.
        size: bytes, or text such as "4K"; the smallest measured when None.
        only: columns of the cell with the value, or list of values, to draw.

    Raises:
        RequestError: no such round trip was measured; the sentence says what is there.
    """
    every = cells(run, "latency", only)
    done = every[(every["status"] == "ok") & (every["cpu_ns_per_message"] > 0)]
    wanted = size_of(size, [int(n) for n in done["message_size"].unique()])
    every = every[every["message_size"] == wanted]
    done = done[done["message_size"] == wanted]
    shown = usual(done) if "mechanism" not in only else done
    placements = [str(p) for p in shown["placement"].unique()]
    order = shown.sort_values("ns_per_message").drop_duplicates(LINE)[LINE].to_dict("records")
    in_place = bool((shown["copy"] == "in-place").any())
    labels = [rows.label_of({str(k): v for k, v in one.items()}, in_place) for one in order]

    picture = Picture(rows.height_for(len(order), 0.3))
    title = f"What a round trip of {format_size(wanted)} takes, and the CPU time it costs"
    key = [("o", style.INK, "time there and back"), ("s", style.VERMILLION, "CPU time, both ends")]
    page.head(picture, title, key)
    axes = rows.panels(picture, labels, [placement_text(p) for p in placements])
    numbers = shown[["ns_per_message", "cpu_ns_per_message"]]
    low, high = float(numbers.min().min()) / 1.6, float(numbers.max().max()) * 1.6
    for ax, placement in zip(axes, placements, strict=True):
        here = shown[shown["placement"] == placement]
        ax.set_xscale("log")
        ax.set_xlim(low, high)
        page.log_ticks(ax, "x", time_text)
        ax.set_xlabel("for each round trip", fontsize=style.TEXT, family=style.FONT)
        for place, one in enumerate(order):
            cell = here[(here[LINE] == list(one.values())).all(axis=1)]
            if cell.empty:
                ax.text(
                    0.01, place, "not measured", transform=ax.get_yaxis_transform(), va="center",
                    fontsize=style.SMALL, color=style.QUIET, family=style.FONT,
                )  # fmt: skip
            else:
                _draw(ax, place, cell.iloc[0])
    page.foot(
        picture,
        [
            "Where the square lies left of the circle, the CPUs were idle for some of the time, and"
            " others could have them; twice as far right, both ends ran all the while.",
            unstable_text(shown["stable"]),
            left_out(done, shown),
            fixed_text(shown),
            missing_text(every),
        ],
        machine_text(run.machine),
    )
    picture.alt_text = _alt_text(title, shown, placements)
    return picture


def _draw(ax: Axes, place: int, cell: pd.Series) -> None:
    took, used = float(cell["ns_per_message"]), float(cell["cpu_ns_per_message"])
    ax.plot([took, used], [place, place], color=style.QUIET, linewidth=2, zorder=3)
    fill = style.INK if cell["stable"] else "white"
    ax.plot(used, place, "s", color=style.VERMILLION, markersize=10, zorder=4)
    ax.plot(
        took, place, "o", markerfacecolor=fill, markeredgecolor=style.INK, markersize=8,
        markeredgewidth=1.8, zorder=5,
    )  # fmt: skip


def _alt_text(title: str, shown: pd.DataFrame, placements: list[str]) -> str:
    said = [f"{title}. One row a mechanism, on a logarithmic axis of time."]
    for placement in placements:
        told = [
            f"{row['mechanism']} {row['waiting']} takes {time_text(row['ns_per_message'])} and"
            f" {time_text(row['cpu_ns_per_message'])} of CPU time".replace(" kernel ", " ")
            for row in shown[shown["placement"] == placement]
            .sort_values("ns_per_message")
            .to_dict("records")
        ]
        said.append(f"{placement}: {'; '.join(told)}.")
    return " ".join(said)
