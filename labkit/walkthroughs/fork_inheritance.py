"""What a child gets from fork: the same segment, a copy of the rest, and every descriptor.

fork(2), shmat(2), pipe(7), mq_overview(7); Stevens and Rago, Advanced Programming in the UNIX
Environment, chapter 8.
"""

import os
from dataclasses import dataclass

from labkit.harness.actor import Memory
from labkit.harness.actor_handle import ActorHandle
from labkit.harness.stage import Stage
from labkit.kernel import pagemap
from labkit.kernel.descriptors import descriptors, unread_bytes
from labkit.kernel.mappings import mapping_at
from labkit.kernel.process_memory import read_memory
from labkit.kernel.sysv_status import segment_status
from labkit.walkthroughs import layout
from labkit.walkthroughs.options import showable
from labkit.walkthroughs.scene import Scene
from labkit.walkthroughs.segment import make_segment, segment_row
from labkit.walkthroughs.step import Evidence, Steps

TITLE = "Fork: what the child inherits"
QUESTION = "After fork, which memory do parent and child still share, and which is a copy?"

PAGE = pagemap.PAGE
LONGEST = 12  # characters of a message, so that it fits into its box
PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS = 3, 0x22


def check(message: object) -> dict[str, str]:
    """What `observe` is given: a message that can be shown.

    Raises:
        RequestError: it cannot.
    """
    return {"message": showable(message, LONGEST)}


def make_pipe(memory: Memory) -> tuple[int, int]:
    """An actor's pipe: its two descriptors."""
    memory["read"], memory["write"] = os.pipe()
    return memory["read"], memory["write"]


@dataclass
class _Lab:
    """What there is to look at: the addresses are the same in both processes."""

    parent: ActorHandle
    segment: int
    shared: int  # address of the segment
    private: int  # address of a private page
    reading: int
    writing: int
    spare: int  # the stage's own read end, to look how much is in the pipe
    child: ActorHandle | None = None

    @staticmethod
    def words(actor: ActorHandle, address: int) -> str:
        """The text at an address of that process."""
        return read_memory(actor.pid, address, 16).split(b"\0")[0].decode()

    def attached(self) -> int:
        return segment_status(self.segment).attached

    def pipe_name(self) -> str:
        """What /proc calls the pipe."""
        return os.readlink(f"/proc/self/fd/{self.spare}")

    def row(self) -> Evidence:
        """The segment's row in the kernel's own table."""
        return segment_row(self.segment)

    @staticmethod
    def page(actor: ActorHandle, address: int) -> tuple[str, bool, Evidence]:
        """A page's frame, whether the process has it for itself, and its entry."""
        page = pagemap.page_at(actor.pid, address)
        shown = f"frame {page.frame:#x}" if page.frame else "a frame not shown"
        alone = "mapped by nobody else" if page.exclusive else "mapped by others too"
        said = Evidence(f"{actor.name}: {shown}, {alone}", page.where, page.line)
        return shown, page.exclusive, said


def observe(stage: Stage, steps: Steps, message: str = "hello") -> None:
    """Watch a fork.

    Args:
        message: what is written; ASCII, 1 to 12 characters.
    """
    if why := pagemap.why_not():
        stage.notes.append(f"Frames have no numbers here: {why}")
    lab = _set_up(stage, message)
    parent = lab.parent
    before = steps.facts["nattch_before_fork"] = lab.attached()
    steps.add(
        "Before: one process",
        f"""The parent has attached a segment and mapped a private page, and has written
        "{message}" into both. It holds both ends of a pipe. nattch, which counts attachments,
        is {before}.""",
        _picture(lab),
        "void *p = shmat(id, NULL, 0);",
        [lab.row(), _mapping(parent, lab.shared), _mapping(parent, lab.private)],
    )

    child = lab.child = parent.fork("the child")
    after = steps.facts["nattch_after_fork"] = lab.attached()
    same = mapping_at(child.pid, lab.shared) is not None
    where = "so everything has the same address" if same else "but the segment is not in it"
    steps.add(
        "fork: a second process, the same addresses",
        f"""The child is a new process with a new PID. Its address space is a copy of the
        parent's, {where}. nattch went from {before} to {after}, although the child never called
        shmat.""",
        _picture(lab),
        "pid_t child = fork();",
        [lab.row(), _mapping(child, lab.shared), _mapping(child, lab.private)],
    )

    _writes(steps, lab, message)
    _pipe_steps(steps, lab, message)

    child.exit()
    left = steps.facts["nattch_after_exit"] = lab.attached()
    steps.add(
        "The child exits: detached, not deleted",
        f"""On exit the kernel detached the child's mappings and closed its descriptors: nattch is
        {left}. The segment itself is still there, and holds "{lab.words(parent, lab.shared)}", as
        the child wrote it.""",
        _picture(lab),
        "_exit(0);",
        [lab.row()],
    )


