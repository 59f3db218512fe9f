"""The class notes, tested: each verdict follows from what was observed, and from that alone."""

import csv
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import World

import labkit.cli
from labkit.claims import COLUMNS, examine, report, speed, trying
from labkit.claims.claim import (
    CONDITION,
    FAILED,
    FALSE,
    HOLDS,
    UNTRIED,
    VERDICTS,
    Claim,
    Found,
    NotHere,
    in_words,
    verdict,
)
from labkit.claims.trying import CLAIMS

ROOT = Path(__file__).resolve().parent.parent
BY_ID = {claim.id: claim for claim in CLAIMS}
OF_THE_NOTES = [claim for claim in CLAIMS if claim.said]
ADDED = [claim for claim in CLAIMS if not claim.said]
STAGED = [claim.id for claim in CLAIMS if claim.experiment is not None]

Rows = dict[str, dict[str, Any]]

RUN = """
    import json, os, sys
    from labkit import claims
    from labkit.claims import trying
    only = [claim.id for claim in trying.CLAIMS if claim.experiment is not None]
    print(json.dumps(claims.examine(only=only)))
"""


@pytest.fixture(scope="module")
def rows(module_world: World) -> Rows:
    """All claims that are tried on the stage, tried once for all tests of this file."""
    found = json.loads(module_world.passes(RUN))
    return {row["id"]: row for row in found}


# What the manual pages say. A machine may refuse to try one; it must not contradict them.
CONDITIONAL = {
    *("through-the-kernel", "no-switch-to-access", "create-or-find", "returns-id", "shmget-flags"),
    *("size-rounded", "size-of-existing", "given-address", "shmat-flags", "zero-is-read-write"),
    *("shmctl-deletes", "reading-takes-out", "only-shmctl-deletes", "boundaries"),
}
WRONG = {"shmmax-is-a-number", "shmmax-is-4096", "cat-proc-sys-m"}


def expected(name: str) -> str:
    return CONDITION if name in CONDITIONAL else FALSE if name in WRONG else HOLDS


@pytest.mark.parametrize("name", STAGED)
def test_the_verdict_is_that_of_the_manual_pages(rows: Rows, name: str) -> None:
    row = rows[name]
    if row["verdict"] == UNTRIED:
        pytest.skip(row["observed"])
    assert row["verdict"] == expected(name), row["observed"]
    assert row["observed"].endswith(".")
    assert row["evidence"]
    assert bool(row["remark"]) == (row["verdict"] != HOLDS)


