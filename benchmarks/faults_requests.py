"""Generated command lines and calls, and run folders that were damaged by hand."""

import contextlib
import io
import json
import math
import os
import random
import shutil
import traceback
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import faults_worker
import made_up
from faults_worker import Tally
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import labkit
from labkit import cli
from labkit.costs import beside
from labkit.errors import LabkitError, RequestError
from labkit.harness import compare as harness
from labkit.harness import request as asked
from labkit.harness.run import Run

MOST_CELLS = 8  # of a request that is measured and not only checked
# Of the other commands only the options are tried: they start programs, or go on for long.
QUICK = ("compare", "show", "diff", "class", "clean", "doctor", "answers", "walk")

known = st.sampled_from(
    (
        *(*asked.PATTERNS, *asked.PLACEMENTS, *asked.WAITINGS, *asked.COPIES, *asked.TOUCHES),
        *(*asked.ENGINES, *asked.VERIFICATIONS, *labkit.mechanisms.names(), "all", "table", "csv"),
    )
)
sizes = st.sampled_from(["8", "64", "4K", "1M", "1MiB", "0", "-1", "7", "1e3", "4X", "64,4K", ","])
numbers = st.one_of(st.integers(-2, 90000), st.floats(), st.integers()).map(str)
words = st.text(st.characters(exclude_characters="\0"), max_size=12)
places = st.sampled_from(["run", "cut", "nowhere", ".", "/proc/1", "run/summary.csv", "x" * 300])
values = st.one_of(known, sizes, numbers, words, places)
SUITING = {
    "mechanism": st.sampled_from(labkit.mechanisms.names(extra=True)),
    "size": st.sampled_from(["8", "64", "4K", "64,100"]),
    "pattern": st.sampled_from(asked.PATTERNS),
    "placement": st.sampled_from(asked.PLACEMENTS),
    "waiting": st.sampled_from(asked.WAITINGS),
    "copy": st.sampled_from(asked.COPIES),
    "touch": st.sampled_from(asked.TOUCHES),
    "engine": st.sampled_from(asked.ENGINES),
    "verify": st.sampled_from(asked.VERIFICATIONS),
    "budget": st.sampled_from(["1", "2.5", "60", "0.001"]),
    "format": st.sampled_from(cli.FORMATS),
    "out": st.sampled_from(["new", "deep/er", "run", "/proc/x"]),
}
junk = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), words, st.binary(max_size=4)),
    st.lists(st.one_of(known, words, st.integers()), max_size=3),
    st.dictionaries(words, st.integers(), max_size=2),
    st.builds(object),
    st.builds(lambda: iter(("pipe", "fifo"))),
    st.sets(known, max_size=3),
)


class Measuring:
    """Stands in for the measuring, but for so many small requests that are measured for real."""

    def __init__(self, tally: Tally, real: int) -> None:
        self._measure = harness.compare
        self._real, self._tally = real, tally

    def __call__(self, request: asked.Request, *more: Any, **how: Any) -> Run:
        self._tally.counts["requests that could be measured"] += 1
        if self._real > 0 and len(request.cells()) <= MOST_CELLS and request.budget >= 1:
            import dataclasses

            self._real -= 1
            self._tally.counts["measured for real"] += 1
            return self._measure(dataclasses.replace(request, budget=1.0), *more, **how)
        return made_up.run()

    def __enter__(self) -> None:
        vars(harness)["compare"] = self
        vars(cli)["_draw"] = lambda run, folder: None
        vars(beside)["LEAST_BUDGET"] = math.inf
        made_up.run().save("run")
        shutil.copytree("run", "cut")
        os.truncate("cut/summary.csv", 300)

    def __exit__(self, *_: object) -> None:
        vars(harness)["compare"] = self._measure


