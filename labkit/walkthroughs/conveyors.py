"""Seven things that can carry a message, each with the same few verbs, for actors to use.

A pipe, a FIFO, a stream socket, both kinds of queue, both kinds of shared memory. Nothing here
waits: what would have to wait is answered with the kernel's own error.
"""

import ctypes
import os
import signal
import socket
from abc import ABC, abstractmethod

from labkit.errors import LabkitError
from labkit.harness.actor import Memory
from labkit.harness.actor_handle import ActorHandle, Refused
from labkit.harness.stage import Stage
from labkit.kernel.descriptors import queue_state, unread_bytes
from labkit.kernel.process_memory import read_memory
from labkit.kernel.sysv_status import queue_status, row
from labkit.walkthroughs.step import Evidence

PAGE = 4096
IPC_CREAT, IPC_EXCL, IPC_RMID, IPC_NOWAIT = 0o1000, 0o2000, 0, 0o4000
PROT_READ_WRITE, MAP_SHARED = 3, 1
MOST = 64  # bytes that are asked for at a time
TYPE = (1).to_bytes(8, "little")  # a message's type, msgop(2)


def read_text(memory: Memory, descriptor: int) -> str:
    """What read(2) gives, at most 64 bytes."""
    return os.read(descriptor, MOST).decode()


def receive_system_v(memory: Memory, identifier: int) -> str:
    """What msgrcv(2) gives, without waiting."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(8 + MOST)
    libc.msgrcv.argtypes = [
        *(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long, ctypes.c_int)
    ]
    size = libc.msgrcv(identifier, buffer, MOST, 0, IPC_NOWAIT)
    if size < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return buffer.raw[8 : 8 + size].decode()


def receive_posix(memory: Memory, descriptor: int) -> str:
    """What mq_receive(3) gives."""
    libc = ctypes.CDLL(None, use_errno=True)
    longest = queue_state(descriptor).message_size
    buffer = ctypes.create_string_buffer(longest)
    libc.mq_receive.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    size = libc.mq_receive(descriptor, buffer, longest, None)
    if size < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return buffer.raw[:size].decode()


def count_unread(memory: Memory, descriptor: int) -> int:
    """FIONREAD of a descriptor of one's own."""
    return unread_bytes(descriptor)


def die_of_sigpipe(memory: Memory) -> None:
    """Let SIGPIPE do what it does by default; Python ignores it. signal(7)"""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


class Conveyor(ABC):
    """One way to carry a message. `opened` holds each process's descriptor, id or address."""

    name: str
    title: str
    put_call: str  # in C
    get_call: str
    role = "object"

    def __init__(self) -> None:
        self.opened: dict[int, int] = {}  # by process id
        self.text = ""  # what was put in and not taken out, as far as is known

    @abstractmethod
    def set_up(self, stage: Stage, writer: ActorHandle, readers: list[ActorHandle]) -> None:
        """Make it and let each process have it. Raises LabkitError where that is refused."""

    @abstractmethod
    def put(self, actor: ActorHandle, text: str) -> str:
        """Put a message in: "" or errno's name."""

    def get(self, actor: ActorHandle) -> tuple[str, str]:
        """Take, or read, what is there: the text and ""; or "" and errno's name."""
        try:
            return self.take(actor), ""
        except Refused as refused:
            return "", refused.error

    @abstractmethod
    def take(self, actor: ActorHandle) -> str:
        """The same; raises Refused."""

    @abstractmethod
    def held(self, alive: list[ActorHandle]) -> Evidence | None:
        """How much is in it, looked at without taking anything; None if it is gone."""

    def remove(self, actor: ActorHandle) -> None:  # noqa: B027  a descriptor goes with its process
        """Have a process remove what has a name or an id of its own."""


class _Stream(Conveyor):
    """What all that end with their descriptors have in common."""

    put_call, get_call = "write(fd, buf, n);", "read(fd, buf, 64);"

    def put(self, actor: ActorHandle, text: str) -> str:
        return actor.call("write", self.opened[actor.pid], text, len(text)).error

    def take(self, actor: ActorHandle) -> str:
        text: str = actor.act(read_text, self.opened[actor.pid])
        return text

    def held(self, alive: list[ActorHandle]) -> Evidence | None:
        for actor in alive:
            descriptor = self.opened.get(actor.pid)
            if descriptor is not None and actor.pid in self.readers:
                count = actor.act(count_unread, descriptor)
                where = f"FIONREAD, descriptor {descriptor} of PID {actor.pid}"
                return Evidence(f"{self.title}: {count} bytes", where, str(count))
        return None

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[int] = set()


