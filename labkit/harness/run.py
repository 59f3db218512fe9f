"""A run: its summary, its samples and its machine; how it is kept and read again."""

import contextlib
import json
import math
import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import RequestError
from labkit.harness.run_folder import check_out, default_folder, write_whole
from labkit.units import format_rate, format_size, format_time

if TYPE_CHECKING:
    import pandas as pd

SUMMARY, SAMPLES, MACHINE = "summary.csv", "samples.csv", "machine.json"
FORMAT = 1  # of a run's folder; a higher one is of a newer labkit

__all__ = ["MACHINE", "SAMPLES", "SUMMARY", "Run", "check_out", "default_folder", "load"]


class Run:
    """What one run measured.

    Attributes:
        summary: one row for each cell (labkit.harness.statistics.SUMMARY_COLUMNS).
        samples: one row for each repeat of a cell (SAMPLE_COLUMNS).
        machine: where and how it was measured.
        path: the folder it was saved in or loaded from, if any.
    """

    def __init__(
        self,
        summary: "pd.DataFrame",
        samples: "pd.DataFrame",
        machine: dict[str, Any],
        path: Path | None = None,
    ) -> None:
        self.summary = summary
        self.samples = samples
        self.machine = machine
        self.path = path

    def save(
        self,
        path: str | os.PathLike[str] | None = None,
        extra: Callable[[Path], None] | None = None,
    ) -> Path:
        """Write the run as a folder, whole or not at all.

        Args:
            path: a folder that does not exist yet; by default a new one in data/runs.
            extra: writes further files, such as figures, into the folder it is given.

        Raises:
            RequestError: the folder exists or cannot be made there.
            LabkitError: it could not be written, for example because the disk is full.
        """

        from labkit.harness.statistics import SAMPLE_COLUMNS, SUMMARY_COLUMNS

        def fill(folder: Path) -> None:
            # pandas writes the shortest digits that read back as the same number.
            self.summary[list(SUMMARY_COLUMNS)].to_csv(folder / SUMMARY, index=False)
            self.samples[list(SAMPLE_COLUMNS)].to_csv(folder / SAMPLES, index=False)
            # How many rows belong to it, so that a file cut off between two lines is noticed.
            rows = {SUMMARY: len(self.summary), SAMPLES: len(self.samples)}
            machine = {"format": FORMAT, "rows": rows} | _plain(self.machine)
            text = json.dumps(machine, indent=2, allow_nan=False)
            (folder / MACHINE).write_text(text + "\n", encoding="utf-8")
            if extra is not None:
                extra(folder)

        self.path = write_whole(default_folder() if path is None else path, fill)
        return self.path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Run":
        """Read a run that was saved.

        Raises:
            RequestError: there is none, it is damaged, or of a newer labkit; says which.
        """
        from labkit.harness.run_files import read

        try:
            folder = Path(path)
        except TypeError:
            raise RequestError(f"{path!r:.60} is no path; a run is a folder.") from None
        summary, samples, machine = read(folder)
        return cls(summary, samples, machine, folder)

    def csv(self) -> str:
        """The summary as CSV, as summary.csv has it."""
        return self.summary.to_csv(index=False)

    def json(self) -> str:
        """The summary as a JSON array with one object for each cell; no number is null."""
        return json.dumps(_plain(self.summary.to_dict("records")), indent=1, allow_nan=False)

    def __repr__(self) -> str:
        status = self.summary["status"].value_counts()
        counts = ", ".join(f"{status.get(name, 0)} {name}" for name in ("ok", "skipped", "failed"))
        return f"<labkit run of {len(self.summary)} cells ({counts}), {self._place()}>"

    def _repr_html_(self) -> str:
        """A compact table for notebooks."""
        from labkit.harness.statistics import CELL_COLUMNS

        rows = [
            "".join(f"<th>{escape(name.replace('_', ' '))}</th>")
            for name in (*CELL_COLUMNS, "time", "95 % interval", "rate", "stable", "status")
        ]
        body = []
        for row in self.summary.to_dict("records"):
            interval = [format_time(row["ns_low"]), format_time(row["ns_high"])]
            cells = [
                *(str(row[name]) for name in CELL_COLUMNS[:-1]),
                format_size(int(row["message_size"])),
                format_time(row["ns_per_message"]),
                " to ".join(filter(None, interval)),
                format_rate(row["bytes_per_second"]),
                ("yes" if row["stable"] else "no") if row["status"] == "ok" else "",
                str(row["status"]),
            ]
            why = f' title="{escape(str(row["reason"]))}"' if row["reason"] else ""
            body.append(f"<tr{why}>{''.join(f'<td>{escape(c)}</td>' for c in cells)}</tr>")
        return (
            '<div style="max-height: 30em; overflow: auto"><table><thead><tr>'
            f"{''.join(rows)}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
            f"<p>{len(self.summary)} cells, {escape(self._place())}</p>"
        )

    def _place(self) -> str:
        partial = "partial, " if "partial" in self.machine else ""
        return partial + ("not saved" if self.path is None else f"in {self.path}")


def reference(name: str) -> Path | None:
    """The folder of a reference run that comes with labkit, by its name; None if it has none.

    They lie in a checkout: the one beside the package, wherever one is; or the one that one is in,
    where the package was installed into a hub's image and students have checkouts of their own.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        return None
    places = [Path(__file__).resolve().parent.parent.parent]
    with contextlib.suppress(OSError):  # the current folder may be gone
        places += [Path.cwd(), *Path.cwd().parents]
    folders = (place / "data" / "reference" / name for place in places)
    return next(filter(os.path.isdir, folders), None)


def load(path: str | os.PathLike[str]) -> Run:
    """Read a run that was saved.

    Args:
        path: its folder, or the name of a reference run; a folder of that name goes before.

    Raises:
        RequestError: there is none, it is damaged, or of a newer labkit; says which.
    """
    if isinstance(path, str) and not os.path.lexists(path.partition("\0")[0]):
        return Run.load(reference(path) or path)
    return Run.load(path)


def _plain(value: Any) -> Any:
    """A value as JSON has it: numpy's numbers as plain ones, what is no number as null."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
