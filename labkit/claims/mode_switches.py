"""When a message enters the kernel, and when it doesn't."""

import ctypes
import mmap
import os
import resource
from collections.abc import Callable

import posix_ipc

from labkit.claims.claim import Claim, Evidence, Found, NotHere
from labkit.claims.lab import Lab, name_of, place_of
from labkit.claims.system_calls import calls_of
from labkit.kernel import libc, system_v
from labkit.kernel.descriptors import queue_state, unread_bytes
from labkit.kernel.pagemap import PAGE
from labkit.kernel.refusals import REFUSALS
from labkit.kernel.sysv_status import queue_status
from labkit.kernel.trace import SystemCall

TOPIC = "mode switches"
_PAGES = 16
_SENT, _LATER = b"as it was sent", b"changed later!"


class Way:
    """One way to send a message through the kernel and to receive it, and what waits in it."""

    def __init__(
        self,
        send: Callable[[bytes], object],
        receive: Callable[[], bytes],
        waiting: Callable[[], int | None],
        where: str,
    ) -> None:
        self.send = send
        self.receive = receive
        self.waiting = waiting
        self.where = where


def _pipe(lab: Lab) -> Way:
    reading, writing = lab.pipe()
    return Way(
        lambda data: os.write(writing, data),
        lambda: os.read(reading, 64),
        lambda: unread_bytes(reading),
        "FIONREAD of the pipe",
    )


