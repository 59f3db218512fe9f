import dataclasses
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import mechanisms
from labkit.errors import RequestError
from labkit.harness.request import (
    COPIES,
    ENGINES,
    LEAST_SIZE,
    MOST_SIZE,
    PATTERNS,
    PLACEMENTS,
    TOUCHES,
    WAITINGS,
    Cell,
    build_request,
    format_size,
    parse_size,
)
from labkit.mechanisms.contract import Mechanism

KNOWN = {
    "mechanisms": mechanisms.names(extra=True),
    "patterns": PATTERNS,
    "placements": PLACEMENTS,
    "waiting": WAITINGS,
    "copy": COPIES,
    "touch": TOUCHES,
    "engine": ENGINES,
}
FIELDS = {"engine": "engines"}  # where the request's name differs from the argument's


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64", 64),
        (" 64 ", 64),
        ("64B", 64),
        ("4K", 4096),
        ("4k", 4096),
        ("4KiB", 4096),
        ("4 KiB", 4096),
        ("1M", 1 << 20),
        ("64MiB", 1 << 26),
        ("+8", 8),
        ("0008", 8),
        (4096, 4096),
        (np.int64(4096), 4096),
    ],
)
def test_sizes_as_people_write_them(text: Any, size: int) -> None:
    assert parse_size(text) == size


NO_SIZES: list[Any] = ["", "0", "7", "-1", "-4K", "65M", "1G", "9T", "9" * 5000, "4KB", "K", "4.5K"]
NO_SIZES += ["1e3", "0x40", "64 64", "\u0664", "4\u212a", "64\n-s", "\0", 0, -8, 7, MOST_SIZE + 1]
NO_SIZES += [10**6000, True, 64.0, math.nan, None, b"64", [64]]


@pytest.mark.parametrize("text", NO_SIZES, ids=range(len(NO_SIZES)))
def test_what_is_no_size(text: Any) -> None:
    with pytest.raises(RequestError) as caught:
        parse_size(text)
    assert "8 B to 64 MiB" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@given(st.integers(LEAST_SIZE, MOST_SIZE))
def test_a_size_reads_back_as_it_is_shown(size: int) -> None:
    assert parse_size(format_size(size)) == parse_size(str(size)) == parse_size(size) == size


@given(st.text() | st.integers() | st.floats() | st.none())
def test_any_size_is_within_bounds_or_refused(given: Any) -> None:
    try:
        size = parse_size(given)
    except RequestError as error:
        said = str(error)
    else:
        said = ""
        assert LEAST_SIZE <= size <= MOST_SIZE
    assert said.isprintable()


def test_the_usual_request() -> None:
    request = build_request(cpus=2)
    assert request.mechanisms == mechanisms.names()
    assert request.sizes == (8, 64, 512, 4096, 65536, 1 << 20)
    assert request.patterns == ("latency", "throughput")
    assert request.placements == ("same-cpu", "cross-cpu")
    assert set(request.waiting) == {"futex", "spin"}
    assert (request.copy, request.touch, request.engines) == (("copy",), ("ends",), ("compiled",))
    assert (request.budget, request.verify) == (60, "ends")
    kernel_copied, shared = 8, 5
    assert len(request.cells()) == 6 * 2 * 2 * (kernel_copied + 2 * shared)
    assert len(set(request.cells())) == len(request.cells())


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.none() | st.lists(st.sampled_from(known), min_size=1)
            for name, known in KNOWN.items()
        },
    ),
    st.booleans(),
)
def test_known_names_are_taken_in_order_each_once(asked: dict[str, Any], commas: bool) -> None:
    given: dict[str, Any] = {n: ",".join(v) if v and commas else v for n, v in asked.items()}
    request = build_request(**given, cpus=2)
    for name, values in asked.items():
        if values is not None:
            assert getattr(request, FIELDS.get(name, name)) == tuple(dict.fromkeys(values))
    for cell in request.cells():
        kernel = mechanisms.family(cell.mechanism) == "kernel-copied"
        assert (cell.waiting == "kernel") == kernel
        reason = cell.impossible()
        assert reason is None or (reason.endswith(".") and len(reason) > 20)


@given(st.sampled_from(sorted(KNOWN)), st.text(max_size=100) | st.lists(st.text(), max_size=3))
def test_names_are_known_or_refused(name: str, asked: Any) -> None:
    try:
        request = build_request(**{name: asked}, cpus=2)
    except RequestError as error:
        said = str(error)
    else:
        said = ""
        assert set(getattr(request, FIELDS.get(name, name))) <= set(KNOWN[name])
    assert said.isprintable()


@pytest.mark.parametrize(
    ("name", "wrong", "nearest"),
    [
        ("mechanisms", "pip", "pipe"),
        ("mechanisms", "posix-shm", "posix_shm"),
        ("mechanisms", "PIPE", "pipe"),
        ("mechanisms", "shm", "sysv_shm"),
        ("patterns", "latencies", "latency"),
        ("placements", "samecpu", "same-cpu"),
        ("waiting", "futx", "futex"),
        ("copy", "inplace", "in-place"),
        ("touch", "end", "ends"),
        ("engine", "compile", "compiled"),
        ("verify", "ful", "full"),
    ],
)
def test_an_unknown_name_brings_the_nearest(name: str, wrong: str, nearest: str) -> None:
    asked: dict[str, Any] = {name: wrong}
    with pytest.raises(RequestError, match=f"did you mean '{nearest}'"):
        build_request(**asked, cpus=2)


