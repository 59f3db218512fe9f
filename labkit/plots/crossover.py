"""Figure: who is quicker than whom, and from which size on: a table of all pairs."""

from typing import Literal, Unpack

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from labkit.costs.crossing import NOT_SHOWN, name_of
from labkit.costs.crossing import crossover as crossings
from labkit.errors import RequestError
from labkit.plots import page, style
from labkit.plots.choice import Run, listed
from labkit.plots.explained import OnlyLines, left_out, narrowed, usual
from labkit.plots.smallprint import machine_text, placement_text
from labkit.plots.style import Picture, look_of
from labkit.units import format_size

LINE = ["mechanism", "waiting", "copy"]
HEADS = 1.1  # inches for the names over the columns
MOST = 11  # lines that a page has room for


def crossover(
    run: Run,
    *,
    pattern: Literal["latency", "throughput"] = "latency",
    placement: str | None = None,
    **only: Unpack[OnlyLines],
) -> Picture:
    """Draw for each pair who wins, and from which message size on.

    A row's field is coloured where the row is quicker than the column at the largest size both
    were measured at; it says from which size on that is so.

    Args:
        run: what was measured.
        pattern: round trips, or messages of a stream.
        placement: "same-cpu", "cross-cpu" or "free"; same-cpu where it was measured.
        only: columns of the cell with the value, or list of values, to draw.

    Raises:
        RequestError: no two mechanisms were measured alike at two sizes.
    """
    measured = run.summary[(run.summary["status"] == "ok") & (run.summary["pattern"] == pattern)]
    there = [str(p) for p in measured["placement"].unique()]
    if placement is None and there:
        placement = "same-cpu" if "same-cpu" in there else there[0]
    if placement not in there:
        raise RequestError(
            f"No {pattern} cell was measured on {placement!r}; it can be {listed(there) or 'none'}."
        )
    every = narrowed(measured[measured["placement"] == placement], only, pattern)
    for column in ("touch", "engine"):
        every = every[every[column] == every[column].iloc[0]]
    shown = usual(every) if "mechanism" not in only else every
    table = _of(crossings(_Narrowed(run, shown)), shown)  # type: ignore[arg-type]
    if table.empty:
        raise RequestError(
            f"No two mechanisms were measured alike at two sizes ({pattern}, {placement})."
        )
    names = list(dict.fromkeys([*table["a"], *table["b"]]))
    wins = {name: int((table["winner"] == name).sum()) for name in names}
    names = sorted(names, key=lambda name: -wins[name])
    names, beyond = names[:MOST], names[MOST:]
    looks = {
        name_of(*one): look_of(str(one[0]), str(one[1]))
        for one in shown[LINE].drop_duplicates().itertuples(index=False, name=None)
    }

    picture = Picture()
    what = "round trips" if pattern == "latency" else "streams"
    title = f"Who is quicker, and from which size on: {what}"
    words = [
        ("", style.INK, "Read along a row: it beats the column from the size in the field on.")
    ]
    page.head(picture, title, words)
    ax = _field(picture, names)
    for place, name in enumerate(names):
        ax.text(-0.55, place, name, ha="right", va="center", fontsize=style.TEXT,
                color=looks[name].text, family=style.FONT)  # fmt: skip
        ax.text(place, -0.62, name.replace(" ", "\n"), ha="left", va="bottom", rotation=25,
                fontsize=style.TEXT, color=looks[name].text, family=style.FONT)  # fmt: skip
    for pair in table.to_dict("records"):
        if pair["a"] in names and pair["b"] in names:
            _draw(ax, names, {str(k): v for k, v in pair.items()}, looks)
    page.foot(
        picture,
        [
            "all: at every size that both were measured at. ?: no winner that can be shown. Between"
            " two sizes the time is taken to lie on a straight line on logarithmic axes; the 95 %"
            " intervals are in labkit.costs.crossover(run).",
            f"Placement {placement_text(placement)}.",
            left_out(every, shown),
            f"{listed(beyond)} had no room." if beyond else "",
        ],
        machine_text(run.machine),
    )
    picture.alt_text = _alt_text(title, table)
    return picture


class _Narrowed:
    """A run with fewer rows in its summary."""

    def __init__(self, run: Run, summary: pd.DataFrame) -> None:
        self.summary, self.samples, self.machine = summary, run.samples, run.machine


def _of(table: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    names = {name_of(*one) for one in shown[LINE].itertuples(index=False, name=None)}
    return table[table["a"].isin(names) & table["b"].isin(names)]


def _field(picture: Picture, names: list[str]) -> Axes:
    """The axes that hold the table: one unit a field."""
    wide, high = picture.get_size_inches()
    left = 0.3 + 0.128 * max(len(name) for name in names)
    bottom = page.BOTTOM - 0.55
    size = (wide - left - 1.0, high - 1.2 - HEADS - bottom)
    ax = picture.add_axes(
        (left / wide, bottom / high, size[0] / wide, size[1] / high), frameon=False
    )
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xticks([])
    ax.set_yticks([])
    for place in range(len(names)):
        ax.add_patch(Rectangle((place - 0.46, place - 0.44), 0.92, 0.88, color="#f4f4f4"))
    return ax


def _draw(
    ax: Axes, names: list[str], pair: dict[str, object], looks: dict[str, style.Look]
) -> None:
    a, b = names.index(str(pair["a"])), names.index(str(pair["b"]))
    if pair["verdict"] == NOT_SHOWN:
        for row, column in ((a, b), (b, a)):
            ax.text(column, row, "?", ha="center", va="center", fontsize=style.TEXT,
                    color=style.QUIET, family=style.FONT)  # fmt: skip
        return
    row, column = (a, b) if pair["winner"] == pair["a"] else (b, a)
    size = float(pair["from_size"])  # type: ignore[arg-type]
    always = pair["verdict"] == "at every size" or size <= float(pair["smallest"])  # type: ignore[arg-type]
    words = "all" if always else rounded(size)
    colour = looks[names[row]].colour
    pale = tuple(0.72 + 0.28 * part for part in to_rgb(colour))
    ax.add_patch(Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, facecolor=pale, linewidth=0))
    ax.text(
        column, row, words, ha="center", va="center", fontsize=style.TEXT, color=style.INK,
        family=style.FONT,
    )  # fmt: skip


def rounded(size: float) -> str:
    """A size between two that were measured, to two digits: 24905.6 is "24 KiB"."""
    for scale, unit in ((1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")):
        if size >= scale:
            number = size / scale
            return f"{number:.0f} {unit}" if number >= 9.95 else f"{number:.2g} {unit}"
    return format_size(int(size))


def _alt_text(title: str, table: pd.DataFrame) -> str:
    told = []
    for pair in table.to_dict("records"):
        if pair["verdict"] == NOT_SHOWN:
            told.append(f"{pair['a']} against {pair['b']}: no winner shown")
            continue
        loser = pair["b"] if pair["winner"] == pair["a"] else pair["a"]
        where = (
            "at every size"
            if pair["verdict"] == "at every size"
            else f"from {rounded(pair['from_size'])} on"
        )
        told.append(f"{pair['winner']} beats {loser} {where}")
    return f"{title}. A table of pairs. {'; '.join(told)}."
