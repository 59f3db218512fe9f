"""One message on its way: what the trace shows is what the loops count, on every mechanism."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import TESTS, World

from labkit import walkthroughs
from labkit.errors import RequestError
from labkit.harness import experiment
from labkit.kernel import cpus, trace
from labkit.mechanisms import family, names
from labkit.mechanisms.contract import Mechanism
from labkit.player.drawing import faults
from labkit.walkthroughs.mode_switches.frames import Counts

SITUATIONS = ("the consumer waits", "nobody waits", "nobody waits, in place")
COPIES = {"pipe_vmsplice": 1, "process_vm": 1}
CALLS_WHEN_IT_WAITS = {
    "spin": 0, "futex": 2, "posix_sem": 2, "sysv_sem": 4, "eventfd": 4, "process_vm": 3,
}  # fmt: skip
CALLS_WHEN_NOBODY_WAITS = {
    "spin": 0, "futex": 0, "posix_sem": 0, "sysv_sem": 4, "eventfd": 4, "process_vm": 1,
}  # fmt: skip

needs_trace = pytest.mark.skipif(trace.why_not() is not None, reason=str(trace.why_not()))


def observed(**options: Any) -> dict[str, Any]:
    return walkthroughs.observe("mode_switches", options)


def check_counts(facts: dict[str, Any], name: str, waiting: str, message: str) -> None:
    """The counts of one mechanism: against each other, and against what they must be."""
    shares = family(name) == "shared-memory"
    for number, situation in enumerate(SITUATIONS[: 3 if shares else 2]):

        def fact(what: str, situation: str = situation) -> Any:
            return facts[f"{name}, {situation}: {what}"]

        calls = fact("system calls")
        assert fact("arrived") == message
        assert fact("system calls in the trace") == calls
        assert fact("mode switches") == 2 * calls
        assert fact("system calls by the loop") == (None if waiting == "posix_sem" else calls)
        known = CALLS_WHEN_NOBODY_WAITS if number else CALLS_WHEN_IT_WAITS
        assert calls == known.get(waiting if shares else name, 2), situation
        copies = 0 if number == 2 else COPIES.get(name, 2)
        assert fact("copies") == copies
        assert fact("bytes copied") == copies * len(message)


@needs_trace
class TestEveryMechanism:
    """Trace and loop agree, in the same traced run. (tests/test_mechanisms.py: a hundred times.)"""

    @pytest.mark.parametrize(
        ("one", "other"), list(zip(names(extra=True)[:-1:2], names(extra=True)[1::2], strict=True))
    )
    def test_the_trace_and_the_loop_agree(self, one: str, other: str) -> None:
        data = observed(mechanism=one, beside=other, message="hello!")
        for name in (one, other):
            check_counts(data["facts"], name, "futex", "hello!")
        assert not faults(data)
        assert not data["notes"]

    @pytest.mark.parametrize("waiting", Mechanism.WAITINGS)
    def test_every_way_of_waiting(self, waiting: str) -> None:
        placement = "cross-cpu" if len(cpus.allowed()) > 1 else "same-cpu"
        data = observed(mechanism="memfd", waiting=waiting, placement=placement, message="x")
        check_counts(data["facts"], "memfd", waiting, "x")
        assert not faults(data)

    def test_the_last_of_them(self) -> None:
        name = names(extra=True)[-1]
        check_counts(observed(mechanism=name)["facts"], name, "futex", "hello")

    def test_where_the_scheduler_decides(self) -> None:
        data = observed(mechanism="sysv_mq", placement="free", message="12345678")
        check_counts(data["facts"], "sysv_mq", "kernel", "12345678")


@pytest.fixture(scope="module", params=["pipe", "posix_shm"])
def data(request: pytest.FixtureRequest) -> dict[str, Any]:
    return observed(mechanism=request.param)


@needs_trace
class TestSteps:
    def test_mode_switches_and_context_switches_are_told_apart(self, data: dict[str, Any]) -> None:
        for before, after in pairwise(data["steps"][:-1]):
            if not before["counts"] or after["title"].startswith(("A second", "Without")):
                continue  # counted anew
            modes = after["counts"]["mode switches"] - before["counts"]["mode switches"]
            switches = after["counts"]["context switches"] - before["counts"]["context switches"]
            drawn = [item["role"] for item in after["scene"] if item["kind"] == "arrow"]
            assert drawn.count("context") == switches, after["title"]
            assert ("mode" in drawn) == (modes > 0), after["title"]

    def test_a_mode_switch_leaves_the_process_as_it_is(self, data: dict[str, Any]) -> None:
        for end in ("producer", "consumer"):
            pids = {
                item["text"]
                for step in data["steps"]
                for item in step["scene"]
                if item["id"] == f"{end}.pid"
            }
            assert len(pids) == 1

    def test_events_stand_in_the_order_of_the_trace(self, data: dict[str, Any]) -> None:
        first = data["steps"][: next(
            n for n, step in enumerate(data["steps"]) if step["title"].startswith("A second")
        )]  # fmt: skip
        events = [
            int(each["where"].rpartition(" ")[2])
            for step in first
            for each in step["evidence"]
            if each["where"].startswith("ptrace")
        ]
        assert len(set(events)) == 4

    def test_the_bytes_are_where_they_were_seen(self, data: dict[str, Any]) -> None:
        shown = [
            {
                item["id"]: "".join(item["cells"])
                for item in step["scene"]
                if item["kind"] == "bytes"
            }
            for step in data["steps"]
        ]
        assert set(shown[0].values()) == {""}
        consumer = [buffers.get("consumer.buffer", "") for buffers in shown]
        written = next(n for n, text in enumerate(shown) if text["producer.buffer"] == "hello")
        arrived = consumer.index("hello")
        assert written < arrived
        assert set(consumer) == {"", "hello"}

    def test_the_call_is_the_mechanisms_own(self, data: dict[str, Any]) -> None:
        calls = " ".join(step["call"] for step in data["steps"])
        pipe = next(iter(data["facts"])).startswith("pipe")
        for words in ("write(", "read(") if pipe else ("FUTEX_WAIT", "FUTEX_WAKE", "memcpy("):
            assert words in calls

    def test_shared_memory_enters_the_kernel_when_somebody_waits(
        self, data: dict[str, Any]
    ) -> None:
        titles = [step["title"] for step in data["steps"]]
        entered = "Shared memory enters the kernel: futex" in titles
        assert entered == any(name.startswith("posix_shm") for name in data["facts"])

    def test_no_durations_are_shown(self, data: dict[str, Any]) -> None:
        for step in data["steps"]:
            assert " ns" not in step["narration"]
            assert " µs" not in step["narration"]


def test_a_context_switch_is_counted_where_the_consumer_sleeps() -> None:
    facts = observed(mechanism="fifo")["facts"]
    assert facts["fifo, the consumer waits: context switches"] >= 2
    assert facts["fifo, nobody waits: context switches"] == 1


@pytest.mark.parametrize("mechanism", ["pipe", "posix_shm", "process_vm"])
@pytest.mark.parametrize("waiting", ["futex", "posix_sem"])
def test_without_ptrace_the_loops_count(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, waiting: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{Path(TESTS).parent}:{TESTS}")
    options = {"mechanism": mechanism, "waiting": waiting}
    plan = {"name": "mode_switches", "options": options}
    found = experiment.run("bench_walks:without_ptrace", plan)
    assert "not traced here" in found.notes[0]
    assert len(found.value["steps"]) >= 6
    assert not faults(found.value)
    facts = found.value["facts"]
    hidden = mechanism == "posix_shm" and waiting == "posix_sem"
    calls = facts.get(f"{mechanism}, the consumer waits: system calls")
    assert calls == (None if hidden else 3 if mechanism == "process_vm" else 2)
    assert facts[f"{mechanism}, the consumer waits: arrived"] == "hello"


def test_counts_that_are_hidden_are_not_shown_as_zero() -> None:
    counts = Counts(hidden=True)
    assert "system calls" not in counts.named()
    assert counts.shown()[0] == "system calls ?"


class TestKilled:
    @pytest.mark.parametrize("moment", [1, 2, 4, 6])
    def test_the_stage(self, world: World, moment: int) -> None:
        world.passes(
            f"""
            from labkit.errors import LabkitError
            from labkit.harness import experiment
            plan = {{"moment": {moment}, "who": "stage"}}
            try:
                experiment.run("bench_walks:killed_on_the_way", plan)
            except LabkitError as error:
                assert "was killed by SIGKILL" in str(error), error
            else:
                raise AssertionError("nothing was said")
        """,
            grace_s=20.0,
        )

    @pytest.mark.parametrize(("who", "moment"), [("producer", 3), ("consumer", 2)])
    def test_an_end(self, world: World, who: str, moment: int) -> None:
        world.passes(
            f"""
            from labkit.errors import LabkitError
            from labkit.harness import experiment
            plan = {{"moment": {moment}, "who": "{who}"}}
            try:
                experiment.run("bench_walks:killed_on_the_way", plan)
            except LabkitError as error:
                assert "the {who} was killed by SIGKILL" in str(error), error
            else:
                raise AssertionError("nothing was said")
        """,
            grace_s=20.0,
        )


class TestBadRequests:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"mechanism": "pip"}, "did you mean 'pipe'"),
            ({"mechanism": None}, "there is no mechanism"),
            ({"beside": 7}, "there is no mechanism"),
            ({"beside": "pipe"}, "beside itself"),
            ({"waiting": "futexes"}, "did you mean 'futex'"),
            ({"waiting": "kernel"}, "there is no way of waiting"),
            ({"placement": "same"}, "there is no placement"),
            ({"message": ""}, "1 to 8 ASCII characters"),
            ({"message": "nine char"}, "1 to 8 ASCII characters"),
            ({"message": 5}, "1 to 8 ASCII characters"),
            ({"message": "ä"}, "ASCII"),
            ({"message": "a\n"}, "ASCII"),
        ],
    )
    def test_are_told_in_one_sentence(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(RequestError, match=said):
            observed(**options)

    def test_a_mechanism_that_is_refused(self, world: World) -> None:
        world.passes(
            """
            from labkit import walkthroughs
            from labkit.errors import LabkitError
            try:
                walkthroughs.observe("mode_switches", {"mechanism": "sysv_mq"})
            except LabkitError as error:
                assert "msgmni" in str(error), error
            else:
                raise AssertionError("nothing was said")
        """,
            sysctl={"kernel.msgmni": 0},
        )