def _command_lines() -> st.SearchStrategy[list[str]]:
    """Any words; or a command with its own options and with values that suit them, or do not."""

    def of(name: str) -> st.SearchStrategy[list[str]]:
        command = cli.commands.commands[name]
        options = [flag for each in command.params for flag in each.opts if flag.startswith("-")]
        option = st.sampled_from([*options, "--help", "--nonsense"])
        suiting = [
            st.tuples(st.just(flag), SUITING[flag.strip("-")]).map(list)
            for flag in options
            if flag.strip("-") in SUITING
        ]
        pairs = st.tuples(option, values).map(list)
        parts = st.one_of(*suiting, pairs, option.map(_one), values.map(_one))
        first = {"doctor": ["--quick"]}.get(name, [] if name in QUICK else ["--nonsense"])
        well = st.lists(st.one_of(*suiting) if suiting else parts, max_size=5)
        return st.one_of(well, st.lists(parts, max_size=4)).map(
            lambda found: [name, *first, *chain.from_iterable(found)]
        )

    each = [of(name) for name in cli.commands.commands]
    return st.one_of(of("compare"), *each, st.lists(values, max_size=4))


def _one(word: str) -> list[str]:
    return [word]


def command_lines(job: dict[str, Any], tally: Tally) -> None:
    """`main` with generated arguments: a status of 0, 1 or 2, and one sentence if it is not 0."""

    def try_one(arguments: list[str]) -> None:
        tally.counts["command lines"] += 1
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = cli.main(arguments)
        except BaseException:
            tally.bad.append(f"{arguments}: {traceback.format_exc()}")
            return
        tally.counts[f"status {status}"] += 1
        said = err.getvalue()
        wrong = status not in (0, 1, 2) or "Traceback" in said + out.getvalue()
        if status != 0:
            last = (said.splitlines() or [""])[-1]
            # What a command found wrong with part of a class's runs is its result.
            listed = status == 1 and "Refused: " in out.getvalue()
            wrong = wrong or not (last.startswith("labkit: ") or listed)
        if wrong:
            tally.bad.append(f"{arguments}: status {status}: {said[-500:]}")
        for name in set(os.listdir(".")) - {"run", "cut"}:
            shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)

    _in_place(job, tally, _command_lines(), try_one)


def calls(job: dict[str, Any], tally: Tally) -> None:
    """Functions with generated arguments: a result, or an error of labkit's in one sentence."""
    value = st.one_of(st.none(), values, st.lists(values, max_size=3), junk)
    arguments = ("mechanisms", "sizes", "patterns", "placements", "waiting", "copy", "touch")
    arguments += ("engine", "budget", "verify")
    anything = st.dictionaries(st.sampled_from(arguments), value)
    suiting = {
        f"{name}s" if name in ("mechanism", "size", "pattern", "placement") else name: value
        for name, value in SUITING.items()
        if name not in ("format", "out")
    }
    well = st.fixed_dictionaries({}, optional=suiting)
    compare = st.tuples(st.just("compare"), st.one_of(anything, well))
    path = st.one_of(places, junk)
    load = st.tuples(st.just("load"), st.fixed_dictionaries({"path": path}))
    diff = st.tuples(st.just("diff"), st.fixed_dictionaries({"a": path, "b": path}))
    clean = st.tuples(st.just("clean"), st.fixed_dictionaries({"dry_run": st.booleans()}))

    def try_one(call: tuple[str, dict[str, Any]]) -> None:
        name, given = call
        tally.counts["calls"] += 1
        tally.counts[f"calls of {name}"] += 1
        if name == "compare":
            given = {"progress": False} | given
        try:
            getattr(labkit, name)(**given)
        except RequestError as error:
            tally.counts["RequestError"] += 1
            _one_sentence(str(error), call, tally)
        except LabkitError as error:
            tally.counts["LabkitError"] += 1
            _one_sentence(str(error), call, tally)
        except BaseException:
            tally.bad.append(f"{name}({given}): {traceback.format_exc()}")
        else:
            tally.counts["results"] += 1

    _in_place(job, tally, st.one_of(compare, compare, compare, load, diff, clean), try_one)


def _one_sentence(said: str, call: object, tally: Tally) -> None:
    if "\n" in said or not said.endswith("."):
        tally.bad.append(f"{call}: not a sentence: {said!r}")


