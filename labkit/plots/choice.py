"""Which cells of a run a figure draws, and a clear refusal when there are none."""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypedDict

import pandas as pd

from labkit.errors import RequestError
from labkit.harness.request import parse_size, shown
from labkit.units import format_size


class Run(Protocol):
    """What a figure needs of a run: its two tables and its machine."""

    @property
    def summary(self) -> pd.DataFrame:
        """One row per cell."""

    @property
    def samples(self) -> pd.DataFrame:
        """One row per repeat of a cell."""

    @property
    def machine(self) -> dict[str, Any]:
        """Where and how it was measured."""


class Only(TypedDict, total=False):
    """Columns of the cell, each with the one value or the several values to draw."""

    mechanism: str | Sequence[str]
    waiting: str | Sequence[str]
    placement: str | Sequence[str]
    copy: str | Sequence[str]
    touch: str | Sequence[str]
    engine: str | Sequence[str]


FIXED = ("copy", "touch", "engine")  # cell columns that are named only where they vary
LINE = ["mechanism", "waiting", *FIXED]  # what makes a line of its own within one panel


def cells(run: Run, pattern: str, only: Only) -> pd.DataFrame:
    """The summary's rows of one pattern that `only` lets through, skipped and failed ones too.

    A row whose status is ok but which has no number, as its run was cut short, is "unmeasured".

    Raises:
        RequestError: none of them was measured, or `only` names something that isn't there.
    """
    check_run(run)
    rows = keep(run.summary[run.summary["pattern"] == pattern], only, pattern)
    rows = rows.assign(status=_known(rows))
    if not (rows["status"] == "ok").any():
        there = listed(run.summary.loc[_known(run.summary) == "ok", "pattern"].unique())
        raise RequestError(
            f"No {pattern} cell that could be drawn was measured here; what this run has measured"
            f" is {there or 'nothing'}: see run.summary for the reasons."
        )
    return rows


def check_run(run: object) -> None:
    """Refuse what is no run.

    Raises:
        RequestError: it is none; says how to get one.
    """
    tables = (getattr(run, name, None) for name in ("summary", "samples"))
    if not all(isinstance(table, pd.DataFrame) for table in tables):
        raise RequestError(
            f"{shown(run)} is no run: draw what labkit.compare returns, or labkit.load of the"
            " folder that one was saved in."
        )


def factor(together: object) -> float:
    """The factor within which segments are drawn as one.

    Raises:
        RequestError: it is no number from 1 on.
    """
    number = together if isinstance(together, int | float) else math.nan
    if isinstance(together, bool) or not 1 <= number < math.inf:
        raise RequestError(
            f"together is a factor, a number from 1 (all apart) on, and not {shown(together)}."
        )
    return float(number)


def keep(rows: pd.DataFrame, only: Only, pattern: str) -> pd.DataFrame:
    """The rows whose columns have the values asked for.

    Raises:
        RequestError: an unknown column or value, with those there are.
    """
    for column, asked in only.items():
        if column not in Only.__annotations__:
            raise RequestError(
                f"A figure cannot be narrowed by {column!r}; choose by"
                f" {listed(Only.__annotations__)}."
            )
        several = isinstance(asked, Iterable) and not isinstance(asked, str | bytes)
        values: list[object] = list(asked) if several else [asked]  # type: ignore[call-overload]
        there = list(rows[column].unique())
        for value in values:
            if not isinstance(value, str) or value not in there:
                raise RequestError(
                    f"No {pattern} row has {column} {shown(value)}; it can be {listed(there)} here."
                )
        rows = rows[rows[column].isin(values)]
    return rows


def _known(rows: pd.DataFrame) -> pd.Series:
    empty = (rows["status"] == "ok") & rows["ns_per_message"].isna()
    return rows["status"].mask(empty, "unmeasured")


def size_of(asked: int | str | None, there: Sequence[int]) -> int:
    """The message size asked for, in bytes or as text such as "4K"; the smallest when None.

    Raises:
        RequestError: it was not measured; the sentence names those that were.
    """
    if asked is None:
        return min(there)
    if isinstance(asked, str):
        asked = parse_size(asked)
    try:
        asked = operator.index(asked)
    except TypeError:
        raise RequestError(
            f"{shown(asked)} is not a size; it is a number of bytes, or text such as '4K'."
        ) from None
    if asked not in there:
        raise RequestError(
            f"No round trip of {asked} bytes was measured in this run; there are"
            f" {listed(format_size(size) for size in sorted(there))}."
        )
    return int(asked)


def listed(names: Iterable[object]) -> str:
    """Names as a sentence lists them: "a, b and c"."""
    words = [str(name) for name in names]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
