"""The doctor: its rows here, and in limited places that are made for real."""

import csv
import errno
import io
import json
import os
import re
import resource
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner
from conftest import Done, World

import labkit
from labkit.checkup import examine, needs, posix, remove_ipc, system_v, tracing, tried
from labkit.checkup.amounts import amount
from labkit.checkup.check import Check, Finding
from labkit.checkup.remedy import Place
from labkit.cli import commands
from labkit.kernel.limits import UNLIMITED
from labkit.mechanisms import names
from labkit.mechanisms.waiting import NAMES

COLUMNS = ["capability", "available", "why", "remedy"]
FACILITIES = {
    "watching processes",
    "tracing",
    "perf counters",
    "pinning",
    "more than one CPU",
    "/dev/shm size",
    "msgmax",
    "msgmnb",
    "mqueue msg_max",
    "mqueue msgsize_max",
    "mqueue queues_max",
    "shmmax",
    "shmmni",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "outside a container",
    "outside a virtual machine",
    "outside WSL",
    "without CPU frequency scaling",
    "without CPU quota",
    "without RemoveIPC",
    "without other load",
}
WAKE_UP = "cheap cross-CPU wake-up"
ALL = {*names(extra=True), *(f"waiting: {name}" for name in NAMES), *FACILITIES}

# What scripts in a limited place begin with. Where the limits are made by namespaces, the remedies
# are those of a machine and not of a container, and `mend` types them.
START = """
import json, os, resource, subprocess, sys
from labkit.checkup import examine
from labkit.kernel import machine

machine.container = lambda: None

def doctor(quick=True):
    rows = {row.capability: row for row in examine(quick)}
    for row in rows.values():
        assert row.why and (row.available or row.remedy), row
        assert "could not be looked at" not in row.why, row
    return rows

def mend(remedy, *capabilities):
    again = "machine.container = lambda: None\\nfor row in examine(True):\\n    "
    again += "if row.capability in sys.argv: assert row.available, row"
    begin = "import sys; from labkit.checkup import examine; from labkit.kernel import machine\\n"
    line = remedy.partition("  #")[0]
    command = line + ' && exec "$0" -c "$@"'
    subprocess.run(
        ["bash", "-c", command, sys.executable, begin + again, *capabilities],
        check=True, stdout=subprocess.DEVNULL,
    )
"""


def limited(world: World, script: str, **how: Any) -> Done:
    """Run a script that asserts, in a place of its own; it must leave nothing."""
    done = world.run(START + textwrap.dedent(script), **how)
    assert done.status == 0, done.err
    assert done.left == []
    return done