# For each claim, facts as they might have been: changes to what was observed, and the verdict then.
TURNED: dict[str, list[tuple[dict[str, Any], str]]] = {
    "many-processes": [({"read": ["ABC", "A", "ABC"]}, FALSE), ({"processes": 1}, FALSE)],
    "one-copy": [
        ({"shown": True, "frames": ["0x1", "0x2"]}, FALSE),
        ({"shown": False, "alone": True}, FALSE),
        ({"shown": False, "alone": False, "page": 4096, "proportional": 4096}, FALSE),
        ({"shown": False, "alone": False, "page": 4096, "proportional": 2048}, HOLDS),
    ],
    "own-address": [({"first": "0x1", "second": "0x1"}, FALSE), ({"found": ""}, FALSE)],
    "private-stays-private": [({"private": "after"}, FALSE), ({"shared": "before"}, FALSE)],
    "messages-switch-modes": [({"fewest": 0}, FALSE), ({"fewest": 1}, FALSE)],
    "through-the-kernel": [
        ({"spliced": "as it was sent"}, HOLDS),
        ({"received": {"pipe": "changed later!"}}, FALSE),
        ({"held": {"pipe": 0}}, FALSE),
    ],
    "no-switch-to-access": [({"first": 0}, HOLDS), ({"calls": 1}, FALSE), ({"again": 9}, FALSE)],
    "set-up-switches": [({"calls": ["shmat", "shmdt"]}, FALSE), ({"calls": []}, FALSE)],
    "waiting-switches": [
        ({"system_v": 0}, FALSE),
        ({"posix": 2}, FALSE),
        ({"waited": 0}, FALSE),
    ],
    "declarations": [({"seen": {}}, FALSE)],
    "create-or-find": [({"bare": "accepted"}, HOLDS), ({"found": [-1, -1]}, FALSE)],
    "returns-id": [({"failed": 0}, HOLDS), ({"listed": None}, FALSE)],
    "zeroes": [({"other": 1}, FALSE)],
    "shmget-flags": [({"bare": "accepted"}, HOLDS), ({"recorded": ["0644"]}, FALSE)],
    "other-users": [
        ({"find": "accepted"}, FALSE),
        ({"read": "accepted"}, FALSE),
        ({"bare": "EACCES"}, FALSE),
    ],
    "own-mode": [({"write": "accepted"}, FALSE), ({"read": "EACCES"}, FALSE)],
    "private-key": [({"ids": [1, 1]}, FALSE), ({"keys": ["0", "77"]}, FALSE)],
    "ftok-collides": [({"far": "0x0"}, FALSE), ({"computed": "0x0"}, FALSE)],
    "namespaces": [
        ({"key": "accepted"}, FALSE),
        ({"id": "accepted"}, FALSE),
        ({"listed": "seen"}, FALSE),
    ],
    "size-in-bytes": [({"recorded": 1}, FALSE)],
    "size-rounded": [
        ({"asked": 5000, "page": 4096, "mapped": 8192, "recorded": 8192}, HOLDS),
        ({"asked": 5000, "page": 4096, "mapped": 5000}, FALSE),
    ],
    "size-of-existing": [({"more": "accepted"}, HOLDS), ({"less": "EINVAL"}, FALSE)],
    "first-touch": [({"before": 4096}, FALSE), ({"after": 0}, FALSE)],
    "beyond-the-size": [({"behind": "SIGSEGV"}, FALSE), ({"outside": "nothing happened"}, FALSE)],
    "shmat-attaches": [({"other": 1}, FALSE), ({"after": 0}, FALSE), ({"caller": 0}, FALSE)],
    "given-address": [
        ({"unaligned": "accepted", "taken": "accepted"}, HOLDS),
        ({"got": "0x0"}, FALSE),
    ],
    "null-address": [({"places": ["0x1", "0x1"]}, FALSE), ({"found": 0}, FALSE)],
    "shmat-flags": [({"rounding": "EINVAL"}, HOLDS), ({"reading": "rw-s"}, FALSE)],
    "zero-is-read-write": [
        ({"closed": "accepted"}, HOLDS),
        ({"permissions": "r--s"}, FALSE),
    ],
    "shmat-returns": [({"mapped": None}, FALSE), ({"loaded": ""}, FALSE)],
    "read-only-fault": [({"reading": "nothing happened"}, FALSE)],
    "nattch-counts-attachments": [({"attached": 1}, FALSE)],
    "shmdt-detaches": [({"still": 1}, FALSE), ({"after": 1}, FALSE), ({"touch": "x"}, FALSE)],
    "shmdt-address": [({"inside": ["accepted", "EINVAL"]}, FALSE), ({"exact": "EINVAL"}, FALSE)],
    "detach-is-not-delete": [({"listed": False}, FALSE), ({"found": ""}, FALSE)],
    "shmctl-deletes": [({"held": False}, HOLDS), ({"free": True}, FALSE), ({"after": True}, FALSE)],
    "detached-at-the-end": [({"killed": 1}, FALSE), ({"exit": 1}, FALSE)],
    "marked-but-usable": [({"by_key": "accepted"}, FALSE), ({"found": ""}, FALSE)],
    "fork-inherits": [({"after": 1}, FALSE), ({"child": []}, FALSE), ({"read": ""}, FALSE)],
    "parent-and-child-talk": [({"parent_read": "from the parent"}, FALSE)],
    "exec-detaches": [({"after": 1}, FALSE), ({"still": 1}, FALSE)],
    "exec-keeps-the-segment": [({"again": "EINVAL"}, FALSE), ({"read": ""}, FALSE)],
    "exec-and-descriptors": [({"c_kept": 0}, FALSE), ({"python_kept": 2}, FALSE)],
    "shmmax-is-a-number": [({"larger": "accepted", "more": "ENOSPC"}, HOLDS)],
    "shmmax-is-4096": [({"shmmax": 4096}, HOLDS)],
    "shmmni-is-the-number": [({"three": ["accepted"] * 3}, FALSE)],
    "cat-proc-sys-m": [({"status": 0, "line": "0x1 2"}, HOLDS), ({"status": 0}, FALSE)],
    "ipcs-m": [({"line": ""}, FALSE), ({"status": 1}, FALSE)],
    "reading-takes-out": [
        ({"tee": "EAGAIN"}, HOLDS),
        ({"second": {"pipe": "hello"}}, FALSE),
    ],
    "reading-leaves": [({"reads": ["hello", ""]}, FALSE)],
    "only-shmctl-deletes": [
        ({"marked": ""}, HOLDS),
        ({"writer_gone": ""}, FALSE),
        ({"all_gone": ""}, FALSE),
        ({"listed": True}, FALSE),
    ],
    "writing-overwrites": [({"memory": "first"}, FALSE), ({"queue": ["second", ""]}, FALSE)],
    "boundaries": [
        ({"packets": ["refused (EINVAL)"]}, HOLDS),
        ({"pipe": "one"}, FALSE),
        ({"queue": ["onetwo", ""]}, FALSE),
    ],
    "room-is-bounded": [({"waits": False}, FALSE), ({"queue": "accepted"}, FALSE)],
    "end-of-a-pipe": [({"forgotten": "end of file"}, FALSE), ({"signal": "x"}, FALSE)],
    "fifo-keeps-only-its-name": [({"after": 5}, FALSE), ({"exists": False}, FALSE)],
    "queue-outlives-sender": [({"received": ""}, FALSE), ({"messages": 0}, FALSE)],
    "types-select": [({"got": "first, type 1"}, FALSE)],
    "lost-update": [({"end": 7}, FALSE)],
    "nobody-is-told": [({"after_write": True}, FALSE), ({"found": 0}, FALSE)],
    "killed-holder": [({"undo": 0}, FALSE), ({"given_back": "EAGAIN"}, FALSE)],
    "posix-size": [({"new": 4096}, FALSE), ({"behind": "SIGSEGV"}, FALSE)],
    "posix-unlink": [({"found": ""}, FALSE), ({"after": True}, FALSE)],
}


