"""What exec leaves of a process: its PID and some descriptors, but none of its mappings.

execve(2), shmat(2), mq_overview(7), sem_overview(7), pipe(2); Kerrisk, The Linux Programming
Interface, chapters 27 and 48.
"""

import ctypes
import os
from dataclasses import dataclass, field

from labkit.errors import LabkitError
from labkit.harness.actor import Memory
from labkit.harness.actor_handle import ActorDied, ActorHandle
from labkit.harness.stage import Stage
from labkit.kernel.descriptors import Descriptor, descriptors
from labkit.kernel.mappings import Mapping, mapping_at, mappings
from labkit.kernel.sysv_status import queue_status, row, segment_status
from labkit.walkthroughs import layout
from labkit.walkthroughs.scene import Scene, State
from labkit.walkthroughs.segment import IPC_CREAT, IPC_EXCL, make_segment, segment_row
from labkit.walkthroughs.step import Evidence, Steps

TITLE = "Exec: what the new program finds"
QUESTION = "After exec, which of the process's memory, descriptors and objects are still there?"

IPC_NOWAIT = 0o4000
ABSENT = "not to be had here"


def make_pipes(memory: Memory) -> list[int]:
    """C's pipe and Python's: read and write end of the one, then of the other."""
    ends = (ctypes.c_int * 2)()
    if ctypes.CDLL(None, use_errno=True).pipe(ends) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return [*ends, *os.pipe()]


def open_semaphore(memory: Memory, name: str) -> int:
    """A named POSIX semaphore, held open, its name removed at once: its address. sem_open(3)"""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.sem_open.restype = ctypes.c_long
    address = int(libc.sem_open(name.encode(), os.O_CREAT | os.O_EXCL, 0o600, 1))
    if address == 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    libc.sem_unlink(name.encode())
    return address


@dataclass
class _Lab:
    """What the process had before its exec."""

    actor: ActorHandle
    segment: int
    key: int
    address: int
    text: str
    ends: list[int]  # C's pipe: read, write; Python's: read, write
    system_v_queue: int = -1
    queue_name: str = ""
    queue: int = -1  # its descriptor
    semaphore: int = 0  # its address
    attached_at: int = 0  # where the segment is attached at the moment; 0 for nowhere
    known: dict[str, str] = field(default_factory=dict)  # what was where, when first looked at

    def descriptor(self, number: int) -> Descriptor | None:
        """One descriptor of the process, if it still leads where it led."""
        found = next((d for d in descriptors(self.actor.pid) if d.number == number), None)
        known = self.known.setdefault(str(number), found.target if found else "")
        return found if found is not None and found.target == known else None

    def mapping(self, address: int) -> Mapping | None:
        """What is mapped at an address, if it is what was mapped there first."""
        found = mapping_at(self.actor.pid, address) if address else None
        known = self.known.setdefault(f"{address:#x}", found.path if found else "")
        return found if found is not None and found.path == known else None

    def attached(self) -> int:
        return segment_status(self.segment).attached

    def row(self) -> Evidence:
        """The segment's row in the kernel's own table."""
        return segment_row(self.segment)

    def program(self) -> str:
        """The command line that the process runs now."""
        with open(f"/proc/{self.actor.pid}/cmdline", encoding="utf-8") as file:
            words = file.read().split("\0")
        return " ".join([os.path.basename(words[0]), *words[1:]]).strip()[:100]


