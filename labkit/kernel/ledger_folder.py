"""The private folders that ledgers are kept in.

The first is where state belongs (XDG Base Directory Specification, `XDG_STATE_HOME`); the others
serve where that cannot be written. All of them are looked through when cleaning up.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "labkit/ledger"
PRIVATE = 0o700


def folders() -> list[Path]:
    """Where a ledger may be, the best place first; none of them need exist."""
    found: list[Path] = []
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # such a one is to be ignored, says the specification
        home = os.path.expanduser("~")
        state = os.path.join(home, ".local/state") if os.path.isabs(home) else ""
    for base in (state, os.environ.get("XDG_RUNTIME_DIR", "")):
        if os.path.isabs(base):
            found.append(Path(base, NAME))
    with contextlib.suppress(OSError):  # there may be no temporary folder either
        found.append(_temporary(tempfile.gettempdir()))
    found.append(_temporary("/tmp"))
    return list(dict.fromkeys(found))


def make(folder: Path) -> None:
    """See to it that a folder is there, ours, and closed to everybody else.

    Raises:
        OSError: it cannot be made, or is somebody else's.
    """
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    if missing:
        above = os.stat(missing[-1].parent)
        if os.geteuid() == 0 and above.st_uid != 0:
            # sudo often keeps HOME: nothing of root's may turn up in a user's home.
            raise PermissionError(f"{missing[-1].parent} is another user's.")
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            each.mkdir(PRIVATE)
    with opened(folder) as descriptor:
        if os.fstat(descriptor).st_mode & 0o077:
            os.fchmod(descriptor, PRIVATE)


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """A descriptor of a folder that is ours: what follows goes through it, not through a path.

    Raises:
        OSError: there is none, or it is a link or somebody else's.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder, flags)
    try:
        facts = os.fstat(descriptor)
        if facts.st_uid != os.geteuid() or not stat.S_ISDIR(facts.st_mode):
            raise PermissionError(f"{folder} is another user's.")
        yield descriptor
    finally:
        os.close(descriptor)


def drop(folder: Path) -> None:
    """Remove a folder from where everybody's temporary files are, if nothing is left in it."""
    if folder.name == _temporary("/").name:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _temporary(base: str) -> Path:
    return Path(base, f"labkit-ledger-{os.geteuid()}")
