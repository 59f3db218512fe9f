"""A class's runs in one table: every machine's cells, the machines told apart by a short tag.

Summaries are read one by one, checked, and written to a Parquet file as they come, so that the
class may be far larger than memory. Parquet: https://parquet.apache.org/docs/file-format/
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from labkit.errors import LabkitError, RequestError
from labkit.harness import recomputed
from labkit.harness.handed_in import Found, Refused, handed_in
from labkit.harness.run import MACHINE, SAMPLES, SUMMARY
from labkit.harness.run_files import machine_of, table_of
from labkit.harness.statistics import CELL_COLUMNS, SAMPLE_COLUMNS, SUMMARY_COLUMNS
from labkit.whole_file import place as place_of

# What stands before a summary's columns in the pooled table.
COHORT_COLUMNS = (
    "machine",
    "run",
    "cpu_model",
    "architecture",
    "cpus",
    "kernel",
    "virtual_machine",
    "container",
    "labkit",
)
GROUP_ROWS = 50_000  # rows written at once: one of the Parquet file's row groups
TWICE = "it is the same run as"
AT_ONCE = 16  # runs read ahead
READERS = 2
NAMED = 10  # runs that a sentence names

_TEXT = {*CELL_COLUMNS[:-1], "system_calls_source", "status", "reason"}
_WHOLE = {"message_size", "messages", "repeats"}
_STATUS = {"ok", "skipped", "failed"}
_TYPES = {
    name: pa.string()
    if name in _TEXT
    else pa.int64()
    if name in _WHOLE
    else pa.bool_()
    if name == "stable"
    else pa.float64()
    for name in SUMMARY_COLUMNS
}
_SAMPLE_TYPES = {
    name: _TYPES[name] if name in CELL_COLUMNS else pa.float64() for name in SAMPLE_COLUMNS
}
_OF_RUNS = {name: pa.int64() if name == "cpus" else pa.string() for name in COHORT_COLUMNS}
SCHEMA = pa.schema({**_OF_RUNS, **_TYPES})

Tell = Callable[[int], None]


@dataclass(frozen=True)
class Cohort:
    """What pooling a class's runs gave.

    Attributes:
        path: the Parquet file: SCHEMA, a row for each cell of each run.
        runs: one row for each run: where it was found, its machine's tag, its id, its rows.
        refused: (where, why) of what was not used.
        unchecked: which runs came without samples, so that their summaries had to be believed.
    """

    path: Path
    runs: pd.DataFrame
    refused: list[tuple[str, str]]
    unchecked: list[str] = field(default_factory=list)

    @property
    def machines(self) -> pd.Series:
        """How many runs each machine has, by its tag."""
        return self.runs["machine"].value_counts()

    @property
    def table(self) -> pd.DataFrame:
        """The whole pooled table, read into memory."""
        return pd.read_parquet(self.path)

    @property
    def damaged(self) -> int:
        """How many were refused for anything but being there twice."""
        return sum(TWICE not in why for _, why in self.refused)

    def sentences(self) -> list[str]:
        """What was pooled and what was refused."""
        count, machines = len(self.runs), len(self.machines)
        said = [
            f"{count} run{'s' * (count != 1)} of {machines} machine{'s' * (machines != 1)} pooled,"
            f" {int(self.runs['rows'].sum())} rows."
        ]
        said += [f"Refused: {name}: {why}." for name, why in self.refused]
        if self.unchecked:
            named = ", ".join(self.unchecked[:NAMED])
            more = f" and {len(self.unchecked) - NAMED} more" if len(self.unchecked) > NAMED else ""
            said.append(
                f"Not checked, as {SAMPLES} is missing, so that the medians of {SUMMARY} cannot be"
                f" computed again: {named}{more}."
            )
        return said


def pool(
    place: str | os.PathLike[str], out: str | os.PathLike[str], tell: Tell | None = None
) -> Cohort:
    """Pool the runs in a folder, in whatever folders or zips they are, into one Parquet file.

    The file appears whole or not at all; one that is there already is replaced. A run that was
    handed in twice counts once. Damaged ones are refused by name, and the rest is used.

    Args:
        place: a folder, or one zip.
        out: the Parquet file.
        tell: told now and then how many runs were read.

    Raises:
        RequestError: there is no such folder, or no run in it, or no file can be made there.
        LabkitError: it could not be written, for example because the disk is full.
    """
    target = Path(out)
    if "\0" in str(target):
        raise RequestError("a file's name cannot hold a zero byte: name another.")
    if target.is_dir():
        raise RequestError(f"{target} is a folder: name a file, such as class.parquet.")
    reading = _Pooling(tell)
    found = _ahead(handed_in(Path(place)))
    first = next(found, None)
    if first is None:
        raise RequestError(
            f"no run is in {place}: a run is a folder with {SUMMARY} and {MACHINE}, or a zip of it."
        )
    try:
        descriptor, staging = tempfile.mkstemp(prefix=".labkit-", dir=target.parent)
    except OSError as error:
        raise RequestError(
            f"{target} cannot be written ({error.strerror}): name a file that can be made."
        ) from error
    os.close(descriptor)
    try:
        with pq.ParquetWriter(staging, SCHEMA, compression="zstd") as writer:
            reading.take(first, writer)
            for each in found:
                reading.take(each, writer)
            reading.flush(writer)
        if not reading.runs:
            name, why = reading.refused[0]
            raise RequestError(f"no run in {place} could be used; the first was {name}: {why}.")
        os.chmod(staging, 0o644)
        os.replace(staging, place_of(target))
    except OSError as error:
        raise LabkitError(f"{target} cannot be written ({error.strerror}).") from error
    finally:
        if os.path.exists(staging):
            os.unlink(staging)
    return Cohort(target, pd.DataFrame(reading.runs), reading.refused, reading.unchecked)


def tag(machine: Mapping[str, Any]) -> str:
    """A short name for a machine, made from what it is and from nothing else.

    The processor's name, the number of CPUs, what it runs in, and four digits of a hash over these,
    the caches, the memory and the kernel: alike machines have the same tag.
    """
    model = str(machine.get("cpu_model") or machine.get("architecture") or "unknown").lower()
    model = re.sub(r"\(r\)|\(tm\)|cpu|processor|@.*|with .*|\d+(st|nd|rd|th) gen", " ", model)
    words = re.findall(r"[a-z0-9]+", model)
    cpus = machine.get("cpus_online")
    inside = [
        re.sub(r"[^a-z0-9]", "", str(machine[key]).lower())[:12]
        for key in ("virtual_machine", "container")
        if machine.get(key)
    ]
    if machine.get("wsl"):
        inside = ["wsl"]
    facts = {
        key: machine.get(key)
        for key in (
            "cpu_model",
            "architecture",
            "cpus_online",
            "caches",
            "kernel",
            "virtual_machine",
            "container",
            "wsl",
        )
    }
    memory = machine.get("memory_bytes")
    facts["gigabytes"] = round(memory / 1e9) if isinstance(memory, int | float) else None
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    parts = ["-".join(words[:4])[:24].strip("-") or "unknown"]
    parts += [f"{len(cpus)}cpu"] if isinstance(cpus, list) else []
    return "-".join([*parts, *filter(None, inside), digest[:4]])


@dataclass(frozen=True)
class _Read:
    """A run that was read, or why not."""

    name: str
    table: pa.Table | None
    machine: str = ""
    run: str = ""
    why: str = ""
    checked: bool = True


class _Pooling:
    """What has been read so far, written as soon as there is enough of it."""

    def __init__(self, tell: Tell | None) -> None:
        self.runs: list[dict[str, Any]] = []
        self.refused: list[tuple[str, str]] = []
        self.unchecked: list[str] = []
        self._seen: dict[str, str] = {}
        self._waiting: list[pa.Table] = []
        self._tell = tell

    def take(self, read: _Read, writer: pq.ParquetWriter) -> None:
        """Keep a run for the table, or note why not."""
        if read.table is None:
            self.refused.append((read.name, read.why))
            return
        if read.run in self._seen:
            self.refused.append((read.name, f"{TWICE} {self._seen[read.run]}"))
            return
        self._seen[read.run] = read.name
        rows = read.table.num_rows
        self.runs.append(
            {"found": read.name, "machine": read.machine, "run": read.run, "rows": rows}
        )
        if not read.checked:
            self.unchecked.append(read.name)
        self._waiting.append(read.table)
        if sum(table.num_rows for table in self._waiting) >= GROUP_ROWS:
            self.flush(writer)
        if self._tell is not None:
            self._tell(len(self.runs))

    def flush(self, writer: pq.ParquetWriter) -> None:
        """Write what waits."""
        if self._waiting:
            writer.write_table(pa.concat_tables(self._waiting))
            self._waiting = []


def _ahead(found: Iterator[Found | Refused]) -> Iterator[_Read]:
    """Read runs in a few threads, some ahead of whoever asks, in their order.

    Threads are enough: what takes time is done outside the interpreter's lock.
    """
    with ThreadPoolExecutor(READERS) as readers:
        while batch := list(islice(found, AT_ONCE)):
            yield from readers.map(_read, batch)


def _read(found: Found | Refused) -> _Read:
    if isinstance(found, Refused):
        return _Read(found.name, None, why=found.why)
    try:
        machine = machine_of(_decoded(found.machine, MACHINE), Path(found.name) / MACHINE)
        rows = machine.get("rows")
        expected = rows if isinstance(rows, dict) else {}
        table = _summary(found.summary, Path(found.name) / SUMMARY, expected.get(SUMMARY))
        if found.samples is not None:
            file = Path(found.name) / SAMPLES
            _compare(table, _samples(found.samples, file, expected.get(SAMPLES)), file)
    except RequestError as error:
        why = str(error).rstrip(".").removeprefix(f"{found.name}/")
        return _Read(found.name, None, why=why)
    name = tag(machine)
    run = hashlib.sha256(found.machine + b"\0" + found.summary).hexdigest()[:12]
    cpus, libraries = machine.get("cpus_online"), machine.get("libraries")
    facts: dict[str, Any] = {
        "machine": name,
        "run": run,
        "cpus": len(cpus) if isinstance(cpus, list) else None,
        "labkit": libraries.get("labkit") if isinstance(libraries, dict) else None,
    }
    for key in COHORT_COLUMNS:
        if key not in facts:
            value = machine.get(key)
            facts[key] = None if value is None else _one_line(value)
    columns = [pa.repeat(pa.scalar(facts[k], _OF_RUNS[k]), table.num_rows) for k in COHORT_COLUMNS]
    whole = pa.table([*columns, *table.columns], schema=SCHEMA)
    return _Read(found.name, whole, name, run, checked=found.samples is not None)


def _one_line(value: object) -> str:
    text = " ".join(str(value).split())[:200]
    return "".join(c if c.isprintable() else "?" for c in text)


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise RequestError(f"{name} is damaged: it is not text.") from None


def _compare(summary: pa.Table, samples: pa.Table, file: Path) -> None:
    """Refuse a summary that does not follow from its samples.

    Raises:
        RequestError: it names the file, the row and both values.
    """
    cells = recomputed.numbered(*_codes(summary, samples))
    said = {c: _array(summary[c]) for c in (*CELL_COLUMNS, *recomputed.SUMMARY_READ)}
    made = {c: _array(samples[c]) for c in recomputed.SAMPLES_READ}
    for name, wrong in recomputed.disagreements(said, made, cells):
        raise RequestError(f"{file.parent / name} is damaged: {wrong}.")


def _codes(summary: pa.Table, samples: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each row that stands for its cell, in both tables alike."""
    codes, span = np.zeros(summary.num_rows + samples.num_rows, dtype=np.int64), 1
    for name in CELL_COLUMNS:
        both = pa.chunked_array([*summary[name].chunks, *samples[name].chunks], _TYPES[name])
        encoded = both.combine_chunks().dictionary_encode()
        size = max(1, len(encoded.dictionary))
        if span * size >= 1 << 62:  # as few numbers as there are cells, before they overflow
            codes = np.unique(codes, return_inverse=True)[1]
            span = len(codes)
        codes, span = codes * size + encoded.indices.to_numpy(zero_copy_only=False), span * size
    return codes[: summary.num_rows], codes[summary.num_rows :]


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.asarray(column.to_numpy())


