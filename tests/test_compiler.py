"""Two engines, one source: what is compiled does what the Python source says, and is cached."""

import ctypes
import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from hypothesis import given, settings
from hypothesis import strategies as st

import labkit
from labkit.harness.payload import ALL, ENDS, WRONG_MESSAGE, check, fill
from labkit.kernel import libc, memory
from labkit.kernel.compiler import Compiler, cache_folder, measured, use_cache
from labkit.kernel.libc import LibcFunction
from labkit.kernel.memory import (
    compare_exchange,
    exchange,
    fetch_add,
    get_byte,
    get_int,
    get_word,
    load_acquire,
    set_byte,
    set_word,
    store_release,
    words,
)
from labkit.mechanisms.contract import EXPECTED, FOUND, STATE_WORDS
from labkit.mechanisms.waiting.count_word import reached

PACKAGE = Path(labkit.__file__).parent
close = LibcFunction("close", "int", "int")
errno_of_libc = libc.errno


@measured
def check_at(state: int, address: int, n: int, sequence: int, touch: int) -> int:
    return check(words(state), address, n, sequence, touch)


@measured
def reached_at(seen: int, count: int) -> int:
    return 1 if reached(seen, count) else 0


@measured
def one_word(address: int, first: int, second: int, which: int) -> int:
    """One access to memory, chosen by number."""
    if which == 0:
        return load_acquire(address)
    if which == 1:
        return store_release(address, first)
    if which == 2:
        return exchange(address, first)
    if which == 3:
        return compare_exchange(address, first, second)
    if which == 4:
        return fetch_add(address, first)
    if which == 5:
        return get_int(address)
    if which == 6:
        return get_byte(address)
    if which == 7:
        return get_word(address)
    if which == 8:
        set_byte(address, first)
        return 0
    set_word(address, first)
    return 0


@measured
def errno_of_close(descriptor: int) -> int:
    if close(descriptor) < 0:
        return errno_of_libc()
    return 0


