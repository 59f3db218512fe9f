"""What one experiment works with: processes that end with it, and objects that go with it.

Objects are made by the kernel's own calls and entered in the ledger before; processes are forked
from the stage and die with it.
"""

import contextlib
import ctypes
import json
import mmap
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from errno import EINVAL, errorcode
from types import TracebackType
from typing import Any, NamedTuple

from labkit.claims.claim import NotHere
from labkit.errors import LabkitError
from labkit.harness.actor_handle import ActorHandle
from labkit.harness.stage import Stage
from labkit.kernel import libc, system_v
from labkit.kernel.pagemap import PAGE
from labkit.kernel.system_v import IPC_CREAT, IPC_EXCL
from labkit.kernel.unreadable import Unreadable

PATIENCE_S = 30.0
NOBODY = 65534
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4  # prctl(2)
_CAPABILITY_VERSION = 0x20080522  # linux/capability.h

_libc = ctypes.CDLL(None, use_errno=True)


class Segment(NamedTuple):
    """A System V segment: what it is looked up by, and what it is used by."""

    key: int
    id: int


class Ended(NamedTuple):
    """How a child ended.

    Attributes:
        value: what its work returned; None if it did not come to that.
        signal: that killed it, as "SIGSEGV"; "" for none.
    """

    value: Any
    signal: str


class Lab:
    """For one experiment; leaving it ends its processes and removes its objects."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._actors: list[ActorHandle] = []
        self._segments: list[int] = []
        self._queues: list[int] = []
        self._semaphores: list[int] = []
        self._descriptors: list[int] = []
        self._addresses: list[int] = []

    def __enter__(self) -> "Lab":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for actor in reversed(self._actors):
            if actor.alive:
                with contextlib.suppress(ProcessLookupError, ChildProcessError, LabkitError):
                    actor.kill()
        for address in self._addresses:
            system_v.refusal(system_v.shmdt, address)
        for identifier in self._segments:
            system_v.refusal(system_v.remove_segment, identifier)
        for identifier in self._queues:
            system_v.refusal(system_v.remove_queue, identifier)
        for identifier in self._semaphores:
            system_v.refusal(system_v.remove_semaphores, identifier)
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    # Objects.

    def key(self, kind: str = "sysv_shm") -> int:
        """A key that nobody has, for an object that this process is about to make."""
        return int(self.stage.objects.expected(kind, os.getpid()))

    def name(self, kind: str) -> str:
        """The same for a POSIX name (posix_shm, posix_mq) or a path (fifo, file)."""
        return str(self.stage.objects.expected(kind, os.getpid()))

    def shmget(self, key: int, size: int, flags: int) -> int:
        """A segment's id; it is removed in the end."""
        identifier = system_v.shmget(key, size, flags)
        self._segments.append(identifier)
        return identifier

    def segment(self, size: int = PAGE, mode: int = 0o600) -> Segment:
        """A new segment."""
        key = self.key()
        return Segment(key, self.shmget(key, size, IPC_CREAT | IPC_EXCL | mode))

    def attach(self, identifier: int, address: int = 0, flags: int = 0) -> int:
        """Attach a segment to this process: the address; it is detached in the end."""
        found = system_v.shmat(identifier, address, flags)
        self._addresses.append(found)
        return found

    def queue(self) -> int:
        """A new System V message queue: its id."""
        queue = system_v.msgget(self.key("sysv_mq"), IPC_CREAT | IPC_EXCL | 0o600)
        self._queues.append(queue)
        return queue

    def semaphore(self, value: int) -> int:
        """A new set of one System V semaphore: its id.

        Raises:
            NotHere: a set may not have even one. semget(2), EINVAL
        """
        try:
            made = system_v.semget(self.key("sysv_sem"), 1, IPC_CREAT | IPC_EXCL | 0o600)
        except OSError as error:
            if error.errno != EINVAL:
                raise
            raise NotHere(
                "no System V semaphore may be made here (EINVAL), as SEMMSL, the first number of"
                " kernel.sem, is 0; sysctl -w kernel.sem='32000 1024000000 500 32000' sets the"
                " kernel's defaults."
            ) from error
        self._semaphores.append(made)
        system_v.set_semaphore(made, value)
        return made

    def pipe(self) -> tuple[int, int]:
        """A pipe's read end and write end, which don't wait. pipe2(2)"""
        ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._descriptors += ends
        return ends

    def keep(self, descriptor: int) -> int:
        """Have a descriptor closed in the end."""
        self._descriptors.append(descriptor)
        return descriptor

    # Processes.

    def actor(self, name: str) -> ActorHandle:
        """A process that does one thing after another as it is told."""
        actor = self.stage.actor(name)
        self._actors.append(actor)
        return actor

    def fork(self, actor: ActorHandle, name: str) -> ActorHandle:
        """A child of an actor."""
        child = actor.fork(name)
        self._actors.append(child)
        return child

    def child(self, work: Callable[[], Any]) -> Ended:
        """Have a process of its own do some work and end: what it returned, or what killed it.

        Raises:
            NotHere: it found that this machine lacks something.
            OSError: the kernel refused something.
            LabkitError: it takes too long, or its work failed.
        """
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            _work(work, writing)
        os.close(writing)
        try:
            text = _read_to_end(reading, pid)
        finally:
            os.close(reading)
            status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            return Ended(None, signal.Signals(os.WTERMSIG(status)).name)
        told = json.loads(text or b'{"failed": "it ended early"}')
        if "not_here" in told:
            raise NotHere(told["not_here"])
        if "errno" in told:
            raise OSError(told["errno"], os.strerror(told["errno"]))
        if "failed" in told:
            raise LabkitError(f"a child process could not do its work: {told['failed']}.")
        return Ended(told["value"], "")

    def another_user(self) -> int:
        """The number of a user without rights that a child can become.

        Raises:
            NotHere: only a privileged process can become another.
        """
        user = self.stage.another_user()
        if user is None:
            raise NotHere("only a privileged user can try it as another user; run it with sudo.")
        return user