class Pipe(_Stream):
    """pipe(7): two descriptors that somebody has to be given."""

    name, title = "pipe", "pipe"

    def set_up(self, stage: Stage, writer: ActorHandle, readers: list[ActorHandle]) -> None:
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for actor in readers:
            (self.opened[actor.pid],) = actor.take(reading)
            self.readers.add(actor.pid)
        (self.opened[writer.pid],) = writer.take(writing)
        os.close(reading)
        os.close(writing)


class Fifo(_Stream):
    """fifo(7): a pipe with a name in a file system."""

    name, title = "fifo", "FIFO"

    def set_up(self, stage: Stage, writer: ActorHandle, readers: list[ActorHandle]) -> None:
        self.path = str(stage.objects.expected("fifo", writer.pid))
        if error := writer.call("mkfifo", self.path, 0o600).error:
            raise LabkitError(f"a FIFO is refused here ({error}).")
        for actor in readers:
            self.open(actor, os.O_RDONLY)
        self.opened[writer.pid] = writer.call("open", self.path, os.O_WRONLY | os.O_NONBLOCK).result

    def open(self, actor: ActorHandle, how: int) -> None:
        """Let a process read from it."""
        self.opened[actor.pid] = actor.call("open", self.path, how | os.O_NONBLOCK).result
        self.readers.add(actor.pid)

    def remove(self, actor: ActorHandle) -> None:
        actor.call("unlink", self.path)


