"""The cost model, effective copies, crossings and sentences, on a machine whose costs are known."""

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import CELL
from made_up_costs import (
    FUTEX_WAIT,
    FUTEX_WAKE,
    KERNEL,
    LINE,
    MEMCPY,
    NULL,
    PAGES,
    QUEUEING,
    RING,
    SIZES,
    SWITCH,
    WAKE,
    WAKE_ACROSS,
    constants,
    row,
    run_of,
    values,
)

import labkit
from labkit.costs import copies, crossover, explain
from labkit.costs.beside import LEAST_BUDGET, add_constants, leave_room
from labkit.costs.catalogue import CATALOGUE, how
from labkit.costs.constants import Constants, constants_of
from labkit.costs.crossing import last_crossing
from labkit.costs.derived import derive
from labkit.costs.explanation import explain_cell
from labkit.costs.findings import dominating, findings, sentences
from labkit.costs.measure import Measured, short_plan, table
from labkit.costs.model import PARTS, predict
from labkit.costs.steadiness import drift, warnings
from labkit.costs_table import print_costs
from labkit.errors import RequestError
from labkit.harness.request import Cell, build_request

SHARED = {"mechanism": "posix_shm", "waiting": "futex"}


def parts_of(**changed: Any) -> dict[str, float]:
    parts, why = predict(row(**changed), constants())
    assert parts is not None, why
    return vars(parts)


def test_a_round_trip_through_a_pipe_is_the_sum_of_its_parts() -> None:
    parts = parts_of()
    assert parts["calls"] == 4 * NULL
    assert parts["copies"] == pytest.approx(2 * 2 * 64 * KERNEL)
    assert parts["own"] == pytest.approx(2 * (QUEUEING + PAGES * 64))
    assert parts["switches"] == 2 * SWITCH
    assert parts["wakeups"] == WAKE  # one end slept, the other was only put off
    assert parts["faults"] == parts["payload"] == parts["overlap"] == 0


def test_who_sends_to_itself_alone_needs_what_sending_to_itself_takes() -> None:
    # A stream that never switches, with the calls of a send-to-self: nothing is counted twice.
    for size in SIZES:
        quiet = {"voluntary_switches_per_message": 0.0, "involuntary_switches_per_message": 0.0}
        parts = parts_of(
            pattern="throughput", message_size=size, system_calls_per_message=2.0, **quiet
        )
        to_self = constants().value(f"send_to_self/pipe/throughput/{size}")
        assert sum(parts.values()) == pytest.approx(to_self)


def test_a_round_trip_through_shared_memory_copies_twice_each_way() -> None:
    parts = parts_of(**SHARED, message_size=65536, system_calls_per_message=2.0)
    assert parts["copies"] == pytest.approx(4 * 65536 * MEMCPY)
    assert parts["calls"] == 2 * NULL
    # A futex call that sleeps or wakes does more than one that does nothing.
    assert parts["own"] == pytest.approx(2 * RING + 2 * ((FUTEX_WAKE + FUTEX_WAIT) / 2 - NULL))


def test_in_place_nothing_is_copied_and_a_touched_payload_is_used() -> None:
    parts = parts_of(**SHARED, copy="in-place", message_size=4096)
    assert parts["copies"] == parts["payload"] == 0
    touched = parts_of(**SHARED, copy="in-place", message_size=4096, touch="all")
    assert touched["payload"] == pytest.approx(2 * 4096 * (0.05 + 0.05))


def test_across_cpus_a_sleeper_takes_longer_to_wake_and_a_stream_overlaps() -> None:
    far = {"placement": "cross-cpu", "involuntary_switches_per_message": 0.0}
    parts = parts_of(**far, voluntary_switches_per_message=2.0)
    assert parts["wakeups"] == 2 * WAKE_ACROSS
    assert parts["switches"] == 0
    spinning = parts_of(
        **far, mechanism="posix_shm", waiting="spin", message_size=8,
        voluntary_switches_per_message=0.0, system_calls_per_message=0.0,
    )  # fmt: skip
    assert spinning["wakeups"] == 2 * LINE
    stream = parts_of(**far, pattern="throughput", message_size=65536)
    work = stream["calls"] + stream["own"] + stream["copies"]
    assert stream["overlap"] == pytest.approx(-work / 2)  # sending is half of it here


