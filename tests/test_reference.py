"""The reference runs: whole, small, as the data dictionary says, and what they claim to be."""

import re
from pathlib import Path

import pandas as pd
import pytest

from labkit.harness.request import (
    COPIES,
    ENGINES,
    PATTERNS,
    PLACEMENTS,
    WAITINGS,
    build_request,
)
from labkit.harness.run import Run, load
from labkit.harness.statistics import CELL_COLUMNS, SAMPLE_COLUMNS, SUMMARY_COLUMNS, summarise
from labkit.mechanisms import names

DATA = Path(__file__).parents[1] / "data"
DICTIONARY = (DATA / "README.md").read_text(encoding="utf-8")
FOLDERS = sorted(file.parent for file in (DATA / "reference").glob("*/machine.json"))
THOROUGH = [folder for folder in FOLDERS if folder.name.endswith("-thorough")]
MOST_BYTES = 5_000_000


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def run(request: pytest.FixtureRequest) -> Run:
    return load(request.param)


def named(heading: str) -> set[str]:
    """What the dictionary's table under this heading names."""
    (section,) = [p for p in re.split(r"^## ", DICTIONARY, flags=re.M) if p.startswith(heading)]
    return set(re.findall(r"^\| `(\w+)`", section, re.M))


def test_there_are_some_and_they_are_small() -> None:
    assert FOLDERS
    files = [file for file in (DATA / "reference").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < MOST_BYTES


def test_have_what_the_dictionary_names(run: Run) -> None:
    assert set(run.summary.columns) == named("summary.csv") == set(SUMMARY_COLUMNS)
    assert set(run.samples.columns) == named("samples.csv") == set(SAMPLE_COLUMNS)
    assert set(run.machine) <= named("machine.json")
    for key in ("kernel", "cpu_model", "caches", "limits", "libraries", "settings", "noise"):
        assert run.machine[key], key


def test_went_well(run: Run) -> None:
    assert not (run.summary["status"] == "failed").any()
    skipped = run.summary[run.summary["status"] == "skipped"]
    assert skipped["reason"].str.endswith(".").all()
    measured = run.summary[run.summary["status"] == "ok"]
    assert (measured["repeats"] >= 5).all()
    assert (measured["ns_low"] <= measured["ns_per_message"]).all()
    assert (measured["ns_high"] >= measured["ns_per_message"]).all()
    assert "partial" not in run.machine


def test_summaries_follow_from_the_samples(run: Run) -> None:
    outcomes = run.summary[[*CELL_COLUMNS, "in_flight_messages", "system_calls_source"]].assign(
        traced_calls_per_message=run.summary["system_calls_per_message"],
        status=run.summary["status"],
        reason=run.summary["reason"],
    )
    rows = [{str(k): v for k, v in row.items()} for row in outcomes.to_dict("records")]
    again = summarise(run.samples, rows, seed=run.machine["settings"]["seed"])
    pd.testing.assert_frame_equal(again, run.summary, check_dtype=False, rtol=1e-9)


def test_name_nobody(run: Run) -> None:
    assert not set(run.machine) & {"user", "host", "hostname", "path", "folder", "home"}


@pytest.mark.parametrize("folder", THOROUGH, ids=lambda folder: folder.name)
def test_the_thorough_one_has_every_cell(folder: Path) -> None:
    run = load(folder)
    settings = run.machine["settings"]
    assert settings["thorough"]
    assert set(settings["mechanisms"]) == set(names(extra=True))
    for name, all_there_are in [
        ("placements", PLACEMENTS),
        ("waiting", WAITINGS),
        ("copy", COPIES),
        ("engines", ENGINES),
        ("patterns", PATTERNS),
    ]:
        assert set(settings[name]) == set(all_there_are)
    asked = build_request(sizes=settings["sizes"], thorough=True, cpus=2).cells()
    here = [tuple(row) for row in run.summary[list(CELL_COLUMNS)].itertuples(index=False)]
    assert [tuple(vars(cell).values()) for cell in asked] == here
    assert run.machine["duration_s"] < 300
