"""Two runs compared: what is called a change, what noise, and what is said of it."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import outcome, sample
from matplotlib.text import Text

import labkit
from labkit import plots
from labkit.cli import commands, main
from labkit.errors import RequestError
from labkit.harness.diff import DIFF_COLUMNS, VERDICTS, diff, sentences
from labkit.harness.request import Cell, build_request
from labkit.harness.run import Run
from labkit.harness.statistics import summarise
from labkit.plots import style

CELLS = build_request("pipe,posix_shm", "8,4K", waiting="futex", cpus=2).cells()
MACHINE = {"cpu_model": "Some CPU", "kernel": "6.1", "settings": {"budget": 60.0, "seed": 1}}


def run(
    time: Callable[[Cell], float] = lambda _: 5000.0,
    cells: list[Cell] = CELLS,
    repeats: int = 9,
    wobble: float = 0.01,
    seed: int = 0,
    **machine: Any,
) -> Run:
    """A run whose cells take about as long as `time` says; one without a time was skipped."""
    random = np.random.default_rng(seed)
    rows, outcomes = [], []
    for cell in cells:
        ns = time(cell)
        if np.isnan(ns):
            outcomes.append(outcome(cell, status="skipped", reason="it would not."))
            continue
        outcomes.append(outcome(cell))
        rows += [sample(cell, i, ns * (1 + wobble * random.uniform(-1, 1))) for i in range(repeats)]
    table = made_up.samples(rows)
    return Run(summarise(table, outcomes), table, MACHINE | machine)


def verdicts(a: Run, b: Run) -> list[str]:
    return list(diff(a, b)["verdict"])


class TestVerdict:
    def test_of_a_run_and_itself(self) -> None:
        this = run()
        table = diff(this, this)
        assert tuple(table.columns) == DIFF_COLUMNS
        assert set(table["verdict"]) == {"within noise"}
        assert (table["ratio"] == 1).all()
        assert (table["ratio_low"] <= 1).all()
        assert (table["ratio_high"] >= 1).all()

    @pytest.mark.parametrize(
        ("factor", "verdict"),
        [
            (1.5, "slower"),
            (1.12, "slower"),
            (50.0, "slower"),
            (1.05, "within noise"),
            (0.95, "within noise"),
            (0.88, "faster"),
            (0.01, "faster"),
        ],
    )
    def test_of_a_change(self, factor: float, verdict: str) -> None:
        assert set(verdicts(run(), run(lambda _: 5000 * factor, seed=1))) == {verdict}

    def test_where_repeats_vary_more_than_the_change(self) -> None:
        a, b = run(wobble=0.9), run(lambda _: 6000, wobble=0.9, seed=1)
        assert set(verdicts(a, b)) == {"within noise"}

    def test_without_an_interval(self) -> None:
        assert set(verdicts(run(repeats=4), run(lambda _: 9000))) == {"too few repeats"}
        assert set(verdicts(run(), run(lambda _: 9000, repeats=1))) == {"too few repeats"}

    def test_of_what_only_one_has(self) -> None:
        def only(*names: str) -> Callable[[Cell], float]:
            return lambda cell: 5000.0 if cell.mechanism in names else np.nan

        table = diff(run(only("pipe")), run(only("posix_shm")))
        told = dict(zip(table["mechanism"], table["verdict"], strict=True))
        assert told == {"pipe": "only in A", "posix_shm": "only in B"}
        assert set(table["reason"]) == {"B: it would not.", "A: it would not."}
        table = diff(run(only("pipe")), run(only("pipe")))
        assert set(table.loc[table["mechanism"] == "posix_shm", "verdict"]) == {"in neither"}
        assert set(table.loc[table["mechanism"] == "posix_shm", "reason"]) == {"it would not."}

    def test_of_cells_that_only_one_asked_for(self) -> None:
        table = diff(run(cells=CELLS[:3]), run(cells=CELLS[2:]))
        assert len(table) == len(CELLS)
        assert list(table["verdict"][:4]) == ["only in A", "only in A", "within noise", "only in B"]
        assert diff(run(cells=[]), run(cells=[])).empty

    def test_a_cell_twice_is_refused(self) -> None:
        twice = run()
        twice.summary = pd.concat([twice.summary, twice.summary.iloc[:1]])
        with pytest.raises(RequestError, match="run B has two rows for pipe latency 8 B same-cpu"):
            diff(run(), twice)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.floats(0.2, 5) | st.just(float("nan")), min_size=8, max_size=8))
    def test_is_one_of_those_there_are(self, factors: list[float]) -> None:
        by_cell = dict(zip(CELLS, factors, strict=False))
        a, b = run(), run(lambda cell: 5000 * by_cell.get(cell, 1.0), seed=1)
        table = diff(a, b)
        back = diff(b, a)
        assert set(table["verdict"]) <= set(VERDICTS)
        other = {"faster": "slower", "slower": "faster", "only in A": "only in B"}
        for one, two, ratio in zip(table["verdict"], back["verdict"], table["ratio"], strict=True):
            near = not np.isnan(ratio) and 1.08 < max(ratio, 1 / ratio) < 1.12
            assert near or two == other.get(one, one)


class TestSentences:
    def test_say_what_changed_and_by_how_much(self) -> None:
        a = run()
        b = run(lambda cell: 10_000 if cell.mechanism == "pipe" else 5000, seed=1)
        said = " ".join(sentences(a, b))
        assert "Of 16 cells measured in both runs, B is slower in 8, faster in 0" in said
        assert "within noise in 8" in said
        assert "Slower in B: all of them pipe" in said
        assert "2.0" in said
        assert "from 5.0" in said

    def test_say_when_nothing_can_be_compared(self) -> None:
        said = sentences(run(lambda _: np.nan), run())
        assert said[0] == "No cell was measured in both runs, so nothing can be compared."
        assert "16 cells measured in B only." in said

    def test_say_when_the_machines_differ(self) -> None:
        said = " ".join(sentences(run(), run(cpu_model="Other CPU", memory_bytes=1 << 33)))
        assert "two machines (processor Some CPU against Other CPU, memory unknown" in said
        assert "settings" not in said
        assert "two machines" not in " ".join(sentences(run(), run()))

    def test_say_when_the_state_or_the_settings_differ(self) -> None:
        limits = {"msgmax": 8192, "shmmni": 4096}
        a = run(limits=limits, noise={"other_load": 0.1, "stolen": 0.2})
        b = run(
            limits=limits | {"msgmax": 1}, kernel="6.2", settings={"budget": 5.0, "seed": 2},
            noise={"other_load": 1.5}, partial={"reason": "Ctrl-C"},
        )  # fmt: skip
        said = " ".join(sentences(a, b))
        assert "not in the same state: kernel 6.1 against 6.2, limits (msgmax)." in said
        assert "The settings differ: budget 60.0 against 5.0." in said
        assert "While A was measured, the hypervisor took 20 % of the time." in said
        assert "While B was measured, others used 1.5 CPUs." in said
        assert "B was stopped before it was whole." in said

    @settings(max_examples=20, deadline=None)
    @given(made_up.rows(), made_up.rows())
    def test_can_be_said_of_any_two_summaries(
        self, one: list[dict[str, Any]], two: list[dict[str, Any]]
    ) -> None:
        a, b = (Run(made_up.summary(rows), made_up.samples([]), {}) for rows in (one, two))
        for line in sentences(a, b):
            assert line.endswith(".")
            assert "nan" not in line


class TestCommand:
    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[str, str]:
        a, b = run(), run(lambda cell: 10_000 if cell.message_size == 8 else 5000, seed=1)
        return str(a.save(tmp_path / "a")), str(b.save(tmp_path / "b"))

    def run(self, *options: str) -> str:
        done = CliRunner().invoke(commands, ["diff", *options])
        assert done.exit_code == 0, done.output
        return done.stdout

    def test_table(self, folders: tuple[str, str]) -> None:
        told = self.run(*folders)
        assert "slower in B" in told
        assert "faster in B" not in told.splitlines()
        assert "Of 16 cells measured in both runs, B is slower in 8" in told

    def test_csv_and_json(self, folders: tuple[str, str]) -> None:
        table = pd.read_csv(io.StringIO(self.run(*folders, "--format", "csv")))
        assert list(table.columns) == list(DIFF_COLUMNS)
        rows = json.loads(self.run(*folders, "--format", "json"))
        assert [row["verdict"] for row in rows] == list(table["verdict"])
        assert labkit.diff(*folders)["ratio"].tolist() == pytest.approx(table["ratio"].tolist())

    def test_errors_are_one_sentence(
        self, folders: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        assert main(["diff", folders[0], str(tmp_path / "no")]) == 2
        assert "there is no run in" in capsys.readouterr().err
        summary = tmp_path / "b" / "summary.csv"
        summary.write_text(summary.read_text()[:-40])
        assert main(["diff", *folders]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "is damaged" in said.err
        assert said.err.count("\n") == 1
        assert main(["diff", folders[0]]) == 2


class TestFigure:
    def test_marks_what_changed(self) -> None:
        b = run(lambda cell: 10_000 if cell.mechanism == "pipe" else 5000, seed=1)
        picture = plots.diff(run(), b)
        said = [text.get_text() for text in picture.findobj(Text) if isinstance(text, Text)]
        assert "slower in B: 8" in said
        assert "within noise: 8" in said
        assert {"pipe", "posix_shm, futex"} <= set(said)
        assert tuple(picture.get_size_inches()) == style.INCHES
        assert "8 slower in B: pipe" in picture.alt_text

    def test_fits_the_page(self) -> None:
        many = build_request(
            sizes="8,4K,1M", waiting="all", copy="all", placements="all", engine="all", cpus=2
        )
        cells = [cell for cell in many.cells() if cell.impossible() is None]
        a = run(cells=cells, repeats=5)
        b = run(lambda cell: 5000 + cell.message_size / 50, cells=cells, repeats=5, seed=1)
        for picture in (plots.diff(a, b), plots.diff(a, b, pattern="throughput", copy="copy")):
            picture.canvas.draw()
            for text in picture.texts:
                box = text.get_window_extent()
                assert picture.bbox.x0 <= box.x0, text.get_text()
                assert box.x1 <= picture.bbox.x1, text.get_text()

    def test_refuses_what_it_cannot_draw(self) -> None:
        with pytest.raises(RequestError, match="No cell was measured in both runs"):
            plots.diff(run(), run(lambda _: np.nan))
        with pytest.raises(RequestError, match="latency and throughput"):
            plots.diff(run(), run(), pattern="speed")
        with pytest.raises(RequestError, match="can be"):
            plots.diff(run(), run(), mechanism="tcp")