def _set_up(stage: Stage, message: str) -> _Lab:
    parent = stage.actor("the parent")
    made = make_segment(stage, parent)
    shared = parent.call("shmat", made.id, 0, 0).result
    private = parent.call("mmap", 0, PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0).result
    for address in (shared, private):
        parent.write(address, message.encode() + b"\0")
    reading, writing = parent.act(make_pipe)
    # A read end more keeps no reader waiting; opened through /proc, it is nobody else's.
    spare = os.open(f"/proc/{parent.pid}/fd/{reading}", os.O_RDONLY | os.O_NONBLOCK)
    return _Lab(parent, made.id, shared, private, reading, writing, spare)


def _writes(steps: Steps, lab: _Lab, message: str) -> None:
    """The child stores into both kinds of memory."""
    parent, child = lab.parent, lab.child
    assert child is not None
    new = message.upper() if message.upper() != message else message[::-1][:11] + "!"
    child.write(lab.shared, new.encode() + b"\0")
    seen = lab.words(parent, lab.shared)
    steps.facts["parent_sees_segment"] = seen == new
    why = "both map the same page" if seen == new else "the store did not reach it"
    steps.add(
        "The child writes to the segment",
        f"""The child stores "{new}" in the segment, an ordinary store without a system call. The
        parent reads the same address and finds "{seen}": {why}.""",
        _picture(lab),
        f'strcpy(p, "{new}");',
        [
            Evidence("the parent reads", f"{lab.shared:#x} in PID {parent.pid}", seen),
            lab.page(parent, lab.shared)[2],
            lab.page(child, lab.shared)[2],
        ],
    )

    before = lab.page(child, lab.private)
    child.write(lab.private, new.encode() + b"\0")
    after = lab.page(child, lab.private)
    seen = lab.words(parent, lab.private)
    copied = not before[1] and after[1]
    steps.facts["parent_sees_private"] = seen == new
    steps.facts["copied_on_write"] = copied
    how = (
        """Until now both processes mapped the same frame, write-protected. The child's store
        faulted, the kernel copied the page for it, and only then the store was done."""
        if copied
        else "The kernel shows no copy of the page being made here."
    )
    steps.add(
        "The child's private page: copy on write",
        f"""{how} The parent still reads "{seen}". Same address, different memory.""",
        _picture(lab),
        f'strcpy(private, "{new}");',
        [
            before[2]._replace(what=f"before the store, {before[2].what}"),
            after[2]._replace(what=f"after it, {after[2].what}"),
            Evidence("the parent reads", f"{lab.private:#x} in PID {parent.pid}", seen),
        ],
    )


def _pipe_steps(steps: Steps, lab: _Lab, message: str) -> None:
    """Descriptors, and the write end that was forgotten."""
    parent, child = lab.parent, lab.child
    assert child is not None
    ends = [
        Evidence(f"{actor.name} holds {each.number}", each.where, f"{each.target} {each.line}")
        for actor in (parent, child)
        for each in descriptors(actor.pid)
        if each.target == lab.pipe_name()
    ]
    steps.facts["pipe_descriptors_after_fork"] = len(ends)
    steps.add(
        "Descriptors are inherited, too",
        f"""Parent and child together now hold {len(ends)} descriptors of one and the same pipe. A
        POSIX queue's descriptor would be inherited the same way. A System V identifier need not
        be: it is a number that any process may use.""",
        _picture(lab, pipe=True),
        "int fd[2]; pipe2(fd, O_CLOEXEC);",
        ends,
    )

    parent.call("close", lab.writing)
    child.call("write", lab.writing, message.encode(), len(message))
    got = parent.call("read", lab.reading, bytes(64), 64).result
    parent.begin("read", lab.reading, bytes(64), 64)
    parent.falls_asleep()
    steps.facts["ended_with_forgotten_end"] = parent.finished()
    steps.add(
        "A forgotten write end",
        f"""The parent has closed its write end and has read the child's {got} bytes. It reads
        again and sleeps: no end of file, because the child still holds a write end. A copy that
        is forgotten keeps a pipe from ending.""",
        _picture(lab, pipe=True, asleep=True),
        "close(fd[1]); while ((n = read(fd[0], buf, 64)) > 0) ...",
        [Evidence("the parent's state is S, asleep", *_state(parent.pid))],
    )

    child.call("close", lab.writing)
    ended = parent.finish()
    steps.facts["ended_after_closing"] = ended.result == 0
    steps.add(
        "The last write end closes",
        f"""The child closes its write end, and there is no other. The parent wakes up: its read
        returns {ended.result}, which is how end of file looks. Close what you don't use, right
        after the fork.""",
        _picture(lab, pipe=True),
        "close(fd[1]);   /* in the child */",
        [Evidence("the parent's read returns", "its result", str(ended.result))],
    )


