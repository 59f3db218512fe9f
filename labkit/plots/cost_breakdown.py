"""Figure: what a message's time is made of, from parts that were measured apart.

Each bar is what the model predicts, part by part; the line across it is what was measured. What
the parts don't reach is hatched; where they go beyond the line, they promise too much.
"""

from collections.abc import Sequence
from typing import Literal, Unpack

import pandas as pd
from matplotlib.axes import Axes

from labkit.plots import page, rows, style
from labkit.plots.choice import Run, listed
from labkit.plots.explained import OnlyLines, explained, left_out, sizes_to_show, usual
from labkit.plots.smallprint import fixed_text, machine_text, placement_text
from labkit.plots.style import Picture
from labkit.plots.units import time_text
from labkit.units import format_size

# Columns of the explanation, colour and words, in the order they are stacked.
PARTS = (
    (("calls_ns",), style.NAVY, "calls"),
    (("own_ns",), style.SKY, "own work"),
    (("switches_ns", "wakeups_ns"), style.GREEN, "switching, waking"),
    (("copies_ns",), style.VERMILLION, "copying"),
    (("payload_ns",), style.ORANGE, "payload used"),
    (("faults_ns",), style.PURPLE, "faults"),
)
THICK = 0.62
LEAST = 0.002  # of the largest: a part below that cannot be seen


def cost_breakdown(
    run: Run,
    *,
    pattern: Literal["latency", "throughput"] = "latency",
    placement: str | None = None,
    sizes: Sequence[int] | None = None,
    constants: pd.DataFrame | None = None,
    **only: Unpack[OnlyLines],
) -> Picture:
    """Draw the parts of each cell's predicted time and its measured time, one panel a size.

    Args:
        run: what was measured, with its machine's constants.
        pattern: round trips, or messages of a stream.
        placement: "same-cpu" or "cross-cpu"; same-cpu where it was measured.
        sizes: bytes; those nearest to 64 B, 64 KiB and 1 MiB when None.
        constants: what `labkit.costs()` returned, for a run that carries none.
        only: columns of the cell with the value, or list of values, to draw.

    Raises:
        RequestError: nothing here can be explained; the sentence says why.
    """
    every = explained(run, constants, pattern, placement, only)
    shown = usual(every) if "mechanism" not in only else every
    chosen = sizes_to_show([int(n) for n in shown["message_size"].unique()], sizes)
    shown = shown[shown["message_size"].isin(chosen)]
    line = ["mechanism", "waiting", "copy", "touch"]
    smallest = shown.sort_values("message_size").drop_duplicates(line)
    order = smallest.sort_values("measured_ns")[line].to_dict("records")
    in_place = bool((shown["copy"] == "in-place").any())
    labels = [rows.label_of({str(k): v for k, v in one.items()}, in_place) for one in order]

    picture = Picture(rows.height_for(len(order), 0.3))
    used = [p for p in PARTS if shown[list(p[0])].sum(axis=1).gt(0).any()]
    what = "a round trip" if pattern == "latency" else "a message of a stream"
    title = f"Where the time of {what} goes"
    page.head(picture, title, [("s", colour, words) for _, colour, words in used])
    axes = rows.panels(picture, labels, [format_size(size) for size in chosen])
    for ax, size in zip(axes, chosen, strict=True):
        here = shown[shown["message_size"] == size]
        most = float(here[["measured_ns", "predicted_ns"]].max().max())
        for place, one in enumerate(order):
            cell = here[(here[line] == list(one.values())).all(axis=1)]
            if cell.empty:
                ax.text(
                    0.01, place, "not measured", transform=ax.get_yaxis_transform(), va="center",
                    fontsize=style.SMALL, color=style.QUIET, family=style.FONT,
                )  # fmt: skip
            else:
                _draw(ax, place, cell.iloc[0], most)
        rows.value_axis(ax, most, "time there and back" if pattern == "latency" else "time",
                        time_text)  # fmt: skip
    where = str(shown["placement"].iloc[0])
    across = "Work of two CPUs at once counts once: the lesser half is not in the bars."
    page.foot(
        picture,
        [
            "Bars: predicted from this machine's constants and the counts of the run, nothing"
            " fitted. Black line: measured median; faint where it is not stable. Hatched: not"
            " explained.",
            across if where == "cross-cpu" and pattern == "throughput" else "",
            f"Placement {placement_text(where)}.",
            left_out(every, shown),
            fixed_text(shown),
        ],
        machine_text(run.machine),
    )
    picture.alt_text = _alt_text(title, shown, chosen)
    return picture


def _draw(ax: Axes, place: int, cell: pd.Series, most: float) -> None:
    """One bar, its remainder and the measured time."""
    start = 0.0
    parts = {words: float(cell[list(columns)].sum()) for columns, _, words in PARTS}
    # What two CPUs do at the same time is work of both, but takes only the longer one's time.
    shrink = float(cell["predicted_ns"]) / (sum(parts.values()) or 1)
    for _, colour, words in PARTS:
        length = parts[words] * shrink
        if length > LEAST * most:
            ax.barh(place, length, left=start, height=THICK, color=colour, linewidth=0, zorder=3)
        start += length
    measured = float(cell["measured_ns"])
    if measured > start + LEAST * most:
        ax.barh(
            place, measured - start, left=start, height=THICK, facecolor="white",
            edgecolor=style.QUIET, hatch="////", linewidth=0.8, zorder=3,
        )  # fmt: skip
    ax.plot(
        [measured, measured], [place - 0.44, place + 0.44], linewidth=3.2, zorder=5,
        color=style.INK if cell["stable"] else "#8a8a8a", solid_capstyle="butt",
    )  # fmt: skip


def _alt_text(title: str, shown: pd.DataFrame, sizes: Sequence[int]) -> str:
    said = [f"{title}. Stacked bars, one row a mechanism, one panel a message size."]
    for size in sizes:
        told = []
        for row in (
            shown[shown["message_size"] == size].sort_values("measured_ns").to_dict("records")
        ):
            parts = {words: sum(row[c] for c in columns) for columns, _, words in PARTS}
            largest = sorted(parts, key=lambda words: -parts[words])[:2]
            share = [f"{words} {time_text(parts[words])}" for words in largest]
            name = f"{row['mechanism']} {row['waiting']}".removesuffix(" kernel")
            told.append(
                f"{name} measured {time_text(row['measured_ns'])}, predicted"
                f" {time_text(row['predicted_ns'])}, most of it {listed(share)}"
            )
        said.append(f"{format_size(size)}: {'; '.join(told)}.")
    return " ".join(said)