@settings(deadline=None)
@given(
    size=st.sampled_from(SIZES),
    counts=st.tuples(*[st.floats(0, 10)] * 4),
    pattern=st.sampled_from(["latency", "throughput"]),
    placement=st.sampled_from(["same-cpu", "cross-cpu"]),
    carrier=st.sampled_from([{}, SHARED, {**SHARED, "copy": "in-place"}]),
    touch=st.sampled_from(["ends", "all"]),
    times=st.tuples(*[st.floats(1, 1e9)] * 2),
)
def test_parts_and_remainder_are_the_whole_and_nothing_is_fitted(
    size: int, counts: tuple[float, ...], pattern: str, placement: str, carrier: dict[str, Any],
    touch: str, times: tuple[float, float],
) -> None:  # fmt: skip
    names = ("system_calls", "voluntary_switches", "involuntary_switches", "page_faults")
    counted = {f"{name}_per_message": n for name, n in zip(names, counts, strict=True)}
    about = {"pattern": pattern, "placement": placement, "touch": touch, "message_size": size}
    told = [
        explain_cell(row(**about, **carrier, **counted, ns_per_message=ns), constants())
        for ns in times
    ]
    for cell, ns in zip(told, times, strict=True):
        parts = {part: cell[f"{part}_ns"] for part in PARTS}
        assert sum(parts.values()) == pytest.approx(cell["predicted_ns"])
        assert cell["predicted_ns"] + cell["remainder_ns"] == pytest.approx(ns)
        assert all(value >= 0 for name, value in parts.items() if name != "overlap")
        assert parts["overlap"] <= 0 <= cell["predicted_ns"]
        assert cell["within"] == (abs(cell["remainder_ns"]) <= 0.25 * ns)
        assert bool(cell["reason"]) != cell["within"]
    assert told[0]["predicted_ns"] == told[1]["predicted_ns"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"engine": "python"}, "interpreted"),
        ({"placement": "free"}, "scheduler"),
        ({"system_calls_per_message": math.nan}, "not counted"),
        ({"mechanism": "somebody's"}, "no constant"),
        ({**SHARED, "waiting": "eventfd"}, "no constant"),
    ],
)
def test_what_cannot_be_predicted_says_why(changed: dict[str, Any], said: str) -> None:
    cell = explain_cell(row(**changed), constants())
    assert said in cell["reason"]
    assert math.isnan(cell["predicted_ns"])
    assert not cell["within"]


def test_between_sizes_a_time_lies_on_a_straight_line_and_goes_on_behind_the_last() -> None:
    known = Constants({f"t/{n}": [v, v, v] for n, v in ((10, 100.0), (20, 200.0), (40, 300.0))})
    assert known.at("t", 5) == 100
    assert known.at("t", 15) == 150
    assert known.at("t", 60) == 400
    assert math.isnan(known.at("other", 10))
    assert known.per_byte("t", 1e9) == 300
    assert known.per_byte("t", math.sqrt(200)) == pytest.approx(150)


def test_a_run_without_constants_is_told_what_to_do() -> None:
    for costs, said in (({}, "longer budget"), ({"costs": {"left_out": "no time"}}, "no time")):
        with pytest.raises(RequestError, match=said):
            constants_of(costs)
    odd = {"memcpy/x": [1, 1, 1], "null_call": [None, 1, 1], "switch": "1", "what": [1, 1, 1]}
    oddities: list[Any] = [odd, [], "no", {1: 2}]
    for kept in oddities:
        with pytest.raises(RequestError, match="no constants"):
            constants_of({"costs": {"constants": kept}})
    run = run_of({CELL: 4000.0})
    run.machine["costs"] = {"left_out": "a budget of 5 s leaves no time"}
    with pytest.raises(RequestError, match=r"labkit\.costs\(\)"):
        explain(run)
    assert findings(run) == [
        "Where the time goes is not told here: a budget of 5 s leaves no time."
    ]
    given_them = table(Measured(values(), {}, []))
    assert explain(run, given_them)["predicted_ns"].notna().all()