class TestHere:
    def test_every_capability_has_its_row(self) -> None:
        told = labkit.doctor(quick=True)
        assert list(told.columns) == COLUMNS
        assert told["available"].dtype == bool
        assert set(told["capability"]) == ALL
        assert told["capability"].is_unique
        for row in told.to_dict("records"):
            assert row["why"], row
            assert row["available"] or row["remedy"], row
            assert "\n" not in row["why"] + row["remedy"]

    def test_only_the_full_one_measures(self) -> None:
        (row,) = (row for row in examine() if row.capability not in ALL)
        assert row.capability == WAKE_UP
        if row.available:
            assert re.search(r"[\d.]+ µs on CPU \d+, .* [\d.]+ times as long", row.why)

    def test_nothing_is_left_and_nobody_forked(self, world: World) -> None:
        limited(
            world,
            """
            import threading, time
            done = threading.Event()
            thread = threading.Thread(target=done.wait)  # as a notebook has some
            thread.start()
            forked = []
            sys.addaudithook(lambda event, _: forked.append(event) if event == "os.fork" else None)
            doctor(quick=False)  # opens this process's ledger, which stays open
            before = os.sched_getaffinity(0), os.listdir("/proc/self/fd")
            doctor(quick=False)
            assert (os.sched_getaffinity(0), os.listdir("/proc/self/fd")) == before
            assert forked == []
            for heavy in ("numba", "pandas", "matplotlib", "rich"):
                assert heavy not in sys.modules, heavy
            done.set()
            thread.join()
            """,
        )

    def test_a_check_that_fails_is_a_row(self) -> None:
        def fails(error: Exception) -> Callable[[], Finding]:
            def look() -> Finding:
                raise error

            return look

        row = Check("a thing", fails(ZeroDivisionError("by\nzero."))).row()
        assert (row.capability, row.available) == ("a thing", False)
        assert row.why == "could not be looked at: ZeroDivisionError: by zero"
        assert row.remedy.startswith("labkit doctor")
        for number, word in ((errno.EMFILE, "1024"), (errno.EAGAIN, "ps "), (errno.ENOMEM, "free")):
            assert word in Check("another", fails(OSError(number, "no"))).row().remedy

    def test_a_mechanism_that_breaks_takes_no_other_along(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(name: str) -> Any:
            raise AttributeError(name)

        monkeypatch.setattr(tried, "mechanism", broken)
        rows = {row.capability: row for row in examine(quick=True)}
        assert set(rows) == ALL
        for name in names(extra=True):
            assert rows[name].why == f"could not be looked at: AttributeError: {name}"


class TestCommand:
    def run(self, *options: str) -> str:
        done = CliRunner().invoke(commands, ["doctor", "--quick", *options])
        assert done.exit_code == 0, done.output
        return done.stdout

    def test_json(self) -> None:
        rows = json.loads(self.run("--format", "json"))
        assert {row["capability"] for row in rows} == ALL
        assert all(list(row) == COLUMNS for row in rows)
        assert {type(row["available"]) for row in rows} == {bool}

    def test_csv(self) -> None:
        rows = list(csv.DictReader(io.StringIO(self.run("--format", "csv"))))
        assert {row["capability"] for row in rows} == ALL
        assert {row["available"] for row in rows} <= {"True", "False"}

    def test_the_table_fits_and_remedies_are_whole(self) -> None:
        text = self.run()
        table, _, below = text.partition("What to type")
        assert max(map(len, table.splitlines())) <= 100
        for name in ALL:
            assert re.search(rf"^{re.escape(name)} +(yes|no) ", table, re.MULTILINE), name
        for line in below.splitlines()[1:]:
            assert not line or line.endswith(":") or line.startswith("    "), line


class TestLimitedPlaces:
    """Made with namespaces and limits; what is typed as told lifts them."""

    def test_no_room_for_posix_queues(self, world: World) -> None:
        limited(
            world,
            """
            _, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
            resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, hard))
            rows = doctor()
            assert "EMFILE" in rows["posix_mq"].why
            assert rows["RLIMIT_MSGQUEUE"].why.startswith("0 bytes")
            both = ("posix_mq", "RLIMIT_MSGQUEUE")
            assert not any(rows[name].available for name in both)
            assert len({rows[name].remedy for name in both}) == 1
            if rows["posix_mq"].remedy.startswith("ulimit"):
                mend(rows["posix_mq"].remedy, *both)
            """,
        )

    def test_few_descriptors(self, world: World) -> None:
        limited(
            world,
            """
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            doctor()  # loads what is needed
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
            row = doctor()["RLIMIT_NOFILE"]
            assert not row.available and row.why.startswith("64 descriptors"), row
            if row.remedy.startswith("ulimit"):
                mend(row.remedy, "RLIMIT_NOFILE")
            """,
        )

    @pytest.mark.parametrize("left", [0, 1, 2, 3, 5])
    def test_no_descriptors_left(self, world: World, left: int) -> None:
        done = limited(
            world,
            f"""
            rows = doctor()
            before = {{name for name in rows if rows[name].available}}
            used = len(os.listdir("/proc/self/fd")) - 1
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + {left}, hard))
            rows = {{row.capability: row for row in examine(False)}}
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            for row in rows.values():
                assert row.why and (row.available or row.remedy), row
            print(*(name for name in before if not rows[name].available), sep=",")
            """,
        )
        missing = done.out.strip().split(",")
        assert "RLIMIT_NOFILE" in missing
        if left < 2:
            assert {"pipe", "unix_stream"} <= set(missing)

    def test_a_single_cpu(self, world: World) -> None:
        limited(
            world,
            """
            every = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {min(every)})
            rows = doctor(quick=False)
            one = ("more than one CPU", "waiting: spin")
            for name in (*one, "cheap cross-CPU wake-up"):
                assert not rows[name].available, rows[name]
            assert rows["pinning"].available
            if len(every) > 1:
                mend(rows["more than one CPU"].remedy, *one)
            """,
        )

    @pytest.mark.parametrize("kib", [64, 4096])
    def test_a_small_shared_memory_folder(self, world: World, kib: int) -> None:
        limited(
            world,
            f"""
            rows = doctor()
            size = rows["/dev/shm size"]
            assert not size.available and "{amount(kib << 10)}, of which" in size.why, size
            mechanism = rows["posix_shm"]
            assert mechanism.available == ({kib} > 64), mechanism
            if not mechanism.available:
                assert "ENOSPC" in mechanism.why and mechanism.remedy == size.remedy
            assert rows["memfd"].available and rows["sysv_shm"].available
            mend(size.remedy, "/dev/shm size", "posix_shm")
            """,
            shm_bytes=kib << 10,
        )

    def test_small_system_v_queues(self, world: World) -> None:
        limited(
            world,
            """
            rows = doctor()
            assert rows["sysv_mq"].available
            assert "for messages of 64 B; 512 B and 4 KiB and" in rows["sysv_mq"].why
            assert not rows["msgmax"].available
            assert rows["msgmax"].why.startswith("a message may have 100 B")
            assert rows["sysv_mq"].remedy == rows["msgmax"].remedy
            assert rows["msgmnb"].why.startswith("a queue holds 200 B")
            mend(rows["msgmax"].remedy, "msgmax", "msgmnb", "sysv_mq")
            mend("sysctl -qw kernel.msgmax=100 kernel.msgmnb=200")
            mend(rows["msgmnb"].remedy, "msgmnb")
            """,
            sysctl={"kernel.msgmax": 100, "kernel.msgmnb": 200},
        )

    def test_small_posix_queues(self, world: World) -> None:
        limited(
            world,
            """
            rows = doctor()
            assert rows["posix_mq"].available
            assert "for messages of 64 B; " in rows["posix_mq"].why
            for name in ("msg_max", "msgsize_max", "queues_max"):
                assert not rows[f"mqueue {name}"].available, name
            mend(rows["mqueue queues_max"].remedy, "mqueue queues_max")
            mend(rows["mqueue msg_max"].remedy, "mqueue msg_max")
            """,
            sysctl={
                "fs.mqueue.msg_max": 1,
                "fs.mqueue.msgsize_max": 128,
                "fs.mqueue.queues_max": 1,
            },
        )

    def test_no_objects_allowed(self, world: World) -> None:
        limited(
            world,
            """
            rows = doctor()
            pairs = {
                "sysv_mq": "sysv_mq", "sysv_shm": "shmmni",
                "posix_mq": "mqueue queues_max", "waiting: sysv_sem": "waiting: sysv_sem",
            }
            for name, limit in pairs.items():
                if name == "posix_mq" and rows[name].available:
                    continue  # a privileged process may exceed this one, mq_overview(7)
                assert not rows[name].available, rows[name]
                mend(rows[name].remedy, name, limit)
            """,
            sysctl={
                "kernel.msgmni": 0,
                "kernel.shmmni": 0,
                "kernel.sem": "250 32000 32 0",
                "fs.mqueue.queues_max": 0,
            },
        )

    def test_small_segments(self, world: World) -> None:
        limited(
            world,
            """
            rows = doctor()
            assert "EINVAL" in rows["sysv_shm"].why and not rows["shmmax"].available
            mend(rows["sysv_shm"].remedy, "sysv_shm", "shmmax")
            """,
            sysctl={"kernel.shmmax": 8000},
        )

    def test_a_full_temporary_folder(self, world: World) -> None:
        limited(
            world,
            """
            rows = doctor()
            assert not rows["mmap_file"].available and "ENOSPC" in rows["mmap_file"].why
            assert rows["mmap_file"].remedy.startswith("export TMPDIR=~")
            assert rows["posix_shm"].available
            """,
            temporary_bytes=8192,
        )

    def test_as_another_user(self, world: World, other_user: Callable[[], World]) -> None:
        done = limited(
            other_user(),
            """
            rows = doctor(quick=False)
            assert all(rows[name].available for name in ("pipe", "sysv_shm", "posix_mq", "tcp"))
            limit = resource.RLIMIT_NPROC
            resource.setrlimit(limit, (1, resource.getrlimit(limit)[1]))
            rows = {row.capability: row for row in examine(False)}
            assert not rows["RLIMIT_NPROC"].available
            for row in rows.values():
                assert row.why and (row.available or row.remedy), row
            print(rows["msgmax"].remedy)
            """,
            user=65534,
            sysctl={"kernel.msgmax": 8192},
        )
        assert done.out.startswith("sudo sysctl -w kernel.msgmax=")

    def test_without_capabilities(self, world: World) -> None:
        """As a user who owns what is there and may do nothing else."""
        limited(
            world,
            """
            import ctypes
            libc = ctypes.CDLL(None)
            for capability in range(64):  # all that root has, for good: capabilities(7)
                libc.prctl(24, capability, 0, 0, 0)
            code = "from labkit.checkup import examine\\n"
            code += "rows = {row.capability: row for row in examine(False)}\\n"
            code += "assert not rows['msgmnb'].available, rows['msgmnb']\\n"
            code += "assert rows['sysv_mq'].available and rows['tracing'].available"
            subprocess.run([sys.executable, "-c", code], check=True)
            """,
            sysctl={"kernel.msgmnb": 16384},
        )

    def test_calls_that_a_filter_refuses(self, world: World) -> None:
        done = limited(
            world,
            """
            import ctypes, platform, struct
            refused = {
                "x86_64": {"shmget": 29, "mq_open": 240, "ptrace": 101, "perf_event_open": 298},
                "aarch64": {"shmget": 194, "mq_open": 180, "ptrace": 117, "perf_event_open": 241},
            }.get(platform.machine())
            if refused is None:
                print("skip")
                sys.exit()
            # seccomp(2), SECCOMP_RET_ERRNO: load the call's number, compare, refuse with EPERM.
            steps = [struct.pack("HBBI", 0x20, 0, 0, 0)]
            for number in refused.values():
                steps += [struct.pack("HBBI", 0x15, 0, 1, number),
                          struct.pack("HBBI", 0x06, 0, 0, 0x00050001)]
            steps.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
            program = ctypes.create_string_buffer(b"".join(steps))
            filter = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(program))
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
            assert libc.prctl(22, 2, filter, 0, 0) == 0, ctypes.get_errno()  # PR_SET_SECCOMP
            rows = doctor()
            for name in ("sysv_shm", "posix_mq", "tracing", "perf counters"):
                assert not rows[name].available, rows[name]
            for name in ("sysv_shm", "posix_mq"):
                assert "EPERM" in rows[name].why and "sandbox" in rows[name].remedy, rows[name]
            assert "seccomp" in rows["tracing"].why
            assert rows["sysv_mq"].available and rows["posix_shm"].available
            """,
        )
        if done.out.strip() == "skip":
            pytest.skip("no filter is written down for this processor")


class TestRemedies:
    SETTINGS: ClassVar[dict[str, int | str]] = {"kernel.msgmax": 8192, "kernel.sem": "1 2 3 4"}
    LIMITS: ClassVar[dict[str, int]] = {"RLIMIT_NOFILE": 32}

    def test_of_a_machine(self) -> None:
        place = Place(None, None, root=False)
        typed = place.change(self.SETTINGS, self.LIMITS)
        assert typed.startswith(
            "sudo sysctl -w kernel.msgmax=8192 'kernel.sem=1 2 3 4' && ulimit -n 32  # "
        )
        assert place.shared_memory("2g").startswith("sudo mount -o remount,size=2g /dev/shm")

    def test_above_the_hard_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 16))
        assert (
            Place(None, None, root=False)
            .change(limits=self.LIMITS)
            .startswith("sudo prlimit --pid $$ --nofile=32:32  # ")
        )
        bound = Place(None, None, root=True, bound=True).change(limits=self.LIMITS)
        assert bound.startswith("# root is bound here")

    @pytest.mark.parametrize(
        ("kind", "command"), [("docker", "docker"), ("podman", "podman"), ("containerd", "nerdctl")]
    )
    def test_of_a_container(self, kind: str, command: str) -> None:
        place = Place(kind, None, root=True)
        assert place.change(self.SETTINGS, self.LIMITS).startswith(
            f"{command} run --sysctl kernel.msgmax=8192 --sysctl 'kernel.sem=1 2 3 4'"
            " --ulimit nofile=32:32  # "
        )
        assert place.shared_memory().startswith(f"{command} run --shm-size=1g")
        assert place.allow("SYS_PTRACE").startswith(f"{command} run --cap-add=SYS_PTRACE")
        assert "on the host" in place.change_of_host("net.core.wmem_max", 1)

    def test_of_a_cluster(self) -> None:
        place = Place("kubernetes", None, root=True)
        for typed in (
            place.change(self.SETTINGS, self.LIMITS),
            place.change_of_host("net.core.wmem_max", 1),
            place.shared_memory(),
            place.allow("SYS_PTRACE"),
            place.unfiltered(),
        ):
            assert typed.startswith("# ask whoever runs the cluster for ")

    def test_of_windows(self) -> None:
        place = Place(None, 2, root=False)
        typed = place.change({"kernel.msgmax": 8192})
        assert typed.startswith("sudo sysctl -w kernel.msgmax=8192  # ")
        assert "/etc/wsl.conf" in typed
        assert place.unfiltered().startswith("wsl.exe --update")
        assert "set-version" in Place(None, 1, root=False).unfiltered()

    @pytest.mark.parametrize(
        ("said", "starts"),
        [
            ("kernel.yama.ptrace_scope is 2, which; ask for `x`", "sudo sysctl -w kernel.yama"),
            ("a seccomp filter refuses; start with `--cap-add=SYS_PTRACE`", "docker run --cap-add"),
            ("labkit itself is being traced; run it without", "# run it without"),
            ("tracing is refused: 1; `labkit doctor` says", "# run labkit outside"),
        ],
    )
    def test_of_tracing(self, monkeypatch: pytest.MonkeyPatch, said: str, starts: str) -> None:
        monkeypatch.setattr(tracing, "why_not", lambda: said)
        monkeypatch.setattr(tracing, "here", lambda: Place("docker", None, root=False))
        found = tracing.tracing()
        assert not found.available
        assert found.why == said.partition(";")[0]
        assert found.remedy.startswith(starts)


