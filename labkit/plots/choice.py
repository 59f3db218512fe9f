"""Which cells of a run a figure draws, and a clear refusal when there are none."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypedDict

import pandas as pd

from labkit.errors import RequestError
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
    rows = keep(run.summary[run.summary["pattern"] == pattern], only, pattern)
    rows = rows.assign(status=_known(rows))
    if not (rows["status"] == "ok").any():
        there = listed(run.summary.loc[_known(run.summary) == "ok", "pattern"].unique())
        raise RequestError(
            f"No {pattern} cell that could be drawn was measured here; what this run has measured"
            f" is {there or 'nothing'}: see run.summary for the reasons."
        )
    return rows


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
        values = [asked] if isinstance(asked, str) else list(asked)  # type: ignore[call-overload]
        there = list(rows[column].unique())
        for value in values:
            if value not in there:
                raise RequestError(
                    f"No {pattern} row has {column} {value!r}; it can be {listed(there)} here."
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
        from labkit.harness.request import parse_size  # loaded only where text must be read

        asked = parse_size(asked)
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
