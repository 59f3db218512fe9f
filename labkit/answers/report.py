"""Answers and classes on standard output: for people, as JSON or as CSV."""

import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from labkit.answers.handing_in import COLUMNS, rows, solved
from labkit.answers.store import answers_file
from labkit.answers.summary import Class, lines, question_rows

CLASS_COLUMNS = ("question", "asks", "answered", "answer", "first", "now", "right")
_RIGHT = {"yes": "as predicted", "no": "not as predicted", "open": "not decided", "": ""}


def write(form: str, stream: TextIO) -> None:
    """This user's answers, as table, json or csv."""
    found = rows()
    if form != "table":
        _machine_readable(found, COLUMNS, form, stream)
        return
    if not found:
        print("No predictions yet; each notebook asks for some.", file=stream)
    for row in found:
        print(f"{row['question']}  {row['asks']}", file=stream)
        print(f"      first   {row['first']}  ({row['first_at']})", file=stream)
        if row["revisions"]:
            print(f"      now     {row['now']}  ({_times(row['revisions'])})", file=stream)
        if row["observed"]:
            seen = f"{row['observed'].rstrip('.')}: {_RIGHT[row['right']]}"
            print(f"      seen    {seen}", file=stream)
    done = solved()
    if done:
        print(f"Exercises solved: {', '.join(done)}.", file=stream)
    if found:
        print(f"Kept in {answers_file()}", file=stream)


def write_class(members: Class, form: str, stream: TextIO) -> None:
    """A class's answers, as table, json or csv."""
    if form == "table":
        print("\n".join(lines(members)), file=stream)
    else:
        _machine_readable(question_rows(members), CLASS_COLUMNS, form, stream)


def _machine_readable(
    found: Sequence[Mapping[str, Any]], columns: Sequence[str], form: str, stream: TextIO
) -> None:
    if form == "json":
        json.dump(found, stream, indent=1, ensure_ascii=False)
        print(file=stream)
        return
    write = csv.DictWriter(stream, columns, lineterminator="\n")
    write.writeheader()
    write.writerows(found)


def _times(number: int) -> str:
    return "revised once" if number == 1 else f"revised {number} times"
