import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_up import run as made_up_run

import labkit.cli
from labkit.harness.run import load
from labkit.harness.statistics import SUMMARY_COLUMNS
from labkit.progress import Progress, shown, time_left

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
LABKIT = [sys.executable, "-m", "labkit"]
ONE_CPU = (
    "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
    "from labkit.cli import main; sys.exit(main(sys.argv[1:]))"
)


def labkit_command(*args: str, cwd: Path, command: list[str] = LABKIT) -> Any:
    return subprocess.run(
        [*command, *args],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small comparison, run once: what it said, and the folder it was started in."""
    place = tmp_path_factory.mktemp("compared")
    args = ["-m", "pipe,posix_shm", "-s", "64", "--waiting", "futex", "--placement", "same-cpu"]
    done = labkit_command("compare", *args, "--budget", "4", "--out", "run", cwd=place)
    return done, place


def test_a_comparison_prints_table_findings_and_place(compared: Any) -> None:
    done, place = compared
    assert done.returncode == 0, done.stderr
    assert "latency, same-cpu" in done.stdout
    assert "posix_shm futex" in done.stdout
    assert re.search(
        r"\nOf round trips of 64 B.*\.\n.*\.\n.*\.\nWhere the time goes is not told"
        r" here: a budget of 4 s .*\.\nSaved in run\n$",
        done.stdout,
    )
    assert max(map(len, done.stdout.split("\n\n")[0].splitlines())) <= 100
    assert "\x1b" not in done.stdout + done.stderr
    assert "labkit: measuring" in done.stderr
    assert [p.name for p in place.iterdir()] == ["run"]


def test_a_comparison_is_saved_with_its_figures(compared: Any) -> None:
    _, place = compared
    figures = {
        f"{n}.{s}" for n in ("latency", "throughput", "distribution") for s in ("svg", "png")
    }
    files = {p.name for p in (place / "run").iterdir()}
    assert files == {"summary.csv", "samples.csv", "machine.json", *figures}
    run = load(place / "run")
    assert tuple(run.summary.columns) == SUMMARY_COLUMNS
    assert len(run.summary) == 4
    assert (run.summary["status"] == "ok").all()
    assert run.machine["settings"]["sizes"] == [64]


def test_show_says_what_compare_said(compared: Any) -> None:
    done, place = compared
    again = labkit_command("show", "run", cwd=place)
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "")


def test_csv_and_json_are_all_that_standard_output_carries(compared: Any) -> None:
    _, place = compared
    csv = labkit_command("show", "run", "--format", "csv", cwd=place)
    assert csv.stdout == (place / "run" / "summary.csv").read_text()
    assert pd.read_csv(StringIO(csv.stdout)).shape == (4, len(SUMMARY_COLUMNS))
    rows = json.loads(labkit_command("show", "run", "--format", "json", cwd=place).stdout)
    assert [tuple(row) for row in rows] == [SUMMARY_COLUMNS] * 4
    # Three findings, why it is not told where the time goes, and where the run is.
    assert csv.stderr.count("\n") == 5


def test_a_comparison_without_out_goes_to_data_runs(tmp_path: Path) -> None:
    args = ["-m", "pipe", "-s", "64", "--pattern", "latency", "--placement", "same-cpu"]
    done = labkit_command("compare", *args, "--budget", "2", "--format", "csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    (folder,) = (tmp_path / "data" / "runs").iterdir()
    assert f"Saved in data/runs/{folder.name}" in done.stderr
    assert not (folder / "throughput.svg").exists()
    assert (folder / "latency.svg").exists()


def test_a_run_of_nothing_but_skipped_cells(tmp_path: Path) -> None:
    args = ["-m", "memfd", "--waiting", "spin", "--placement", "same-cpu", "-s", "8"]
    done = labkit_command("compare", *args, "--budget", "2", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 cells skipped (memfd spin at 8B): a spinning waiter" in done.stdout


BAD = {
    "an unknown command": (["compar"], "did you mean 'compare'"),
    "no known command at all": (["frobnicate"], "; it is one of "),
    "an unknown option": (["compare", "--sizes", "8"], "did you mean '--size'"),
    "an option without its value": (["compare", "--size"], "requires an argument"),
    "an argument too many": (["compare", "pipe"], "unexpected extra argument"),
    "an unknown mechanism": (["compare", "-m", "pip"], "did you mean 'pipe'"),
    "an unknown pattern": (["compare", "--pattern", "latecy"], "did you mean 'latency'"),
    "an unknown placement": (["compare", "--placement", "same_cpu"], "did you mean 'same-cpu'"),
    "an unknown waiting": (["compare", "--waiting", "futx"], "did you mean 'futex'"),
    "an unknown copy": (["compare", "--copy", "inplace"], "did you mean 'in-place'"),
    "an unknown touch": (["compare", "--touch", "al"], "did you mean 'all'"),
    "an unknown engine": (["compare", "--engine", "pyton"], "did you mean 'python'"),
    "an unknown verification": (["compare", "--verify", "fully"], "did you mean 'full'"),
    "an unknown format": (["compare", "--format", "xml"], "is not one of 'table'"),
    "a size of zero": (["compare", "-s", "0"], "too small"),
    "a negative size": (["compare", "-s", "-64"], "negative"),
    "an absurd size": (["compare", "-s", "100G"], "too large"),
    "an unparsable size": (["compare", "-s", "4X"], "is not a size"),
    "one bad size of three": (["compare", "-s", "8,4X", "-s", "64"], "is not a size"),
    "an empty size": (["compare", "-s", ""], "is not a size"),
    "a budget of zero": (["compare", "--budget", "0"], "above 0"),
    "a negative budget": (["compare", "--budget", "-5"], "above 0"),
    "a budget that is none": (["compare", "--budget", "soon"], "is not a number"),
    "a budget that is no number": (["compare", "--budget", "nan"], "out of bounds"),
    "a budget that fits nothing": (["compare", "--budget", "0.001"], "cannot fit one repeat"),
    "an existing folder": (["compare", "--out", "there"], "exists already"),
    "an existing file": (["compare", "--out", "file"], "exists already"),
    "a folder below a file": (["compare", "--out", "file/run"], "Not a directory"),
    "a folder that cannot be made": (["compare", "--out", "/proc/a/run"], "cannot be saved"),
    "a folder without a name": (["compare", "--out", ""], "exists already"),
    "a run that is not there": (["show", "nowhere"], "there is no run in nowhere"),
    "a run that is a file": (["show", "file"], "is a file"),
    "a run that is none": (["show", "there"], "machine.json is missing"),
    "no run": (["show"], "missing argument 'RUN'"),
    "a port that is none": (["lab", "--port", "0"], "not in the range"),
    "bytes that are no text": (["compare", "-m", "\udcff\n\x1b[1m"], "there is no mechanism"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_one_sentence(tmp_path: Path, case: str) -> None:
    args, says = BAD[case]
    (tmp_path / "file").write_text("")
    (tmp_path / "there").mkdir()
    before = sorted(tmp_path.rglob("*"))
    done = labkit_command(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("labkit: ")
    assert says in done.stderr
    assert done.stderr.endswith(".\n")
    assert done.stderr[:-1].isprintable()
    assert sorted(tmp_path.rglob("*")) == before


def test_one_cpu_where_two_are_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ONE_CPU]
    asked = ["compare", "-m", "pipe", "--placement", "cross-cpu", "--budget", "2"]
    done = labkit_command(*asked, cwd=tmp_path, command=command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("labkit: placement 'cross-cpu' needs two CPUs")
    assert list(tmp_path.iterdir()) == []


def test_one_cpu_where_nothing_was_said(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ONE_CPU]
    asked = ["compare", "-m", "pipe", "-s", "8", "--budget", "2", "--format", "csv"]
    done = labkit_command(*asked, cwd=tmp_path, command=command)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(StringIO(done.stdout))
    across = table["placement"] == "cross-cpu"
    assert set(table.loc[~across, "status"]) == {"ok"}
    assert set(table.loc[across, "status"]) == {"skipped"}
    assert all("only one CPU" in reason for reason in table.loc[across, "reason"])


def test_an_interruption_is_one_sentence_and_saves_what_there_is(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*LABKIT, "compare", "-m", "pipe", "-s", "64", "--budget", "60"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "measuring" in line:
            break
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=600)
    assert process.returncode == 1
    assert out == ""
    (folder,) = (tmp_path / "data" / "runs").iterdir()
    place = folder.relative_to(tmp_path)
    last = said.splitlines()[-1]
    assert last == f"labkit: interrupted; what was measured so far is saved in {place}."


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, form: str) -> None:
    made_up_run().save(tmp_path / "run")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [*LABKIT, "show", "run", "--format", form],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_a_full_disk_behind_standard_output(tmp_path: Path) -> None:
    made_up_run().save(tmp_path / "run")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*LABKIT, "show", "run"],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "labkit: standard output takes no more (No space left on device).\n"


def test_skipped_and_failed_cells_are_shown_with_their_reasons(tmp_path: Path) -> None:
    made_up_run().save(tmp_path / "run")
    done = labkit_command("show", "run", cwd=tmp_path)
    assert "1 cell skipped (fifo at 1MiB): the kernel refused 1 MiB" in done.stdout
    assert "1 cell failed (tcp at 8B): the consumer died with SIGKILL" in done.stdout


def test_plain_letters_where_the_terminal_has_no_others(tmp_path: Path) -> None:
    made_up_run().save(tmp_path / "run")
    done = subprocess.run(
        [*LABKIT, "show", "run"],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stdout.decode("ascii").count("pipe") > 1


def test_help_of_every_command_has_an_example(tmp_path: Path) -> None:
    for name in ("", *labkit.cli.commands.commands):
        args = [name, "--help"] if name else ["--help"]
        done = labkit_command(*args, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(rf"Example: labkit {name or 'compare'}\b", done.stdout)
    assert labkit_command(cwd=tmp_path).stdout == labkit_command("--help", cwd=tmp_path).stdout


def test_help_and_errors_load_nothing_heavy() -> None:
    heavy = "{'numpy', 'pandas', 'numba', 'matplotlib', 'rich', 'sysv_ipc'} & set(sys.modules)"
    for args in (["--help"], ["compare", "-m", "pip"], ["compare", "--out", "/"]):
        code = f"import sys; from labkit.cli import main; main({args}); print({heavy})"
        command = [sys.executable, "-c", code]
        said = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True)
        assert said.stdout.splitlines()[-1] == "set()"


def test_lab_without_notebooks_says_where_to_go(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "labkit", tmp_path / "labkit")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [*LABKIT, "lab", "--no-browser"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("labkit: notebooks/00_start_here.ipynb is neither here")


def test_main_returns_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert labkit.cli.main(["compare", "-m", "pip"]) == 2
    assert capsys.readouterr().err.startswith("labkit: there is no mechanism 'pip'")
    assert labkit.cli.main(["--version"]) == 0
    assert labkit.cli.main([]) == 0


def test_the_bar_tells_the_time_left_and_is_gone_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, shown(terminal) as tell:
        tell(Progress("measuring", 30, 60, 65.2, "pipe"))
    drawn = b""
    while select.select([ours], [], [], 0)[0]:
        try:
            drawn += os.read(ours, 65536)
        except OSError:  # the other side is closed and all is read
            break
    os.close(ours)
    text = drawn.decode()
    for words in ("measuring", "50%", "1 min 05 s left", "pipe"):
        assert words in text
    assert text.rstrip().endswith("\x1b[2K")  # its line was cleared


def test_without_a_terminal_a_line_for_each_stage() -> None:
    stream = StringIO()
    with shown(stream) as tell:
        tell(Progress("compiling", 0, 2))
        for done in range(5):
            tell(Progress("measuring", done, 60, 59 - done))
    assert stream.getvalue() == (
        "labkit: compiling, 0 of 2\nlabkit: measuring, 0 of 60, 59 s left\n"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s left"), (59.4, "59 s left"), (59.6, "1 min 00 s left"), (7260, "2 h 01 min left")],
)
def test_time_left(seconds: float, text: str) -> None:
    assert time_left(seconds) == text
