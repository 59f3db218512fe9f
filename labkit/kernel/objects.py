"""The one door through which kernel objects with a life of their own are made and removed.

A segment, a queue, a semaphore or a FIFO outlives the process that made it. So each is entered in
the ledger before it is made, and struck out when it is gone. Every object is private: a random key
or name, created exclusively (one that exists already is never used), mode 0600.

sysv_ipc and posix_ipc do the work. Mind what sysv_ipc adds: a segment made with IPC_CREX is
filled with a character, which touches each of its pages (the kernel alone gives zeroes, lazily).
"""

import contextlib
import errno
import mmap
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import posix_ipc
import sysv_ipc

from labkit.errors import LabkitError
from labkit.kernel import ledger, system_v
from labkit.kernel.ledger_file import FOLDER, LARGEST_KEY, POSIX, SYSTEM_V, Entry
from labkit.kernel.leftovers import examine
from labkit.kernel.refusals import REFUSALS, error_number

__all__ = ["MODE", "REFUSALS", "Objects", "error_number", "map_shared"]

MODE = 0o600
TAKEN = (FileExistsError, sysv_ipc.ExistentialError, posix_ipc.ExistentialError)
ATTEMPTS = 16  # random keys tried before giving up; two collisions in a row are already a wonder


class Objects:
    """Makes kernel objects and knows how to remove each of them.

    Used as a context manager it removes on leaving whatever is still there.
    """

    def __init__(self) -> None:
        self._removals: dict[tuple[str, int | str], tuple[Entry, Callable[[], None]]] = {}
        self._being_made: dict[int, Entry] = {}  # or interrupted while they were
        self._folder: str | None = None
        self._ledger = ledger.ours()
        self._owner = os.getpid()

    def __enter__(self) -> "Objects":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove_all()

    # System V: a key is looked up, an id is used. svipc(7)

    def sysv_segment(self, size: int) -> int:
        """A new zeroed segment of `size` bytes, attached by nobody: its id. shmget(2)"""

        def make(key: int) -> Any:
            segment = sysv_ipc.SharedMemory(
                key, sysv_ipc.IPC_CREX, mode=MODE, size=size, init_character=b"\0"
            )
            segment.detach()
            return segment

        return self._with_new_key("sysv_shm", make)

    def sysv_queue(self, room: int, least: int = 0) -> int:
        """A new message queue that holds `room` bytes, or as many as allowed: its id. msgget(2)

        Raises:
            OSError: EINVAL, as many as are allowed are fewer than `least`: a message that never
                fits would be waited with for ever, msgop(2).
        """

        def make(key: int) -> Any:
            queue = sysv_ipc.MessageQueue(key, sysv_ipc.IPC_CREX, mode=MODE)
            # Beyond msgmnb only a privileged process may go, msgctl(2): then what is there stays.
            with contextlib.suppress(*REFUSALS):
                queue.max_size = room
            if queue.max_size < least:
                queue.remove()
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return queue

        return self._with_new_key("sysv_mq", make)

    def sysv_semaphore(self, value: int) -> int:
        """A new set of one semaphore with this value: its id. semget(2)"""
        return self._with_new_key(
            "sysv_sem",
            lambda key: sysv_ipc.Semaphore(key, sysv_ipc.IPC_CREX, mode=MODE, initial_value=value),
        )

    # POSIX: a name, and a descriptor while it is open. shm_overview(7), mq_overview(7)

    def posix_segment(self, size: int) -> str:
        """A new shared memory object of `size` bytes: its name. shm_open(3)"""
        name = self._new_name()
        with self._entered("posix_shm", name) as entry:
            segment = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=MODE, size=size)
            try:
                # ftruncate(2) promises no memory: reserve it, or a full /dev/shm is a SIGBUS later.
                os.posix_fallocate(segment.fd, 0, size)
            finally:
                segment.close_fd()
            self._made(entry, name, segment.unlink)
        return name

    def posix_queue(self, messages: int, message_size: int) -> str:
        """A new queue of `messages` messages of at most `message_size` bytes: its name.

        mq_open(3)
        """
        name = self._new_name()
        with self._entered("posix_mq", name) as entry:
            queue = posix_ipc.MessageQueue(
                name,
                posix_ipc.O_CREX,
                mode=MODE,
                max_messages=messages,
                max_message_size=message_size,
            )
            self._made(entry, name, queue.unlink)
            queue.close()
        return name

    # Names in a filesystem, in a folder that only its owner can enter.

    def fifo(self) -> str:
        """A new FIFO: its path. mkfifo(3)"""
        path = self._new_path()
        with self._entered("fifo", path) as entry:
            os.mkfifo(path, MODE)
            self._made(entry, path, lambda: os.unlink(path))
        return path

    def file(self, size: int) -> str:
        """A new file of `size` zero bytes, its blocks reserved: its path. posix_fallocate(3)"""
        path = self._new_path()
        with self._entered("file", path) as entry:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
            self._made(entry, path, lambda: os.unlink(path))
        return path

    # What another process is to make: an actor that shows the very call.

    def expected(self, kind: str, maker: int) -> int | str:
        """A private key, name or path for an object that process `maker` is about to make.

        Whoever makes it makes it exclusively and for its owner alone (0600 or less). What is there
        of it in the end is removed with the rest.

        Args:
            kind: "sysv_shm", "sysv_mq", "sysv_sem" (a key); "posix_shm", "posix_mq" (a name);
                "fifo", "file" (a path).
        """
        if kind in SYSTEM_V:
            name: int | str = 1 + secrets.randbelow(LARGEST_KEY)
        else:
            name = self._new_name() if kind in POSIX else self._new_path()
        entry = self._ledger.enter(kind, name, maker)
        self._being_made[entry.number] = entry
        return name

    # Removal.

    def remove(self, kind: str, name: int | str) -> None:
        """Remove one object. Only the process that made it may: a forked child has a copy."""
        if os.getpid() != self._owner or (kind, name) not in self._removals:
            return
        entry, removal = self._removals[kind, name]
        try:
            removal()
        except REFUSALS:
            self._examine(entry)  # gone already is as good as removed
        else:
            self._strike(entry)
        del self._removals[kind, name]

    def remove_all(self) -> None:
        """Remove everything that is still there, and the folder that held the paths."""
        if os.getpid() != self._owner:
            return
        for kind, name in list(self._removals):
            if kind != FOLDER:
                self.remove(kind, name)
        for entry in reversed(list(self._being_made.values())):
            self._examine(entry)
        if self._folder is not None:
            self.remove(FOLDER, self._folder)
            self._folder = None

    @contextmanager
    def _entered(self, kind: str, name: int | str) -> Iterator[Entry]:
        """Have an object entered while it is made, and out again if the kernel refuses.

        A signal's exception may come between the making and our taking note of it; so may a
        library's, after the kernel has made the object. Hence what is there is looked at.
        """
        entry = self._ledger.enter(kind, name)
        self._being_made[entry.number] = entry
        try:
            yield entry
        except TAKEN:  # what is there is somebody else's
            self._strike(entry)
            raise
        except REFUSALS:
            self._examine(entry)
            raise

    def _made(self, entry: Entry, name: int | str, removal: Callable[[], None]) -> None:
        """It is there, and this is how to remove it; `name` is what its user calls it by."""
        self._removals[entry.kind, name] = entry, removal
        del self._being_made[entry.number]

    def _examine(self, entry: Entry) -> None:
        """Remove what is there of an entry; what cannot be removed stays in the ledger."""
        us = self._ledger.owner
        if us is not None and examine(entry, us, us, remove=True).state != "refused":
            self._strike(entry)
        self._being_made.pop(entry.number, None)

    def _strike(self, entry: Entry) -> None:
        self._ledger.strike(entry)
        self._being_made.pop(entry.number, None)

    def _new_path(self) -> str:
        """A name that is not taken, in our private folder."""
        if self._folder is None:
            # The file behind a mapping belongs on the disk's cache, not on a network home.
            path = os.path.join(tempfile.gettempdir(), f"labkit-{secrets.token_hex(8)}")
            with self._entered(FOLDER, path) as entry:
                os.mkdir(path, 0o700)
                self._made(entry, path, lambda: os.rmdir(path))
            self._folder = path
        return os.path.join(self._folder, secrets.token_hex(8))

    @staticmethod
    def _new_name() -> str:
        return f"/labkit-{secrets.token_hex(12)}"

    def _with_new_key(self, kind: str, make: Callable[[int], Any]) -> int:
        """An object under a random key that nobody has: its id."""
        for _ in range(ATTEMPTS):
            key = 1 + secrets.randbelow(LARGEST_KEY)
            try:
                with self._entered(kind, key) as entry:
                    made = make(key)
                    self._made(entry, int(made.id), made.remove)
                    return int(made.id)
            except sysv_ipc.ExistentialError as error:
                # It stands for EINVAL too, and keeps the number to itself.
                if not _is_taken(kind, key):
                    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from error
        raise LabkitError(f"{ATTEMPTS} random System V keys were all taken; look at `ipcs -a`.")


def _is_taken(kind: str, key: int) -> bool:
    """Whether a System V object has this key, ours or somebody else's. ENOENT: none has."""
    look = {
        "sysv_shm": lambda: system_v.shmget(key, 0, 0),
        "sysv_mq": lambda: system_v.msgget(key, 0),
        "sysv_sem": lambda: system_v.semget(key, 0, 0),
    }[kind]
    return system_v.refusal(look) != "ENOENT"


def map_shared(descriptor: int, size: int) -> mmap.mmap:
    """Map `size` bytes of a descriptor shared, readable and writable. mmap(2)"""
    return mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
