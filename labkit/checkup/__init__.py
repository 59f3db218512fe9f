"""The doctor: what this machine lets labkit do, why not, and what to type then.

Every row is found out here and now: objects are created and removed, calls are made, files of the
kernel read. What needs a process of its own gets a fresh one; the caller, which may be a notebook
with threads, is never forked.
"""

from typing import TYPE_CHECKING

from labkit.checkup.check import Row

if TYPE_CHECKING:
    import pandas as pd


def examine(quick: bool = False) -> list[Row]:
    """All rows, in a fixed order. Takes under two seconds.

    Args:
        quick: leave out what has to be measured; then it takes under half a second.
    """
    from labkit.checkup.checks import checks

    return [check.row() for check in checks(quick)]


def table(quick: bool = False) -> "pd.DataFrame":
    """The same rows with the columns capability, available (bool), why and remedy."""
    from dataclasses import asdict

    import pandas as pd

    return pd.DataFrame([asdict(row) for row in examine(quick)])
