import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up import run

from labkit.errors import LabkitError, RequestError
from labkit.harness.run import Run, check_out, default_folder, load

NOW = datetime(2026, 1, 31, 12, 0, 5)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return run().save(tmp_path / "saved")


def test_a_run_reads_back_as_it_was(saved: Path) -> None:
    first, again = run(), load(saved)
    pd.testing.assert_frame_equal(again.summary, first.summary, check_exact=True)
    pd.testing.assert_frame_equal(again.samples, first.samples, check_exact=True, check_dtype=False)
    assert again.machine == first.machine
    assert again.path == saved
    assert Run.load(str(saved)).summary.equals(again.summary)


def test_floats_keep_every_digit(tmp_path: Path) -> None:
    one = run()
    odd = [0.1 + 0.2, 1e-300, 1.7976931348623157e308, 5e-324, np.nan, 1 / 3, 12345678.000000001]
    one.samples["started_s"] = odd
    again = load(one.save(tmp_path / "run"))
    assert again.samples["started_s"].equals(pd.Series(odd))


def test_a_saved_run_can_be_saved_elsewhere(saved: Path, tmp_path: Path) -> None:
    other = load(saved).save(tmp_path / "new" / "parents" / "other")
    for file in saved.iterdir():
        assert (other / file.name).read_bytes() == file.read_bytes()


def test_machine_holds_whatever_was_noted(tmp_path: Path) -> None:
    one = run()
    one.machine = {
        "a": np.int64(3),
        "b": (1, np.nan),
        "c": Path("/x"),
        "d": np.arange(2),
        "e": None,
    }
    one.machine |= {"f": True, "g": {"h": "\u00b5\ud800"}}
    again = load(one.save(tmp_path / "run")).machine
    assert again == {
        "a": 3,
        "b": [1, None],
        "c": "/x",
        "d": [0, 1],
        "e": None,
        "f": True,
        "g": {"h": "\u00b5\ud800"},
    }


def test_further_files_come_with_it(tmp_path: Path) -> None:
    folder = run().save(tmp_path / "run", extra=lambda f: (f / "figure.svg").touch())
    assert sorted(p.name for p in folder.iterdir()) == [
        "figure.svg",
        "machine.json",
        "samples.csv",
        "summary.csv",
    ]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_run_is_as_open_as_any_new_folder(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    folder = run().save(tmp_path / "run")
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode


def _full(_: Path) -> None:
    with open("/dev/full", "w") as device:  # the kernel's own ENOSPC, full(4)
        device.write("x")


def _bug(_: Path) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("extra", "error"), [(_full, LabkitError), (_bug, ZeroDivisionError)], ids=["full", "bug"]
)
def test_nothing_half_written_when_it_fails(
    tmp_path: Path, extra: Callable[[Path], None], error: type[Exception]
) -> None:
    with pytest.raises(error):
        run().save(tmp_path / "new" / "run", extra=extra)
    assert list(tmp_path.iterdir()) == []


def test_nothing_half_written_when_a_table_does_not_fit(tmp_path: Path) -> None:
    one, before = run(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        with pytest.raises(LabkitError, match="nothing was kept"):
            one.save(tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from made_up import run\n"
        "def die(folder):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "run().save(sys.argv[1], extra=die)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "run")]
    tests = Path(__file__).resolve().parent
    paths = {"PYTHONPATH": f"{tests}:{tests.parent}"}
    assert subprocess.run(command, env=os.environ | paths).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".labkit-")

    run().save(tmp_path / "first")
    assert left.is_dir()  # it might be somebody's who is just beginning
    os.utime(left, (0, 0))
    run().save(tmp_path / "second")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["first", "second"]


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    def meanwhile(folder: Path) -> None:
        os.utime(folder, (0, 0))
        run().save(tmp_path / "other")

    run().save(tmp_path / "slow", extra=meanwhile)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "slow"]
    (tmp_path / ".labkit-mine").symlink_to(tmp_path / "slow")
    run().save(tmp_path / "third")
    assert load(tmp_path / "slow").summary.equals(run().summary)