def _summary(data: bytes, file: Path, rows: Any) -> pa.Table:
    """A summary, every value checked: quickly, and where anything is odd by the strict reader.

    Raises:
        RequestError: it is not what was written; the strict reader says how.
    """
    quick = _quick(data, rows, SUMMARY_COLUMNS, _TYPES)
    return _strict(data, file, rows, SUMMARY_COLUMNS, _TYPES) if quick is None else quick


def _samples(data: bytes, file: Path, rows: Any) -> pa.Table:
    """The samples, likewise."""
    quick = _quick(data, rows, SAMPLE_COLUMNS, _SAMPLE_TYPES)
    return _strict(data, file, rows, SAMPLE_COLUMNS, _SAMPLE_TYPES) if quick is None else quick


def _strict(
    data: bytes, file: Path, rows: Any, columns: Sequence[str], types: Mapping[str, pa.DataType]
) -> pa.Table:
    frame = table_of(_decoded(data, file.name), file, columns, rows)
    try:
        return pa.Table.from_pandas(frame, schema=pa.schema(types), preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        raise RequestError(f"{file} is damaged: a count in it is no whole number.") from None


def _quick(
    data: bytes, rows: Any, columns: Sequence[str], types: Mapping[str, pa.DataType]
) -> pa.Table | None:
    """A table as Arrow reads it, or None if it is not beyond doubt."""
    if not data.endswith(b"\n"):
        return None
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=types,
                null_values=[""],
                strings_can_be_null=False,
                true_values=["True"],
                false_values=["False"],
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    sound = (
        table.column_names == list(columns)
        and (not isinstance(rows, int) or table.num_rows == rows)
        and all(_sound(name, table[name]) for name in columns)
    )
    return table if sound else None


def _sound(name: str, column: pa.ChunkedArray) -> bool:
    if name in _TEXT:
        values = column.unique().to_pylist()
        if name == "status":
            return set(values) <= _STATUS
        may_be_empty = name in ("reason", "system_calls_source")
        return all(v.isprintable() and (v or may_be_empty) for v in values)
    if name in _WHOLE or name == "stable":
        if column.null_count:
            return False
        return name != "message_size" or not len(column) or pc.min(column).as_py() >= 1
    return not bool(np.isinf(column.to_numpy()).any())