class TestJudgement:
    """Limits that cannot be set on every machine."""

    def test_a_limit_that_is_hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        nothing = dict.fromkeys(
            ("msgmax", "msgmnb", "shmmax", "shmmni", "msg_max", "msgsize_max", "queues_max")
        )
        for module, name in (
            (system_v, "system_v_queues"),
            (system_v, "system_v_segments"),
            (posix, "posix_queues"),
        ):
            monkeypatch.setattr(module, name, lambda: nothing)
        for look in (
            *(system_v.msgmax, system_v.msgmnb, system_v.shmmax, system_v.shmmni),
            *(posix.msg_max, posix.msgsize_max, posix.queues_max),
        ):
            found = look()
            assert not found.available
            assert "cannot be read" in found.why
            assert found.remedy

    def test_no_shared_memory_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        nothing = {"dev_shm_size": None, "dev_shm_free": None}
        monkeypatch.setattr(posix, "posix_segments", lambda: nothing)
        found = posix.shared_memory_folder()
        assert not found.available
        assert "mount -t tmpfs" in found.remedy

    def test_no_limit_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(posix, "resources", lambda: {"RLIMIT_MSGQUEUE": UNLIMITED})
        assert posix.rlimit_msgqueue() == Finding(True, "no limit (getrlimit, `ulimit -q`)")

    def test_needs_follow_from_the_default_cells(self) -> None:
        assert needs.largest_within(8192) == 4096
        assert needs.largest_within(7) == 0
        assert needs.largest_within(None) == 1 << 20
        assert needs.beyond(8192) == "64 KiB and 1 MiB"
        assert max(needs.segments()) > 2 << 20
        # A user of the default limits has room for nine default queues.
        assert 9 * needs.queue_bytes(10, 8192) <= 819_200 < 10 * needs.queue_bytes(10, 8192)

    @pytest.mark.parametrize(
        ("size", "text"),
        [
            (200, "200 B"),
            (8192, "8 KiB"),
            (64 << 20, "64 MiB"),
            (25_276_502_016, "23.5 GiB"),
            (2**64 - 1, "no limit to speak of"),
            (1_000_001, "977 KiB"),
        ],
    )
    def test_amounts(self, size: int, text: str) -> None:
        assert amount(size) == text


