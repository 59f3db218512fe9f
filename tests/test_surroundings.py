"""Odd surroundings: closed descriptors, small disks, settings of other programs."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import World
from made_up import run

import labkit
from labkit.errors import LabkitError, RequestError
from labkit.harness.run import load
from labkit.plots.kept import draw_all

ROOT = Path(__file__).resolve().parent.parent
LABKIT = f"{sys.executable} -m labkit"
SMALL = "compare -m pipe -s 8 --pattern latency --placement same-cpu --budget 1 --out run"


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("line", ["--help >&-", "clean --dry-run >&-", f"{SMALL} <&- >&-"])
def test_closed_descriptors_are_no_error(tmp_path: Path, line: str) -> None:
    done = shell(f"{LABKIT} {line}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("errors", ["2>&-", "2>/dev/full"])
def test_without_standard_error_the_results_still_come(tmp_path: Path, errors: str) -> None:
    run().save(tmp_path / "run")
    done = shell(f"{LABKIT} show run --format csv {errors}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (tmp_path / "run" / "summary.csv").read_text()
    wrong = shell(f"{LABKIT} show nowhere {errors}", tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_figures_that_do_not_fit_do_not_cost_the_run(tmp_path: Path) -> None:
    one, before = run(), resource.getrlimit(resource.RLIMIT_FSIZE)
    said: list[str] = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        one.save(tmp_path / "run", extra=lambda folder: said.extend(draw_all(one, folder)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "machine.json",
        "samples.csv",
        "summary.csv",
    ]
    (sentence,) = said
    assert "latency and distribution were left out (File too large)" in sentence
    assert load(tmp_path / "run").summary.shape == one.summary.shape


def test_a_disk_without_room_for_the_tables_gets_its_remedy(tmp_path: Path) -> None:
    def full(_: Path) -> None:
        with open("/dev/full", "w") as device:
            device.write("x")

    with pytest.raises(LabkitError, match=r"tiny.run .*No space.*: make room there, or .*--out"):
        run().save(tmp_path / "tiny" / "run", extra=full)


def test_an_unknown_backend_does_not_matter(tmp_path: Path) -> None:
    code = f"{sys.executable} -c 'import labkit; labkit.plots.latency'"
    done = shell(code, tmp_path, MPLBACKEND="nonsense")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_home_that_cannot_be_written_is_not_complained_of(tmp_path: Path) -> None:
    code = f"{sys.executable} -c 'import labkit; labkit.plots.latency'"
    done = shell(code, tmp_path, HOME="/proc/none", XDG_CACHE_HOME="", XDG_CONFIG_HOME="")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_compiler_that_is_switched_off_is_one_sentence(tmp_path: Path) -> None:
    done = shell(f"{LABKIT} {SMALL}", tmp_path, NUMBA_DISABLE_JIT="1")
    assert done.returncode == 1
    assert "NUMBA_DISABLE_JIT is set" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_too_few_descriptors_are_one_sentence(tmp_path: Path) -> None:
    for most in (5, 8):
        done = shell(f"ulimit -n {most}; {LABKIT} {SMALL}", tmp_path)
        assert done.returncode == 1, done.stderr
        assert "ulimit -n" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_helper_that_is_killed_leaves_nothing_to_the_next(world: World) -> None:
    world.passes(
        """
        import os, signal
        import labkit
        from labkit.harness import compare
        from labkit.harness.request import build_request

        pids = []
        class Watched(compare.Session):
            def __enter__(self):
                made = super().__enter__()
                pids.append(self.pid)
                return made

        compare.Session = Watched

        def tell(progress):
            if progress.stage == "measuring" and pids:
                os.kill(pids.pop(), signal.SIGKILL)

        request = build_request("sysv_shm", "8", placements="same-cpu", waiting="futex", budget=5)
        try:
            compare.compare(request, tell)
        except labkit.LabkitError as error:
            print(error)
        else:
            raise AssertionError("it was not killed")
        """,
        grace_s=5.0,
    )


def test_an_interrupted_cleaning_does_not_speak_of_saving(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from labkit.cli import main
    from labkit.kernel import cleaning

    monkeypatch.setattr(cleaning, "clean", lambda _: signal.raise_signal(signal.SIGINT))
    assert main(["clean"]) == 1
    assert capsys.readouterr().err.lstrip() == "labkit: interrupted.\n"


def test_beside_a_clone_of_its_own_name_the_package_is_found(tmp_path: Path) -> None:
    clone, site = tmp_path / "labkit", tmp_path / "site"
    clone.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-docs"):
        shutil.copy(ROOT / name, clone)
    shutil.copytree(ROOT / "labkit", clone / "labkit")
    build = f"import setuptools.build_meta as b; b.build_editable({str(tmp_path)!r})"
    made = [sys.executable, "-c", build]
    subprocess.run(made, cwd=clone, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = f"import site; site.addsitedir({str(site)!r}); import labkit; print(labkit.compare)"
    # -S: without this environment's own labkit.
    command = [sys.executable, "-S", "-c", code]
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, text=True)
    assert "function compare" in done.stdout, done.stderr


ODD: list[Any] = [None, 3, "path", b"x", np.nan]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_what_is_no_run_is_refused_by_every_figure(odd: Any) -> None:
    plots = labkit.plots
    for draw in (plots.latency, plots.throughput, plots.distribution):
        with pytest.raises(RequestError, match="is no run"):
            draw(odd)
        with pytest.raises(RequestError, match="is no run"):
            draw(run().summary)
    with pytest.raises(RequestError, match="is no run"):
        plots.diff(odd, run())
    with pytest.raises(RequestError):
        plots.cohort(odd)


@pytest.mark.parametrize("odd", [None, np.nan, True, 3, [None], b"pipe"], ids=repr)
def test_odd_choices_for_a_figure_are_refused(odd: Any) -> None:
    with pytest.raises(RequestError, match="No latency row has mechanism"):
        labkit.plots.latency(run(), mechanism=odd)


@pytest.mark.parametrize("odd", [None, np.nan, True, "2", 0.5, np.inf], ids=repr)
def test_a_factor_that_is_none_is_refused(odd: Any) -> None:
    for draw in (labkit.plots.latency, labkit.plots.distribution):
        with pytest.raises(RequestError, match="together is a factor"):
            draw(run(), together=odd)


@pytest.mark.parametrize("odd", [None, 3, b"x", "", ".", "a\0b", "\ud800", ".."], ids=ascii)
def test_a_figure_is_saved_under_a_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError):
        labkit.plots.save(labkit.plots.latency(run()), odd)
    with pytest.raises(RequestError, match="no figure"):
        labkit.plots.save(odd, "figure")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "asked",
    [{"progress": 3}, {"sizes": b"8"}, {"budget": b"1"}, {"mechanisms": b"pipe"}],
    ids=str,
)
def test_odd_arguments_of_a_comparison_are_refused(asked: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"budget": 1, "mechanisms": "pipe"}
    with pytest.raises(RequestError):
        labkit.compare(**(usual | asked))


def test_a_budget_too_small_is_told_one_that_would_do(tmp_path: Path) -> None:
    done = shell(f"{LABKIT} compare -m pipe -s 8 --budget 0.000001", tmp_path)
    assert done.returncode == 2
    assert "give it at least 0.0 s" not in done.stderr
    assert "give it at least 0." in done.stderr