@pytest.mark.parametrize("name", STAGED)
def test_the_verdict_turns_with_the_facts(rows: Rows, name: str) -> None:
    row = rows[name]
    if row["verdict"] == UNTRIED:
        pytest.skip(row["observed"])
    assert verdict(BY_ID[name], row["facts"]) == row["verdict"]
    for changes, other in TURNED[name]:
        assert changes.keys() <= row["facts"].keys()
        facts = row["facts"] | changes
        assert verdict(BY_ID[name], facts) == other, changes
        assert in_words(BY_ID[name], facts)


def test_what_was_observed_is_said_in_its_own_words(rows: Rows) -> None:
    claim = BY_ID["size-of-existing"]
    facts = rows["size-of-existing"]["facts"] | {"more": "ENOTTEST"}
    assert "one byte more ENOTTEST" in in_words(claim, facts)


class TestTheList:
    def test_has_the_notes_and_more(self) -> None:
        assert len(BY_ID) == len(CLAIMS)
        assert len(OF_THE_NOTES) >= 30
        assert len(ADDED) >= 10

    @pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
    def test_is_well_formed(self, claim: Claim) -> None:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", claim.id)
        # One sentence, in the words of the lab; a source that can be looked up.
        assert claim.claim.endswith(".")
        assert not re.search(r"\.\s+[A-Z]", claim.claim)
        assert re.search(r"\w\(\d\)|chapter \d|section \d", claim.source)
        for text in (claim.observed, claim.condition, claim.instead):
            assert not text or text.endswith((".", ".'"))

    @pytest.mark.parametrize("name", sorted(CONDITIONAL | WRONG))
    def test_says_what_is_to_be_added(self, name: str) -> None:
        claim = BY_ID[name]
        assert claim.condition if name in CONDITIONAL else claim.instead

    def test_every_rule_is_turned(self) -> None:
        assert set(TURNED) == set(STAGED)
        assert all(TURNED.values())


def made_up(**more: Any) -> dict[str, Any]:
    row = {"status": "ok", "mechanism": "pipe", "waiting": "kernel", "placement": "same-cpu"}
    row |= {"message_size": 64, "ns_per_message": 5000.0} | more
    ns = float(str(row["ns_per_message"]))
    return {"ns_low": 0.98 * ns, "ns_high": 1.02 * ns} | row


