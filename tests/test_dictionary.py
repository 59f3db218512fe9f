"""The data dictionary names every column and every key of a run, in order, and no others."""

import re
from pathlib import Path

import pytest

from labkit.harness import statistics
from labkit.kernel import machine

TEXT = (Path(__file__).parents[1] / "data" / "README.md").read_text(encoding="utf-8")

# What the harness adds to the machine's own facts, before and after them.
OF_THE_FOLDER = ["format", "rows"]
OF_THE_RUN = ["cpus", "settings", "partial", "started", "duration_s", "noise", "costs"]


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    section = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    (found,) = [part for part in section if part.startswith(heading)]
    rows = [line.strip("| ") for line in found.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


def names(heading: str) -> list[str]:
    return [row[0].strip("`") for row in table(heading)]


def test_the_columns_of_the_summary_are_all_there() -> None:
    assert names("summary.csv") == list(statistics.SUMMARY_COLUMNS)


def test_the_columns_of_the_samples_are_all_there() -> None:
    assert names("samples.csv") == list(statistics.SAMPLE_COLUMNS)


def test_the_keys_of_the_machine_are_all_there() -> None:
    assert names("machine.json") == [*OF_THE_FOLDER, *machine.describe(), *OF_THE_RUN]


@pytest.mark.parametrize("heading", ["summary.csv", "samples.csv"])
def test_every_column_has_a_meaning_and_says_how_it_came_about(heading: str) -> None:
    for name, meaning, _unit, how, *_ in table(heading):
        assert meaning, name
        assert how in {"asked", "timed", "counted", "computed", "inferred", ""}, name


def test_what_is_easily_misread_is_said() -> None:
    assert "**interrupts are not counted**" in TEXT
    assert "**A latency row counts per round trip, in every column**" in TEXT