def _state(pid: int) -> tuple[str, str]:
    """The line of /proc/PID/status that tells what a process does, and its place."""
    where = f"/proc/{pid}/status"
    with open(where, encoding="utf-8") as file:
        return where, next(line.strip() for line in file if line.startswith("State:"))


def _mapping(actor: ActorHandle, address: int) -> Evidence:
    found = mapping_at(actor.pid, address)
    if found is None:
        return Evidence(actor.name, f"/proc/{actor.pid}/smaps", f"nothing at {address:#x}")
    kib = (found.shared_bytes // 1024, found.private_bytes // 1024)
    what = f"{actor.name}: mapped by others too {kib[0]} KiB, by it alone {kib[1]} KiB"
    return Evidence(what, found.where, found.line)


def _picture(lab: _Lab, pipe: bool = False, asleep: bool = False) -> Scene:
    """Both address spaces, and in the kernel the segment, or the pipe."""
    scene = Scene()
    x, y, width, height = layout.kernel(scene)
    shown = (x + width / 2 - 330, y, 660, height)
    if pipe:
        waiting = unread_bytes(lab.spare)
        lines = [f"{waiting} bytes in it" if waiting else "empty"]
        scene.box("pipe", shown, "object", f"the pipe, {lab.pipe_name()}", lines)
    else:
        words = lab.words(lab.parent, lab.shared)
        scene.box("segment", shown, "memory", f"segment, id {lab.segment}", [f'holds "{words}"'])
        badge = (shown[0] + 644, y + height - 30)
        scene.badge("nattch", badge, f"nattch {lab.attached()}", "memory", "end")
    sides = layout.columns(2)
    _process(scene, lab, "parent", lab.parent, sides[0], shown, pipe, asleep)
    if lab.child is not None:
        _process(scene, lab, "child", lab.child, sides[1], shown, pipe, False)
    return scene


def _process(
    scene: Scene,
    lab: _Lab,
    name: str,
    actor: ActorHandle,
    column: tuple[float, float],
    shown: layout.Place,
    pipe: bool,
    asleep: bool,
) -> None:
    """One process: private memory and descriptors outside, the segment on the inner side."""
    if not actor.alive:
        layout.process(scene, name, actor.name, actor.pid, column, state="gone")
        return
    title = actor.name + (", asleep in read" if asleep else "")
    layout.process(scene, name, title, actor.pid, column)
    x, width = column
    half, left = (width - 60) / 2, name == "parent"
    outer, inner = (x + 20, x + 40 + half) if left else (x + 40 + half, x + 20)
    words = lab.words(actor, lab.private)
    private = (outer, 72, half, 176)
    lines = [f"{lab.private:#x}", f'holds "{words}"', lab.page(actor, lab.private)[0]]
    scene.box(f"{name}.private", private, "private", "private page", lines)
    if pipe:
        held = [each for each in descriptors(actor.pid) if each.target == lab.pipe_name()]
        lines = [f"{each.number}: {'write' if each.writable else 'read'} end" for each in held]
        place = (outer, 268, half, 170)
        scene.box(f"{name}.descriptors", place, "user", "descriptors", lines or ["none of it"])
        if held:
            start = layout.foot_of(place)
            edge = (shown[0] if left else shown[0] + shown[2], shown[1] + 60)
            scene.arrow(f"{name}.own", [start, (start[0], edge[1]), edge], "own")
    words = lab.words(actor, lab.shared)
    shared = (inner, 72, half, 176)
    lines = [f"{lab.shared:#x}", f'holds "{words}"', lab.page(actor, lab.shared)[0]]
    scene.box(f"{name}.segment", shared, "memory", "the segment", lines)
    if not pipe:
        down = layout.foot_of(shared)
        scene.arrow(f"{name}.map", [down, (down[0], shown[1])], "map")
