"""Whether logging out removes the user's IPC objects: RemoveIPC= of systemd's logind.

A run that goes on after the terminal is closed would lose its queues and segments under its hands.
logind.conf(5), which also says in which order its files count.
"""

import os
import pwd
from pathlib import Path

from labkit.checkup.check import Finding
from labkit.checkup.remedy import here
from labkit.kernel.cpus import kernel_text

ROOT = Path("/")
FOLDERS = ("etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd")
# systemd itself makes the one, sd_booted(3), and logind the other, which an image may bring along.
RUNNING = ("run/systemd/system", "run/systemd/seats")
LINGER = "var/lib/systemd/linger"  # a file for each user who stays logged in, loginctl(1)
SYSTEM_USERS = 999  # up to here they are spared; a distribution may have built in another number
YES = ("1", "yes", "y", "true", "t", "on")


def remove_ipc() -> Finding:
    """Look for logind, who this is, and what it was told."""
    for folder in RUNNING:
        if not (ROOT / folder).is_dir():
            return Finding(True, f"no logind runs here (no /{folder})")
    if os.getuid() <= SYSTEM_USERS:
        return Finding(True, "logind spares the objects of root and of system users")
    user = _user_name()
    if (ROOT / LINGER / user).exists():
        return Finding(True, f"this user lingers (/{LINGER}), so logging out removes nothing")
    value, where = _setting()
    if value.lower() not in YES:
        return Finding(True, f"RemoveIPC={value} ({where})")
    return Finding(
        False,
        f"RemoveIPC={value} ({where}): logging out removes this user's queues, segments and"
        " semaphores, also those of a run that goes on",
        f"{here().sudo}loginctl enable-linger {user}",
    )


def _setting() -> tuple[str, str]:
    """What counts, and which file says so."""
    value, where = "yes", "logind's default"
    for path in (*_main_file(), *_drop_ins()):
        section = ""
        for line in (kernel_text(path) or "").splitlines():
            name, _, told = (part.strip() for part in line.partition("="))
            if name.startswith("["):
                section = name
            elif name == "RemoveIPC" and section == "[Login]":
                value, where = told or "yes", f"/{path.relative_to(ROOT)}"
            elif name == "#RemoveIPC" and where.endswith("default"):
                value = told  # a distribution's own default, as its file shows it
    return value, where


def _main_file() -> list[Path]:
    """Only the first one there is counts."""
    return [path for folder in FOLDERS if (path := ROOT / folder / "logind.conf").is_file()][:1]


def _drop_ins() -> list[Path]:
    """In order of their names, wherever they are; one hides another of its name further down."""
    found: dict[str, Path] = {}
    for folder in reversed(FOLDERS):
        for path in (ROOT / folder / "logind.conf.d").glob("*.conf"):
            found[path.name] = path
    return [found[name] for name in sorted(found)]


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
