"""A class at once: three users on one machine, or one user in many containers; and a snoop."""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import faults_worker
import world
from faults_worker import ROOT, Tally

import labkit

USERS = (64201, 64202, 64203)  # nobody else's, and without any rights
ONE_USER = 64204
SNOOP_S = 0.5
IPC_NOWAIT, SHM_RDONLY, GETVAL = 0o4000, 0o10000, 12

# As a container does it: other System V objects and POSIX queues, and the same user.
ALONE = """
import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).unshare(0x8000000) != 0:  # CLONE_NEWIPC, unshare(2)
    sys.exit("no IPC namespace of one's own")
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
"""


def three_users(job: dict[str, Any], tally: Tally) -> None:
    """So many comparisons at once, by three users, while each tries to open the others' objects."""
    with _Place(USERS) as place:

        def start(number: int) -> "subprocess.Popen[str]":
            user = USERS[number % len(USERS)]
            return place.start(_command(job, number), user)

        snoops = [
            subprocess.Popen(
                [sys.executable, __file__, "snoop", os.environ["QUEUES"], str(place.stop)],
                user=user,
                group=user,
                extra_groups=[],
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{ROOT / 'benchmarks'}"},
            )
            for user in USERS
        ]
        try:
            _all(job, place, start, tally)
        finally:
            place.stop.touch()
        for each in snoops:
            said, _ = each.communicate(timeout=120)
            tried = json.loads(said)
            tally.counts["attempts to open another's object"] += sum(tried["tried"].values())
            for kind, count in tried["tried"].items():
                tally.counts[f"attempts: {kind}"] += count
            tally.bad += [f"another user opened {each}" for each in tried["opened"]]


def one_user(job: dict[str, Any], tally: Tally) -> None:
    """So many comparisons at once by one user id, each in an IPC namespace of its own."""
    with _Place((ONE_USER,)) as place:

        def start(number: int) -> "subprocess.Popen[str]":
            alone = [sys.executable, "-c", ALONE, str(ONE_USER), *_command(job, number)]
            return place.start(alone, ONE_USER, become=False)

        _all(job, place, start, tally)


def _command(job: dict[str, Any], number: int) -> list[str]:
    return [
        *(sys.executable, "-m", "labkit", "compare", "--budget", str(job["budget"])),
        *("-s", "64,4K", "--format", "csv", "--out", f"run-{number}"),
    ]


def _all(
    job: dict[str, Any],
    place: "_Place",
    start: Callable[[int], "subprocess.Popen[str]"],
    tally: Tally,
) -> None:
    """Start them all, wait for them all, and look at what each has saved."""
    began = time.monotonic()
    processes = [start(number) for number in range(job["count"])]
    for number, process in enumerate(processes):
        try:
            out, err = process.communicate(timeout=job["most_s"] - (time.monotonic() - began))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            tally.bad.append(f"comparison {number} hung")
            continue
        tally.counts["comparisons"] += 1
        if process.returncode != 0:
            tally.bad.append(f"comparison {number}: {process.returncode}: {out[-500:]}{err[-900:]}")
            continue
        (folder,) = place.home.glob(f"*/run-{number}")
        _look_at(labkit.load(str(folder)), number, tally)
    tally.counts["seconds"] += round(time.monotonic() - began)


def _look_at(run: Any, number: int, tally: Tally) -> None:
    for row in run.summary.to_dict("records"):
        tally.counts[f"cells {row['status']}"] += 1
        if row["status"] == "failed" or (row["status"] == "skipped" and not row["reason"]):
            tally.bad.append(f"comparison {number}: {row['mechanism']} {row['waiting']}: {row}")
        if row["status"] == "skipped":
            tally.counts[f"skipped: {row['reason'].split(': ')[0][:80]}"] += 1
    notes = run.machine["noise"]["notes"]
    tally.counts["comparisons that noted others"] += any("under way" in note for note in notes)


class _Place:
    """Homes for users without rights, with a copy of the machine code that is compiled already."""

    def __init__(self, users: tuple[int, ...]) -> None:
        self._users = users
        self.home = Path(os.environ["TMPDIR"], "homes")
        self.stop = self.home / "stop"

    def __enter__(self) -> "_Place":
        self.home.mkdir(0o755)
        kept = self.home / "kept"
        kept.mkdir()
        world.open_the_way([sys.base_prefix, sys.prefix, str(ROOT)], kept)
        compiled = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "labkit")
        for user in self._users:
            folder = self.home / str(user)
            folder.mkdir(0o700)
            if compiled.is_dir():
                shutil.copytree(compiled, folder / "cache" / "labkit")
            for each in (folder, *folder.rglob("*")):
                os.chown(each, user, user)
        return self

    def start(self, command: list[str], user: int, become: bool = True) -> "subprocess.Popen[str]":
        """Start a command as one of the users, in their home."""
        folder = self.home / str(user)
        places = {"HOME": folder, "XDG_CACHE_HOME": folder / "cache", "XDG_STATE_HOME": folder}
        who: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if become else {}
        return subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ
            | {name: str(path) for name, path in places.items()}
            | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **who,
        )

    def __exit__(self, *_: object) -> None:
        for each in sorted((self.home / "kept").iterdir()):
            subprocess.run(["umount", "-l", str(each)], check=True)
        shutil.rmtree(self.home)


