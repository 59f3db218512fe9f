"""Reading a run's files, and saying in one sentence what is wrong with them."""

import csv
import io
import json
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labkit.errors import RequestError
from labkit.harness.run import FORMAT, MACHINE, SAMPLES, SUMMARY
from labkit.harness.run_folder import shown
from labkit.harness.run_values import check
from labkit.harness.statistics import CELL_COLUMNS, SAMPLE_COLUMNS, SUMMARY_COLUMNS

MOST_BYTES = 64 * 1024 * 1024  # of one file; the largest run that can be asked for is far smaller

_NAMES = (*CELL_COLUMNS[:-1], "system_calls_source", "status", "reason")
_MAY_BE_EMPTY = ("reason", "system_calls_source")
_COUNTS = {
    "message_size",
    "messages",
    "repeats",
    "repeat",
    "rtt_count",
    "voluntary_switches",
    "involuntary_switches",
    "page_faults",
    "cpu_ns",
    "user_ns",
    "system_ns",
    "producer_cpu",
    "consumer_cpu",
}
_STATUS = ("ok", "skipped", "failed")


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """The summary, the samples and the machine of a saved run.

    Raises:
        RequestError: there is no run, or one of its files is damaged.
    """
    try:
        if not folder.exists():
            raise RequestError(f"there is no run in {shown(folder)}: labkit compare makes one.")
        if not folder.is_dir():
            raise RequestError(
                f"{shown(folder)} is a file; a run is the folder with {SUMMARY} in it."
            )
    except (OSError, ValueError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"no run can be read from {str(folder)!r} ({error}).") from None
    machine = _machine(folder)
    rows = machine.pop("rows", None)
    if not isinstance(rows, dict) or not all(
        isinstance(rows.get(name), int) for name in (SUMMARY, SAMPLES)
    ):
        raise _damaged(folder / MACHINE, "it does not say how many rows each table has")
    summary = _table(folder / SUMMARY, SUMMARY_COLUMNS, rows[SUMMARY])
    samples = _table(folder / SAMPLES, SAMPLE_COLUMNS, rows[SAMPLES])
    check(folder, summary, samples)
    return summary, samples, machine


def _text(file: Path) -> str:
    """A file's text.

    Raises:
        RequestError: it is missing, no ordinary file, too large, or no text.
    """
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):  # opening a FIFO would wait for a writer
            raise RequestError(
                f"{shown(file)} is no ordinary file, so {shown(file.parent)} is no saved run."
            )
        if about.st_size > MOST_BYTES:
            raise RequestError(
                f"{shown(file)} is too large for a run ({about.st_size} bytes, at most"
                f" {MOST_BYTES} are read)."
            )
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RequestError(
            f"{shown(file.parent)} is no saved run, or not all of it: {file.name} is missing."
        ) from None
    except UnicodeDecodeError:
        raise _damaged(file, "it is not text") from None
    except OSError as error:
        raise RequestError(f"{shown(file)} cannot be read ({error.strerror}).") from None


def _machine(folder: Path) -> dict[str, Any]:
    file = folder / MACHINE
    return machine_of(_text(file), file)


def machine_of(text: str, file: Path) -> dict[str, Any]:
    """The machine from the text of a run's machine.json; `file` is what a refusal names.

    Raises:
        RequestError: it is not what was written, or of a newer labkit.
    """
    try:
        machine = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(file, "it is not JSON, or not all of it") from None
    if not isinstance(machine, dict):
        raise _damaged(file, "it holds no JSON object")
    number = machine.pop("format", None)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise _damaged(file, "it names no format")
    if number > FORMAT:
        raise RequestError(
            f"{shown(file.parent)} was saved by a newer labkit (format {number}, this one reads"
            f" up to {FORMAT}): update labkit to read it."
        )
    return machine


def _table(file: Path, columns: Sequence[str], rows: Any) -> pd.DataFrame:
    """One of the tables, every value checked.

    Raises:
        RequestError: it is not what was written.
    """
    return table_of(_text(file), file, columns, rows)


def table_of(text: str, file: Path, columns: Sequence[str], rows: Any) -> pd.DataFrame:
    """A table from the text of its file; `file` is what a refusal names.

    Args:
        columns: those it must have.
        rows: how many it must have; None where that is not known.

    Raises:
        RequestError: it is not what was written.
    """
    try:
        header, *lines = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
    except csv.Error as error:
        raise _damaged(file, f"{error}") from None
    missing = [c for c in columns if c not in header]
    if missing:
        raise _damaged(file, f"it lacks the column{_plural(missing)} {', '.join(missing)}")
    unknown = [ascii(c)[1:-1] for c in header if c not in columns]
    if unknown:
        raise _damaged(file, f"it has the unknown column{_plural(unknown)} {', '.join(unknown)}")
    if len(header) != len(columns):
        raise _damaged(file, "it has a column twice")
    for number, line in enumerate(lines):
        if len(line) != len(header):
            has = f"row {number + 1} has {len(line)} values"
            raise _damaged(file, f"{has} where there are {len(header)} columns")
    if not text.endswith("\n") or (isinstance(rows, int) and rows != len(lines)):
        raise _damaged(file, "it is cut off or has lines that were not written with it")
    values = dict(zip(header, zip(*lines, strict=True), strict=True)) if lines else {}
    return pd.DataFrame({c: _column(file, c, values.get(c, ())) for c in columns})


def _column(file: Path, name: str, values: Sequence[str]) -> Any:
    if name in _NAMES:
        if not all(v.isprintable() for v in values):
            raise _damaged(file, f"column {name} holds characters that cannot be shown")
        if name not in _MAY_BE_EMPTY and not all(values):
            raise _damaged(file, f"column {name} has empty values")
        if name == "status" and not set(values) <= set(_STATUS):
            raise _damaged(file, f"a status is not one of {', '.join(_STATUS)}")
        return pd.Series(list(values), dtype="str")
    if name == "stable":
        if not set(values) <= {"True", "False"}:
            raise _damaged(file, "column stable is not always True or False")
        return np.array([v == "True" for v in values], dtype=bool)
    try:
        numbers = np.array([float(v) if v else np.nan for v in values], dtype=float)
    except ValueError:
        raise _damaged(file, f"column {name} is not always a number") from None
    if np.isinf(numbers).any():
        raise _damaged(file, f"column {name} has infinite numbers")
    if name == "message_size" and not (numbers >= 1).all():
        raise _damaged(file, "a message_size is not a positive number")
    exact = (numbers == np.round(numbers)) & (np.abs(numbers) < 2**53)
    whole = name in _COUNTS and exact.all()
    return numbers.astype("int64") if whole else numbers


def _damaged(file: Path, how: str) -> RequestError:
    return RequestError(f"{shown(file)} is damaged: {how}.")


def _plural(names: Sequence[str]) -> str:
    return "s" if len(names) > 1 else ""
