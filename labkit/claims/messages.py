"""What is left of a message after it was read, and how long it is kept."""

import contextlib
import fcntl
import os
import signal

import posix_ipc

from labkit.claims.claim import Claim, Evidence, Found
from labkit.claims.lab import Lab, answer, name_of, peek, poke
from labkit.errors import LabkitError
from labkit.kernel import libc, system_v
from labkit.kernel.descriptors import unread_bytes
from labkit.kernel.refusals import REFUSALS
from labkit.kernel.system_v import IPC_NOWAIT, refusal
from labkit.kernel.sysv_status import queue_status, row

TOPIC = "messages"
_TEXT = "hello"


def _reading(reading: int) -> str:
    """What a read that doesn't wait gives: the text, "end of file", or the errno's name."""
    try:
        return os.read(reading, 64).decode() or "end of file"
    except OSError as error:
        return name_of(error)


def _receiving(queue: int, kind: int = 0) -> str:
    """The same for a System V queue."""
    try:
        return system_v.msgrcv(queue, 64, kind, IPC_NOWAIT).decode()
    except OSError as error:
        return name_of(error)


def _consumed(lab: Lab) -> Found:
    reading, writing = lab.pipe()
    os.write(writing, _TEXT.encode())
    in_pipe = unread_bytes(reading)
    twice = {"pipe": [_reading(reading), _reading(reading)]}
    evidence = [Evidence("FIONREAD before and after", f"{in_pipe}, {unread_bytes(reading)}")]
    queue = lab.queue()
    system_v.msgsnd(queue, _TEXT.encode())
    before = queue_status(queue)
    twice["System V queue"] = [_receiving(queue), _receiving(queue)]
    after = queue_status(queue)
    evidence += [Evidence(each.where, each.line) for each in (before, after)]
    with contextlib.suppress(*REFUSALS):  # this kernel may have none
        posix = posix_ipc.MessageQueue(lab.stage.objects.posix_queue(4, 64))
        lab.keep(posix.mqd)
        posix.block = False
        posix.send(_TEXT.encode())
        twice["POSIX queue"] = [_posix(posix), _posix(posix)]
    return Found(
        {
            "written": _TEXT,
            "first": {name: first for name, (first, _) in twice.items()},
            "second": {name: second for name, (_, second) in twice.items()},
            "tee": _copied(lab),
        },
        evidence,
    )


def _posix(queue: "posix_ipc.MessageQueue") -> str:
    try:
        return str(queue.receive()[0].decode())
    except posix_ipc.BusyError:
        return "EAGAIN"


def _copied(lab: Lab) -> str:
    """What is left in a pipe for its reader after tee(2) has shown it to another."""
    reading, writing = lab.pipe()
    other, into = lab.pipe()
    os.write(writing, _TEXT.encode())
    tee = libc.LibcFunction("tee", "long", "int", "int", "long", "unsigned")
    if tee(reading, into, 64, 0) != len(_TEXT) or _reading(other) != _TEXT:
        return "nothing, as tee was refused"
    return _reading(reading)


def _remains(lab: Lab) -> Found:
    segment = lab.segment()

    def write() -> None:
        poke(system_v.shmat(segment.id), _TEXT)

    def read() -> str:
        return peek(system_v.shmat(segment.id), 16)

    lab.child(write)
    reads = [lab.child(read).value for _ in range(3)]
    told = row("shm", segment.id)
    return Found(
        {"written": _TEXT, "reads": reads},
        [Evidence(told.where, told.line)] if told else [],
    )


def _until_removed(lab: Lab) -> Found:
    segment = lab.segment()
    writer, reader = lab.actor("the writer"), lab.actor("the reader")
    place = writer.call("shmat", segment.id, 0, 0).result
    writer.write(place, _TEXT.encode() + b"\0")
    there = reader.call("shmat", segment.id, 0, 0).result
    facts: dict[str, object] = {"written": _TEXT}
    facts["read"] = reader.read(there, len(_TEXT)).decode(errors="replace")
    writer.exit()
    facts["writer_gone"] = reader.read(there, len(_TEXT)).decode(errors="replace")
    reader.kill(signal.SIGKILL)
    kept = row("shm", segment.id)

    def read() -> str:
        return peek(system_v.shmat(segment.id), 16)

    facts["all_gone"] = lab.child(read).value
    last = lab.actor("the last one")
    here = last.call("shmat", segment.id, 0, 0).result
    facts["remove"] = answer(system_v.remove_segment, segment.id)
    facts["marked"] = last.read(here, len(_TEXT)).decode(errors="replace")
    marked = row("shm", segment.id)
    last.exit()
    facts["listed"] = row("shm", segment.id) is not None
    facts["after"] = refusal(system_v.shmat, segment.id) or "accepted"
    return Found(facts, [Evidence(each.where, each.line) for each in (kept, marked) if each])