def _unusable(folder: Path) -> dict[str, Any]:
    (folder / "file").write_text("")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    return {
        "a file": folder / "file",
        "a folder": folder / "folder",
        "a loop": folder / "loop",
        "a dangling link": folder / "dangling",
        "below a file": folder / "file" / "run",
        "below a loop": folder / "loop" / "run",
        "a name too long": folder / ("x" * 256),
        "a nul": f"{folder}/a\0b",
        "nothing": "",
        "not made by mkdir": "/proc/run",
    }


@pytest.mark.parametrize("case", range(10))
def test_an_output_folder_that_will_not_do(tmp_path: Path, case: int) -> None:
    what, path = list(_unusable(tmp_path).items())[case]
    checks: list[Callable[[Any], Path]] = [check_out, run().save]
    before = sorted(tmp_path.rglob("*"))
    for refuse in checks:
        with pytest.raises(RequestError) as caught:
            refuse(path)
        assert str(caught.value).isprintable(), what
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_one_may_not_write_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RequestError, match="Permission denied"):
        check_out(tmp_path / "run")


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    assert check_out(tmp_path / "a" / "b" / "run") == tmp_path / "a" / "b" / "run"
    assert list(tmp_path.iterdir()) == []


def test_default_folders_never_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_folder(NOW) == Path("data/runs/2026-01-31T12-00-05")
    folders = []
    for _ in range(3):
        folders.append(run().save(default_folder(NOW)).name)
    assert folders == [f"2026-01-31T12-00-05{n}" for n in ("", "-2", "-3")]
    assert run().save().is_dir()


