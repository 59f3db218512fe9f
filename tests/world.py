"""A small world of its own for one script: what it leaves behind is seen, and nobody else's is.

Run as `python -I world.py SETTINGS.json command ...`. It moves into fresh namespaces, where they
are allowed: for System V objects and POSIX queues (ipc_namespaces(7)) and for mounts, with a
/dev/shm and an mqueue file system of its own. There it runs the command, and then writes down which
objects, files and processes are left. Without namespaces it compares before and after.

It stays small and has one thread, because unshare(2) of a user namespace asks for that.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# sched.h, sys/mount.h, sys/prctl.h
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER = 0x20000, 0x8000000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_CHILD_SUBREAPER = 36
LOOK_S = 0.01

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _mount(kind: str, where: str, flags: int = 0, options: str = "", what: str = "none") -> None:
    texts = [text.encode() for text in (what, where, kind, options)]
    _checked(_libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3]))


def open_the_way(folders: list[str], kept: Path) -> None:
    """Let any user reach some folders, though they lie in somebody's private one.

    Each private folder on the way is covered with an empty one, in which only those appear.
    """
    covered: dict[Path, list[Path]] = {}
    for folder in sorted({Path(each).resolve() for each in folders}):
        for above in reversed(folder.parents):
            if above.stat().st_mode & 0o001 == 0:
                covered.setdefault(above, []).append(folder)
                break
    for private, inside in covered.items():
        for number, folder in enumerate(inside):
            (kept / str(number)).mkdir(parents=True)
            _mount("none", str(kept / str(number)), MS_BIND | MS_REC, what=str(folder))
        _mount("tmpfs", str(private), options="mode=755")
        for number, folder in enumerate(inside):
            folder.mkdir(parents=True, exist_ok=True)
            _mount("none", str(folder), MS_BIND | MS_REC, what=str(kept / str(number)))


def move(settings: dict[str, Any]) -> None:
    """Into namespaces of our own.

    Raises:
        OSError: they are not allowed here, or there is no such setting.
    """
    uid, gid = os.getuid(), os.getgid()
    _checked(_libc.unshare(CLONE_NEWNS | CLONE_NEWIPC | (CLONE_NEWUSER if uid else 0)))
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _mount("none", "/", MS_REC | MS_PRIVATE)
    _mount("tmpfs", "/dev/shm", options=f"mode=1777,size={settings['shm_bytes']}")
    _mount("mqueue", settings["queues"])
    if settings["temporary_bytes"]:
        size = settings["temporary_bytes"]
        _mount("tmpfs", settings["temporary"], options=f"mode=1777,size={size}")
    if settings["user"]:
        open_the_way(settings["reach"], Path(settings["kept"]))
    for name, value in settings["sysctl"].items():
        Path("/proc/sys", name.replace(".", "/")).write_text(str(value))


def look(settings: dict[str, Any]) -> set[str]:
    """Every object and file that is there now, one line for each."""
    found = set()
    for kind in ("shm", "msg", "sem"):
        table = Path("/proc/sysvipc", kind)
        rows = table.read_text().splitlines()[1:] if table.exists() else []
        found |= {f"System V {kind} {row.split()[1]}" for row in rows}
    for folder in ("/dev/shm", settings["queues"], settings["temporary"]):
        for path, folders, files in os.walk(folder):
            found |= {f"{path}/{name}" for name in folders + files}
    return found


def children() -> list[int]:
    """The processes that are left: what is orphaned below us becomes ours. Reaps the dead."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (folder / "stat").read_text()
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    ours = {os.getpid()}
    while more := {pid for pid in parents if parents[pid] in ours} - ours:
        ours |= more
    return sorted(ours - {os.getpid()})


def _command_line(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return b" ".join(words).decode(errors="replace")[:200]


def main() -> int:
    place = Path(sys.argv[1])
    settings = json.loads(place.read_text())
    _checked(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    refused = ""
    try:
        move(settings)
    except OSError as error:
        refused = f"no namespaces of one's own: {error}"
    if refused and settings["needs_namespaces"]:
        place.write_text(json.dumps({"refused": refused, "left": []}))
        return 0
    before = look(settings)
    who: dict[str, Any] = {}
    if settings["user"]:
        who = {"user": settings["user"], "group": settings["user"], "extra_groups": []}
    try:
        status = subprocess.Popen(sys.argv[2:], **who).wait()
    except PermissionError as error:
        place.write_text(json.dumps({"refused": f"another user cannot run it: {error}"}))
        return 0
    deadline = time.monotonic() + settings["grace_s"]
    while (alive := children()) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    left = [f"process {pid} {_command_line(pid)}" for pid in alive]
    for pid in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    left += sorted(look(settings) - before)
    place.write_text(json.dumps({"refused": "", "left": left}))
    return status


if __name__ == "__main__":
    sys.exit(main())
