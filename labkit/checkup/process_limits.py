"""How many descriptors and processes there may be. getrlimit(2)"""

import os
from contextlib import suppress

from labkit.checkup import needs
from labkit.checkup.check import Finding
from labkit.checkup.remedy import here, may_exceed_limits
from labkit.kernel.limits import UNLIMITED, resources


def rlimit_nofile() -> Finding:
    """Descriptors of one process."""
    limit = resources()["RLIMIT_NOFILE"]
    wanted = needs.OWN_DESCRIPTORS + needs.DESCRIPTORS * len(needs.segments())
    if limit is None or limit == UNLIMITED:
        return Finding(True, "no limit (getrlimit, `ulimit -n`)")
    why = f"{limit} descriptors for a process (getrlimit, `ulimit -n`)"
    if limit >= wanted:
        return Finding(True, f"{why}; the lab has up to {wanted}")
    return Finding(
        False,
        f"{why}, and the lab has up to {wanted}: some cells are skipped",
        here().change(limits={"RLIMIT_NOFILE": 1024}),
    )


def rlimit_nproc() -> Finding:
    """Processes and threads of this user."""
    limit = resources()["RLIMIT_NPROC"]
    taken = _threads_of_user()
    if limit is None or limit == UNLIMITED:
        return Finding(True, "no limit (getrlimit, `ulimit -u`)")
    why = (
        f"{limit} processes and threads for this user (getrlimit, `ulimit -u`), of which {taken}"
        " are seen from here"
    )
    if limit - taken >= needs.PROCESSES:
        return Finding(True, f"{why}; the lab has {needs.PROCESSES}")
    if os.getuid() == 0 or may_exceed_limits():
        return Finding(True, f"{why}; root is not bound by it")
    return Finding(
        False,
        f"{why}, and the lab has {needs.PROCESSES}: it may not start",
        here().change(limits={"RLIMIT_NPROC": taken + 512}),
    )


def _threads_of_user() -> int:
    """Threads of all processes of this user that /proc shows, proc(5)."""
    count, user = 0, os.getuid()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):  # it ended meanwhile, or is hidden
                if os.stat(f"/proc/{name}").st_uid == user:
                    count += os.stat(f"/proc/{name}/task").st_nlink - 2  # one folder a thread
    return count
