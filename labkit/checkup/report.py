"""The doctor's rows on standard output, as a table, JSON or CSV."""

import csv
import json
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TextIO

from labkit.checkup.check import Row

WIDTH = 100  # columns, also when there is no terminal


def write(rows: Sequence[Row], form: str, stream: TextIO) -> None:
    """Write the rows in one of the formats table, json and csv."""
    if form == "json":
        stream.write(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False) + "\n")
    elif form == "csv":
        writer = csv.DictWriter(stream, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    else:
        _print(rows, stream)


def _print(rows: Sequence[Row], stream: TextIO) -> None:
    """A table of what was found; below it what to type, unbroken, so that it can be copied.

    Plain text: whoever waits for --quick would wait longer for a library that draws tables.
    """
    columns = min(WIDTH, max(60, shutil.get_terminal_size().columns)) if stream.isatty() else WIDTH
    first = max(len(row.capability) for row in rows)
    before = f"{'':{first}}  {'':4}  "
    print(f"{'capability':{first}}  {'here':4}  why\n{'─' * columns}", file=stream)
    for row in rows:
        start = f"{row.capability:{first}}  {'yes' if row.available else 'no':4}  "
        wrapped = textwrap.fill(
            row.why, columns, initial_indent=start, subsequent_indent=before,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        print(wrapped, file=stream)
    remedies: dict[str, list[str]] = {}
    for row in rows:
        if row.remedy:
            remedies.setdefault(row.remedy, []).append(row.capability)
    if remedies:
        print("\nWhat to type, for the rows named:", file=stream)
    for remedy, names in remedies.items():
        print(f"\n{', '.join(names)}:\n    {remedy}", file=stream)
