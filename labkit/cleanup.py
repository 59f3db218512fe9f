"""What cleaning up removed, as a table and in words. `labkit.kernel.cleaning` does the work."""

import csv
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from labkit.kernel.cleaning import Cleaned, Removed
from labkit.kernel.cleaning import clean as remove

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("kind", "name", "made", "pid")


def clean(dry_run: bool = False) -> "pd.DataFrame":
    """Remove the kernel objects and files that killed runs of this user have left here.

    Only what labkit itself entered in its ledger is looked for, and it goes only if the process
    that made it is known to be gone and the object is this user's, of the right kind and time.

    Args:
        dry_run: remove nothing, and say what would be removed.

    Returns:
        One row for each object, none if there was nothing to do: kind (`sysv_shm`, `sysv_mq`,
        `sysv_sem`, `posix_shm`, `posix_mq`, `fifo`, `file`, `folder`), name (the key of a System V
        object, in hexadecimal as ipcs(1) shows it; a POSIX name; a path), made (UTC) and pid of the
        process that made it. What was left alone, and why, is in its `.attrs["notes"]`.
    """
    import pandas as pd

    done = remove(dry_run)
    table = pd.DataFrame([asdict(each) for each in done.removed], columns=list(COLUMNS))
    table["made"] = pd.to_datetime(table["made"].astype(float), unit="s", utc=True)
    table["pid"] = table["pid"].astype("int64")
    table.attrs["notes"] = done.notes
    return table


def print_cleaned(done: Cleaned, dry_run: bool, form: str, stream: TextIO) -> None:
    """Print what was removed as words (`table`), `json` (an array) or `csv`."""
    rows = [_row(each) for each in done.removed]
    if form == "json":
        print(json.dumps(rows, indent=1), file=stream)
    elif form == "csv":
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        for line in _lines(rows, dry_run):
            print(line, file=stream)


def _lines(rows: list[dict[str, Any]], dry_run: bool) -> list[str]:
    if not rows:
        return ["nothing to remove"]
    verb = "would remove" if dry_run else "removed"
    kinds = max(len(row["kind"]) for row in rows)
    names = max(len(row["name"]) for row in rows)
    lines = [
        f"{verb} {row['kind']:{kinds}}  {row['name']:{names}}  made {row['made']}"
        f" by process {row['pid']}"
        for row in rows
    ]
    objects = "1 object" if len(rows) == 1 else f"{len(rows)} objects"
    return [*lines, f"{objects} {'would be removed' if dry_run else 'removed'}"]


def _row(removed: Removed) -> dict[str, Any]:
    made = datetime.fromtimestamp(removed.made, UTC).isoformat(timespec="seconds")
    return asdict(removed) | {"made": made}