class TestLoggingOut:
    @pytest.fixture
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(remove_ipc, "ROOT", tmp_path)
        monkeypatch.setattr(os, "getuid", lambda: 4242)
        for folder in remove_ipc.RUNNING:
            (tmp_path / folder).mkdir(parents=True)
        return tmp_path

    def write(self, root: Path, name: str, text: str) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_removes_objects_by_default(self, root: Path) -> None:
        found = remove_ipc.remove_ipc()
        assert not found.available
        assert "logind's default" in found.why
        assert found.remedy.endswith("loginctl enable-linger 4242")

    def test_a_distribution_shows_its_default(self, root: Path) -> None:
        self.write(root, "usr/lib/systemd/logind.conf", "[Login]\n#RemoveIPC=no\n")
        assert remove_ipc.remove_ipc().available

    def test_the_last_setting_counts(self, root: Path) -> None:
        self.write(root, "etc/systemd/logind.conf", "[Login]\nRemoveIPC=no\n")
        self.write(root, "usr/lib/systemd/logind.conf", "[Login]\nRemoveIPC=yes\n")
        assert remove_ipc.remove_ipc().available
        self.write(root, "usr/lib/systemd/logind.conf.d/50.conf", "[Login]\nRemoveIPC = yes\n")
        found = remove_ipc.remove_ipc()
        assert not found.available
        assert "(/usr/lib/systemd/logind.conf.d/50.conf)" in found.why
        self.write(root, "etc/systemd/logind.conf.d/50.conf", "[Other]\nRemoveIPC=yes\n")
        assert remove_ipc.remove_ipc().available

    def test_who_lingers_is_spared(self, root: Path) -> None:
        self.write(root, "var/lib/systemd/linger/4242", "")
        assert remove_ipc.remove_ipc().available

    @pytest.mark.parametrize("folder", remove_ipc.RUNNING)
    def test_no_logind(self, root: Path, folder: str) -> None:
        # A container's image may hold what systemd's packages bring, and nobody runs it.
        (root / folder).rmdir()
        found = remove_ipc.remove_ipc()
        assert found.available
        assert f"no /{folder}" in found.why

    def test_system_users_are_spared(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "getuid", lambda: 999)
        assert remove_ipc.remove_ipc().available
