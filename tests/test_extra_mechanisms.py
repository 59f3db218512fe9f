"""What the mechanisms that save a copy claim: that nothing is copied, or once, and never too late.

They also pass every test of the other mechanisms (test_mechanisms.py).
"""

from pathlib import Path

import pytest
from conftest import World

from labkit import mechanisms
from labkit.checkup.tried import try_mechanism
from labkit.harness.request import build_request
from labkit.mechanisms import pipe_vmsplice, process_vm


class TestLentPages:
    def test_are_in_the_pipe_themselves_until_they_are_read(self, world: World) -> None:
        """Written to before it is read, the message changes: so it was not copied."""
        world.passes("""
            import ctypes, os
            from labkit.kernel.memory import words
            from labkit.kernel.objects import Objects
            from labkit.mechanisms import pipe, pipe_vmsplice
            from labkit.mechanisms.contract import BUFFER, SELF, STATE_WORDS

            def sent_then_overwritten(module, channel, publish):
                with Objects() as objects:
                    this = channel(objects, 64, 512, "kernel")
                    reading = os.dup(this.reading)
                    own = ctypes.create_string_buffer(b"before", 64)
                    state = (ctypes.c_int64 * STATE_WORDS)()
                    state[SELF] = ctypes.addressof(state)
                    state[BUFFER] = ctypes.addressof(own)
                    this.open("producer", state)
                    place = module.MECHANISM.verbs.claim(state, 64)
                    ctypes.memmove(place, b"before", 6)
                    assert publish(state, 64) == 0
                    ctypes.memmove(place, b"behind", 6)
                    text = os.read(reading, 64)
                    this.close()
                    os.close(reading)
                    return text[:6]

            lent = sent_then_overwritten(
                pipe_vmsplice, pipe_vmsplice.LentPagesChannel, pipe_vmsplice.publish)
            copied = sent_then_overwritten(pipe, pipe.PipeChannel, pipe.publish)
            assert (lent, copied) == (b"behind", b"before"), (lent, copied)
        """)

    def test_come_round_only_when_they_were_read(self, world: World) -> None:
        """A pipe filled to the brim by a producer that keeps writing: nothing changes in it."""
        world.passes("""
            import ctypes, errno, os
            from labkit.kernel.objects import Objects
            from labkit.mechanisms.contract import SELF, STATE_WORDS
            from labkit.mechanisms.pipe_vmsplice import LentPagesChannel, claim, publish

            for size in (8, 57, 4095, 4096, 4097, 12288, 65539):
                with Objects() as objects:
                    this = LentPagesChannel(objects, size, max(65536, 4 * size), "kernel")
                    reading = os.dup(this.reading)
                    state = (ctypes.c_int64 * STATE_WORDS)()
                    state[SELF] = ctypes.addressof(state)
                    this.open("producer", state)
                    this.refuse_to_wait(state)
                    sent = taken = 0
                    left = b""  # of the message that is being read
                    for step in range(1000):
                        place = claim(state, size)
                        # The next message is written before there may be room for it.
                        ctypes.memset(place, (sent + 1) % 251, size)
                        status = publish(state, size)
                        if status == 0:
                            sent += 1
                            continue
                        assert status == -errno.EAGAIN, status
                        pushed = state[4]  # bytes of it that are in the pipe: TAKEN
                        while sent > taken:
                            left += os.read(reading, size - len(left))
                            if len(left) == size:
                                taken += 1
                                assert set(left) == {taken % 251}, (size, taken)
                                left = b""
                        if pushed:
                            break  # a part of a message has no second try here
                    assert taken > 2, size
                    this.close()
                    os.close(reading)
        """)

    @pytest.mark.parametrize("size", [8, 63, 64, 65, 100, 2048, 2049, 4095, 4096, 4097, 1 << 20])
    def test_a_message_takes_no_more_pages_than_it_must(self, size: int) -> None:
        stride = pipe_vmsplice.stride_for(size)
        assert stride >= size
        for start in range(0, 8 * 4096, stride):
            first, last = start // 4096, (start + size - 1) // 4096
            assert last - first + 1 == -(-size // 4096)


class TestReadingAnotherProcess:
    def test_is_one_call_a_message_and_moves_every_byte(self, world: World) -> None:
        world.passes("""
            from bench import Ends, cell
            from labkit.kernel import trace
            if trace.why_not() is None:
                with Ends(cell("process_vm", 5000)) as ends:
                    reads = [c for c in ends.trace(100) if c.name == "process_vm_readv"]
                    assert len(reads) == 100
        """)

    def test_refused_is_skipped_with_what_to_do(self, world: World, another_user: int) -> None:
        """A process that may not be traced may not be read either. prctl(2), PR_SET_DUMPABLE"""
        done = world.run(
            """
            import ctypes
            from bench import cell, measure
            from labkit.mechanisms.process_vm import OtherMemoryChannel

            opened = OtherMemoryChannel.open
            def undumpable(self, end, state):
                opened(self, end, state)
                ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
            OtherMemoryChannel.open = undumpable
            found = measure([cell("process_vm", 64, "latency"), cell("pipe", 64)])
            print(*found.of(0))
            assert found.of(1) == ("ok", ""), found.of(1)
            """,
            user=another_user,
        )
        assert done.status == 0, done.err
        assert done.out.startswith("skipped process_vm refused 64 B (EPERM")
        assert "ptrace_scope=1" in done.out
        assert done.left == []

    def test_works_for_a_user_without_rights(self, world: World, another_user: int) -> None:
        world.passes(
            """
            from bench import cell, measure
            found = measure([cell("process_vm", 5000, p) for p in ("latency", "throughput")])
            assert not found.bad(), found.bad()
            """,
            user=another_user,
        )


def test_are_measured_only_when_asked_for() -> None:
    extra = set(mechanisms.names(extra=True)) - set(mechanisms.names())
    assert not extra & set(build_request(cpus=2).mechanisms)
    assert extra <= set(build_request("all", cpus=2).mechanisms)
    for name in extra:
        assert build_request(name, cpus=2).mechanisms == (name,)


def test_a_killed_reader_or_writer_is_named(world: World) -> None:
    world.passes("""
        import os, signal
        from bench import Ends, cell, wait_for
        from labkit.harness.pair import EndDied
        cells = [cell(name, 64) for name in ("pipe_vmsplice", "process_vm")]
        cells.append(cell("memfd", 64, waiting="eventfd"))
        for this in cells:
            for victim in "producer", "consumer":
                with Ends(this) as ends:
                    count = 1 << 40
                    ends.pair.give(
                        {"do": "measure", "cell": 0, "warm": 8, "count": count, "singles": 0})
                    wait_for(lambda: ends.pair.progress("consumer") > 100)
                    os.kill(ends.pair.pids[victim], signal.SIGKILL)
                    try:
                        replies = ends.pair.replies(64)
                        # The other end may be the first to notice: its partner has gone.
                        assert {r["status"] for r in replies.values()} == {0, -32}, replies
                    except EndDied as died:
                        assert f"the {victim} was killed by SIGKILL" in str(died)
    """)


@pytest.mark.parametrize("scope", ["2", "3"])
def test_the_doctor_says_when_reading_is_forbidden(
    scope: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yama = tmp_path / "ptrace_scope"
    yama.write_text(scope)
    monkeypatch.setattr(process_vm, "YAMA", yama)
    finding = try_mechanism("process_vm")
    assert not finding.available
    assert "EPERM" in finding.why
    assert "kernel.yama.ptrace_scope" in finding.remedy
    yama.write_text("1")
    assert "EPERM" not in try_mechanism("process_vm").why
