"""Work in an IPC namespace of its own, where limits can be set and everything goes in the end.

ipc_namespaces(7), user_namespaces(7). The namespace ends with the one process that is in it,
however it ends, and with it all its objects.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit.claims.claim import NotHere
from labkit.claims.lab import Lab

CLONE_NEWIPC, CLONE_NEWUSER = 0x08000000, 0x10000000  # sched.h

_libc = ctypes.CDLL(None, use_errno=True)


def in_new_namespace(lab: Lab, work: Callable[[], Any]) -> Any:
    """Do some work in a child process that has an IPC namespace to itself: what it returned.

    Raises:
        NotHere: this machine allows no such namespace.
    """

    def moved() -> Any:
        if why := _move():
            return {"refused": why}
        return {"value": work()}

    told = lab.child(moved).value
    if told is None:
        raise NotHere("the process in an IPC namespace of its own was killed.")
    if "refused" in told:
        raise NotHere(
            f"no IPC namespace of one's own is allowed here ({told['refused']}); try it with sudo."
        )
    return told["value"]


def limit(name: str, value: int) -> int:
    """Set a limit of this namespace, /proc/sys/kernel: what it was.

    Raises:
        OSError: it may not be set.
    """
    setting = Path("/proc/sys/kernel", name)
    before = int(setting.read_text())
    setting.write_text(str(value))
    return before


def _move() -> str:
    """Into new namespaces: why it is refused, or ""."""
    if _libc.unshare(CLONE_NEWIPC) == 0:
        return ""
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(CLONE_NEWUSER | CLONE_NEWIPC) != 0:
        return os.strerror(ctypes.get_errno())
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as error:
        return error.strerror or "its users cannot be mapped"
    return ""