def become(user: int) -> None:
    """Give up all rights but those of this user. setuid(2)

    The kernel forgets then who is to die with whom, and whom /proc may be shown to. prctl(2)
    """
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _libc.prctl(PR_SET_DUMPABLE, 1)


def drop_capabilities() -> None:
    """Give up the privileges of a superuser, and stay the same user. capset(2), capabilities(7)"""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()
    if _libc.capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def place_of(memory: mmap.mmap) -> int:
    """The address of a mapping of this process's."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def peek(address: int, size: int) -> str:
    """The text in memory, up to the first zero byte."""
    return ctypes.string_at(address, size).split(b"\0")[0].decode()


def poke(address: int, text: str) -> None:
    """Store a text and a zero byte."""
    data = text.encode() + b"\0"
    libc.memcpy(address, ctypes.addressof(ctypes.create_string_buffer(data)), len(data))


def answer(call: Callable[..., Any], *arguments: Any) -> str:
    """Make a call: "accepted", or the errno's name."""
    return system_v.refusal(call, *arguments) or "accepted"


def name_of(error: OSError) -> str:
    """The errno's name."""
    return errorcode.get(error.errno or 0, str(error.errno))


def _work(work: Callable[[], Any], writing: int) -> None:
    """The child's side; it never returns."""
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it may be meant to crash
        told: dict[str, Any]
        try:
            told = {"value": work()}
        except OSError as error:
            told = {"errno": error.errno}
        except (NotHere, Unreadable) as why:
            told = {"not_here": str(why)}
        except BaseException as error:
            told = {"failed": f"{type(error).__name__}: {error}"}
        os.write(writing, json.dumps(told).encode())
    finally:
        os._exit(0)


def _read_to_end(reading: int, pid: int) -> bytes:
    """What a child says until it ends; one that takes too long is killed."""
    deadline, text = time.monotonic() + PATIENCE_S, b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            os.kill(pid, signal.SIGKILL)
            raise LabkitError(f"a child process was not done within {PATIENCE_S:g} s.")
        if not (more := os.read(reading, 65536)):
            return text
        text += more
