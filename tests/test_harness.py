"""The harness: what it says when something goes wrong, and that it says so and goes on."""

import ctypes
import mmap
from collections.abc import Callable
from typing import Any

import pytest
from conftest import World
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.harness.loop import consume, produce
from labkit.harness.payload import ALL, ENDS, WRONG_MESSAGE
from labkit.harness.refusal import wrong_message
from labkit.mechanisms.contract import SEQUENCE, STATE_WORDS

TOUCH = {"ends": ENDS, "all": ALL}


class Line:
    """A mechanism without a kernel: messages in a list, for a test to meddle with."""

    def __init__(self, message_size: int) -> None:
        self.messages: list[bytes] = []
        self.memory = mmap.mmap(-1, message_size)
        self.place = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.sent = (ctypes.c_int64 * STATE_WORDS)()
        self.received = (ctypes.c_int64 * STATE_WORDS)()
        self.size = message_size

    def claim(self, ch: Any, n: int) -> int:
        return self.place

    def publish(self, ch: Any, n: int) -> int:
        self.messages.append(self.memory[:n])
        return 0

    def peek(self, ch: Any, n: int) -> int:
        self.memory[:n] = self.messages.pop(0)
        return self.place

    def release(self, ch: Any, n: int) -> int:
        return 0

    def send(self, count: int, touch: int) -> None:
        for _ in range(count):
            assert produce(self.claim, self.publish, self.sent, self.size, touch, 0) == 0

    def first_wrong(self, touch: int) -> str | None:
        """Receive everything: what the check says of the first message that is wrong."""
        while self.messages:
            if status := consume(self.peek, self.release, self.received, self.size, touch, 0):
                assert status == WRONG_MESSAGE
                return wrong_message("consumer", self.received)
        return None


def lose(messages: list[bytes]) -> None:
    del messages[4]


def lose_two(messages: list[bytes]) -> None:
    del messages[4:6]


def repeat(messages: list[bytes]) -> None:
    messages.insert(4, messages[3])


def swap(messages: list[bytes]) -> None:
    messages[4], messages[5] = messages[5], messages[4]


def overwrite(messages: list[bytes]) -> None:
    messages[4] = b"\xff" * len(messages[4])


def mix(messages: list[bytes]) -> None:
    half = len(messages[4]) // 2
    messages[4] = messages[4][:half] + messages[5][half:]


@pytest.mark.parametrize("touch", ["ends", "all"])
@pytest.mark.parametrize("message_size", [8, 15, 16, 100, 4096])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lose, "message 6 (one or more lost or reordered)"),
        (lose_two, "message 7 (one or more lost or reordered)"),
        (repeat, "message 4 again or late (repeated or reordered)"),
        (swap, "message 6 (one or more lost or reordered)"),
        (overwrite, "bytes that are no message of this run"),
    ],
)
def test_what_is_wrong_is_named(
    fault: Callable[[list[bytes]], None], said: str, message_size: int, touch: str
) -> None:
    line = Line(message_size)
    line.send(9, TOUCH[touch])
    fault(line.messages)
    assert line.first_wrong(TOUCH[touch]) == f"the consumer expected message 5 and found {said}."


@pytest.mark.parametrize("message_size", [16, 17, 100, 4096])
@pytest.mark.parametrize("touch", ["ends", "all"])
def test_a_message_of_two_halves_is_torn(message_size: int, touch: str) -> None:
    line = Line(message_size)
    line.send(9, TOUCH[touch])
    mix(line.messages)
    said = line.first_wrong(TOUCH[touch])
    assert said is not None
    assert "expected message 5 and found a torn one" in said