@pytest.mark.parametrize("name", sorted(KNOWN))
@pytest.mark.parametrize("wrong", ["", ",", "nothing like it", [], [3], 3, ["pipe", None]])
def test_what_is_no_name(name: str, wrong: Any) -> None:
    with pytest.raises(RequestError):
        build_request(**{name: wrong}, cpus=2)


@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"touch"}))
def test_all_means_whatever_there_is(name: str) -> None:
    asked: dict[str, Any] = {name: "all"}
    assert getattr(build_request(**asked, cpus=2), FIELDS.get(name, name)) == KNOWN[name]


def test_all_is_a_touch_of_its_own() -> None:
    assert build_request(touch="all", cpus=2).touch == ("all",)


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ("64", (64,)),
        ("64,4K, 64", (64, 4096)),
        (64, (64,)),
        ([64, "4K", 4096], (64, 4096)),
        (np.array([8, 16]), (8, 16)),
        (range(8, 11), (8, 9, 10)),
    ],
)
def test_one_size_or_several(given: Any, sizes: tuple[int, ...]) -> None:
    assert build_request(sizes=given, cpus=2).sizes == sizes


@pytest.mark.parametrize("given", ["", ",", [], "all", ["64", None], 1.5, "64;128"])
def test_what_are_no_sizes(given: Any) -> None:
    with pytest.raises(RequestError):
        build_request(sizes=given, cpus=2)


@pytest.mark.parametrize("budget", [0.5, 1, "2", 86400])
def test_budgets(budget: Any) -> None:
    assert build_request(budget=budget, cpus=2).budget == float(budget)


@pytest.mark.parametrize(
    "budget",
    [0, -1, math.nan, math.inf, 86401, "", "soon", "1m", None, True, [5], 10**400, "1e999"],
)
def test_what_is_no_budget(budget: Any) -> None:
    with pytest.raises(RequestError, match="above 0, up to 86400"):
        build_request(budget=budget, cpus=2)


def test_full_verification_touches_every_byte() -> None:
    assert build_request(verify="full", cpus=2).touch == ("all",)
    assert build_request(verify="full", touch="all", cpus=2).touch == ("all",)
    with pytest.raises(RequestError, match="leave touch out"):
        build_request(verify="full", touch="ends", cpus=2)


def test_one_cpu_where_two_are_asked_for() -> None:
    for placements in ("cross-cpu", ["same-cpu", "cross-cpu"]):
        with pytest.raises(RequestError, match="needs two CPUs"):
            build_request(placements=placements, cpus=1)


def test_one_cpu_where_nothing_was_said_skips_with_a_reason() -> None:
    request = build_request(cpus=1)
    assert any(cell.placement == "cross-cpu" for cell in request.cells())
    for cell in request.cells():
        impossible = cell.placement == "cross-cpu" or cell.waiting == "spin"
        assert (request.impossible(cell) is not None) == impossible


def test_what_no_machine_can_do_has_its_reason() -> None:
    spin = Cell("memfd", "spin", "latency", "same-cpu", "copy", "ends", "compiled", 8)
    assert "spinning" in (spin.impossible() or "")
    assert dataclasses.replace(spin, placement="cross-cpu").impossible() is None
    pipe = Cell("pipe", "kernel", "latency", "same-cpu", "in-place", "ends", "compiled", 8)
    assert "kernel copies" in (pipe.impossible() or "")
    assert dataclasses.replace(pipe, copy="copy").impossible() is None


def test_the_waiting_strategies_are_the_mechanisms() -> None:
    assert set(WAITINGS) == set(Mechanism.WAITINGS)


def test_a_thorough_request_takes_all_there_is() -> None:
    request = build_request(thorough=True, cpus=2)
    for name, known in KNOWN.items():
        if name != "touch":
            assert getattr(request, FIELDS.get(name, name)) == known
    cells = request.cells()
    assert all(cell.impossible() is None for cell in cells)
    assert len(set(cells)) == len(cells)
    assert {cell.message_size for cell in cells if cell.engine == "python"} == {64}
    assert {(c.waiting, c.copy, c.placement) for c in cells if c.engine == "compiled"} == {
        (c.waiting, c.copy, c.placement) for c in cells if c.engine == "python"
    }
    assert build_request("pipe", "64", thorough=True, engine="compiled", cpus=2).cells() == [
        Cell("pipe", "kernel", pattern, placement, "copy", "ends", "compiled", 64)
        for pattern in PATTERNS
        for placement in PLACEMENTS
    ]


def test_settings_are_plain_values() -> None:
    settings = build_request("pipe", "64", cpus=2).settings()
    assert settings["mechanisms"] == ["pipe"]
    assert settings["sizes"] == [64]


def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import labkit.harness.request, sys;"
        "print({'numpy', 'pandas', 'numba', 'matplotlib', 'rich'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