def _edit(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = folder / name
        file.write_text(change(file.read_text()))

    return damage


def _machine(**changed: Any) -> Callable[[Path], None]:
    return _edit("machine.json", lambda text: json.dumps(json.loads(text) | changed))


def _cell(column: str, value: object, row: int = 0) -> Callable[[Path], None]:
    """Write another value into one cell's row of the summary."""

    def change(folder: Path) -> None:
        lines = list(csv.reader((folder / "summary.csv").read_text().splitlines()))
        lines[row + 1][lines[0].index(column)] = str(value)
        with (folder / "summary.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)

    return change


def _fifo(folder: Path) -> None:
    (folder / "samples.csv").unlink()
    os.mkfifo(folder / "samples.csv")


def _huge(folder: Path) -> None:
    os.truncate(folder / "samples.csv", 65 << 20)


def _folder(folder: Path) -> None:
    (folder / "summary.csv").unlink()
    (folder / "summary.csv").mkdir()


def _drop_last_line(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, "there is no run in"),
    "no summary": (lambda f: (f / "summary.csv").unlink(), "summary.csv is missing"),
    "no samples": (lambda f: (f / "samples.csv").unlink(), "samples.csv is missing"),
    "no machine": (lambda f: (f / "machine.json").unlink(), "machine.json is missing"),
    "a folder for a file": (_folder, "no ordinary file"),
    "a FIFO": (_fifo, "no ordinary file"),
    "huge": (_huge, "too large"),
    "empty": (_edit("summary.csv", lambda t: ""), "lacks the columns mechanism"),
    "half a line": (_edit("samples.csv", lambda t: t[:-20]), "values where there are"),
    "half a number": (_edit("samples.csv", lambda t: t[:-1]), "cut off"),
    "a line less": (_edit("samples.csv", _drop_last_line), "cut off"),
    "a line more": (_edit("samples.csv", lambda t: t + t.splitlines()[-1] + "\n"), "not written"),
    "no header": (_edit("summary.csv", lambda t: t.split("\n", 1)[1]), "lacks the column"),
    "column gone": (_edit("summary.csv", lambda t: t.replace("ns_low", "low")), "column ns_low"),
    "new column": (
        _edit("summary.csv", lambda t: t.replace("ns_low,", "ns_low,extra,", 1)),
        "unknown column extra",
    ),
    "column twice": (
        _edit("summary.csv", lambda t: t.replace("ns_low", "ns_low,ns_low", 1)),
        "twice",
    ),
    "no number": (
        _edit("samples.csv", lambda t: t.replace("5000.0", "fast")),
        "not always a number",
    ),
    "infinite": (_edit("samples.csv", lambda t: t.replace("5000.0", "inf")), "infinite"),
    "odd status": (_edit("summary.csv", lambda t: t.replace("skipped", "odd")), "a status is not"),
    "odd stable": (_edit("summary.csv", lambda t: t.replace("True", "maybe")), "column stable"),
    "no mechanism": (_edit("summary.csv", lambda t: t.replace("pipe", "")), "empty values"),
    "size": (_edit("summary.csv", lambda t: t.replace(",64,", ",-64,")), "positive number"),
    "escapes": (_edit("summary.csv", lambda t: t.replace("pipe", "\x1b[2J")), "cannot be shown"),
    "no text": (lambda f: (f / "summary.csv").write_bytes(b"\xff\xfe\0"), "not text"),
    "nul": (_edit("summary.csv", lambda t: t.replace("pipe", "p\0pe")), "damaged"),
    "open quote": (_edit("summary.csv", lambda t: t + '"'), "damaged"),
    "no JSON": (_edit("machine.json", lambda t: t[:-10]), "not JSON"),
    "deep JSON": (_edit("machine.json", lambda t: "[" * 100_000), "not JSON"),
    "a list": (_edit("machine.json", lambda t: "[]"), "no JSON object"),
    "no format": (_machine(format=None), "names no format"),
    "newer": (_machine(format=2), "newer labkit"),
    "no rows": (_machine(rows=None), "how many rows"),
    "a time below zero": (_cell("ns_per_message", -5.0), "ns_per_message has numbers"),
    "no time": (_cell("ns_per_message", ""), "has no ns_per_message"),
    "an interval upside down": (_cell("ns_low", 9e9), "ns_low is greater"),
    "half an interval": (_cell("ns_high", ""), "one end only"),
    "repeats below zero": (_cell("repeats", -1), "repeats has numbers that are too small"),
    "half a repeat": (_cell("repeats", 1.5), "no whole numbers"),
    "another number of repeats": (_cell("repeats", 6), "has 6 repeats, and samples.csv has 7"),
    "another median": (
        _cell("ns_per_message", 5000.5),
        "5000.5, which from its 7 repeats in samples.csv is 5000.4",
    ),
    "an unknown mechanism": (_cell("mechanism", "Tele pathy"), "no mechanism 'Tele pathy'"),
    "an unknown pattern": (_cell("pattern", "x"), "no pattern 'x'"),
    "an unknown placement": (_cell("placement", "x"), "no placement 'x'"),
    "an unknown engine": (_cell("engine", "x"), "no engine 'x'"),
    "a failure with numbers": (_cell("ns_per_message", 5.0, row=2), "not measured has numbers"),
    "repeats of no cell": (_cell("touch", "all"), "a cell that summary.csv does not have"),
}


@pytest.mark.parametrize("case", sorted(DAMAGES))
def test_damage_is_told_in_one_sentence(saved: Path, case: str) -> None:
    damage, says = DAMAGES[case]
    damage(saved)
    with pytest.raises(RequestError, match=says) as caught:
        load(saved)
    assert str(caught.value).isprintable()
    assert str(caught.value).endswith(".")


def test_a_file_is_no_run(saved: Path) -> None:
    with pytest.raises(RequestError, match="a run is the folder"):
        load(saved / "summary.csv")
    with pytest.raises(RequestError):
        load("a\0b")


def test_every_cut_of_every_file_is_noticed(saved: Path) -> None:
    for name in ("summary.csv", "samples.csv", "machine.json"):
        whole = (saved / name).read_bytes()
        for length in range(0, len(whole) - 1, 97):
            (saved / name).write_bytes(whole[:length])
            with pytest.raises(RequestError):
                load(saved)
        (saved / name).write_bytes(whole)
    load(saved)


def test_how_a_run_shows_itself(saved: Path) -> None:
    one = load(saved)
    assert repr(one) == f"<labkit run of 3 cells (1 ok, 1 skipped, 1 failed), in {saved}>"
    one.summary["mechanism"] = "<script>"
    html = one._repr_html_()
    assert html.count("<tr") == 4
    assert "<script>" not in html
    assert "not saved" in repr(run())
