"""The claims on standard output: as text that wraps, as JSON or as CSV."""

import csv
import json
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, TextIO

from labkit.claims import COLUMNS
from labkit.claims.claim import CONDITION, FAILED, FALSE, HOLDS, UNTRIED

WIDTH = 100  # columns, also when there is no terminal
MARGIN = 12
_LABELS = (
    ("said", "notes"),
    ("observed", "observed"),
    ("remark", "but"),
    ("evidence", "evidence"),
    ("source", "source"),
)
_COUNTED = (
    (HOLDS, "hold"),
    (CONDITION, "hold with a condition"),
    (FALSE, "do not hold"),
    (UNTRIED, "could not be tried here"),
    (FAILED, "failed"),
)


def write(rows: Sequence[dict[str, Any]], form: str, stream: TextIO) -> None:
    """Write the rows in one of the formats table, json and csv.

    The table cuts evidence off at the end of a line; the others have all of it.
    """
    shown = [{name: row[name] for name in COLUMNS} for row in rows]
    if form == "json":
        stream.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
    elif form == "csv":
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(shown)
    else:
        _print(shown, stream)


def _print(rows: Sequence[dict[str, str]], stream: TextIO) -> None:
    columns = min(WIDTH, max(60, shutil.get_terminal_size().columns)) if stream.isatty() else WIDTH
    topic = None
    for row in rows:
        if row["topic"] != topic:
            topic = row["topic"]
            print(f"{topic}\n{'─' * columns}", file=stream)
        verdict = f"{row['verdict'].upper()}: "
        print(textwrap.fill(verdict + row["claim"], columns, subsequent_indent="  "), file=stream)
        for name, label in _LABELS:
            text = " ".join(row[name].split())
            if not text:
                continue
            if name == "remark" and row["verdict"] == FALSE:
                label = "instead"
            if name == "said":
                text = f"“{text}”"
            if name == "evidence":
                text = _cut(text, columns - MARGIN)
            start = f"  {label:{MARGIN - 2}}"
            wrapped = textwrap.fill(
                text, columns, initial_indent=start, subsequent_indent=" " * MARGIN,
                break_long_words=True, break_on_hyphens=False,
            )  # fmt: skip
            print(wrapped, file=stream)
        print(file=stream)
    print("Evidence is cut at the line's end here; --format json has all of it.\n", file=stream)
    print(_counts(rows), file=stream)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _counts(rows: Sequence[dict[str, str]]) -> str:
    """How many there are of each verdict, of the notes' claims and of those added to them."""
    lines = []
    for of_notes, whose in ((True, "of the notes"), (False, "that the notes leave out")):
        some = [row["verdict"] for row in rows if bool(row["said"]) == of_notes]
        if not some:
            continue
        parts = [f"{some.count(verdict)} {words}" for verdict, words in _COUNTED if verdict in some]
        lines.append(f"{len(some)} claims {whose}: {', '.join(parts)}.")
    return "\n".join(lines)