class TestSpeed:
    def judge(self, *times: float) -> str:
        """The verdict where a pipe takes 5 µs, and shared memory these times."""
        memory = [
            made_up(mechanism="sysv_shm", waiting=waiting, ns_per_message=ns)
            for waiting, ns in zip(("spin", "futex"), times, strict=False)
        ]
        found = speed.found_in([made_up(), made_up(mechanism="fifo", ns_per_message=9e3), *memory])
        row = trying.judged(speed.CLAIM, found)
        assert "5.00 µs" in row["observed"]
        assert "fifo kernel 64 B same-cpu 9000" in row["evidence"]
        return str(row["verdict"])

    def test_follows_from_the_run(self) -> None:
        assert self.judge(100, 200) == HOLDS
        assert self.judge(100, 4900) == CONDITION
        assert self.judge(4800, 4900) == FALSE
        assert self.judge(2000) == HOLDS

    @pytest.mark.parametrize(
        ("spin", "futex"),
        [
            ((2000, 400, 4000), (4900, 4800, 5000)),  # nothing may be twice as quick, or much is
            ((100, 98, 102), (2000, 400, 4000)),  # one is; whether the other is stays open
            ((100, 100, 100), (4900, 4900, 4900)),  # measured but once
        ],
    )
    def test_is_open_where_the_times_are_not_steady(
        self, spin: tuple[float, ...], futex: tuple[float, ...]
    ) -> None:
        names = ("ns_per_message", "ns_low", "ns_high")
        memory = [
            made_up(mechanism="sysv_shm", waiting=waiting, **dict(zip(names, times, strict=True)))
            for waiting, times in (("spin", spin), ("futex", futex))
        ]
        with pytest.raises(NotHere, match="not steady enough for a verdict"):
            speed.found_in([made_up(), *memory])

    def test_needs_two_of_one_kind_to_compare(self) -> None:
        elsewhere = made_up(mechanism="sysv_shm", waiting="spin", placement="cross-cpu")
        for rows in ([made_up()], [made_up(), elsewhere], [made_up(status="skipped"), elsewhere]):
            with pytest.raises(NotHere):
                speed.found_in(rows)

    def test_is_measured(self, world: World) -> None:
        out = world.passes("""
            import json
            from labkit import claims
            print(json.dumps(claims.examine(only=["one-of-the-quickest"])))
        """)
        (row,) = json.loads(out)
        if row["verdict"] == UNTRIED:
            assert "not steady enough for a verdict" in row["observed"]
            return
        assert row["verdict"] in (HOLDS, CONDITION, FALSE), row
        assert "sysv_shm futex 64 B same-cpu" in row["evidence"]
        assert row["facts"]["best_lead"] >= row["facts"]["least_lead"] > 0


def test_as_a_user_without_rights(other_user: Callable[[], World], another_user: int) -> None:
    world = other_user()
    done = world.run(RUN, user=another_user)
    assert done.status == 0, done.err
    assert done.left == []
    for row in json.loads(done.out):
        if row["id"] == "other-users":
            assert row["verdict"] == UNTRIED
            assert "privileged" in row["observed"]
        elif row["verdict"] == UNTRIED:
            # A distribution may keep such namespaces to the superuser.
            assert row["id"] in ("private-key", "namespaces", "shmmni-is-the-number"), row
            assert "namespace" in row["observed"]
        else:
            assert row["verdict"] == expected(row["id"]), row


FILTER = """
    import ctypes, platform, struct
    NUMBERS = {
        "x86_64": {"shmget": 29, "msgget": 68, "semget": 64, "mq_open": 240, "ptrace": 101,
                   "unshare": 272},
        "aarch64": {"shmget": 194, "msgget": 186, "semget": 190, "mq_open": 180, "ptrace": 117,
                    "unshare": 97},
    }.get(platform.machine())

    def refuse(*names, error=38):
        '''seccomp(2), SECCOMP_RET_ERRNO: load the call's number, compare, refuse.'''
        steps = [struct.pack("HBBI", 0x20, 0, 0, 0)]
        for name in names:
            steps += [struct.pack("HBBI", 0x15, 0, 1, NUMBERS[name]),
                      struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | error)]
        steps.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
        program = ctypes.create_string_buffer(b"".join(steps))
        filter = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(program))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
        assert libc.prctl(22, 2, filter, 0, 0) == 0, ctypes.get_errno()  # PR_SET_SECCOMP
"""