def test_what_a_round_timed_becomes_constants() -> None:
    timed = {
        "read_clock": 20.0, "null_call": 100.0, "futex_wake": 300.0, "futex_wait": 400.0,
        "_yield_ns": 440_000.0, "_yields": 400.0, "_yield_switches": 400.0,
        "futex_round_trip/same-cpu": 4000.0, "_futex_calls": 2.0, "_futex_sleeps": 1.0,
        "_futex_switches": 2.0, "_woken_ns": 20_300.0, "fill/64": 6.4,
        "send_to_self/pipe/latency/8": 900.0, "calls_to_self/pipe/latency/8": 2.0,
        "_copy_out_cross/4096": 4116.0,
    }  # fmt: skip
    found = derive(timed)
    assert found["switch"] == 1000  # 1100 for each turn, of which 100 are the call
    assert found["wake/same-cpu"] == 4000 - 2 * 350 - 2 * 1000
    assert found["wake/cross-cpu"] == 20_000
    assert found["own_work/pipe/latency/8"] == 700
    assert found["fill/64"] == pytest.approx(0.1)
    assert found["copy_out_cross/4096"] == pytest.approx(1.0)
    assert not any(name.startswith("_") for name in found)
    assert all(name.partition("/")[0] in CATALOGUE for name in found)
    assert all(how(name) for name in found)


def test_half_a_round_is_no_error() -> None:
    few = {"read_clock": 20.0, "null_call": 1.0, "futex_wake": 1.0, "futex_wait": 1.0}
    assert set(derive(few)) == {"clock_read", "null_call", "futex_wake", "futex_wait"}


def line_of(
    copies_made: float, constant: float = 5000.0, each: int = 2, **about: Any
) -> dict[Cell, float]:
    """A line whose times are a constant and some memcpys."""
    return {
        replace(CELL, message_size=size, **about): constant + each * copies_made * MEMCPY * size
        for size in SIZES
    }


@settings(max_examples=25, deadline=None)
@given(number=st.floats(0, 20), constant=st.floats(100, 1e5))
def test_effective_copies_are_those_that_the_times_were_made_of(
    number: float, constant: float
) -> None:
    found = copies(run_of(line_of(number, constant), spread=0.0)).iloc[0]
    assert found["memcpys"] == pytest.approx(number, abs=1e-6)
    assert found["kernel_copies"] == pytest.approx(number * MEMCPY / KERNEL, abs=1e-6)
    assert found["inferred_copies"] == 2
    made_of = found[["of_copies", "of_own", "of_other", "remainder"]].sum()
    assert made_of == pytest.approx(found["memcpys"], abs=1e-6)
    assert found["of_copies"] == pytest.approx(2 * KERNEL / MEMCPY)
    assert found["of_own"] == pytest.approx(PAGES / MEMCPY)


def test_the_interval_of_effective_copies_holds_them() -> None:
    lines = line_of(2.0) | line_of(0.0, each=1, mechanism="memfd", waiting="futex",
                                   pattern="throughput", copy="in-place")  # fmt: skip
    found = copies(run_of(lines, spread=0.01))
    assert (found["memcpys_low"] <= found["memcpys"]).all()
    assert (found["memcpys"] <= found["memcpys_high"]).all()
    assert list(found["inferred_copies"]) == [2, 0]
    assert found["memcpys_high"].iloc[0] > found["memcpys_low"].iloc[0]


def test_too_few_sizes_have_no_slope() -> None:
    assert copies(run_of(dict(list(line_of(2.0).items())[:2]))).empty


def two_lines(crossing: float, spread: float = 0.002) -> Any:
    """A pipe that is quicker below a size, and a socket that is quicker above."""
    cells = {}
    for size in SIZES:
        cells[replace(CELL, message_size=size)] = 1000.0 * size / crossing
        cells[replace(CELL, mechanism="unix_dgram", message_size=size)] = 1000.0
    return run_of(cells, spread=spread)


@settings(max_examples=20, deadline=None)
@given(st.floats(200, 500_000))
def test_lines_cross_where_they_were_made_to(size: float) -> None:
    found = crossover(two_lines(size)).iloc[0]
    assert found["winner"] == "unix_dgram"
    assert found["verdict"] == "from there on"
    assert found["from_size"] == pytest.approx(size, rel=1e-6)
    assert found["low"] <= found["from_size"] <= found["high"]


def test_who_is_quicker_at_every_size_is_so_from_the_smallest() -> None:
    found = crossover(two_lines(1.0)).iloc[0]
    assert (found["verdict"], found["from_size"]) == ("at every size", SIZES[0])


