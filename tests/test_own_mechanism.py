"""A mechanism in a file of somebody's own: asked for, refused, tried, measured, kept, drawn."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from made_up import outcome, sample, samples

import labkit
from labkit import walkthroughs
from labkit.errors import LabkitError, RequestError
from labkit.harness.request import Cell, build_request
from labkit.harness.run import Run
from labkit.harness.statistics import summarise
from labkit.kernel.trace import why_not
from labkit.mechanisms import own
from labkit.mechanisms.starting_file import TEXT, write

ROOT = Path(__file__).resolve().parent.parent
PUBLISH = "return store_release(ch[FULL], 1)"
PEEK = "while load_acquire(ch[FULL]) == 0:"
RELEASE = "return store_release(ch[FULL], 0)"
CREATE = "        self.memory = "
LOOK = "FULL, PLACE = OWN, OWN + 1"

FRAMED = '''\
"""A pipe whose messages carry their length."""

import os

from labkit.mechanisms.your_own import BUFFER, CALLS, DESCRIPTOR, EPIPE, OwnChannel
from labkit.mechanisms.your_own import errno, get_word, read, set_word, write

FAMILY = "kernel-copied"


class Framed(OwnChannel):
    def create(self):
        self.reading, self.writing = os.pipe()

    def open(self, end, state):
        mine, other = self.reading, self.writing
        if end == "producer":
            mine, other = other, mine
        os.close(other)
        state[DESCRIPTOR] = mine

    def discard(self):
        os.close(self.reading)
        os.close(self.writing)


def claim(ch, n):
    return ch[BUFFER]


def publish(ch, n):
    set_word(ch[BUFFER] - 8, n)
    done = 0
    while done < n + 8:
        ch[CALLS] += 1
        taken = write(ch[DESCRIPTOR], ch[BUFFER] - 8 + done, n + 8 - done)
        if taken < 0:
            return -errno()
        done += taken
    return 0


def peek(ch, n):
    done = 0
    while done < n + 8:
        ch[CALLS] += 1
        got = read(ch[DESCRIPTOR], ch[BUFFER] - 8 + done, n + 8 - done)
        if got == 0:
            return -EPIPE
        if got < 0:
            return -errno()
        done += got
    return ch[BUFFER]


def release(ch, n):
    return 0
'''


def changed(*changes: tuple[str, str]) -> str:
    """The starting file, with changes."""
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def line_of(text: str, part: str) -> int:
    """The number of the first line that has this part."""
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


def refusal(text: str, name: str = "mine") -> str:
    """What is said of a file before anything runs."""
    with pytest.raises(RequestError) as refused:
        own.from_source(name, text)
    return str(refused.value)


class TestTheFile:
    """What is seen without running it."""

    def test_the_starting_file_is_a_mechanism(self) -> None:
        found = own.from_source("mine", TEXT)
        assert (found.name, found.family, found.waiting) == ("mine", "shared-memory", "own")
        assert found.title.startswith("A letterbox")
        copied = own.from_source("mine", changed(('"shared-memory"  #', '"kernel-copied"  #')))
        assert copied.waiting == "kernel"

    def test_the_notebook_begins_with_the_starting_file(self) -> None:
        notebook = json.loads((ROOT / "notebooks/your_own_mechanism.ipynb").read_text())
        texts = ["".join(cell["source"]) for cell in notebook["cells"]]
        (written,) = [text for text in texts if text.startswith("%%writefile my_mechanism.py\n")]
        assert written.partition("\n")[2] == TEXT.rstrip("\n")

    def test_a_mistake_is_named_with_its_line(self) -> None:
        text = changed(("return ch[PLACE]\n\n\ndef publish", "return ch[PLACE\n\n\ndef publish"))
        assert refusal(text) == f"mine.py, line {line_of(text, 'ch[PLACE')}: '[' was never closed."
        assert "lacks the verb release" in refusal(changed(("def release", "def let_go")))
        assert "verbs claim, publish, peek, release" in refusal('FAMILY = "shared-memory"\n')
        text = changed(("def peek(ch, n)", "def peek(ch)"))
        assert (
            f"mine.py, line {line_of(text, 'def peek')}: peek takes 1 argument; it takes two"
            in (refusal(text))
        )
        assert "takes 2 arguments and others" in refusal(
            changed(("def peek(ch, n)", "def peek(ch, n, *more)"))
        )
        assert "is to be a plain function" in refusal(changed(("def peek", "async def peek")))
        text = changed(('"shared-memory"  #', '"shared"  #'))
        assert refusal(text).startswith(f"mine.py, line {line_of(text, 'FAMILY')}: say who")
        assert "does not say who moves" in refusal(changed(("FAMILY = ", "family = ")))
        assert refusal("\0").startswith("mine.py")
        assert refusal("(" * 5000).startswith("mine.py")
        assert refusal("x = " + "-" * 50000 + "1").startswith("mine.py")

    def test_its_name_is_the_files(self, tmp_path: Path) -> None:
        for name, why in (
            ("pipe.py", "is a mechanism of labkit's"),
            ("queue.py", "Python has a module queue"),
            ("numba.py", "Python has a module numba"),
            ("my-own.py", "letters, digits and underscores"),
            ("2nd.py", "letters, digits and underscores"),
            ("x" * 31 + ".py", "letters, digits and underscores"),
            ("mine.txt", "ends in .py"),
        ):
            place = tmp_path / name
            place.write_text(TEXT)
            with pytest.raises(RequestError, match=why):
                own.read(str(place))

    def test_what_cannot_be_read_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "folder.py").mkdir()
        (tmp_path / "noise.py").write_bytes(b"\xff\xfe\x00")
        (tmp_path / "long.py").write_text("#" * (own.MOST_BYTES + 1))
        os.mkfifo(tmp_path / "waits.py")
        for name in ("nothing.py", "folder.py", "noise.py", "long.py", "waits.py", "a\0b.py"):
            with pytest.raises(RequestError):
                own.read(f"{tmp_path}/{name}")

    def test_nothing_of_it_runs_where_it_is_asked_for(self, tmp_path: Path) -> None:
        place = tmp_path / "mine.py"
        place.write_text(changed((LOOK, f"open({str(tmp_path / 'ran')!r}, 'w')\n{LOOK}")))
        build_request(str(place))
        assert not (tmp_path / "ran").exists()

    def test_writing_one_to_begin_with(self, tmp_path: Path) -> None:
        place = tmp_path / "first.py"
        write(place)
        assert place.read_text() == TEXT
        place.write_text("mine")
        with pytest.raises(RequestError, match="is there already"):
            write(place)
        assert place.read_text() == "mine"
        with pytest.raises(RequestError, match="mechanism of labkit's"):
            write(tmp_path / "pipe.py")


class TestTheRequest:
    def test_a_file_is_asked_for_by_its_path(self, tmp_path: Path) -> None:
        place = tmp_path / "mine.py"
        place.write_text(TEXT)
        asked: list[Any] = [["pipe", str(place)], f"pipe,{place}", ("pipe", place, str(place))]
        for given in asked:
            request = build_request(given, 64, cpus=2)
            assert request.mechanisms == ("pipe", "mine")
            assert [each.name for each in request.own] == ["mine"]
        waits = {cell.waiting for cell in request.cells() if cell.mechanism == "mine"}
        assert waits == {"own"}
        assert request.settings()["own"][0]["source"] == TEXT
        assert "own" not in build_request("pipe").settings()

    def test_two_files_of_one_name_are_refused(self, tmp_path: Path) -> None:
        for folder, text in (("a", TEXT), ("b", TEXT + "\n")):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "mine.py").write_text(text)
        with pytest.raises(RequestError, match=r"two files are called mine\.py"):
            build_request([str(tmp_path / "a/mine.py"), str(tmp_path / "b/mine.py")])

    def test_a_name_alone_is_no_file(self) -> None:
        with pytest.raises(RequestError, match="there is no mechanism 'mine'"):
            build_request("mine")


def measured(text: str, tmp_path: Path, name: str = "mine", **asked: Any) -> Run:
    """A short run of one cell of a mechanism with this text."""
    place = tmp_path / f"{name}.py"
    place.write_text(text)
    usual: dict[str, Any] = {
        "sizes": 64,
        "patterns": "throughput",
        "placements": "free",
        "budget": 0.5,
    }
    return labkit.compare(str(place), progress=False, **(usual | asked))


def failed(text: str, tmp_path: Path, **asked: Any) -> str:
    """Why a run of a mechanism with this text failed."""
    (row,) = measured(text, tmp_path, **asked).summary.to_dict("records")
    assert row["status"] == "failed", row
    return str(row["reason"])


def not_tried(text: str, tmp_path: Path, **asked: Any) -> str:
    """What is said of a mechanism with this text before anything is measured."""
    with pytest.raises(LabkitError) as refused:
        measured(text, tmp_path, **asked)
    return str(refused.value)


class TestTrying:
    """What is seen before anything is measured: a refusal with the line."""

    def test_its_file_goes_wrong(self, tmp_path: Path) -> None:
        text = changed((LOOK, f"import nothing_there\n{LOOK}"))
        assert not_tried(text, tmp_path) == (
            f"mine.py, line {line_of(text, 'nothing_there')}: ModuleNotFoundError: No module named"
            " 'nothing_there'."
        )
        text = changed((LOOK, f"raise SystemExit\n{LOOK}"))
        assert "SystemExit" in not_tried(text, tmp_path)

    def test_it_has_no_channel(self, tmp_path: Path) -> None:
        assert "mine.py has no channel" in not_tried(changed(("(OwnChannel)", "")), tmp_path)
        said = not_tried(changed(("def open", "def opened")), tmp_path)
        assert said == "mine.py: the channel Letterbox lacks open()."

    def test_create_goes_wrong(self, tmp_path: Path) -> None:
        text = changed((CREATE, f"{CREATE}nothing + "))
        line = line_of(text, "nothing +")
        assert not_tried(text, tmp_path) == (
            f"mine.py, line {line} in create: NameError: name 'nothing' is not defined."
        )

    def test_create_crashes_or_leaves(self, tmp_path: Path) -> None:
        crash = changed((CREATE, f"        import ctypes; ctypes.string_at(0)\n{CREATE}"))
        assert "was killed by SIGSEGV while create()" in not_tried(crash, tmp_path)
        leave = changed((CREATE, f"        import os; os._exit(7)\n{CREATE}"))
        assert "left with status 7 while create()" in not_tried(leave, tmp_path)

    @pytest.mark.slow
    def test_create_hangs(self, tmp_path: Path) -> None:
        text = changed((CREATE, f"        while True: pass\n{CREATE}"))
        assert "did not come to its end within 10 s" in not_tried(text, tmp_path)
        deaf = changed(
            (
                CREATE,
                "        while True:\n            try:\n                while True: pass\n"
                f"            except BaseException: pass\n{CREATE}",
            )
        )
        assert "did not come to its end" in not_tried(deaf, tmp_path)

    def test_the_compiler_refuses_it(self, tmp_path: Path) -> None:
        for wrong, words in (
            ("return store_release(ch[FULL], 'x')", "Cannot cast"),
            ("return store_it(ch[FULL], 1)", "name 'store_it' is not defined"),
            ("return 'done'", "No conversion"),
            ("store_release(ch[FULL], 1)", "No conversion from none"),
        ):
            text = changed((PUBLISH, wrong))
            said = not_tried(text, tmp_path)
            line = line_of(text, wrong)
            start = f"mine.py, line {line}: this cannot be compiled in `{wrong}`: "
            assert said.startswith(start), said
            assert words in said
            assert "\n" not in said
        never = changed((PEEK, "while True:"))
        assert "peek never returns a number" in not_tried(never, tmp_path)


class TestMeasuring:
    def test_it_is_measured_like_the_others(self, tmp_path: Path) -> None:
        run = measured(TEXT, tmp_path, patterns=None, copy="all", verify="full", engine="all")
        assert list(run.summary["status"].unique()) == ["ok"], list(run.summary["reason"])
        assert len(run.summary) == 2 * 2 * 2
        assert set(run.summary["in_flight_messages"]) == {1.0}
        kept = labkit.load(str(run.save(tmp_path / "run")))
        assert list(kept.summary["mechanism"].unique()) == ["mine"]
        assert kept.machine["settings"]["own"][0]["source"] == TEXT
        table = labkit.diff(run, kept)
        assert list(table["mechanism"].unique()) == ["mine"]
        for draw in (labkit.plots.latency, labkit.plots.throughput, labkit.plots.distribution):
            assert "mine" in draw(run, engine="compiled").alt_text

    def test_so_is_one_whose_bytes_the_kernel_copies(self, tmp_path: Path) -> None:
        run = measured(
            FRAMED, tmp_path, sizes=[64, "64K"], patterns=None, engine="all", verify="full"
        )
        assert list(run.summary["status"].unique()) == ["ok"], list(run.summary["reason"])
        assert set(run.summary["waiting"]) == {"kernel"}
        small = run.summary[run.summary["message_size"] == 64]
        assert (small["in_flight_messages"] > 100).all()
        assert set(run.summary["reason"]) == {""}  # what it counted is what a trace sees
        calls = run.summary.query("pattern == 'throughput' and message_size == 64")
        assert (calls["system_calls_per_message"] >= 2).all()

    def test_what_is_lost_repeated_or_torn_is_found(self, tmp_path: Path) -> None:
        lost = changed((PUBLISH, f"return 0 if ch[SEQUENCE] == 40 else {PUBLISH[7:]}"))
        lost = lost.replace("import CALLS,", "import CALLS, SEQUENCE,")
        assert "expected message 40 and found message 41" in failed(lost, tmp_path)
        again = changed((RELEASE, f"return 0 if ch[SEQUENCE] == 40 else {RELEASE[7:]}"))
        again = again.replace("import CALLS,", "import CALLS, SEQUENCE,")
        assert "expected message 41 and found message 40 again" in failed(again, tmp_path)
        torn = changed((PUBLISH, f"set_word(ch[PLACE] + 24, 0)\n    {PUBLISH}"))
        torn = torn.replace("import load_acquire,", "import load_acquire, set_word,")
        assert measured(torn, tmp_path).summary["status"].iloc[0] == "ok"  # the ends are whole
        assert "found a torn one" in failed(torn, tmp_path, verify="full")

    def test_an_exception_is_told_with_its_line(self, tmp_path: Path) -> None:
        text = changed((PUBLISH, "return store_release(ch[FULL], 1 // ch[FLAGS])"))
        line = line_of(text, "1 // ch[FLAGS]")
        text = text.replace("if ch[FLAGS] != 0:", "if ch[FLAGS] > 9:")
        said = failed(
            text.replace("1 // ch[FLAGS]", "1 // (ch[FLAGS] - 1)"), tmp_path, engine="python"
        )
        assert (
            f"ZeroDivisionError: integer division or modulo by zero (mine.py, line {line} in "
            in said
        )
        broken = changed(("state[PLACE] = ", "state[PLACE] = state.nothing + "))
        assert f"(mine.py, line {line_of(broken, 'nothing')} in open)" in failed(broken, tmp_path)

    def test_a_crash_is_told_by_its_end(self, tmp_path: Path) -> None:
        text = changed((PUBLISH, "return store_release(64 + 0 * ch[FULL], 1)"))
        said = failed(text, tmp_path)
        assert "the producer was killed by SIGSEGV at message" in said
        assert "a verb of mine.py used or returned an address" in said

    def test_a_number_that_is_nothing_is_told(self, tmp_path: Path) -> None:
        said = failed(changed((PUBLISH, "return -1000000")), tmp_path)
        assert "got -1000000 from claim or publish, which is neither" in said

    def test_calls_that_are_not_counted_are_traced(self, tmp_path: Path) -> None:
        if why_not():
            pytest.skip("no process may be traced here")
        text = TEXT.replace("        ch[CALLS] += 1\n", "")
        (row,) = measured(text, tmp_path, placements="same-cpu").summary.to_dict("records")
        assert row["status"] == "ok"
        if row["ns_per_message"] > 2e6:
            pytest.skip("this machine is too busy to trace hundreds of messages")
        assert row["system_calls_source"] == "trace"
        assert row["system_calls_per_message"] > 0.5  # the ends take turns
        assert "its verbs counted 0 system calls a message where a trace saw" in row["reason"]
        (row,) = measured(TEXT, tmp_path, placements="same-cpu").summary.to_dict("records")
        assert (row["system_calls_source"], row["reason"]) == ("loop", "")

    def test_the_cache_notices_another_text(self, tmp_path: Path) -> None:
        assert measured(TEXT, tmp_path).summary["status"].iloc[0] == "ok"
        assert "neither" in failed(changed((PUBLISH, "return -1000000")), tmp_path)
        assert measured(TEXT, tmp_path).summary["status"].iloc[0] == "ok"

    @pytest.mark.slow
    def test_a_hang_is_told_and_tried_only_once(self, tmp_path: Path) -> None:
        text = changed((PEEK, "while load_acquire(ch[FULL]) != 7:"))
        run = measured(text, tmp_path, sizes=[8, 64, 512])
        assert list(run.summary["status"]) == ["failed"] * 3
        first, *rest = sorted(run.summary["reason"], key=len)
        assert "made no progress" in first
        assert all("not tried, because another cell of mine hung" in each for each in rest)

    @pytest.mark.slow
    def test_a_claim_that_waits_for_ever_while_it_is_filled(self, tmp_path: Path) -> None:
        said = failed(changed(("if ch[FLAGS] != 0:", "if ch[FLAGS] == 7:")), tmp_path)
        assert "It was being filled to see how much it holds" in said


def test_a_run_with_any_proper_name_can_be_loaded(tmp_path: Path) -> None:
    cell = Cell("somebody_s_own", "own", "latency", "same-cpu", "copy", "ends", "compiled", 64)
    rows = samples([sample(cell, repeat=i, ns=5000 + i) for i in range(5)])
    run = Run(summarise(rows, [outcome(cell)]), rows, {"kernel": "6.1", "noise": {}})
    run.save(tmp_path / "run")
    assert list(labkit.load(str(tmp_path / "run")).summary["mechanism"]) == ["somebody_s_own"]
    for file in ("summary.csv", "samples.csv"):
        path = tmp_path / "run" / file
        path.write_text(path.read_text().replace("somebody_s_own", "no name"))
    with pytest.raises(RequestError, match="there is no mechanism 'no name'"):
        labkit.load(str(tmp_path / "run"))


def test_from_the_command_line(tmp_path: Path) -> None:
    def labkit_(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "labkit", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    assert labkit_("mechanism", "new", "my_mechanism.py").returncode == 0
    asked = ["-s", "64", "--pattern", "latency", "--placement", "free", "--budget", "1"]
    done = labkit_("compare", "-m", "pipe", "-m", "./my_mechanism.py", *asked, "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert [line.split(",")[0] for line in done.stdout.splitlines()[1:]] == ["pipe", "my_mechanism"]
    (tmp_path / "my_mechanism.py").write_text(changed((PUBLISH, "return (")))
    done = labkit_("compare", "-m", "./my_mechanism.py", *asked)
    assert done.returncode == 2
    assert done.stderr.startswith("labkit: my_mechanism.py, line ")
    (tmp_path / "my_mechanism.py").write_text(changed((PUBLISH, "return -1000000")))
    done = labkit_("compare", "-m", "./my_mechanism.py", *asked)
    assert done.returncode == 1


def test_nothing_is_left_of_one_that_crashes(world: World) -> None:
    """Objects that a file has made are removed, though the process that made them is dead."""
    text = changed(
        (
            CREATE,
            f"        self.objects.posix_segment(4096)\n        self.objects.fifo()\n{CREATE}",
        ),
    )
    for ending in ("import ctypes; ctypes.string_at(0)", "import os; os._exit(7)", "1 / 0"):
        crash = text.replace(CREATE, f"        {ending}\n{CREATE}")
        world.passes(
            f"""
            import labkit, pathlib, tempfile, shutil
            folder = pathlib.Path(tempfile.mkdtemp())
            (folder / "mine.py").write_text({crash!r})
            try:
                labkit.compare(str(folder / "mine.py"), sizes=64, budget=2, progress=False)
                raise AssertionError("it was measured")
            except labkit.LabkitError as refused:
                assert "mine.py" in str(refused), refused
            shutil.rmtree(folder)
            """
        )
    world.passes(
        f"""
        import labkit, pathlib, tempfile, shutil
        folder = pathlib.Path(tempfile.mkdtemp())
        (folder / "mine.py").write_text({text!r})
        run = labkit.compare(str(folder / "mine.py"), sizes=64, budget=2, progress=False)
        assert set(run.summary["status"]) == {{"ok"}}, run.summary["reason"]
        shutil.rmtree(folder)
        """
    )


def test_the_code_in_the_engineers_page_is_the_code() -> None:
    text = (ROOT / "docs/engineer.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    linked = [ROOT / "docs" / each for each in re.findall(r"From\s+\[[^\]]+\]\(([^)]+)\)", text)]
    assert len(blocks) >= 5
    assert len(linked) >= 4
    sources = ["\n".join(map(str.strip, each.read_text().splitlines())) for each in linked]
    for block in blocks:
        quoted = "\n".join(map(str.strip, block.strip().splitlines()))
        assert any(quoted in source for source in sources), block
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / "docs" / link).exists(), link


def watched(text: str, tmp_path: Path, name: str = "mine", **options: Any) -> dict[str, Any]:
    """One message on its way through a mechanism with this text."""
    place = tmp_path / f"{name}.py"
    place.write_text(text)
    return walkthroughs.observe("mode_switches", {"mechanism": place, **options})


def not_watched(text: str, tmp_path: Path, **options: Any) -> str:
    """Why one message through a mechanism with this text cannot be watched."""
    with pytest.raises(LabkitError) as refused:
        watched(text, tmp_path, **options)
    return str(refused.value)


class TestWatching:
    """The walkthrough of one message takes somebody's own mechanism like any other."""

    def test_shared_memory_that_yields(self, tmp_path: Path) -> None:
        found = watched(TEXT, tmp_path, message="abcdefgh")
        facts = found["facts"]
        assert facts["mine, nobody waits: system calls"] == 0
        assert facts["mine, the consumer waits: copies"] == 2
        assert facts["mine, nobody waits, in place: copies"] == 0
        if why_not() is None:
            asked = facts["mine, the consumer waits: system calls in the trace"]
            assert asked == facts["mine, the consumer waits: system calls by the loop"] > 0
            assert any("sched_yield" in step["call"] for step in found["steps"])
        seen = [line for step in found["steps"] for line in step["evidence"]]
        segment = [line["value"] for line in seen if line["what"] == "the segment"]
        assert segment
        assert set(segment) == {"61 62 63 64 65 66 67 68"}

    def test_a_kernels_buffer_beside_it(self, tmp_path: Path) -> None:
        (tmp_path / "framed.py").write_text(FRAMED)
        beside = str(tmp_path / "framed.py")
        facts = watched(TEXT, tmp_path, beside=beside, placement="free")["facts"]
        assert facts["framed, nobody waits: system calls"] == 2
        assert facts["framed, nobody waits: copies"] == 2
        assert facts["framed, nobody waits: arrived"] == "hello"
        assert facts["mine, nobody waits: system calls"] == 0

    def test_what_is_wrong_with_it_is_told(self, tmp_path: Path) -> None:
        text = changed((PUBLISH, "return store_release(ch[FULL], 'x')"))
        line = line_of(text, "'x'")
        assert f"mine.py, line {line}" in not_watched(text, tmp_path)
        with pytest.raises(RequestError, match="does not exist"):
            walkthroughs.observe("mode_switches", {"mechanism": "./not_there.py"})
        with pytest.raises(RequestError, match="beside itself"):
            watched(TEXT, tmp_path, beside=tmp_path / "mine.py")

    def test_its_death_is_told(self, tmp_path: Path) -> None:
        crash = changed((PEEK, "while load_acquire(5) == 0:"))
        said = not_watched(crash, tmp_path)
        assert "the consumer was killed by SIGSEGV" in said
        assert "an address where there is no memory" in said
        leave = changed((CREATE, f"        import os; os._exit(7)\n{CREATE}"))
        assert "left with status 7 while create()" in not_watched(leave, tmp_path)
        assert "refused 5 B (EIO)" in not_watched(changed((RELEASE, "return -5")), tmp_path)

    def test_another_message_than_was_sent_is_told(self, tmp_path: Path) -> None:
        other = changed(
            ("import load_acquire,", "import load_acquire, set_word,"),
            (PUBLISH, "set_word(ch[PLACE], 0x58)\n    return store_release(ch[FULL], 1)"),
        )
        assert "where the producer had written" in not_watched(other, tmp_path)

    def test_what_it_starts_ends_with_it(self, world: World) -> None:
        text = changed(
            (CREATE, f"        import subprocess; subprocess.Popen(['sleep', '99'])\n{CREATE}")
        )
        world.passes(
            f"""
            import labkit, pathlib, tempfile
            folder = pathlib.Path(tempfile.mkdtemp())
            (folder / "mine.py").write_text({text!r})
            walk = labkit.walk("mode_switches", mechanism=folder / "mine.py")
            assert walk.facts["mine, nobody waits: copies"] == 2
            (folder / "mine.py").unlink()
            folder.rmdir()
            """
        )

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "deaf",
        [
            "signal.signal(signal.SIGALRM, signal.SIG_IGN)",
            "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
        ],
    )
    def test_one_that_is_deaf_to_the_alarm_is_ended(self, tmp_path: Path, deaf: str) -> None:
        spin = f"        import signal; {deaf}\n        while True: pass\n"
        said = not_watched(changed((CREATE, spin + CREATE)), tmp_path)
        assert "as it came to no end or memory ran out, while create()" in said

    @pytest.mark.slow
    def test_one_that_keeps_the_cpu_to_itself_does_not_hang(self, tmp_path: Path) -> None:
        text = changed(("while load_acquire(ch[FULL]) == 1:", "while ch[FLAGS] != 99:"))
        assert "made no progress" in not_watched(text, tmp_path)

    @pytest.mark.slow
    def test_one_that_never_says_a_message_is_there_does_not_hang(self, tmp_path: Path) -> None:
        said = not_watched(changed((PUBLISH, "return 0")), tmp_path)
        assert "the consumer (at message 1) made no progress" in said
