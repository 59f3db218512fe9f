"""The ledger of this process: each object is entered before it is made, struck out when gone.

A process that is killed leaves its file behind, and `labkit.kernel.cleaning` what it says. Each
process has a file of its own, so none waits for another. Lines are handed to the kernel and not
forced to the disk: they outlive the process, and a machine that fails takes the objects with it.

Where no file can be written, all goes on without, and `note` says so.
"""

import atexit
import contextlib
import errno
import fcntl
import os
import secrets
import time
from pathlib import Path

from labkit.kernel import ledger_folder
from labkit.kernel.ledger_file import Entry, entered, first_line, struck
from labkit.kernel.ledger_owner import Owner, ourselves

ATTEMPTS = 16
TIDY_BYTES = 1 << 16  # a file of nothing but struck-out entries is cut back beyond this

NO_LEDGER = (
    "no ledger could be kept of the objects made ({why}): should this process be killed, what it "
    "leaves must be removed by hand."
)


class Ledger:
    """Enters objects, for the process that made it.

    Attributes:
        note: why nothing is written down, in one sentence; "" if all is well.
        owner: this process; None where /proc does not tell.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.note = ""
        self.owner: Owner | None = None
        self.path: Path | None = None
        self._descriptor = -1
        self._writing = False
        self._tried = False
        self._head = self._size = self._last = 0
        self._entries: set[int] = set()

    def open(self) -> None:
        """Begin the file, unless that was tried before; a first entry does it too."""
        if self._tried:
            return
        self._tried = True
        try:
            self.owner = ourselves()
        except OSError as error:
            self.note = NO_LEDGER.format(why=f"/proc says {error.strerror}")
            return
        why = "there is no folder for it"
        for folder in ledger_folder.folders():
            try:
                self._begin(folder, self.owner)
            except OSError as error:
                why = error.strerror or "its folder is another user's"
            else:
                return
        self.note = NO_LEDGER.format(why=why)

    def enter(self, kind: str, name: int | str, maker: int = 0) -> Entry:
        """Enter an object that is about to be made; `maker` is the process id of who makes it."""
        self.open()
        self._last += 1
        entry = Entry(self._last, kind, name, time.time(), maker)
        self._entries.add(entry.number)
        self._write(entered(entry))
        return entry

    def strike(self, entry: Entry) -> None:
        """Strike out an object that is gone, or was never made."""
        if entry.number not in self._entries or os.getpid() != self.pid:
            return
        self._write(struck(entry.number))
        self._entries.discard(entry.number)
        if not self._entries and self._size > TIDY_BYTES and self._writing:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._head)
                self._size = self._head

    def leave(self) -> None:
        """Remove the file, unless something in it is still there."""
        if os.getpid() != self.pid:
            return  # a forked child has a copy
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._writing = -1, False
        if self.path is not None and not self._entries:
            with contextlib.suppress(OSError):
                self.path.unlink()
            ledger_folder.drop(self.path.parent)
            self.path = None

    def _begin(self, folder: Path, owner: Owner) -> None:
        """Write the first line, and only then give the file its name: none is seen without it."""
        for attempt in range(ATTEMPTS):
            path = folder / f"{secrets.token_hex(8)}.jsonl"
            unfinished = path.with_suffix(".new")
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                ledger_folder.make(folder)
                descriptor = os.open(unfinished, flags, 0o600)
                try:
                    size = _write_head(descriptor, owner)
                    unfinished.rename(path)
                except BaseException:
                    os.close(descriptor)
                    unfinished.unlink(missing_ok=True)
                    raise
            except FileNotFoundError:  # somebody is cleaning up at this very moment
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                self.path, self._descriptor = path, descriptor
                self._head = self._size = size
                self._writing = True
                return

    def _write(self, line: bytes) -> None:
        if not self._writing:
            return
        try:
            written = os.write(self._descriptor, line)
            self._size += written
            if written != len(line):
                raise _full()
        except OSError as error:
            # What it says so far still holds, and its lock says that we live: it stays open.
            self._writing = False
            self.note = NO_LEDGER.format(why=error.strerror)


def _write_head(descriptor: int, owner: Owner) -> int:
    # Such a lock ends with its process and is not inherited over fork: fcntl(2). Seen from another
    # pid namespace, it alone tells whether its owner lives.
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = True
    except OSError:
        locked = False  # not every filesystem has locks
    line = first_line(owner, os.fstat(descriptor).st_dev, locked)
    if os.write(descriptor, line) != len(line):
        raise _full()
    return len(line)


def _full() -> OSError:
    """What the next write would be told after one that was cut short, write(2)."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_ledger: Ledger | None = None


def ours() -> Ledger:
    """The ledger of this process; a forked child gets one of its own."""
    global _ledger
    if _ledger is None or _ledger.pid != os.getpid():
        _ledger = Ledger()
        atexit.register(_ledger.leave)
    return _ledger