def _in_place(
    job: dict[str, Any],
    tally: Tally,
    strategy: st.SearchStrategy[Any],
    try_one: Callable[[Any], None],
) -> None:
    """Try so many, in a folder that goes again."""
    home = Path(os.environ["TMPDIR"], "here")
    home.mkdir()
    os.chdir(home)
    os.environ["XDG_DATA_HOME"] = os.environ["HOME"] = str(home)
    unlimited = settings(
        max_examples=job["count"],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    @seed(job["seed"])
    @unlimited
    @given(strategy)
    def many(one: Any) -> None:
        if len(tally.bad) < 20:
            try_one(one)

    with Measuring(tally, job["real"]):
        many()
    os.chdir("/")
    shutil.rmtree(home)


def damaged_runs(job: dict[str, Any], tally: Tally) -> None:
    """Run folders with something wrong: refused, in one sentence that names the file."""
    chance = random.Random(job["seed"])
    home = Path(os.environ["TMPDIR"], "runs")
    home.mkdir()
    whole = made_up.run().save(home / "whole")
    for number in range(job["count"]):
        folder = home / "damaged"
        shutil.copytree(whole, folder)
        kind = DAMAGES[number % len(DAMAGES)]
        kind(folder, chance)
        name = kind.__name__.strip("_").replace("_", " ")
        tally.counts["damaged runs"] += 1
        try:
            labkit.load(str(folder))
        except RequestError as error:
            said = str(error)
            tally.counts["refused"] += 1
            tally.counts[f"refused: {name}"] += 1
            if not said.isprintable() or not said.endswith(".") or str(folder) not in said:
                tally.bad.append(f"{name}: {said}")
        except BaseException:
            tally.bad.append(f"{name}: {traceback.format_exc()}")
        else:
            tally.bad.append(f"{name}: it was read as if nothing were wrong")
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            status = cli.main(["show", str(folder)])
        if status != 2 or not err.getvalue().startswith("labkit: "):
            tally.bad.append(f"{name}: show ended with {status}: {err.getvalue()}")
        shutil.rmtree(folder)
    shutil.rmtree(home)


def _file(chance: random.Random, *names: str) -> str:
    return chance.choice(names or ("summary.csv", "samples.csv", "machine.json"))


def _truncated(folder: Path, chance: random.Random) -> None:
    file = folder / _file(chance)
    # Without its last newline a JSON text is still whole.
    os.truncate(file, chance.randrange(file.stat().st_size - 1))


def _without_a_column(folder: Path, chance: random.Random) -> None:
    file = folder / _file(chance, "summary.csv", "samples.csv")
    rows = [line.split(",") for line in file.read_text().splitlines()]
    which = chance.randrange(len(rows[0]))
    file.write_text("".join(",".join(r[:which] + r[which + 1 :]) + "\n" for r in rows))


def _with_a_column_too_many(folder: Path, chance: random.Random) -> None:
    file = folder / _file(chance, "summary.csv", "samples.csv")
    lines = file.read_text().splitlines()
    file.write_text("".join(f"{'extra' if i == 0 else i},{x}\n" for i, x in enumerate(lines)))


def _with_a_column_renamed(folder: Path, chance: random.Random) -> None:
    file = folder / _file(chance, "summary.csv", "samples.csv")
    header, rest = file.read_text().split("\n", 1)
    names = header.split(",")
    names[chance.randrange(len(names))] = "renamed"
    file.write_text(",".join(names) + "\n" + rest)


def _a_foreign_table(folder: Path, chance: random.Random) -> None:
    (folder / _file(chance, "summary.csv", "samples.csv")).write_text("name,mark\nA,1\nB,2\n")


def _of_a_newer_version(folder: Path, chance: random.Random) -> None:
    file = folder / "machine.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": chance.randint(2, 999)}))


def _of_one_gigabyte(folder: Path, chance: random.Random) -> None:
    os.truncate(folder / _file(chance), 10**9)


def _with_a_line_missing(folder: Path, chance: random.Random) -> None:
    file = folder / _file(chance, "summary.csv", "samples.csv")
    lines = file.read_text().splitlines(keepends=True)
    del lines[chance.randrange(1, len(lines))]
    file.write_text("".join(lines))


def _with_other_bytes(folder: Path, chance: random.Random) -> None:
    (folder / _file(chance)).write_bytes(chance.randbytes(500))


def _with_a_file_missing(folder: Path, chance: random.Random) -> None:
    (folder / _file(chance)).unlink()


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    _truncated,
    _without_a_column,
    _with_a_column_too_many,
    _with_a_column_renamed,
    _a_foreign_table,
    _of_a_newer_version,
    _of_one_gigabyte,
    _with_a_line_missing,
    _with_other_bytes,
    _with_a_file_missing,
)

__all__ = ["calls", "command_lines", "damaged_runs", "faults_worker"]
