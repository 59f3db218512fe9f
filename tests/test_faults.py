"""A small share of what benchmarks/faults.py tries in earnest: each part, and that it can fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FAULTS = ROOT / "benchmarks" / "faults.py"


def faults(part: str, *options: str) -> str:
    """Run one part: what it printed."""
    command = [sys.executable, str(FAULTS), "--only", part, "--share", "0.003", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n               0  not as it should be\n" in done.stdout, done.stdout
    return done.stdout


def count(said: str, what: str) -> int:
    """The number that stands before these words."""
    (line,) = (line for line in said.splitlines() if line.endswith(f"  {what}"))
    return int(line.split()[0].replace(",", ""))


def test_every_death_is_told_and_nothing_is_left() -> None:
    said = faults("kills", "--kills", "9", "--at-once", "2")
    assert count(said, "told of the producer") == count(said, "told of the consumer") == 3
    assert count(said, "told of whole trees") == 3


def test_a_stopped_end_is_a_stall() -> None:
    said = faults("stops", "--stops", "4", "--at-once", "1")
    assert count(said, "told of the producer") == count(said, "told of the consumer") == 2


@pytest.mark.slow
def test_spinning_pairs_are_slow_and_not_stalled() -> None:
    assert count(faults("spinners", "--at-the-same-time", "6"), "pairs") == 6


@pytest.mark.slow
def test_every_message_arrives_as_it_was() -> None:
    said = faults("messages", "--bytes", "2000000", "--messages", "20000")
    assert count(said, "bytes") >= 2_000_000 * count(said, "channels") > 0


@pytest.mark.slow
def test_a_broken_mechanism_is_caught() -> None:
    said = faults("broken", "--broken", "8", "--among", "100000")
    assert count(said, "broken") == count(said, "caught and named") == 8


def test_any_request_is_answered() -> None:
    said = faults("requests", "--requests", "150", "--real", "4")
    assert count(said, "command lines") == count(said, "calls") == 150


def test_a_damaged_run_is_refused() -> None:
    said = faults("runs", "--runs", "20")
    assert count(said, "damaged runs") == count(said, "refused") == 20


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")
@pytest.mark.parametrize("part", ["crowd", "containers"])
def test_many_at_once(part: str) -> None:
    said = faults(part, "--at-the-same-time", "3")
    assert count(said, "comparisons") == 3
    assert part == "containers" or count(said, "attempts to open another's object") > 0


def test_it_fails_where_something_is_wrong(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(FAULTS.parent)!r}); import faults;"
        " from faults_worker import Tally;"
        " faults.PARTS['runs'] = lambda options: Tally(bad=['it was read']);"
        " sys.argv[1:] = ['--only', 'runs']; sys.exit(faults.main())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "1  not as it should be\n    it was read" in done.stdout