def _first_byte(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(1)


class Snoop:
    """Tries to get at what belongs to others, in all the ways there are."""

    def __init__(self, queues: str) -> None:
        self.queues = queues
        self.tried: dict[str, int] = {}
        self.opened: set[str] = set()
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.shmat.restype = ctypes.c_ssize_t

    def attempt(self, kind: str, what: str, way: Callable[[], object]) -> None:
        """Note whether one way works. What is gone already counts as tried neither way."""
        try:
            way()
        except PermissionError:
            self.tried[kind] = self.tried.get(kind, 0) + 1
        except OSError:
            return
        else:
            self.tried[kind] = self.tried.get(kind, 0) + 1
            self.opened.add(f"{kind} {what}")

    def checked(self, result: int) -> None:
        if result == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def look_once(self) -> None:
        self.system_v()
        self.files()
        self.processes()

    def system_v(self) -> None:
        """By identifier and by key: shmat(2), msgrcv(2), semctl(2), shmget(2), ..."""
        libc, checked = self.libc, self.checked
        room = ctypes.create_string_buffer(1 << 16)
        ways: dict[str, list[Callable[[int, int], int]]] = {
            "shm": [
                lambda i, key: libc.shmat(i, None, SHM_RDONLY),
                lambda i, key: libc.shmget(key, 0, 0o400),
            ],
            "msg": [
                lambda i, key: libc.msgrcv(i, room, 1 << 15, 0, IPC_NOWAIT),
                lambda i, key: libc.msgget(key, 0o400),
            ],
            "sem": [
                lambda i, key: libc.semctl(i, 0, GETVAL),
                lambda i, key: libc.semget(key, 0, 0o400),
            ],
        }
        for kind, tries in ways.items():
            heading, *lines = Path("/proc/sysvipc", kind).read_text().splitlines()
            names = heading.split()
            for line in lines:
                row = dict(zip(names, map(int, line.replace("0x", "").split()), strict=False))
                if row["uid"] == os.getuid():
                    continue
                number = next(row[n] for n in ("shmid", "msqid", "semid") if n in row)
                key = ctypes.c_int(row["key"]).value
                for way in tries:
                    what = partial(way, number, key)
                    self.attempt(f"System V {kind}", str(number), lambda w=what: checked(w()))

    def files(self) -> None:
        """POSIX segments and queues; FIFOs, files and sockets in others' folders."""
        for folder, kind in (("/dev/shm", "POSIX segment"), (self.queues, "POSIX queue")):
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if self.is_others(path):
                    self.attempt(kind, name, lambda p=path: os.close(os.open(p, os.O_RDONLY)))
                    self.attempt(kind, name, lambda p=path: os.unlink(p))
        temporary = os.environ["TMPDIR"]
        for name in os.listdir(temporary):
            path = os.path.join(temporary, name)
            if name.startswith("labkit-") and self.is_others(path):
                self.attempt("private folder", name, lambda p=path: os.listdir(p))
                self.attempt("private folder", name, lambda p=path: self.connect(p))

    def connect(self, folder: str) -> None:
        with socket.socket(socket.AF_UNIX) as ours:
            ours.connect(os.path.join(folder, "0" * 16))

    def processes(self) -> None:
        """The memory and the descriptors of others' processes, proc_pid_mem(5), proc_pid_fd(5)."""
        for name in os.listdir("/proc"):
            if not name.isdigit() or not self.is_others(f"/proc/{name}"):
                continue
            with contextlib.suppress(OSError):
                if b"labkit" not in Path("/proc", name, "cmdline").read_bytes():
                    continue
                for inside in ("mem", "maps"):
                    path = f"/proc/{name}/{inside}"
                    self.attempt("process", path, lambda p=path: _first_byte(p))
                self.attempt("process", f"{name}/fd", lambda n=name: os.listdir(f"/proc/{n}/fd"))

    @staticmethod
    def is_others(path: str) -> bool:
        try:
            return os.lstat(path).st_uid not in (os.getuid(), 0)
        except OSError:
            return False


def snoop(queues: str, stop: Path) -> None:
    """Go on until told to stop, and say what was tried and what came of it."""
    one = Snoop(queues)
    while not stop.exists():
        one.look_once()
        time.sleep(SNOOP_S)
    print(json.dumps({"tried": one.tried, "opened": sorted(one.opened)}))


if __name__ == "__main__":
    snoop(sys.argv[2], Path(sys.argv[3]))

__all__ = ["faults_worker", "one_user", "three_users"]