def test_lines_that_are_alike_have_no_winner() -> None:
    cells = {
        replace(CELL, message_size=size, mechanism=name): 1000.0
        for size in SIZES
        for name in ("pipe", "fifo")
    }
    found = crossover(run_of(cells, spread=0.05)).iloc[0]
    assert found["verdict"] == "not shown"
    assert math.isnan(found["low"])


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 10).map(lambda x: x - 5), min_size=2, max_size=8))
def test_from_the_last_crossing_on_the_sign_stays(apart: list[float]) -> None:
    x = np.arange(len(apart), dtype=float)
    at = last_crossing(x, np.array([apart]))[0]
    assert 0 <= at <= x[-1]
    behind = np.array(apart)[x > at]
    assert (np.sign(behind) == np.sign(apart[-1])).all()
    assert last_crossing(x, -np.array([apart]))[0] == pytest.approx(at)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("switches_ns", "switching and waking"),
        ("copies_ns", "copying"),
        ("own_ns", "own work"),
        ("calls_ns", "entering and leaving the kernel"),
        ("payload_ns", "writing and reading the payload"),
        ("faults_ns", "page faults"),
    ],
)
def test_the_sentences_name_what_takes_the_time(part: str, said: str) -> None:
    run = run_of({replace(CELL, message_size=size): 10_000.0 for size in SIZES})
    explained = explain(run)
    for column in (f"{name}_ns" for name in PARTS):
        explained[column] = 9000.0 if column == part else 50.0 * (column != "overlap_ns")
    explained[["error", "within", "stable"]] = 0.0, True, True
    for cell in explained.to_dict("records"):
        name, share = dominating({str(k): v for k, v in cell.items()})
        assert 0.89 < share < 0.92, name
    first, middle, last, trust = sentences(explained)
    for size, sentence in (("64 B", first), ("64 KiB", middle), ("1 MiB", last)):
        assert f"of {size} " in sentence
        assert said in sentence
        assert "pipe" in sentence
    assert "4 of 4 stable cells on one CPU" in trust


def test_a_sentence_does_not_explain_what_the_parts_do_not_reach() -> None:
    run = run_of({replace(CELL, message_size=size): 1e7 for size in SIZES})
    first, *_, trust = sentences(explain(run))
    assert "too far off" in first
    assert "for 0 of 4 stable cells" in trust


def test_two_cells_that_are_alike_are_told_in_one() -> None:
    cells = {}
    for size in SIZES:
        cells[replace(CELL, message_size=size)] = 3500.0 + 0.22 * size
        shared = replace(CELL, mechanism="memfd", waiting="futex", message_size=size)
        cells[shared] = 3200.0 + 4 * MEMCPY * size
    first, *_ = sentences(
        explain(run_of(cells, voluntary_switches=1000, involuntary_switches=1000))
    )
    assert first.count("switching and waking") == 1
    assert "pipe" in first
    assert "memfd (futex)" in first


def test_a_machine_that_gets_slower_is_noticed_and_a_steady_one_is_not() -> None:
    cells = {replace(CELL, message_size=8 + i): 1000.0 for i in range(12)}
    steady = run_of(cells, repeats=9, spread=0.0)
    late, low, high = drift(steady.samples)
    assert late == low == high == 0
    assert warnings(steady) == []
    slower = run_of(cells, repeats=9, spread=0.05)
    late, low, _ = drift(slower.samples)
    assert late == pytest.approx(1.15 / 0.85 - 1)
    assert low > 0
    said = " ".join(warnings(slower))
    assert "drifted" in said
    assert "35 % longer" in said


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ({"noise": {"other_load": 0.7, "stolen": 0.0}}, "close what else runs"),
        ({"noise": {"other_load": 0.0, "stolen": 0.2}}, "hypervisor"),
        ({"cpu_quota": 1.5}, "quota"),
        ({"frequency_governor": "powersave"}, "cpupower"),
        ({}, "--budget"),
    ],
)
def test_unstable_cells_come_with_a_remedy(machine: dict[str, Any], said: str) -> None:
    run = run_of({replace(CELL, message_size=8 + i): 1000.0 for i in range(12)})
    run.summary["stable"] = False
    run.machine |= machine
    (warning,) = warnings(run)
    assert warning.startswith("12 of 12 cells are not stable")
    assert said in warning


def test_small_budgets_have_no_room_for_constants_and_say_so() -> None:
    small = build_request(mechanisms="pipe", budget=5, cpus=2)
    assert leave_room(small) is small
    run = run_of({CELL: 4000.0})
    add_constants(run, small)
    assert "5 s" in run.machine["costs"]["left_out"]
    assert f"{LEAST_BUDGET:g} s" in run.machine["costs"]["left_out"]
    large = build_request(mechanisms="pipe", budget=60, cpus=2)
    assert 55 < leave_room(large).budget < 60
    interpreted = build_request(mechanisms="pipe", engine="python", budget=60, cpus=2)
    assert leave_room(interpreted) is interpreted