def _fifo(lab: Lab) -> Way:
    path = lab.stage.objects.fifo()
    both = lab.keep(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    return Way(
        lambda data: os.write(both, data),
        lambda: os.read(both, 64),
        lambda: unread_bytes(both),
        "FIONREAD of the FIFO",
    )


def _system_v(lab: Lab) -> Way:
    queue = lab.queue()
    return Way(
        lambda data: system_v.msgsnd(queue, data, flags=system_v.IPC_NOWAIT),
        lambda: system_v.msgrcv(queue, 64, flags=system_v.IPC_NOWAIT),
        lambda: queue_status(queue).data_bytes,
        "msg_cbytes of the System V queue",
    )


def _posix(lab: Lab) -> Way:
    name = lab.stage.objects.posix_queue(4, 64)
    queue = posix_ipc.MessageQueue(name)
    lab.keep(queue.mqd)
    buffer = ctypes.create_string_buffer(64)
    place = ctypes.addressof(buffer)

    def send(data: bytes) -> None:
        ctypes.memmove(place, data, len(data))
        _taken(libc.mq_send(queue.mqd, place, len(data), 0))

    def receive() -> bytes:
        size = _taken(libc.mq_receive(queue.mqd, place, 64, 0))
        return buffer.raw[:size]

    return Way(send, receive, lambda: queue_state(queue.mqd).data_bytes, "QSIZE of the POSIX queue")


def _taken(result: int) -> int:
    if result < 0:
        raise OSError(libc.errno(), os.strerror(libc.errno()))
    return result


WAYS = {"pipe": _pipe, "FIFO": _fifo, "System V queue": _system_v, "POSIX queue": _posix}


def _ways(lab: Lab) -> dict[str, Way]:
    """Those that this machine has."""
    found = {}
    for name, make in WAYS.items():
        try:
            found[name] = make(lab)
        except REFUSALS as error:
            lab.stage.notes.append(f"The {name} is left out: {error}.")
    return found


def _calls(lab: Lab) -> Found:
    calls: dict[str, list[str]] = {}
    for name, way in _ways(lab).items():

        def work(way: Way = way) -> None:
            way.send(b"x")
            way.receive()

        calls[name] = calls_of(work)
    return Found(
        {
            "calls": {name: " + ".join(each) for name, each in calls.items()},
            "fewest": min(map(len, calls.values())),
        },
        [Evidence(f"ptrace, one message, {name}", " ".join(each)) for name, each in calls.items()],
    )


def _through_the_kernel(lab: Lab) -> Found:
    held: dict[str, int | None] = {}
    received: dict[str, str] = {}
    evidence = []
    for name, way in _ways(lab).items():

        def send(way: Way = way) -> None:
            data = ctypes.create_string_buffer(_SENT, len(_SENT))
            way.send(data.raw)
            data.raw = _LATER  # and then the sender ends, and its memory is gone

        lab.child(send)
        held[name] = way.waiting()
        evidence.append(Evidence(way.where, f"{held[name]} bytes"))
        received[name] = way.receive().decode()
    spliced = _spliced(lab)
    return Found(
        {
            "size": len(_SENT),
            "held": held,
            "sent": _SENT.decode(),
            "later": _LATER.decode(),
            "received": received,
            "spliced": spliced,
        },
        [*evidence, Evidence("read(2) of a pipe after vmsplice(2)", spliced)],
    )


def _spliced(lab: Lab) -> str:
    """What a reader gets of a page that was put into a pipe by vmsplice(2) and changed after."""
    reading, writing = lab.pipe()
    memory = mmap.mmap(-1, PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[: len(_SENT)] = _SENT
    part = (ctypes.c_uint64 * 2)(place_of(memory), len(_SENT))
    vmsplice = libc.LibcFunction("vmsplice", "long", "int", "long", "long", "unsigned")
    if vmsplice(writing, ctypes.addressof(part), 1, 0) < 0:
        return f"nothing, vmsplice was refused ({name_of(OSError(libc.errno(), ''))})"
    memory[: len(_LATER)] = _LATER
    return os.read(reading, 64).decode()


def _user_memory(lab: Lab) -> Found:
    size = _PAGES * PAGE

    def faults_of_writing(place: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        ctypes.memset(place, 1, size)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults_of_writing(lab.attach(lab.segment(size).id))  # Python's own pages are found now
    place = lab.attach(lab.segment(size).id)
    first = faults_of_writing(place)
    again = min(faults_of_writing(place) for _ in range(3))
    calls = calls_of(lambda: ctypes.memset(place, 1, size))
    return Found(
        {"pages": _PAGES, "first": first, "again": again, "calls": len(calls)},
        [
            Evidence("getrusage(2), ru_minflt, first writing", str(first)),
            Evidence("getrusage(2), ru_minflt, writing again", str(again)),
            Evidence("ptrace, writing again", " ".join(calls) or "no system call"),
        ],
    )


def _set_up(lab: Lab) -> Found:
    segment = lab.segment()

    def work() -> None:
        place = system_v.shmat(system_v.shmget(segment.key, 0, 0))
        ctypes.memset(place, 1, 8)
        system_v.shmdt(place)

    calls = calls_of(work)
    return Found(
        {"calls": calls, "number": len(calls)},
        [Evidence("ptrace, to find, attach, write and detach a segment", " ".join(calls))],
    )


def _semaphores(lab: Lab) -> Found:
    semaphore = lab.semaphore(1)

    def system_v_work() -> None:
        system_v.semop(semaphore, -1)
        system_v.semop(semaphore, 1)

    memory = mmap.mmap(-1, PAGE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    place = place_of(memory)
    if libc.sem_init(place, 1, 1) < 0:
        raise NotHere(f"sem_init was refused ({os.strerror(libc.errno())}).")

    def posix_work() -> None:
        libc.sem_wait(place)
        libc.sem_post(place)

    free = {"System V": calls_of(system_v_work), "POSIX": calls_of(posix_work)}

    def post(call: SystemCall) -> None:
        if call.name == "futex":
            libc.sem_post(place)

    # Done twice: the first time it is free, and the second time it has to be waited for.
    waited = calls_of(lambda: libc.sem_wait(place), post)
    return Found(
        {
            "system_v": len(free["System V"]),
            "posix": len(free["POSIX"]),
            "waited": len(waited),
        },
        [
            *(
                Evidence(f"ptrace, {name}, free: down and up", " ".join(calls) or "no system call")
                for name, calls in free.items()
            ),
            Evidence("ptrace, POSIX, taken: down", " ".join(waited) or "no system call"),
        ],
    )


CLAIMS = [
    Claim(
        id="messages-switch-modes",
        topic=TOPIC,
        said="The problem with pipes, fifo & message queues is that mode switches are involved",
        claim="A message through a pipe, a FIFO or a message queue takes mode switches at both"
        " ends: a system call to send it, and another to receive it.",
        source="write(2), read(2), msgop(2), mq_send(3), mq_receive(3), pipe(7), fifo(7)",
        experiment=_calls,
        holds=lambda f: f["fewest"] >= 2,
        observed="One message took these system calls: {calls}.",
    ),
    Claim(
        id="through-the-kernel",
        topic=TOPIC,
        said="the data has to pass from one process buffer to the kernel buffer & then to another"
        " process buffer",
        claim="The bytes are copied from the sender's buffer into the kernel's, and from there into"
        " the receiver's.",
        source="vmsplice(2); Kerrisk, The Linux Programming Interface, section 43.2",
        experiment=_through_the_kernel,
        holds=lambda f: (
            all(each in (f["size"], None) for each in f["held"].values())
            and all(each == f["sent"] for each in f["received"].values())
        ),
        always=lambda f: f["spliced"] != f["later"],
        condition="vmsplice(2) is the exception: it lends a pipe the sender's page instead of"
        " copying it, so a later change is seen by the reader.",
        observed="After the sender had overwritten its buffer and ended, the kernel held (bytes):"
        " {held}; received: {received}. Through vmsplice the reader got '{spliced}'.",
    ),
    Claim(
        id="no-switch-to-access",
        topic=TOPIC,
        said="access to user space memory does not require a mode switch",
        claim="Reading and writing attached shared memory takes no mode switch.",
        source="shmop(2), getrusage(2), shmctl(2), SHM_LOCK, mlock(2)",
        experiment=_user_memory,
        holds=lambda f: f["calls"] == 0 and f["again"] == 0,
        always=lambda f: f["first"] == 0,
        condition="The first touch of a page that is not mapped yet is a page fault, which enters"
        " the kernel. A page needs no switch once it is mapped and not swapped out: touched before,"
        " mapped along with its neighbours, or locked (SHM_LOCK keeps it from being swapped out).",
        observed="Writing {pages} pages of a new segment took {first} page faults, writing them"
        " again {again}, and {calls} system calls.",
    ),
    Claim(
        id="set-up-switches",
        topic=TOPIC,
        claim="Setting shared memory up takes mode switches all the same: shmget, shmat and shmdt"
        " are system calls.",
        source="syscalls(2), shmop(2)",
        experiment=_set_up,
        holds=lambda f: {"shmget", "shmat", "shmdt"} <= set(f["calls"]),
        observed="To find, attach, write and detach a segment took {number} system calls: {calls}.",
    ),
    Claim(
        id="waiting-switches",
        topic=TOPIC,
        claim="Whoever waits for shared memory enters the kernel after all: a System V semaphore"
        " does at every operation, a POSIX one only when somebody has to wait.",
        source="semop(2), sem_overview(7), futex(7)",
        experiment=_semaphores,
        holds=lambda f: f["system_v"] >= 2 and f["posix"] == 0 and f["waited"] >= 1,
        observed="Down and up on a free semaphore: {system_v} system calls (System V), {posix}"
        " (POSIX); down on a POSIX one that was taken: {waited}.",
    ),
]
