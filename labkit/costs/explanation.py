"""A run held against the model: predicted and measured, part by part, cell by cell."""

import math
from typing import TYPE_CHECKING, Any

from labkit.costs.constants import Constants, constants_from, constants_of
from labkit.costs.model import PARTS, Parts, predict
from labkit.costs.reasons import likely_reason

if TYPE_CHECKING:
    import pandas as pd

    from labkit.harness.run import Run

WITHIN = 0.25  # of the measured median


def explain(run: "Run", constants: "pd.DataFrame | None" = None) -> "pd.DataFrame":
    """What each cell should take, from parts, against what it took.

    Args:
        run: what was measured.
        constants: what `labkit.costs()` returned; by default those that the run carries.

    Returns:
        One row for each measured cell: the eight columns of the cell, `stable`, `measured_ns`,
        `predicted_ns`, one column for each part (`calls_ns`, `own_ns`, `payload_ns`, `copies_ns`,
        `switches_ns`, `wakeups_ns`, `faults_ns`, `overlap_ns`), `remainder_ns` (measured less
        predicted), `error` (that, as a share of the measured median), `within` (whether it is at
        most 25 %) and `reason`: why nothing is predicted, or the likely reason for a remainder of
        more than 25 %. Times are those of a round trip for latency, of a message for throughput.

    Raises:
        RequestError: there are no constants.
    """
    import pandas as pd

    from labkit.harness.statistics import CELL_COLUMNS

    known = known_constants(run, constants)
    rows = []
    for row in run.summary.to_dict("records"):
        if row["status"] == "ok" and row["ns_per_message"] > 0:
            told = {str(column): value for column, value in row.items()}
            rows.append({c: told[c] for c in CELL_COLUMNS} | explain_cell(told, known))
    table = pd.DataFrame(rows, columns=[*CELL_COLUMNS, *COLUMNS])
    numbers = [column for column in COLUMNS if column.endswith("_ns") or column == "error"]
    return table.astype(dict.fromkeys(numbers, float))


def known_constants(run: "Run", constants: "pd.DataFrame | None" = None) -> Constants:
    """The constants given, as `labkit.costs()` returned them, or those that the run carries.

    Raises:
        RequestError: it carries none.
    """
    return constants_of(run.machine) if constants is None else constants_from(constants)


COLUMNS = (
    "stable",
    "measured_ns",
    "predicted_ns",
    *(f"{part}_ns" for part in PARTS),
    "remainder_ns",
    "error",
    "within",
    "reason",
)


def explain_cell(row: dict[str, Any], constants: Constants) -> dict[str, Any]:
    """One row of the explanation, without the columns of the cell."""
    measured = float(row["ns_per_message"])
    parts, why = predict(row, constants)
    found: dict[str, Any] = {"stable": bool(row["stable"]), "measured_ns": measured}
    if parts is None:
        empty = dict.fromkeys((f"{part}_ns" for part in PARTS), math.nan)
        nothing = {"predicted_ns": math.nan, "remainder_ns": math.nan, "error": math.nan}
        return found | nothing | empty | {"within": False, "reason": f"{why}."}
    predicted = parts.total
    remainder = measured - predicted
    within = abs(remainder) <= WITHIN * measured
    return (
        found
        | {"predicted_ns": predicted, "remainder_ns": remainder, "error": remainder / measured}
        | {f"{part}_ns": value for part, value in vars(parts).items()}
        | {"within": within, "reason": "" if within else likely_reason(row, parts, remainder)}
    )


__all__ = ["COLUMNS", "WITHIN", "Parts", "explain", "explain_cell", "known_constants"]