@settings(deadline=None)
@given(st.lists(st.integers(8, 1 << 26), min_size=1, max_size=40))
def test_a_short_plan_stays_short_whatever_the_sizes(sizes: list[int]) -> None:
    plan = short_plan(["pipe"], ["futex"], sizes, None, 2.0)
    assert 1 <= len(plan["sizes"]) <= 8
    assert max(plan["sizes"]) <= 1 << 20
    assert all(each & (each - 1) == 0 for each in plan["working_sets"])
    assert max(plan["working_sets"]) <= 1 << 26


def test_the_table_has_what_was_promised_and_fits_a_terminal() -> None:
    made = table(Measured(values(), {}, []))
    assert list(made.columns) == ["name", "value", "unit", "low", "high", "how"]
    measured = made[made["unit"] != ""]
    assert measured["how"].str.len().min() > 10
    assert set(made.loc[made["unit"] == "", "name"].str.partition("/")[0]) <= {"mitigation"}
    out = io.StringIO()
    print_costs(made, out)
    lines = out.getvalue().splitlines()
    assert max(len(line) for line in lines) <= 100
    assert "null_call" in out.getvalue()
    assert "unix_dgram" in out.getvalue()


def test_the_package_is_called_for_the_constants() -> None:
    assert callable(labkit.costs)
    assert "costs" in labkit.__all__
    assert isinstance(explain(run_of({CELL: 4000.0})), pd.DataFrame)


MEASURE = """
    from labkit.costs.measure import measure, short_plan
    plan = short_plan(["pipe", "sysv_mq", "posix_mq", "tcp", "memfd"], ["futex", "sysv_sem"],
                      [64, 4096], None, 1.0)
    plan["seconds"] = 8.0
    plan["rounds"] = 2
    found = measure(plan)
    values = {name: value for name, (value, _, _) in found.constants.items()}
    assert values["null_call"] > 0
    assert all(value >= 0 for value in values.values()), values
    print(*sorted(values))
"""


@pytest.mark.slow
def test_measuring_finds_constants_and_leaves_nothing(world: Any) -> None:
    names = world.passes(MEASURE).split()
    # On a very busy machine some may be missing, but never these.
    assert {"null_call", "futex_wake", "clock_read", "memcpy_call"} <= set(names)
    assert all(name.partition("/")[0] in CATALOGUE for name in names)


@pytest.mark.slow
def test_measuring_ends_when_nobody_waits_for_it(world: Any) -> None:
    world.passes("""
        from labkit.costs.measure import short_plan
        from labkit.harness.session import Session
        plan = short_plan(["pipe", "sysv_mq", "posix_mq"], ["futex"], [64], None, 30.0)
        with Session(plan, "labkit.costs.measuring") as session:
            for event in session.events():
                if event["event"] == "step":
                    break
    """)


@pytest.mark.slow
def test_a_run_carries_its_constants_and_is_explained_with_them(world: Any) -> None:
    said = world.passes("""
        import dataclasses
        from labkit.costs import explain
        from labkit.costs.beside import add_constants
        from labkit.costs.findings import findings
        from labkit.harness.compare import compare
        from labkit.harness.request import build_request
        from labkit.harness.run import load
        asked = build_request("pipe,memfd", "64,4K", waiting="futex", placements="same-cpu",
                              budget=60)
        run = compare(dataclasses.replace(asked, budget=4.0))
        add_constants(run, asked)
        assert run.machine["settings"]["budget"] == 60
        assert run.machine["costs"]["constants"]["null_call"][0] > 0
        told, words = explain(run), findings(run)
        import shutil
        saved = run.save("a-run")
        again = load(saved)
        shutil.rmtree(saved)
        assert explain(again).equals(told)
        assert findings(again) == words
        print(len(told), len(words))
    """)
    cells, sentences_said = map(int, said.split())
    assert cells == 8
    assert sentences_said >= 1


@pytest.mark.slow
def test_the_command_puts_the_table_alone_on_standard_output(world: Any) -> None:
    said = world.passes("""
        import sys
        from labkit.cli import main
        sys.exit(main(["costs", "--format", "csv"]))
    """)
    made = pd.read_csv(io.StringIO(said))
    assert list(made.columns) == ["name", "value", "unit", "low", "high", "how"]
    assert {"null_call", "futex_wake"} <= set(made["name"])
    assert (made.loc[made["unit"].notna(), "value"] >= 0).all()