def _overwritten(lab: Lab) -> Found:
    place = lab.attach(lab.segment().id)
    poke(place, "first")
    poke(place, "second")
    queue = lab.queue()
    for text in ("first", "second"):
        system_v.msgsnd(queue, text.encode())
    status = queue_status(queue)
    return Found(
        {"memory": peek(place, 16), "queue": [_receiving(queue), _receiving(queue)]},
        [Evidence("the segment", peek(place, 16)), Evidence(status.where, status.line)],
    )


def _boundaries(lab: Lab) -> Found:
    reading, writing = lab.pipe()
    queue = lab.queue()
    for text in ("one", "two"):
        os.write(writing, text.encode())
        system_v.msgsnd(queue, text.encode())
    pipe, first, second = _reading(reading), _receiving(queue), _receiving(queue)
    packets = _packets(lab)
    return Found(
        {"pipe": pipe, "queue": [first, second], "packets": packets},
        [
            Evidence("read(2) of 64 bytes", pipe),
            Evidence("read(2) of 64 bytes, O_DIRECT", packets[0]),
            Evidence("msgrcv(2) of 64 bytes", first),
        ],
    )


def _packets(lab: Lab) -> list[str]:
    """Two reads of a pipe in packet mode after two writes. O_DIRECT of pipe2(2)"""
    try:
        ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK | os.O_DIRECT)
    except OSError as error:  # EINVAL: not known here
        return [f"refused ({name_of(error)})"]
    reading, writing = map(lab.keep, ends)
    for text in ("one", "two"):
        os.write(writing, text.encode())
    return [_reading(reading), _reading(reading)]


def _full(lab: Lab) -> Found:
    reading, writing = lab.pipe()
    capacity = _capacity(writing)
    taken, pipe = 0, "accepted"
    while pipe == "accepted" and taken <= 2 * capacity:
        pipe = answer(os.write, writing, bytes(1024))
        taken += 1024 * (pipe == "accepted")
    queue, messages, full = lab.queue(), 0, "accepted"
    most = queue_status(queue).most_bytes
    while full == "accepted" and messages <= 2 * most:
        full = answer(system_v.msgsnd, queue, bytes(1024), 1, IPC_NOWAIT)
        messages += full == "accepted"
    status = queue_status(queue)
    return Found(
        {
            "capacity": capacity,
            "taken": taken,
            "pipe": pipe,
            "most": most,
            "held": status.data_bytes,
            "queue": full,
            "waits": _has_to_wait(lab, capacity),
        },
        [
            Evidence("FIONREAD of the pipe", str(unread_bytes(reading))),
            Evidence(status.where, status.line),
        ],
    )


def _capacity(writing: int) -> int:
    """Bytes that a pipe holds. F_GETPIPE_SZ of fcntl(2)"""
    return fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)