@pytest.fixture(scope="module")
def compiled() -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Gives the compiled twin of a function of integers."""
    compiler = Compiler()

    def twin(function: Callable[..., int]) -> Callable[..., int]:
        signature = compiler.loop_signature(0, function.__code__.co_argcount)
        result: Callable[..., int] = compiler.compile(function, signature)
        return result

    return twin


Twin = Callable[[Callable[..., int]], Callable[..., int]]
WORDS = st.integers(-(1 << 63), (1 << 63) - 1)
INTS = st.integers(-(1 << 31), (1 << 31) - 1)


class TestTwins:
    @settings(deadline=None)
    @given(
        n=st.integers(8, 200),
        shift=st.integers(0, 7),
        sequence=st.integers(0, 1 << 62),
        touch=st.sampled_from([ENDS, ALL]),
        data=st.data(),
    )
    def test_fill_and_check_alike(
        self, compiled: Twin, n: int, shift: int, sequence: int, touch: int, data: st.DataObject
    ) -> None:
        memories = [ctypes.create_string_buffer(b"\xaa" * 256, 256) for _ in range(2)]
        states = [(ctypes.c_int64 * STATE_WORDS)() for _ in range(2)]
        engines = [(fill, check_at), (compiled(fill), compiled(check_at))]
        for memory_of, (fills, _) in zip(memories, engines, strict=True):
            fills(ctypes.addressof(memory_of) + shift, n, sequence, touch)
        assert memories[0].raw == memories[1].raw
        # Nothing beside the payload is written.
        assert set(memories[0].raw[:shift] + memories[0].raw[shift + n :]) <= {0xAA}
        flips = st.lists(st.tuples(st.integers(0, n - 1), st.integers(1, 255)), max_size=2)
        for place, mask in data.draw(flips):
            for each in memories:
                each[shift + place] = each.raw[shift + place] ^ mask  # type: ignore[call-overload]
        found = [
            (
                checks(ctypes.addressof(state), ctypes.addressof(each) + shift, n, sequence, touch),
                state[EXPECTED],
                state[FOUND],
            )
            for each, state, (_, checks) in zip(memories, states, engines, strict=True)
        ]
        assert found[0] == found[1]
        assert found[0][0] in (0, WRONG_MESSAGE)

    @given(seen=WORDS, count=st.integers(-(1 << 40), 1 << 40))
    def test_compare_counts_alike(self, compiled: Twin, seen: int, count: int) -> None:
        assert compiled(reached_at)(seen, count) == reached_at(seen, count)

    @settings(deadline=None)
    @given(start=WORDS, steps=st.lists(st.tuples(st.integers(0, 9), WORDS, INTS), max_size=20))
    def test_touch_memory_alike(
        self, compiled: Twin, start: int, steps: list[tuple[int, int, int]]
    ) -> None:
        places = [ctypes.c_int64(start) for _ in range(2)]
        engines = one_word, compiled(one_word)
        for which, first, second in steps:
            answers = [
                step(ctypes.addressof(place), first, second, which)
                for step, place in zip(engines, places, strict=True)
            ]
            assert answers[0] == answers[1], which
            assert places[0].value == places[1].value, which

    @given(value=INTS, other=INTS, expected=INTS)
    def test_exchange_only_what_was_expected(self, value: int, other: int, expected: int) -> None:
        word = ctypes.c_int32(value)
        address = ctypes.addressof(word)
        assert compare_exchange(address, expected, other) == value
        assert word.value == (other if expected == value else value)
        before = word.value
        assert exchange(address, other) == before
        assert fetch_add(address, 1) == other
        assert load_acquire(address) == ctypes.c_int32(other + 1).value

    def test_tell_the_errno_alike(self, compiled: Twin) -> None:
        for engine in errno_of_close, compiled(errno_of_close):
            assert engine(-1) == errno.EBADF
            reading, writing = os.pipe()
            assert engine(reading) == 0
            os.close(writing)

    def test_are_compiled_once(self, compiled: Twin) -> None:
        assert compiled(fill) is compiled(fill)

    def test_every_word_of_memory_has_its_instruction(self) -> None:
        from labkit.kernel import instructions

        known = {name for name, value in vars(memory).items() if callable(value)}
        used = known - {"callable", "prepare", "_ordered", "Callable", "Any"}
        assert {name for name in used if not name.startswith("_")} <= set(instructions.table())


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package to change."""
    copied = tmp_path / "labkit"
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def run(code: str, package: Path, **environment: str) -> str:
    """Run some code with a copy of the package: what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
        | environment,
        cwd=package.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


FOLDER = "from labkit.kernel.compiler import cache_folder; print(cache_folder())"
COMPILE = """
import ctypes
from labkit.harness.payload import ALL, fill
from labkit.kernel.compiler import Compiler
compiler = Compiler()
compiled = compiler.compile(fill, compiler.loop_signature(0, 4))
room = (ctypes.c_int64 * 2)()
compiled(ctypes.addressof(room), 16, 5, ALL)
print(room[1] - room[0], sum(compiled.stats.cache_hits.values()))
"""


class TestCache:
    @pytest.mark.parametrize(
        "source", ["kernel/memory.py", "mechanisms/waiting/futex.py", "harness/payload.py"]
    )
    def test_has_a_folder_for_each_state_of_the_sources(self, package: Path, source: str) -> None:
        before = run(FOLDER, package, XDG_CACHE_HOME="/somewhere")
        assert Path(before).parent == Path("/somewhere/labkit")
        with (package / source).open("a") as file:
            file.write("\n# changed\n")
        after = run(FOLDER, package, XDG_CACHE_HOME="/somewhere")
        assert after != before
        assert Path(after).parent == Path(before).parent

    def test_does_not_change_with_what_is_not_measured(self, package: Path) -> None:
        before = run(FOLDER, package, XDG_CACHE_HOME="/somewhere")
        with (package / "plots" / "style.py").open("a") as file:
            file.write("\n# changed\n")
        assert run(FOLDER, package, XDG_CACHE_HOME="/somewhere") == before

    def test_serves_the_next_start_and_notices_a_changed_callee(
        self, package: Path, tmp_path: Path
    ) -> None:
        cache = tmp_path / "cache"
        assert run(COMPILE, package, XDG_CACHE_HOME=str(cache)) == f"{0x10001} 0"
        (folder,) = (cache / "labkit").iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert list(folder.rglob("*.nbi"))
        assert run(COMPILE, package, XDG_CACHE_HOME=str(cache)) == f"{0x10001} 1"
        # fill() stays as it is; what it calls, in another file, does not.
        source = package / "kernel" / "instructions.py"
        text = source.read_text()
        changed = text.replace(
            '"set_word": _emit(2, word, _set(', '"set_word": _emit(2, word, _off('
        )
        assert changed != text
        changed = changed.replace(
            "def _load_acquire(",
            "def _off(kind: Any, align: int | None = None) -> Callable[..., Any]:\n"
            "    plain = _set(kind, align)\n"
            "    return lambda builder, address, value: plain(\n"
            "        builder, address, builder.mul(value, ir.Constant(_WORD, 2))\n"
            "    )\n\n\n"
            "def _load_acquire(",
            1,
        )
        source.write_text(changed)
        assert run(COMPILE, package, XDG_CACHE_HOME=str(cache)) == f"{2 * 0x10001} 0"

    @pytest.mark.parametrize("place", ["/dev/null/cache", "/proc/cache"])
    def test_is_done_without_where_it_cannot_be(self, package: Path, place: str) -> None:
        assert run(COMPILE, package, XDG_CACHE_HOME=place) == f"{0x10001} 0"
        assert not list(package.rglob("*.nbi"))

    def test_is_done_without_where_there_is_no_home(self, other_user: Callable[[], World]) -> None:
        world = other_user()
        world.environment["XDG_CACHE_HOME"] = ""
        out = world.passes(
            "import os\ndel os.environ['HOME']\n" + COMPILE,
            user=54321,  # whom /etc/passwd does not know
        )
        assert out.strip() == f"{0x10001} 0"

    def test_many_may_start_at_once(self, package: Path, tmp_path: Path) -> None:
        starts = [
            subprocess.Popen(
                [sys.executable, "-c", COMPILE],
                env=os.environ
                | {"PYTHONPATH": str(package.parent), "XDG_CACHE_HOME": str(tmp_path / "cache")},
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        said: list[Any] = [start.communicate(timeout=120)[0].split() for start in starts]
        assert [answer[0] for answer in said] == [str(0x10001)] * 4


def test_machine_code_of_other_versions_goes_when_long_unused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # put back afterwards
    base = tmp_path / "labkit"
    old, recent, foreign = (base / name for name in ("0" * 16, "1" * 16, "notes"))
    for folder in (old, recent, foreign):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    own = cache_folder()
    own.mkdir()
    for folder in (old, foreign, own):
        os.utime(folder, (0, 0))
    assert use_cache()
    assert {each.name for each in base.iterdir()} == {own.name, recent.name, foreign.name}
    assert own.stat().st_mtime > 0  # in use, so nobody else takes it for unused