class TestWithout:
    """A machine that lacks something: its claims say so, and the others are tried."""

    def run(self, world: World, *names: str) -> Rows:
        if os.uname().machine not in ("x86_64", "aarch64"):
            pytest.skip("the numbers of the calls to refuse are not known here")
        script = RUN.replace("    only =", f"    refuse(*{names!r})\n    only =", 1)
        out = world.passes(FILTER + script)
        return {row["id"]: row for row in json.loads(out)}

    def test_tracing(self, world: World) -> None:
        rows = self.run(world, "ptrace")
        untried = {name for name, row in rows.items() if row["verdict"] == UNTRIED}
        watched = {"messages-switch-modes", "no-switch-to-access", "set-up-switches"}
        assert watched | {"waiting-switches", "declarations"} <= untried
        for name in watched:
            assert rows[name]["observed"].startswith("system calls cannot be watched here: ")
            assert rows[name]["evidence"] == ""
        assert rows["size-of-existing"]["verdict"] == CONDITION
        assert FAILED not in {row["verdict"] for row in rows.values()}

    def test_system_v(self, world: World) -> None:
        rows = self.run(world, "shmget", "msgget", "semget")
        assert FAILED not in {row["verdict"] for row in rows.values()}
        for name in ("many-processes", "create-or-find", "fork-inherits", "killed-holder"):
            assert rows[name]["verdict"] == UNTRIED
            assert "ENOSYS" in rows[name]["observed"]
        for name in ("posix-unlink", "posix-size", "end-of-a-pipe", "fifo-keeps-only-its-name"):
            assert rows[name]["verdict"] == HOLDS, rows[name]
        assert rows["shmmax-is-4096"]["verdict"] == FALSE

    def test_namespaces(self, world: World) -> None:
        rows = self.run(world, "unshare")
        untried = {name for name, row in rows.items() if row["verdict"] == UNTRIED}
        assert {"private-key", "namespaces", "shmmni-is-the-number"} <= untried
        assert "no IPC namespace of one's own is allowed here" in rows["private-key"]["observed"]
        shmmax = rows["shmmax-is-a-number"]
        if shmmax["verdict"] != UNTRIED:  # its default is small enough to ask for more
            assert shmmax["verdict"] == FALSE
            assert "a segment of one byte more not tried" in shmmax["observed"]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only a privileged user can cover a folder")
    def test_the_list_of_segments(self, world: World) -> None:
        cover = """
    import ctypes
    libc, place = ctypes.CDLL(None, use_errno=True), b"/proc/sysvipc"
    assert libc.mount(b"none", place, b"tmpfs", 0, None) == 0
"""
        out = world.passes(cover + RUN + "    assert libc.umount2(place, 2) == 0\n")
        rows = {row["id"]: row for row in json.loads(out)}
        assert FAILED not in {row["verdict"] for row in rows.values()}
        for name in ("returns-id", "one-copy", "only-shmctl-deletes"):
            assert rows[name]["verdict"] == UNTRIED
            assert rows[name]["observed"].startswith("/proc/sysvipc/shm cannot be read")
        assert rows["many-processes"]["verdict"] == HOLDS

    def test_posix_queues(self, world: World) -> None:
        rows = self.run(world, "mq_open")
        row = rows["messages-switch-modes"]
        if row["verdict"] != UNTRIED:
            assert row["verdict"] == HOLDS
            assert "The POSIX queue is left out" in row["observed"]
            assert "POSIX queue mq" not in row["observed"]
        assert rows["reading-takes-out"]["verdict"] == CONDITION
        assert "POSIX" not in rows["reading-takes-out"]["observed"]


KILL = """
    import os, signal, subprocess, sys, textwrap, time
    from bench import children, wait_for
    INNER = textwrap.dedent('''
        import sys
        from labkit import claims
        def tell(told):
            print(told.detail, flush=True)
        claims.examine(tell, only=[each for each in sys.argv[1:]])
    ''')

    def start(names):
        return subprocess.Popen(
            [sys.executable, "-c", INNER, *names], stdout=subprocess.PIPE, text=True
        )

    def wait_until(process, name):
        for line in process.stdout:
            if line.strip() == name:
                return
        raise AssertionError("it ended before")
"""
# Each keeps processes and objects for a while.
BUSY = [
    "many-processes",
    "exec-detaches",
    "fork-inherits",
    "only-shmctl-deletes",
    "room-is-bounded",
]