@settings(max_examples=300)
@given(st.data(), st.integers(8, 300))
def test_every_bit_counts(data: st.DataObject, message_size: int) -> None:
    line = Line(message_size)
    line.send(3, ALL)
    where = data.draw(st.integers(0, 8 * message_size - 1))
    wrong = bytearray(line.messages[1])
    wrong[where // 8] ^= 1 << where % 8
    line.messages[1] = bytes(wrong)
    said = line.first_wrong(ALL)
    assert said is not None
    assert said.startswith("the consumer expected message 2 and found ")
    assert line.received[SEQUENCE] == 2


@given(st.integers(8, 300), st.integers(1, 20))
def test_nothing_is_said_of_good_messages(message_size: int, count: int) -> None:
    for touch in (ENDS, ALL):
        line = Line(message_size)
        line.send(count, touch)
        assert line.first_wrong(touch) is None


BREAK = """
    import broken
    from bench import cell, measure, replace, stall_after, verbs_of
    from broken import AT

    def broken_one(engine="compiled", name="pipe", pattern="throughput", **verbs):
        replace(name, verbs=verbs_of(name, **verbs))
        copy = "in-place" if name == "posix_shm" else "copy"
        first = cell(name, 100, pattern, engine=engine, copy=copy)
        found = measure([first, cell("fifo", 100, pattern), cell("unix_dgram", 100, pattern)])
        assert found.of(1) == found.of(2) == ("ok", ""), found.bad()  # the others are measured
        assert {sample["cell"] for sample in found.samples} == {1, 2}
        status, reason = found.of(0)
        assert status == "failed", status
        return reason
"""


class TestWrongMessages:
    @pytest.mark.parametrize("engine", ["compiled", "python"])
    def test_fail_the_cell_and_no_other(self, world: World, engine: str) -> None:
        world.passes(
            BREAK
            + f"""
    expected = "the consumer expected message "
    wrong = {{
        "lose": f"{{expected}}{{AT}} and found message {{AT + 1}} (one or more lost or reordered).",
        "repeat": f"{{expected}}{{AT + 1}} and found message {{AT}} again or late "
                  "(repeated or reordered).",
        "swap": f"{{expected}}{{AT}} and found message {{AT + 1}} (one or more lost or reordered).",
        "tear": f"{{expected}}{{AT}} and found a torn one "
                "(its first bytes are right, others are not).",
        "scribble": f"{{expected}}{{AT}} and found bytes that are no message of this run.",
    }}
    for fault, said in wrong.items():
        reason = broken_one("{engine}", publish=getattr(broken, fault))
        assert reason == said, (fault, reason)
    reason = broken_one("{engine}", "posix_shm", publish=broken.tear_in_place)
    assert reason == wrong["tear"], reason
    """
        )

    def test_the_answer_of_a_ping_pong_is_checked_too(self, world: World) -> None:
        world.passes(
            BREAK
            + """
    # The broken publish is the producer's and, for the answers, the consumer's.
    reason = broken_one(pattern="latency", publish=broken.tear)
    assert reason.startswith(f"the consumer expected message {AT} and found a torn one"), reason
    def tear_answers(ch, n):
        if ch[broken.SEQUENCE] == AT and answering(ch):
            return broken.tear(ch, n)
        return broken.publish_to_pipe(ch, n)
    from labkit.harness.ends import EndProcess
    from labkit.mechanisms.contract import SELF
    mine = []
    serve = EndProcess.serve
    def serve_and_remember(self):
        mine.append(self.shared.state_address("consumer", 1))
        serve(self)
    EndProcess.serve = serve_and_remember
    def answering(ch):
        return ch[SELF] == mine[0]
    reason = broken_one("python", pattern="latency", publish=tear_answers)
    assert reason.startswith(f"the producer expected message {AT} and found a torn one"), reason
    """
        )


class TestDeadEnds:
    """Ends that die, leave, stand still or are refused, at a message that is known."""

    @pytest.mark.parametrize("engine", ["compiled", "python"])
    def test_are_named_with_signal_and_message(self, world: World, engine: str) -> None:
        world.passes(
            BREAK
            + f"""
    for pattern in "throughput", "latency":
        reason = broken_one("{engine}", pattern=pattern, publish=broken.die_sending)
        assert reason == f"the producer was killed by SIGKILL at message {{AT}}.", reason
        reason = broken_one("{engine}", peek=broken.die_receiving)
        assert reason == f"the consumer was killed by SIGKILL at message {{AT}}.", reason
    reason = broken_one("{engine}", peek=broken.exit_receiving)
    assert reason == f"the consumer exited with status 3 at message {{AT}}.", reason
    """
        )

    def test_that_stand_still_are_stopped(self, world: World) -> None:
        world.passes(
            BREAK
            + """
    stall_after(0.9)
    for verbs in {"publish": broken.stop_sending}, {"peek": broken.stop_receiving}:
        reason = broken_one(**verbs)
        assert "made no progress for" in reason and f"(at message {AT})" in reason, reason
    # A lost message leaves both ends of a ping-pong waiting for each other.
    reason = broken_one(pattern="latency", publish=broken.lose)
    assert reason.startswith(
        f"the producer (at message {AT}) and the consumer (at message {AT}) made no progress for"
    ), reason
    """
        )

    def test_a_refusal_in_the_middle_is_a_failure(self, world: World) -> None:
        world.passes(
            BREAK
            + """
    reason = broken_one(publish=broken.refuse)
    assert reason.startswith("pipe refused 100 B (EIO"), reason
    """
        )

    def test_a_mistake_in_a_mechanism_is_shown(self, world: World) -> None:
        world.passes(
            BREAK
            + """
    reason = broken_one("python", publish=broken.raise_sending)
    assert reason == "the producer stopped with KeyError: 'no such place'.", reason
    """
        )

    def test_die_while_they_are_traced(self, world: World) -> None:
        world.passes("""
            import broken
            from bench import cell, measure, replace, verbs_of
            from labkit.harness import rounds
            from labkit.kernel.compiler import measured
            from labkit.mechanisms.contract import SEQUENCE

            count = rounds.Rounds._traced_calls
            def die_now(self, pair, state):
                import os, signal
                order = pair.order_traced
                def order_traced(what, on_call):
                    def on_call_and_kill(end, call):
                        if end == "consumer" and self._shared.record(end)[0]:
                            os.kill(pair.pids[end], signal.SIGKILL)
                        on_call(end, call)
                    return order(what, on_call_and_kill)
                pair.order_traced = order_traced
                return count(self, pair, state)
            rounds.Rounds._traced_calls = die_now
            cells = [cell("posix_shm", 64, "latency", waiting="posix_sem"), cell("pipe")]
            found = measure(cells, trace=True)
            status, reason = found.of(0)
            assert status == "failed", status
            assert reason.startswith("in the traced run, the consumer was killed by SIGKILL at ")
            assert found.of(1) == ("ok", "")
        """)


SESSION = """
    import dataclasses, os, signal, sys, time
    from bench import cell, channels, kill_end, wait_for
    from labkit.errors import LabkitError
    from labkit.harness.session import Session

    def plan(cells, seconds=4.0, repeats=6):
        return {
            "cells": [dataclasses.asdict(each) for each in cells],
            "reasons": [None] * len(cells),
            "deadline": time.monotonic() + seconds,
            "least_seconds": seconds,
            "repeats": repeats,
        }

    def everything():
        return [cell(name, 64, pattern, waiting=waiting)
                for name, waiting in channels() for pattern in ("latency", "throughput")]
"""


class TestKilledFromOutside:
    """The helper and its ends, killed while they measure."""

    @pytest.mark.parametrize("victim", ["producer", "consumer"])
    def test_an_end(self, world: World, victim: str) -> None:
        world.passes(
            SESSION
            + f"""
    cells = [cell("pipe"), cell("sysv_shm"), cell("fifo", pattern="latency")]
    outcomes, samples, failed, kills, since = {{}}, [0, 0, 0], [], 0, 3
    with Session(plan(cells, repeats=60)) as session:
        helper = session._process.pid
        for event in session.events():
            if event["event"] == "ready":
                session.go()
            if event["event"] == "outcome":
                outcomes[event["cell"]] = event
                if event["status"] == "failed":
                    failed.append(event | {{"samples": list(samples)}})
            if event["event"] == "sample":
                samples[event["cell"]] += 1
                since += 1
                # An earlier one may have hit a pair at its end; or the word has not come through
                # yet on a busy machine, and then it is two that are told of.
                if not failed and since >= 3:
                    wait_for(lambda: kill_end(helper, {victim == "consumer":d}))
                    kills, since = kills + 1, 0
    assert 1 <= len(failed) <= kills, failed
    for each in failed:
        assert each["reason"].startswith("the {victim} was killed by SIGKILL at message "), each
    for number in {{0, 1, 2}} - {{each["cell"] for each in failed}}:
        assert outcomes[number]["status"] == "ok", outcomes
        assert samples[number] > failed[-1]["samples"][number]  # it was measured afterwards too
    """
        )

    def test_the_helper(self, world: World) -> None:
        world.passes(
            SESSION
            + """
    try:
        with Session(plan([cell("pipe"), cell("tcp"), cell("mmap_anon")])) as session:
            for event in session.events():
                if event["event"] == "ready":
                    session.go()
                if event["event"] == "sample":
                    os.kill(session._process.pid, signal.SIGKILL)
    except LabkitError as error:
        assert str(error) == "the helper process was killed by SIGKILL in the middle.", error
    else:
        raise AssertionError("nothing was said")
    """,
            grace_s=120.0,
        )

    def test_the_helper_when_told_to_leave(self, world: World) -> None:
        world.passes(
            SESSION
            + """
    for number in (1, 12, 30):
        try:
            with Session(plan(everything())) as session:
                for event in session.events():
                    if event["event"] == "ready":
                        session.go()
                    if event["event"] == "sample":
                        number -= 1
                        if number == 0:
                            session._process.terminate()
        except LabkitError as error:
            assert str(error) == "the helper process ended with status 1 in the middle.", error
        else:
            raise AssertionError("nothing was said")
    """
        )

    def test_a_helper_that_cannot_start(self, world: World) -> None:
        world.passes(
            SESSION
            + """
    import shutil
    sys.executable = shutil.which("false")
    for cells in [cell("pipe")], [cell("pipe", size) for size in range(8, 8000)]:
        try:
            with Session(plan(cells)) as session:
                for event in session.events():
                    pass
        except LabkitError as error:
            assert str(error) == "the helper process ended with status 1 in the middle.", error
        else:
            raise AssertionError("nothing was said")
    """
        )

    def test_what_a_helper_complained_of_is_told(self, world: World) -> None:
        world.passes(
            SESSION
            + """
    broken_plan = plan([cell("pipe")])
    broken_plan["cells"][0]["mechanism"] = "carrier_pigeon"
    try:
        with Session(broken_plan) as session:
            for event in session.events():
                pass
    except LabkitError as error:
        assert str(error).startswith("the helper process ended with status 1 in the middle: ")
        assert "carrier_pigeon" in str(error), error
    else:
        raise AssertionError("nothing was said")
    """
        )


class TestNarrowPlaces:
    """Where the kernel refuses, a cell is skipped with its reason and the others are measured."""

    def test_no_room_for_posix_queues(self, world: World) -> None:
        world.passes("""
            import resource
            from bench import cell, measure
            resource.setrlimit(resource.RLIMIT_MSGQUEUE, (100, 100))
            found = measure([cell("posix_mq"), cell("sysv_mq")])
            status, reason = found.of(0)
            assert status == "skipped", status
            assert "RLIMIT_MSGQUEUE" in reason and "ulimit -q" in reason, reason
            assert found.of(1) == ("ok", "")
        """)

    @pytest.mark.parametrize("least", [True, False])
    def test_a_small_shared_memory_folder(self, world: World, least: bool) -> None:
        sizes = "[65536, 8]" if least else "[8, 65536]"
        world.passes(
            f"""
            from bench import cell, measure
            cells = [cell("posix_shm", size, pattern, copy="in-place")
                     for size in {sizes} for pattern in ("throughput", "latency")]
            found = measure([*cells, cell("memfd"), cell("sysv_shm", 65536)])
            for number, each in enumerate(cells):
                status, reason = found.of(number)
                if status == "skipped":
                    assert reason.startswith("posix_shm refused "), reason
                    assert "ENOSPC" in reason and "--shm-size" in reason, reason
                else:
                    assert (status, reason) == ("ok", ""), reason
            assert found.of(0)[0] == "skipped"  # a stream wants 64 KiB of room, and some more
            assert found.of(4) == found.of(5) == ("ok", "")
            """,
            shm_bytes=64 * 1024,
        )

    def test_a_full_temporary_folder(self, world: World) -> None:
        world.passes(
            """
            from bench import cell, measure
            found = measure([cell("mmap_file", 1 << 20), cell("fifo")])
            status, reason = found.of(0)
            assert status == "skipped", status
            assert "ENOSPC" in reason and "TMPDIR" in reason, reason
            assert found.of(1) == ("ok", "")
            """,
            temporary_bytes=64 * 1024,
        )

    def test_limits_of_system_v(self, world: World) -> None:
        world.passes(
            """
            from pathlib import Path
            from bench import cell, measure
            for setting, value, name, waiting in (
                ("shmmni", "0", "sysv_shm", "futex"),
                ("shmmax", "4096", "sysv_shm", "futex"),
                ("shmall", "1", "sysv_shm", "futex"),
                ("msgmni", "0", "sysv_mq", "kernel"),
                ("msgmax", "32", "sysv_mq", "kernel"),
                ("sem", "1 1 1 1", "posix_shm", "sysv_sem"),
            ):
                file = Path("/proc/sys/kernel", setting)
                before = file.read_text()
                file.write_text(value)
                found = measure([cell(name, waiting=waiting), cell("posix_shm")])
                file.write_text(before)
                status, reason = found.of(0)
                assert status == "skipped", (setting, status, reason)
                assert reason.startswith(f"{name} refused 64 B (E"), reason
                assert setting in reason and "\\n" not in reason, reason
                assert found.of(1) == ("ok", ""), setting
            """,
            sysctl={"kernel.shmmni": 100},
        )

    def test_few_descriptors(self, world: World) -> None:
        world.passes("""
            import os, resource
            from bench import ENGINES, cell, channels, children, measure
            from labkit.mechanisms import mechanism

            def opened():
                return len(os.listdir("/proc/self/fd"))

            cells = [cell(name, 64, "latency", waiting=waiting) for name, waiting in channels()
                     if waiting in ("kernel", "futex", "sysv_sem")]
            everything = measure(cells)
            assert not everything.bad(), everything.bad()
            before, skipped = opened(), []
            for more in (3, 6, 7, 8, 12, 30):
                resource.setrlimit(resource.RLIMIT_NOFILE, (before - 1 + more, 4096))
                found = measure(cells)
                resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
                assert opened() == before
                assert children(os.getpid()) == []
                skipped.append(len(found.bad()))
                for number in range(len(cells)):
                    status, reason = found.of(number)
                    if status != "ok":
                        assert status == "skipped", (status, reason)
                        assert "EMFILE" in reason or "Too many open files" in reason, reason
            assert skipped[0] == len(cells) and skipped[-1] < len(cells), skipped
        """)

    def test_a_single_cpu(self, world: World) -> None:
        world.passes("""
            import os
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            import labkit
            run = labkit.compare(
                ["pipe", "memfd"], "64", "latency", "all", "spin,futex", budget=2, progress=False
            )
            rows = run.summary.set_index(["waiting", "placement"])[["status", "reason"]]
            assert len(rows) == 9
            for (waiting, placement), (status, reason) in rows.iterrows():
                if placement == "cross-cpu":
                    assert status == "skipped" and "one CPU" in reason, reason
                elif waiting == "spin":
                    assert status == "skipped" and "spinning waiter" in reason, reason
                else:
                    assert status == "ok", reason
        """)

    def test_messages_above_a_limit(self, world: World) -> None:
        said = world.passes("""
            from bench import cell, measure
            names = "sysv_mq", "posix_mq", "unix_dgram", "unix_seqpacket"
            cells = [cell(name, 1 << 25, pattern) for name in names
                     for pattern in ("latency", "throughput")]
            found = measure(cells)
            for number in range(len(cells)):
                status, reason = found.of(number)
                assert status == "skipped", (status, reason)
                print(reason)
        """).splitlines()
        assert all("sysctl -w" in line for line in said)
        for number, name in enumerate(["sysv_mq", "posix_mq", "unix_dgram", "unix_seqpacket"]):
            assert said[2 * number].startswith(f"{name} refused 32 MiB (E")


class TestAnotherUser:
    def test_can_run_a_comparison(self, other_user: Callable[[], World]) -> None:
        other_user().passes(
            """
            import labkit
            run = labkit.compare(sizes="64", placements="same-cpu", budget=5, progress=False)
            rows = run.summary.set_index(["mechanism", "waiting", "pattern"])[["status", "reason"]]
            for (_, waiting, _), (status, reason) in rows.iterrows():
                assert status == ("skipped" if waiting == "spin" else "ok"), reason
            assert (run.summary.mechanism.nunique(), len(rows)) == (13, 36)
            """,
            user=65534,
        )


def test_a_comparison_through_the_helper(world: World) -> None:
    world.passes("""
        import labkit
        stages = []
        run = labkit.compare(
            sizes="8,100", placements="same-cpu", waiting="futex,sysv_sem,posix_sem",
            verify="full", budget=6, progress=lambda told: stages.append(told.stage),
        )
        summary = run.summary
        assert (summary.status == "ok").all(), summary[summary.status != "ok"].to_string()
        assert (summary.touch == "all").all()
        assert {"compiling", "measuring"} <= set(stages), stages
        # Where nothing is hidden and a message fits, the system calls are known exactly.
        kernel = summary[(summary.waiting == "kernel") & (summary.pattern == "latency")]
        assert (kernel.system_calls_per_message == 4).all(), kernel.to_string()
        system_v = summary[(summary.waiting == "sysv_sem") & (summary.pattern == "latency")]
        assert (system_v.system_calls_per_message == 8).all(), system_v.to_string()
        traced = summary[summary.waiting == "posix_sem"]
        assert (traced.system_calls_source == "trace").all()
        traced = traced[traced.pattern == "latency"]  # a stream may have found room for it all
        assert (traced.system_calls_per_message > 0).all(), traced.to_string()
    """)