class Stream(_Stream):
    """unix(7): two connected stream sockets; the readers share one of them."""

    name, title = "unix_stream", "stream socket"

    def set_up(self, stage: Stage, writer: ActorHandle, readers: list[ActorHandle]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            for actor in readers:
                (self.opened[actor.pid],) = actor.take(theirs.fileno())
                self.readers.add(actor.pid)
            (self.opened[writer.pid],) = writer.take(ours.fileno())


class SystemVQueue(Conveyor):
    """msgop(2): found by its key, used by its id."""

    name, title = "sysv_mq", "System V queue"
    put_call, get_call = "msgsnd(id, &m, n, IPC_NOWAIT);", "msgrcv(id, &m, 64, 0, IPC_NOWAIT);"

    def set_up(self, stage: Stage, writer: ActorHandle, readers: list[ActorHandle]) -> None:
        self.key = int(stage.objects.expected("sysv_mq", writer.pid))
        made = writer.call("msgget", self.key, IPC_CREAT | IPC_EXCL | 0o600)
        if made.error:
            raise LabkitError(f"a System V queue is refused here ({made.error}).")
        self.identifier = made.result

    def put(self, actor: ActorHandle, text: str) -> str:
        message = TYPE + text.encode()
        return actor.call("msgsnd", self.identifier, message, len(text), IPC_NOWAIT).error

    def take(self, actor: ActorHandle) -> str:
        text: str = actor.act(receive_system_v, self.identifier)
        return text

    def held(self, alive: list[ActorHandle]) -> Evidence | None:
        found = row("msg", self.identifier)
        if found is None:
            return None
        status = queue_status(self.identifier)
        what = f"{self.title}: messages {status.messages}, bytes {status.data_bytes}"
        return Evidence(what, status.where, status.line)

    def remove(self, actor: ActorHandle) -> None:
        actor.call("msgctl", self.identifier, IPC_RMID, 0)


class PosixQueue(Conveyor):
    """mq_overview(7): found by its name, used by a descriptor."""

    name, title = "posix_mq", "POSIX queue"
    put_call, get_call = "mq_send(q, buf, n, 0);", "mq_receive(q, buf, 8192, NULL);"

    def set_up(self, stage: Stage, writer: ActorHandle, readers: list[ActorHandle]) -> None:
        self.path = str(stage.objects.expected("posix_mq", writer.pid))
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NONBLOCK
        made = writer.call("mq_open", self.path, flags, 0o600, 0)
        if made.error:
            raise LabkitError(f"a POSIX queue is refused here ({made.error}).")
        self.opened[writer.pid] = made.result
        for actor in readers:
            self.open(actor)

    def open(self, actor: ActorHandle) -> None:
        """Let a process use it."""
        opened = actor.call("mq_open", self.path, os.O_RDWR | os.O_NONBLOCK)
        self.opened[actor.pid] = opened.result

    def put(self, actor: ActorHandle, text: str) -> str:
        return actor.call("mq_send", self.opened[actor.pid], text, len(text), 0).error

    def take(self, actor: ActorHandle) -> str:
        text: str = actor.act(receive_posix, self.opened[actor.pid])
        return text

    def held(self, alive: list[ActorHandle]) -> Evidence | None:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = libc.mq_open(self.path.encode(), os.O_RDONLY)
        if descriptor < 0:
            return None
        try:
            state = queue_state(descriptor)
        finally:
            os.close(descriptor)
        return Evidence(f"{self.title}: messages {state.messages}", "mq_getattr", state.line)

    def remove(self, actor: ActorHandle) -> None:
        actor.call("mq_unlink", self.path)


class _Memory(Conveyor):
    """Shared memory: an address in each process, and no verb of the kernel's at all."""

    put_call, get_call = "strcpy(p, buf);", "strcpy(buf, p);"
    role = "memory"

    def put(self, actor: ActorHandle, text: str) -> str:
        actor.write(self.opened[actor.pid], text.encode() + b"\0")
        return ""

    def take(self, actor: ActorHandle) -> str:
        return actor.read(self.opened[actor.pid], MOST).split(b"\0")[0].decode()

    def shown(self, alive: list[ActorHandle]) -> str:
        """Words for the text in it."""
        text = self.seen(alive)
        return "" if text is None else f', holds "{text}"'

    def seen(self, alive: list[ActorHandle]) -> str | None:
        """The text in it, looked at from outside; None if no process has it."""
        for actor in alive:
            if actor.pid in self.opened:
                found = read_memory(actor.pid, self.opened[actor.pid], MOST)
                return found.split(b"\0")[0].decode()
        return None


class SystemVSegment(_Memory):
    """shmop(2)"""

    name, title = "sysv_shm", "System V segment"

    def set_up(self, stage: Stage, writer: ActorHandle, readers: list[ActorHandle]) -> None:
        self.key = int(stage.objects.expected("sysv_shm", writer.pid))
        made = writer.call("shmget", self.key, PAGE, IPC_CREAT | IPC_EXCL | 0o600)
        if made.error:
            raise LabkitError(f"a System V segment is refused here ({made.error}).")
        self.identifier = made.result
        for actor in (writer, *readers):
            self.open(actor)

    def open(self, actor: ActorHandle) -> None:
        """Attach it in a process."""
        self.opened[actor.pid] = actor.call("shmat", self.identifier, 0, 0).result

    def held(self, alive: list[ActorHandle]) -> Evidence | None:
        found = row("shm", self.identifier)
        if found is None:
            return None
        what = f"{self.title}: nattch {found.columns['nattch']}{self.shown(alive)}"
        return Evidence(what, found.where, found.line)

    def remove(self, actor: ActorHandle) -> None:
        actor.call("shmctl", self.identifier, IPC_RMID, 0)
        if actor.pid in self.opened:  # the last to detach ends it
            actor.call("shmdt", self.opened[actor.pid])


class PosixSegment(_Memory):
    """shm_overview(7)"""

    name, title = "posix_shm", "POSIX segment"

    def set_up(self, stage: Stage, writer: ActorHandle, readers: list[ActorHandle]) -> None:
        self.path = str(stage.objects.expected("posix_shm", writer.pid))
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        made = writer.call("shm_open", self.path, flags, 0o600)
        if made.error or writer.call("ftruncate", made.result, PAGE).error:
            raise LabkitError(f"a POSIX segment is refused here ({made.error or 'no room'}).")
        writer.call("close", made.result)
        for actor in (writer, *readers):
            self.open(actor)

    def open(self, actor: ActorHandle) -> None:
        """Map it in a process."""
        descriptor = actor.call("shm_open", self.path, os.O_RDWR, 0o600).result
        place = (0, PAGE, PROT_READ_WRITE, MAP_SHARED, descriptor, 0)
        self.opened[actor.pid] = actor.call("mmap", *place).result
        actor.call("close", descriptor)

    def held(self, alive: list[ActorHandle]) -> Evidence | None:
        where = f"/dev/shm{self.path}"
        try:
            size = os.stat(where).st_size
        except FileNotFoundError:
            return None
        return Evidence(f"{self.title}: {size} bytes{self.shown(alive)}", where, f"size {size}")

    def remove(self, actor: ActorHandle) -> None:
        actor.call("shm_unlink", self.path)


ALL: tuple[type[Conveyor], ...] = (
    *(Pipe, Fifo, Stream, SystemVQueue, PosixQueue, SystemVSegment, PosixSegment),
)


def set_up_all(
    stage: Stage,
    writer: ActorHandle,
    readers: list[ActorHandle],
    kinds: tuple[type[Conveyor], ...] = ALL,
) -> list[Conveyor]:
    """Make one of each kind; what is refused here is left out, with a note."""
    made = []
    for kind in kinds:
        conveyor = kind()
        try:
            conveyor.set_up(stage, writer, readers)
        except LabkitError as refused:
            note = f"The {conveyor.title} is left out: {refused} labkit doctor says more."
            if note not in stage.notes:
                stage.notes.append(note)
        else:
            made.append(conveyor)
    return made
