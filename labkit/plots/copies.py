"""Figure: how many copies the growth of a message's time is worth, beside those that are made."""

from typing import Unpack

import pandas as pd
from matplotlib.axes import Axes

from labkit.costs.slopes import copies as effective
from labkit.errors import RequestError
from labkit.plots import page, rows, style
from labkit.plots.choice import Run, listed
from labkit.plots.explained import OnlyLines, left_out, narrowed, usual
from labkit.plots.smallprint import fixed_text, machine_text, placement_text
from labkit.plots.style import Picture

LEAST_LARGEST = 1 << 15  # bytes: below, a message's growth is that of other things than copies
LINE = ["mechanism", "waiting", "copy"]
PATTERNS = {"latency": "one at a time (ping-pong)", "throughput": "as a stream"}


def copies(
    run: Run,
    *,
    placement: str | None = None,
    constants: pd.DataFrame | None = None,
    **only: Unpack[OnlyLines],
) -> Picture:
    """Draw effective copies of each message, one panel a pattern, beside the inferred ones.

    Args:
        run: what was measured, with its machine's constants.
        placement: "same-cpu", "cross-cpu" or "free"; same-cpu where it was measured.
        constants: what `labkit.costs()` returned, for a run that carries none.
        only: columns of the cell with the value, or list of values, to draw.

    Raises:
        RequestError: no mechanism was measured at sizes far enough apart.
    """
    table = effective(run, constants)  # type: ignore[arg-type]
    measured = run.summary[run.summary["status"] == "ok"]
    largest = measured.groupby([*LINE, "pattern", "placement"])["message_size"].max()
    reach = [
        int(largest[tuple(row[c] for c in (*LINE, "pattern", "placement"))])
        for row in table.to_dict("records")
    ]
    short = sorted(
        {str(m) for m, n in zip(table["mechanism"], reach, strict=True) if n < LEAST_LARGEST}
    )
    table = table[pd.Series([n >= LEAST_LARGEST for n in reach], index=table.index, dtype=bool)]
    there = list(table["placement"].unique())
    if not there:
        raise RequestError(
            "Copies can be told only from sizes far apart, the largest 32 KiB or more: measure"
            " three sizes such as 64, 4K and 1M."
        )
    if placement is None:
        placement = "same-cpu" if "same-cpu" in there else str(there[0])
    if placement not in there:
        raise RequestError(f"Nothing was measured on {placement!r}; it can be {listed(there)}.")
    every = narrowed(table[table["placement"] == placement], only, "copies")
    shown = usual(every) if "mechanism" not in only else every
    patterns = [p for p in PATTERNS if (shown["pattern"] == p).any()]
    order = shown.sort_values("memcpys").drop_duplicates(LINE)[LINE].to_dict("records")
    in_place = bool((shown["copy"] == "in-place").any())
    labels = [rows.label_of({str(k): v for k, v in one.items()}, in_place) for one in order]

    picture = Picture(rows.height_for(len(order), 0.3))
    title = "Copies that a message's growth is worth"
    key = [
        ("o", style.BLUE, "in memcpys"),
        ("D", style.VERMILLION, "in the kernel's own copies"),
        ("s", style.INK, "copies that the calls carry"),
    ]
    page.head(picture, title, key)
    axes = rows.panels(picture, labels, [PATTERNS[p] for p in patterns])
    for ax, pattern in zip(axes, patterns, strict=True):
        here = shown[shown["pattern"] == pattern]
        for place, one in enumerate(order):
            line = here[(here[LINE] == list(one.values())).all(axis=1)]
            if not line.empty:
                _draw(ax, place, line.iloc[0])
        ends = here[["memcpys", "memcpys_high", "kernel_copies_high", "inferred_copies"]]
        rows.value_axis(ax, float(ends.max().max()), "copies for each message", _count)
    page.foot(
        picture,
        [
            "Slope of time over size, divided by what one copy costs at each size; bars: 95 %"
            " interval. The slope also holds pages, caches and whatever else grows, so the three"
            " need not agree.",
            f"Placement {placement_text(placement)}.",
            f"{listed(short)} are left out: their messages end below 32 KiB." if short else "",
            left_out(every, shown),
            fixed_text(shown),
        ],
        machine_text(run.machine),
    )
    picture.alt_text = _alt_text(title, shown, patterns)
    return picture


def _count(value: float) -> str:
    return f"{value:g}"


def _draw(ax: Axes, place: int, line: pd.Series) -> None:
    for name, colour, marker, off in (
        ("memcpys", style.BLUE, "o", -0.14),
        ("kernel_copies", style.VERMILLION, "D", 0.14),
    ):
        low, high = line[f"{name}_low"], line[f"{name}_high"]
        if low == low:
            ax.plot([low, high], [place + off] * 2, color=colour, linewidth=2.4, alpha=0.6,
                    zorder=3)  # fmt: skip
        ax.plot(line[name], place + off, marker, color=colour, markersize=9, zorder=4)
    ax.plot(line["inferred_copies"], place, "s", color=style.INK, markersize=6, zorder=5)


def _alt_text(title: str, shown: pd.DataFrame, patterns: list[str]) -> str:
    said = [f"{title}: marks in rows, one row a mechanism."]
    for pattern in patterns:
        told = [
            f"{row['mechanism']} {row['memcpys']:.1f} memcpys or {row['kernel_copies']:.1f} kernel"
            f" copies where {row['inferred_copies']} are made"
            for row in shown[shown["pattern"] == pattern].to_dict("records")
        ]
        said.append(f"{PATTERNS[pattern]}: {'; '.join(told)}.")
    return " ".join(said)
