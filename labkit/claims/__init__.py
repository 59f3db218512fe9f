"""The class notes, put to the test: each statement as a claim, tried on this kernel here and now.

The experiments run in a clean process of their own (`labkit.harness.experiment`); what each returns
is facts, and the verdict follows from them by a rule (`labkit.claims.claim`).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from labkit.errors import LabkitError
from labkit.harness import experiment
from labkit.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "id",
    "topic",
    "said",
    "claim",
    "verdict",
    "observed",
    "remark",
    "evidence",
    "source",
)

Tell = Callable[[Progress], None]


def examine(
    progress: Tell | None = None, only: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Try the claims: a row for each, with COLUMNS and `facts`, what was observed, by name.

    Args:
        progress: told how far it is.
        only: ids of the claims to try; None for all.

    Raises:
        LabkitError: the process that tries them could not be started, or died.
    """
    from labkit.claims import speed, trying

    names = [claim.id for claim in trying.CLAIMS if only is None or claim.id in only]
    rows: dict[str, dict[str, Any]] = {}
    if any(name != speed.CLAIM.id for name in names):
        found = experiment.run("labkit.claims.trying:try_some", {"names": names}, progress)
        rows = {row["id"]: row for row in found.value}
    if speed.CLAIM.id in names:
        rows[speed.CLAIM.id] = _measured(progress)
    return [rows[name] for name in names]


def table(progress: Tell | None = None) -> "pd.DataFrame":
    """The same rows as a table of COLUMNS; see `labkit.check_claims`.

    Its `attrs["facts"]` has the facts of each claim, by id.
    """
    import pandas as pd

    rows = examine(progress)
    found = pd.DataFrame([{name: row[name] for name in COLUMNS} for row in rows], columns=COLUMNS)
    found.attrs["facts"] = {row["id"]: row.get("facts") or {} for row in rows}
    return found


def _measured(progress: Tell | None) -> dict[str, Any]:
    """The claim that takes a run of the harness."""
    from labkit.claims import speed, trying
    from labkit.claims.claim import NotHere

    try:
        return trying.judged(speed.CLAIM, speed.measure(progress))
    except NotHere as why:
        return trying.untried(speed.CLAIM, str(why))
    except LabkitError as error:
        return trying.failed(speed.CLAIM, error)