def observe(stage: Stage, steps: Steps) -> None:
    """Watch an exec."""
    lab = _set_up(stage)
    actor = lab.actor
    pid, before = actor.pid, mappings(actor.pid)
    steps.facts["nattch_before_exec"] = lab.attached()
    steps.add(
        "Before: memory, descriptors, objects",
        f"""The process has {len(before)} mappings: its program, libraries, stack, and a segment
        attached at {lab.address:#x}, in which it wrote "{lab.text}". It holds two pipes open, one
        made as C does it and one as Python does, and has put a message into each of its
        queues.""",
        _picture(lab, "the old program"),
        "void *p = shmat(id, NULL, 0);",
        [lab.row(), *_mapped(lab)],
    )

    old_program = lab.program()
    actor.exec()
    lab.attached_at = 0
    after = mappings(actor.pid)
    starts = {(each.start, each.path) for each in before}
    kept = [each for each in after if (each.start, each.path) in starts and each.path[:1] == "/"]
    attached = lab.attached()
    steps.facts |= {
        "same_program": lab.program() == old_program,
        "same_pid": actor.pid == pid and os.path.exists(f"/proc/{pid}"),
        "nattch_after_exec": attached,
        "segment_exists": row("shm", lab.segment) is not None,
        "mappings_kept": len(kept),
    }
    steps.add(
        "exec: the same process, a new program",
        f"""exec threw the whole address space away and built a new one: {len(after)} mappings; of
        the mapped files, {len(kept)} lie where they lay. The PID is still {pid}: exec makes no
        process. The segment was detached with the rest: nattch is {attached}.""",
        _picture(lab, "the new program"),
        'execv("/usr/bin/python3", argv);',
        [
            lab.row(),
            Evidence("it ran", f"/proc/{pid}/cmdline, before", old_program),
            Evidence("it runs", f"/proc/{pid}/cmdline", lab.program()),
        ],
    )

    _old_address(steps, lab)
    _attach_again(steps, lab)
    _descriptors(steps, lab)
    _queues(steps, lab)

    actor.exit()
    attached = steps.facts["nattch_after_exit"] = lab.attached()
    steps.add(
        "The process exits, the kernel's objects stay",
        f"""At its exit the kernel detached the segment again (nattch is {attached}) and closed
        what was open; a pipe is gone with its last descriptor. The segment and the queues live
        until somebody removes them.""",
        _picture(lab, ""),
        "exit(0);",
        [lab.row(), *_queue_row(lab)],
    )


def _set_up(stage: Stage) -> _Lab:
    actor = stage.actor("the process")
    made = make_segment(stage, actor)
    address = actor.call("shmat", made.id, 0, 0).result
    text = "still here"
    actor.write(address, text.encode() + b"\0")
    ends = actor.act(make_pipes)
    lab = _Lab(actor, made.id, made.key, address, text, ends, attached_at=address)
    key = int(stage.objects.expected("sysv_mq", actor.pid))
    queue = actor.call("msgget", key, IPC_CREAT | IPC_EXCL | 0o600)
    if queue.error:
        stage.notes.append(
            f"System V queues are refused here ({queue.error}); labkit doctor helps."
        )
    else:
        lab.system_v_queue = queue.result
        actor.call("msgsnd", queue.result, (1).to_bytes(8, "little") + b"one", 3, IPC_NOWAIT)
    lab.queue_name = str(stage.objects.expected("posix_mq", actor.pid))
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NONBLOCK
    opened = actor.call("mq_open", lab.queue_name, flags, 0o600, 0)
    if opened.error:
        stage.notes.append(f"POSIX queues are refused here ({opened.error}); labkit doctor helps.")
    else:
        lab.queue = opened.result
        actor.call("mq_send", lab.queue, "one", 3, 0)
    try:
        lab.semaphore = actor.act(open_semaphore, lab.queue_name)
    except LabkitError as error:
        stage.notes.append(f"Named POSIX semaphores are refused here ({error}).")
    for number in (*lab.ends, lab.queue):
        lab.descriptor(number)
    for address in (lab.address, lab.semaphore):
        lab.mapping(address)
    return lab


def _mapped(lab: _Lab) -> list[Evidence]:
    """The lines of what the lab mapped."""
    found = (("the segment", lab.attached_at), ("a named semaphore", lab.semaphore))
    lines = [(what, mapping_at(lab.actor.pid, address)) for what, address in found if address]
    return [Evidence(what, each.where, each.line) for what, each in lines if each is not None]


def _old_address(steps: Steps, lab: _Lab) -> None:
    """A forked child tries the old address, so that the process itself survives."""
    probe = lab.actor.fork("a child sent ahead")
    where = f"/proc/{probe.pid}/maps"
    there = mapping_at(probe.pid, lab.address)
    try:
        probe.read(lab.address, 1)
        how, told = "could read: something else happens to be mapped there", ""
    except ActorDied as died:
        how, told = died.how, died.signal
    steps.facts["old_address"] = told or "something else was there"
    steps.add(
        "The old address means nothing now",
        f"""Suppose the new program was told the old address, {lab.address:#x}. A child is sent
        ahead to read one byte there, and it {how}. An address is worth something only in the
        address space it came from.""",
        _picture(lab, "the new program", signal=told),
        f"char c = *(char *) {lab.address:#x};",
        [
            Evidence("mapped there", where, there.line if there else "nothing"),
            Evidence("the child", f"wait status of PID {probe.pid}", how),
        ],
    )
    if probe.alive:
        probe.kill()