def _has_to_wait(lab: Lab, capacity: int) -> bool:
    """Whether a writer sleeps at a full pipe until somebody reads."""
    actor = lab.actor("the writer")
    reading, writing = os.pipe()
    lab.keep(reading)
    end = lab.keep(writing)
    taken = actor.take(end)[0]
    size = _capacity(end)
    os.set_blocking(end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(end, bytes(size))
    os.set_blocking(end, True)
    actor.begin("write", taken, bytes(1024), 1024)
    try:
        actor.falls_asleep()
    except LabkitError:
        return False
    os.read(reading, size)
    return actor.finish().result == 1024


def _ended(lab: Lab) -> Found:
    reading, writing = lab.pipe()
    spare = lab.keep(os.dup(writing))
    os.close(writing)
    forgotten = _reading(reading)
    os.close(spare)
    ended = _reading(reading)
    other, into = lab.pipe()
    os.close(other)

    def write() -> str:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        return answer(os.write, into, b"x")

    broken = lab.child(write)

    def ignored() -> str:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        return answer(os.write, into, b"x")

    return Found(
        {
            "forgotten": forgotten,
            "ended": ended,
            "signal": broken.signal or str(broken.value),
            "ignored": lab.child(ignored).value,
        },
        [Evidence("read(2) with a write end open, and with none", f"{forgotten}, {ended}")],
    )


def _fifo(lab: Lab) -> Found:
    path = lab.stage.objects.fifo()
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
    first = os.open(path, flags)
    os.write(first, _TEXT.encode())
    held = unread_bytes(first)
    os.close(first)
    exists = os.path.exists(path)
    again = lab.keep(os.open(path, flags))
    return Found(
        {"held": held, "exists": exists, "read": _reading(again), "after": unread_bytes(again)},
        [
            Evidence(
                "FIONREAD before all ends were closed, and after", f"{held}, {unread_bytes(again)}"
            )
        ],
    )


def _survives(lab: Lab) -> Found:
    queue = lab.queue()

    def send() -> int:
        system_v.msgsnd(queue, _TEXT.encode())
        return os.getpid()

    sender = lab.child(send).value
    status = queue_status(queue)
    return Found(
        {
            "sender": sender,
            "alive": os.path.exists(f"/proc/{sender}"),
            "messages": status.messages,
            "written": _TEXT,
            "received": _receiving(queue),
        },
        [Evidence(status.where, status.line)],
    )


def _types(lab: Lab) -> Found:
    queue = lab.queue()
    for kind, text in ((1, "first, type 1"), (2, "second, type 2")):
        system_v.msgsnd(queue, text.encode(), kind)
    status = queue_status(queue)
    return Found(
        {"asked": 2, "got": _receiving(queue, 2), "rest": _receiving(queue)},
        [Evidence(status.where, status.line)],
    )


CLAIMS = [
    Claim(
        id="reading-takes-out",
        topic=TOPIC,
        said="unlike Pipes, message queues where messages are deleted as the reader reads",
        claim="A message in a pipe or a message queue is gone once it has been read.",
        source="pipe(7), msgop(2), mq_receive(3), tee(2)",
        experiment=_consumed,
        holds=lambda f: (
            all(each == f["written"] for each in f["first"].values())
            and all(each in ("EAGAIN", "ENOMSG") for each in f["second"].values())
        ),
        always=lambda f: f["tee"] != f["written"],
        condition="A reader can ask to leave it there: tee(2) copies from a pipe, MSG_COPY of"
        " msgrcv(2) from a queue, MSG_PEEK of recv(2) from a socket.",
        observed="Read once: {first}; read again: {second}. A pipe that tee had shown to another"
        " pipe still held '{tee}'.",
    ),
    Claim(
        id="reading-leaves",
        topic=TOPIC,
        said="but in shared memory messages are remaining after reading of the reader.",
        claim="What was written to shared memory is still there after it has been read.",
        source="shmop(2), sysvipc(7)",
        experiment=_remains,
        holds=lambda f: all(each == f["written"] for each in f["reads"]),
        observed="A process wrote '{written}' and ended; three others, one after the other, read:"
        " {reads}.",
    ),
    Claim(
        id="only-shmctl-deletes",
        topic=TOPIC,
        said="It only get deleted when shared memory is deleted using shmctl().",
        claim="What is in a segment stays until the segment is deleted with shmctl.",
        source="shmctl(2), sysvipc(7), proc_sys_kernel(5), ipc_namespaces(7), logind.conf(5)",
        experiment=_until_removed,
        holds=lambda f: (
            f["read"] == f["writer_gone"] == f["all_gone"] == f["written"]
            and f["remove"] == "accepted"
            and not f["listed"]
            and f["after"] != "accepted"
        ),
        always=lambda f: f["marked"] != f["written"],
        condition="shmctl only marks it; it goes at the last detach. It goes without shmctl when"
        " the machine restarts, when its IPC namespace ends, where RemoveIPC= of systemd's logind"
        " removes a user's objects at logout, or at the last detach where kernel.shm_rmid_forced is"
        " 1; and a later write overwrites it.",
        observed="It held '{read}' after being read, '{writer_gone}' after the writer's end,"
        " '{all_gone}' after everybody's, and '{marked}' after IPC_RMID while still attached;"
        " listed after the last detach: {listed}, shmat {after}.",
    ),
    Claim(
        id="writing-overwrites",
        topic=TOPIC,
        claim="A second message at the same place in shared memory overwrites the first, read or"
        " not; a queue keeps both.",
        source="shmop(2), msgop(2)",
        experiment=_overwritten,
        holds=lambda f: f["memory"] == "second" and f["queue"] == ["first", "second"],
        observed="After 'first' and 'second', the segment held '{memory}' and the queue: {queue}.",
    ),
    Claim(
        id="boundaries",
        topic=TOPIC,
        claim="A queue keeps messages apart; a pipe is a stream of bytes and doesn't.",
        source="pipe(7), pipe2(2), O_DIRECT, msgop(2)",
        experiment=_boundaries,
        holds=lambda f: f["pipe"] == "onetwo" and f["queue"] == ["one", "two"],
        always=lambda f: f["packets"] != ["one", "two"],
        condition="A pipe made with O_DIRECT (pipe2) is in packet mode: each write of at most"
        " PIPE_BUF bytes is a packet of its own, and each read takes one.",
        observed="'one' and 'two' were sent; one read of the pipe gave '{pipe}', two receives from"
        " the queue gave {queue}, two reads of a pipe in packet mode: {packets}.",
    ),
    Claim(
        id="room-is-bounded",
        topic=TOPIC,
        claim="A pipe and a queue hold only so much: a sender that finds them full has to wait, or"
        " is refused if it won't.",
        source="pipe(7), msgop(2), fcntl(2)",
        experiment=_full,
        holds=lambda f: (
            f["pipe"] == f["queue"] == "EAGAIN"
            and f["taken"] <= f["capacity"]
            and f["held"] <= f["most"]
            and f["waits"]
        ),
        observed="A pipe of {capacity} bytes took {taken} and then {pipe}; a queue of {most} bytes"
        " took {held} and then {queue}. A writer slept until somebody read: {waits}.",
    ),
    Claim(
        id="end-of-a-pipe",
        topic=TOPIC,
        claim="A pipe's reader gets end of file only when every write end is closed, a forgotten"
        " copy included; a writer without any reader gets SIGPIPE.",
        source="pipe(7), signal(7)",
        experiment=_ended,
        holds=lambda f: (
            f["forgotten"] == "EAGAIN"
            and f["ended"] == "end of file"
            and f["signal"] == "SIGPIPE"
            and f["ignored"] == "EPIPE"
        ),
        observed="With a copy of the write end still open, read gave {forgotten}; with none,"
        " {ended}. Writing without a reader: {signal}, or {ignored} where that is ignored.",
    ),
    Claim(
        id="fifo-keeps-only-its-name",
        topic=TOPIC,
        claim="A FIFO keeps its name and not its data: what nobody read is lost when the last"
        " process closes it.",
        source="fifo(7), pipe(7)",
        experiment=_fifo,
        holds=lambda f: f["held"] > 0 and f["exists"] and f["after"] == 0,
        observed="It held {held} bytes; after all had closed it, it existed: {exists}, and opened"
        " again it held {after} (read: {read}).",
    ),
    Claim(
        id="queue-outlives-sender",
        topic=TOPIC,
        claim="A message in a System V queue outlives its sender: the queue stays until it is"
        " removed.",
        source="sysvipc(7), msgctl(2)",
        experiment=_survives,
        holds=lambda f: not f["alive"] and f["messages"] == 1 and f["received"] == f["written"],
        observed="Process {sender} sent a message and ended (still there: {alive}); the queue held"
        " {messages}, and '{received}' was received.",
    ),
    Claim(
        id="types-select",
        topic=TOPIC,
        claim="A receiver from a System V queue can choose by type, and so take a later message"
        " first.",
        source="msgop(2)",
        experiment=_types,
        holds=lambda f: f["got"] == "second, type 2" and f["rest"] == "first, type 1",
        observed="Asked for type {asked}, the queue gave '{got}'; then '{rest}'.",
    ),
]