class TestNothingIsLeft:
    @pytest.mark.parametrize("name", BUSY)
    def test_by_one_that_is_killed(self, world: World, name: str) -> None:
        world.passes(
            KILL
            + f"""
    process = start({BUSY!r})
    wait_until(process, {name!r})
    process.kill()
    process.wait()
    """,
            grace_s=30.0,
        )

    @pytest.mark.parametrize("name", BUSY)
    def test_by_a_stage_that_is_killed(self, world: World, name: str) -> None:
        world.passes(
            KILL
            + f"""
    import contextlib
    from labkit import claims
    from labkit.errors import LabkitError
    def tell(told):
        if told.detail == {name!r}:
            (stage,) = children(os.getpid())
            os.kill(stage, signal.SIGKILL)
    with contextlib.suppress(LabkitError):  # or it was done before the signal came
        claims.examine(tell, only={BUSY!r})
    """,
            grace_s=30.0,
        )

    def test_by_the_next_run_after_all_were_killed(self, world: World) -> None:
        world.passes(
            KILL
            + """
    import labkit
    process = start(["exec-detaches", "exec-keeps-the-segment"])
    wait_until(process, "exec-detaches")
    stages = children(process.pid)
    for pid in (process.pid, *stages):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}/fd/0") for pid in stages))
    labkit.clean()
    """,
            grace_s=30.0,
        )


def broken(error: BaseException) -> dict[str, Any]:
    """The row of a claim whose experiment ends in this error."""

    def experiment(lab: Any) -> Found:
        raise error

    claim = dataclasses.replace(BY_ID["zeroes"], experiment=experiment)
    stage = types.SimpleNamespace(notes=[])
    return trying._try(stage, claim)  # type: ignore[arg-type]


class TestAnExperimentThatFails:
    def test_says_whose_fault_it_is(self) -> None:
        assert broken(NotHere("there is none."))["observed"] == "there is none."
        refused = broken(OSError(28, "No space left on device"))
        assert refused["verdict"] == UNTRIED
        assert "ENOSPC" in refused["observed"]
        for error in (OSError(22, "Invalid argument"), KeyError("size"), ValueError("x")):
            row = broken(error)
            assert row["verdict"] == FAILED
            assert row["observed"].startswith("the experiment went wrong: ")

    def test_is_exit_status_one(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        good = trying.judged(BY_ID["zeroes"], Found({"size": 1, "other": 0}))
        wrong = broken(KeyError("size")) | {"id": "another"}
        monkeypatch.setattr("labkit.claims.examine", lambda tell: [good])
        assert labkit.cli.main(["claims"]) == 0
        monkeypatch.setattr("labkit.claims.examine", lambda tell: [good, wrong])
        capsys.readouterr()
        assert labkit.cli.main(["claims", "--format", "json"]) == 1
        out, err = capsys.readouterr()
        assert [row["verdict"] for row in json.loads(out)] == [HOLDS, FAILED]
        assert err.splitlines()[-1] == "labkit: experiments that went wrong: another."


class TestFormats:
    def written(self, rows: Rows, form: str) -> str:
        stream = io.StringIO()
        report.write(list(rows.values()), form, stream)
        return stream.getvalue()

    def test_json_and_csv_have_all_of_it(self, rows: Rows) -> None:
        shown = json.loads(self.written(rows, "json"))
        assert [tuple(row) for row in shown] == [COLUMNS] * len(rows)
        again = list(csv.DictReader(io.StringIO(self.written(rows, "csv"))))
        assert again == shown
        assert {row["verdict"] for row in shown} <= set(VERDICTS)

    def test_the_table_wraps_and_counts(self, rows: Rows) -> None:
        text = self.written(rows, "table")
        assert max(map(len, text.splitlines())) <= report.WIDTH
        for row in rows.values():
            start = f"{row['verdict'].upper()}: {row['claim']}"
            assert start in " ".join(text.split())
        assert "\n  instead   It is the greatest size of one segment, in bytes." in text
        last = text.splitlines()[-2:]
        assert [line.split(":")[0] for line in last] == [
            f"{len(OF_THE_NOTES) - 1} claims of the notes",
            f"{len(ADDED)} claims that the notes leave out",
        ]

    def test_from_the_command_line(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "labkit", "claims", "--format", "csv"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        shown = list(csv.DictReader(io.StringIO(done.stdout)))
        assert [row["id"] for row in shown] == [claim.id for claim in CLAIMS]
        assert "labkit: trying" in done.stderr
        assert list(tmp_path.iterdir()) == []


def test_from_python(world: World) -> None:
    world.passes("""
        import labkit
        told = []
        found = labkit.check_claims(told.append)
        assert {"claim", "verdict", "observed", "evidence", "source"} <= set(found.columns)
        assert "facts" not in found.columns
        assert found["id"].is_unique and len(found) > 40
        assert {each.stage for each in told} >= {"trying", "measuring"}
    """)


def test_nothing_to_try_is_no_process() -> None:
    assert examine(only=[]) == []