def _attach_again(steps: Steps, lab: _Lab) -> None:
    """By its key, which needs nothing of the old program."""
    actor = lab.actor
    found = actor.call("shmget", lab.key, 0, 0)
    address = actor.call("shmat", found.result, 0, 0).result
    lab.attached_at = address
    text = actor.read(address, 32).split(b"\0")[0].decode()
    same = "by chance the same address" if address == lab.address else "another address"
    steps.facts["bytes_kept"] = text == lab.text
    steps.facts["same_address_again"] = address == lab.address
    steps.add(
        "Found again by its key",
        f"""The new program asks for the segment by its key, gets the id {found.result}, and
        attaches it at {address:#x}, {same}. It reads "{text}", which the old program wrote.
        nattch is {lab.attached()}.""",
        _picture(lab, "the new program"),
        f"id = shmget({lab.key:#010x}, 0, 0);  p = shmat(id, NULL, 0);",
        [lab.row(), *_mapped(lab)],
    )


def _descriptors(steps: Steps, lab: _Lab) -> None:
    """C's pipe survives, Python's does not."""
    of_c, of_python = (
        any(lab.descriptor(number) is not None for number in pair)
        for pair in (lab.ends[:2], lab.ends[2:])
    )
    steps.facts["c_pipe_open"] = of_c
    steps.facts["python_pipe_open"] = of_python
    said = {True: "is still open", False: "is closed"}
    steps.add(
        "Descriptors: it depends on close-on-exec",
        f"""The pipe made as C makes it {said[of_c]}; the one made by Python's os.pipe
        {said[of_python]}. Python opens descriptors with O_CLOEXEC (PEP 446); C's pipe() doesn't,
        unless one says pipe2(fd, O_CLOEXEC).""",
        _picture(lab, "the new program"),
        "pipe(fd);            pipe2(fd, O_CLOEXEC);",
        [
            Evidence(f"descriptor {each.number}", each.where, f"{each.target} {each.line}")
            for each in descriptors(lab.actor.pid)
            if each.target.startswith("pipe:")
        ],
    )


def _queues(steps: Steps, lab: _Lab) -> None:
    """Identifiers and names outlive exec; what was held open does not."""
    actor = lab.actor
    evidence, said = [], []
    if lab.system_v_queue >= 0:
        status = queue_status(lab.system_v_queue)
        got = actor.call("msgrcv", lab.system_v_queue, bytes(64), 56, 0, IPC_NOWAIT)
        steps.facts["system_v_queue_bytes"] = got.result
        evidence.append(Evidence(f"messages: {status.messages}", status.where, status.line))
        works = "still works" if got.result >= 0 else f"was refused ({got.error})"
        said.append(
            f"The System V queue's id {lab.system_v_queue} is a plain number and {works}:"
            f" msgrcv gave {got.result} bytes."
        )
    if lab.queue >= 0:
        kept = "open" if lab.descriptor(lab.queue) is not None else "closed"
        again = actor.call("mq_open", lab.queue_name, os.O_RDWR | os.O_NONBLOCK)
        got = actor.call("mq_receive", again.result, bytes(1 << 16), 1 << 16, 0)
        steps.facts["queue_descriptor_open"] = kept == "open"
        steps.facts["posix_queue_bytes"] = got.result
        evidence.append(Evidence(f"descriptor {lab.queue}", f"/proc/{actor.pid}/fd", kept))
        evidence.append(Evidence("received", f"mq_receive, {lab.queue_name}", f"{got.result} B"))
        said.append(
            f"The POSIX queue's descriptor is {kept}; the queue, opened again by its name, gave"
            f" {got.result} bytes."
        )
    if lab.semaphore:
        mapped = lab.mapping(lab.semaphore) is not None
        steps.facts["semaphore_mapped"] = mapped
        now = "still there" if mapped else "gone with the rest"
        said.append(f"The named semaphore was mapped here; that mapping is {now}.")
    if said:
        steps.add(
            "Queues and semaphores",
            " ".join(said),
            _picture(lab, "the new program"),
            'q = mq_open("/name", O_RDWR);',
            evidence,
        )


def _picture(lab: _Lab, program: str, signal: str = "") -> Scene:
    """The process above, the kernel's objects below."""
    scene = Scene()
    room = layout.kernel(scene)
    _objects(scene, lab, room)
    column = layout.columns(1)[0]
    state: State = "" if lab.actor.alive else "gone"
    layout.process(scene, "process", "the process", lab.actor.pid, column, state=state)
    if not lab.actor.alive:
        return scene
    third = (column[1] - 80) / 3
    left, middle, right = (column[0] + 20 + number * (third + 20) for number in range(3))
    count = f"{len(mappings(lab.actor.pid))} mappings in all"
    scene.box(f"program.{program}", (left, 76, third, 170), "user", program, [count])
    place = (left, 266, third, 170)
    if lab.attached_at:
        lines = [f"{lab.attached_at:#x}", f'holds "{lab.text}"']
        scene.box("attached", place, "memory", "the segment, attached", lines)
        down = layout.foot_of(place, 0.62)
        scene.arrow("map", [down, (down[0], room[1])], "map")
    elif signal:
        lines = [f"{lab.address:#x}", f"a child died of {signal}"]
        scene.box("attached", place, "guard", "nothing mapped", lines, "refused")
    held = [("C's pipe()", lab.ends[:2]), ("Python's os.pipe()", lab.ends[2:])]
    for number, (title, ends) in enumerate(held):
        is_open = any(lab.descriptor(end) is not None for end in ends)
        lines = [f"descriptors {ends[0]} and {ends[1]}", "open" if is_open else "closed by exec"]
        place = (middle, 76 + 190 * number, third, 170)
        scene.box(f"held.{number}", place, "user", title, lines, "" if is_open else "gone")
    if lab.queue >= 0:
        is_open = lab.descriptor(lab.queue) is not None
        lines = [f"descriptor {lab.queue}", "open" if is_open else "closed by exec"]
        place = (right, 76, third, 170)
        scene.box("mqd", place, "user", "POSIX queue", lines, "" if is_open else "gone")
    if lab.semaphore:
        mapped = lab.mapping(lab.semaphore) is not None
        lines = [f"{lab.semaphore:#x}", "mapped" if mapped else "unmapped by exec"]
        place = (right, 266, third, 170)
        state = "" if mapped else "gone"
        scene.box("semaphore", place, "private", "named semaphore", lines, state)
    return scene


def _objects(scene: Scene, lab: _Lab, room: layout.Place) -> None:
    """What the kernel keeps: the segment, the pipes that are left, the queues."""
    x, y, width, height = room
    each = (width - 3 * 20) / 4
    segment, pipes, system_v, posix = ((x + n * (each + 20), y, each, height) for n in range(4))
    scene.box("segment", segment, "memory", f"segment {lab.segment}", [f'holds "{lab.text}"'])
    place = (segment[0] + 20, y + height - 30)
    scene.badge("nattch", place, f"nattch {lab.attached()}", "memory")
    ends = (("C's pipe", lab.ends[:2]), ("Python's pipe", lab.ends[2:]))
    there = [(name, _held(lab, held)) for name, held in ends]
    lines = [f"{name}: {'there' if held else 'gone'}" for name, held in there]
    state: State = "" if any(held for _, held in there) else "gone"
    scene.box("pipes", pipes, "object", "pipes", lines, state)
    lines = [ABSENT]
    if lab.system_v_queue >= 0:
        waiting = queue_status(lab.system_v_queue).messages
        lines = [f"id {lab.system_v_queue}", f"messages: {waiting}"]
    scene.box("system_v", system_v, "object", "System V queue", lines)
    lines = [ABSENT] if lab.queue < 0 else ["lives under its name"]
    scene.box("posix", posix, "object", "POSIX queue", lines)


def _queue_row(lab: _Lab) -> list[Evidence]:
    """What the kernel says of the System V queue, if there is one."""
    if lab.system_v_queue < 0:
        return []
    status = queue_status(lab.system_v_queue)
    return [Evidence("the System V queue", status.where, status.line)]


def _held(lab: _Lab, ends: list[int]) -> bool:
    """Whether the process holds an end: a pipe lives as long as somebody does."""
    return lab.actor.alive and any(lab.descriptor(end) is not None for end in ends)
