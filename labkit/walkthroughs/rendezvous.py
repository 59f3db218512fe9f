"""How two processes that do not know each other find the same object.

fork(2), fifo(7), ftok(3), svipc(7), shm_overview(7), unix(7) on SCM_RIGHTS; Kerrisk, The Linux
Programming Interface, sections 45.2 and 61.13.
"""

import ctypes
import os
import socket
from typing import Any

from labkit.harness.actor import Memory
from labkit.harness.actor_handle import ActorHandle
from labkit.harness.stage import Stage
from labkit.kernel.descriptors import descriptor
from labkit.kernel.sysv_status import row
from labkit.walkthroughs import layout
from labkit.walkthroughs.conveyors import IPC_CREAT, IPC_EXCL, PAGE, read_text
from labkit.walkthroughs.scene import Role, Scene
from labkit.walkthroughs.step import Evidence, Steps

TITLE = "Rendezvous: how processes find the same object"
QUESTION = "Two processes want the same pipe, queue or segment. What must both of them know?"

PROJECT = ord("L")  # ftok's second argument; only its lowest 8 bits count
MOST_FILES = 70_000  # looked at in search of a collision; beyond 65,536 there must be one


def make_pipe(memory: Memory) -> tuple[int, int]:
    """An actor's pipe: its two descriptors."""
    return os.pipe()


def send_descriptor(memory: Memory, through: int, number: int) -> None:
    """Pass a descriptor to whoever holds the other end of a socket. SCM_RIGHTS, unix(7)"""
    with socket.socket(fileno=os.dup(through)) as door:
        socket.send_fds(door, [b"here"], [number])


def receive_descriptor(memory: Memory, through: int) -> int:
    """Take a descriptor that was passed: its number here."""
    with socket.socket(fileno=os.dup(through)) as door:
        _, received, _, _ = socket.recv_fds(door, 16, 1)
    return received[0]


def collide(memory: Memory) -> dict[str, Any]:
    """Look among this machine's own files for two that ftok(3) gives the same key.

    glibc makes the key of 8 bits of the project, 8 of the device and only 16 of the inode.
    """
    seen: dict[int, str] = {}
    for folder, _, names in os.walk("/usr"):
        for name in sorted(names):
            path = os.path.join(folder, name)
            key = key_of(memory, path)
            other = seen.setdefault(key, path)
            if other != path and not os.path.samefile(other, path):
                inodes = [os.stat(each).st_ino for each in (other, path)]
                return {"files": [other, path], "inodes": inodes, "key": key, "tried": len(seen)}
            if len(seen) >= MOST_FILES:
                break
    return {"files": [], "inodes": [], "key": 0, "tried": len(seen)}


def key_of(memory: Memory, path: str) -> int:
    """What ftok(3) makes of a path."""
    ftok = ctypes.CDLL(None).ftok
    ftok.restype = ctypes.c_int
    return int(ftok(path.encode(), PROJECT)) & 0xFFFFFFFF


def observe(stage: Stage, steps: Steps) -> None:
    """Watch five ways to meet."""
    first, second = stage.actor("a process"), stage.actor("a stranger")
    _inheritance(steps, first, second)
    _path(stage, steps, first, second)
    _name(stage, steps, first, second)
    _key(stage, steps, first, second)
    _file_to_key(stage, steps, first, second)
    _descriptor(steps, stage, first, second)


def _inheritance(steps: Steps, first: ActorHandle, second: ActorHandle) -> None:
    """Nothing has to be known: the child has it."""
    reading, writing = first.act(make_pipe)
    child = first.fork("its child")
    first.call("write", writing, "hi", 2)
    got = child.act(read_text, reading)
    mine, theirs = descriptor(child.pid, reading), descriptor(second.pid, reading)
    same = mine is not None and theirs is not None and mine.target == theirs.target
    target = mine.target if mine is not None else "closed"
    steps.facts["child_reads"] = got == "hi"
    steps.facts["stranger_has_pipe"] = same
    has = "has it, too" if same else "has no way to it"
    steps.add(
        "By inheritance: nothing has to be known",
        f"""A pipe has no name. The child got both ends with fork and read "{got}" from descriptor
        {reading}. A stranger may have a descriptor {reading} as well, but not of this pipe: it
        {has}.""",
        _picture(
            (first, "the pipe's maker", [f"descriptors {reading} and {writing}"], True),
            (child, "its child", [f"descriptor {reading}: reads {got!r}"], True),
            ("pipe", "a pipe, without a name", [target]),
        ),
        "int fd[2];  pipe(fd);  fork();",
        [
            Evidence(f"the child's descriptor {reading}", each.where, each.target)
            for each in [mine]
            if each
        ],
    )
    child.exit()
    for number in (reading, writing):
        first.call("close", number)


def _path(stage: Stage, steps: Steps, first: ActorHandle, second: ActorHandle) -> None:
    """A path in a file system: FIFOs, bound sockets, mapped files."""
    path = str(stage.objects.expected("fifo", first.pid))
    if error := first.call("mkfifo", path, 0o600).error:
        stage.notes.append(f"A FIFO is refused here ({error}); labkit doctor helps.")
        return
    reading = second.call("open", path, os.O_RDONLY | os.O_NONBLOCK).result
    writing = first.call("open", path, os.O_WRONLY | os.O_NONBLOCK).result
    first.call("write", writing, "hi", 2)
    got = second.act(read_text, reading)
    status = os.stat(path)
    steps.facts["fifo_file_bytes"] = status.st_size
    short = f".../{os.path.basename(path)}"
    steps.facts["stranger_reads_fifo"] = got == "hi"
    steps.add(
        "By a path, such as a FIFO's",
        f"""A FIFO is a pipe with a name in a file system. The stranger opened the path and read
        "{got}". The file itself has {status.st_size} bytes: the name is on the disk, the data
        never is. Who may open it is decided by the mode, as for any file.""",
        _picture(
            (first, "knows the path", ["opened for writing"], True),
            (second, "knows the path", [f"reads {got!r}"], True),
            ("fifo", "a FIFO", [short]),
        ),
        'mkfifo("/tmp/x", 0600);  fd = open("/tmp/x", O_RDONLY);',
        [Evidence("its size", f"stat {path}", f"{status.st_size} bytes, mode {status.st_mode:#o}")],
    )
    first.call("close", writing)
    second.call("close", reading)
    first.call("unlink", path)


def _name(stage: Stage, steps: Steps, first: ActorHandle, second: ActorHandle) -> None:
    """A name with a slash: POSIX objects."""
    name = str(stage.objects.expected("posix_shm", first.pid))
    made = first.call("shm_open", name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    if made.error:
        stage.notes.append(f"POSIX segments are refused here ({made.error}); labkit doctor helps.")
        return
    found = second.call("shm_open", name, os.O_RDWR, 0o600)
    again = second.call("shm_open", name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    ours, theirs = descriptor(first.pid, made.result), descriptor(second.pid, found.result)
    same = ours is not None and theirs is not None and ours.target == theirs.target
    steps.facts["stranger_opens_name"] = same
    steps.facts["name_again"] = again.error or "made"
    what = "the same object" if same else "another object"
    steps.add(
        "By a name: POSIX objects",
        f"""POSIX names look like a path with one slash. The stranger opened the name and got
        {what}, as descriptor {found.result}. Making it once more with O_EXCL gets {again.error}:
        that is how one finds out that a name is taken, or squatted by somebody.""",
        _picture(
            (first, "made the name", [f"descriptor {made.result}"], True),
            (
                second,
                "knows the name",
                [f"descriptor {found.result}", f"O_EXCL: {again.error}"],
                True,
            ),
            ("posix", "a POSIX segment", [f"{name[:18]}..."]),
        ),
        'fd = shm_open("/name", O_RDWR, 0600);',
        [
            *(
                Evidence(who, each.where, each.target)
                for who, each in (("maker", ours), ("stranger", theirs))
                if each
            ),
            Evidence("the name once more, with O_EXCL", "shm_open's errno", again.error or "none"),
        ],
    )
    first.call("close", made.result)
    second.call("close", found.result)
    first.call("shm_unlink", name)


def _key(stage: Stage, steps: Steps, first: ActorHandle, second: ActorHandle) -> None:
    """A number that both know, and one that nobody can."""
    key = int(stage.objects.expected("sysv_shm", first.pid))
    made = first.call("shmget", key, PAGE, IPC_CREAT | IPC_EXCL | 0o600)
    if made.error:
        stage.notes.append(
            f"System V segments are refused here ({made.error}); labkit doctor helps."
        )
        return
    found = second.call("shmget", key, 0, 0)
    same = found.result == made.result
    line = row("shm", made.result)
    steps.facts["same_id_by_key"] = same
    steps.add(
        "By a key: System V objects",
        f"""A key is a number that both agreed on. The stranger asked for {key:#010x} and got the id
        {found.result}, {"the same as" if same else "not the same as"} the maker's. The id works in
        any process that is allowed to use it. With IPC_PRIVATE there is no key, and only those who
        are told the id find it.""",
        _picture(
            (first, "knows the key", [f"id {made.result}"], True),
            (second, "knows the key", [f"id {found.result}"], True),
            ("sysv", "a System V segment", [f"key {key:#010x}", f"id {made.result}"]),
        ),
        f"id = shmget({key:#010x}, 0, 0);",
        [Evidence("the segment", line.where, line.line)] if line is not None else [],
    )
    first.call("shmctl", made.result, 0, 0)


def _file_to_key(stage: Stage, steps: Steps, first: ActorHandle, second: ActorHandle) -> None:
    """ftok: a key from a file, and why two files may give one key."""
    path = str(stage.objects.expected("file", first.pid))
    opened = first.call("open", path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    first.call("close", opened.result)
    keys = [actor.act(key_of, path) for actor in (first, second)]
    inode = os.stat(path).st_ino
    first.call("unlink", path)
    steps.facts["same_key_by_ftok"] = keys[0] == keys[1]
    steps.add(
        "ftok: a key made of a file",
        f"""Both call ftok on the same file and get {keys[0]:#010x} and {keys[1]:#010x}. The file's
        contents don't matter. The key is the project letter, 8 bits of the device and the lowest
        16 bits of the inode: {inode:#x} ends in {inode & 0xFFFF:04x}.""",
        _picture(
            (first, "calls ftok", [f"{keys[0]:#010x}"], True),
            (second, "calls ftok", [f"{keys[1]:#010x}"], True),
            ("ftok", "a file", [f"inode {inode:#x}"]),
        ),
        "key = ftok(path, 'L');",
        [
            Evidence("the file's inode", f"stat {path}", f"{inode:#x}"),
            Evidence("the key", "ftok", f"{keys[0]:#010x}"),
        ],
    )
    found = first.act(collide)
    files, inodes, tried = found["files"], found["inodes"], found["tried"]
    steps.facts["files_until_collision"] = tried if files else None
    names = [os.path.basename(path) for path in files]
    if files:
        said = f"""{names[0]} and {names[1]} are different files of this machine with one and the
        same key, {found["key"]:#010x}: same device, and their inodes end alike. Only {tried} files
        had to be looked at. Who is handed somebody else's object this way should notice: use
        IPC_EXCL, and look whose it is."""
        lines = [f"{inode:#x}" for inode in inodes]
    else:
        said = f"""{tried} files of this machine were looked at, and no two had the same key. With
        16 bits of the inode in the key, among 65,537 files of one device some must collide."""
        lines = ["no collision"]
    same = ["the same key"] if files else ["different keys"]
    steps.add(
        "ftok can collide",
        said,
        _picture(
            (first, "ftok of one file", lines[:1], bool(files)),
            (second, "ftok of another", lines[1:] or lines, bool(files)),
            ("ftok", f"key {found['key']:#010x}" if files else "many keys", same),
        ),
        "ftok(file_1, 'L') == ftok(file_2, 'L')",
        [
            Evidence(path, "stat and ftok", f"inode {inode:#x}, key {found['key']:#010x}")
            for path, inode in zip(files, inodes, strict=True)
        ],
    )


def _descriptor(steps: Steps, stage: Stage, first: ActorHandle, second: ActorHandle) -> None:
    """A descriptor handed over through a socket: the object needs no name at all."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        (left,) = first.take(ours.fileno())
        (right,) = second.take(theirs.fileno())
    made = first.call("memfd_create", "labkit", 1)
    if made.error:
        stage.notes.append(f"memfd_create is refused here ({made.error}).")
        return
    first.call("write", made.result, "hi", 2)
    first.act(send_descriptor, left, made.result)
    number = second.act(receive_descriptor, right)
    second.call("lseek", number, 0, os.SEEK_SET)
    got = second.act(read_text, number)
    seen = [descriptor(first.pid, made.result), descriptor(second.pid, number)]
    steps.facts["passed_descriptor_works"] = got == "hi"
    steps.add(
        "By passing a descriptor",
        f"""A memfd has no path, no name and no key. The first process sent its descriptor
        {made.result} through a Unix socket; the stranger received it as {number} and read "{got}".
        Not the number was passed, but the open file itself.""",
        _picture(
            (first, "sent it", [f"descriptor {made.result}"], True),
            (second, "received it", [f"descriptor {number}: reads {got!r}"], True),
            ("memfd", "a memfd, nameless", ["anonymous memory"]),
        ),
        "sendmsg(sock, &msg_with_SCM_RIGHTS, 0);",
        [Evidence(f"descriptor {each.number}", each.where, each.target) for each in seen if each],
    )


ROLES: dict[str, Role] = {
    **dict.fromkeys(("posix", "sysv", "memfd"), "memory"),
    "ftok": "file",
}
Side = tuple[ActorHandle, str, list[str], bool]


def _picture(left: Side, right: Side, shared: tuple[str, str, list[str]]) -> Scene:
    """Two processes above, and below what they meet at; a line from each that reaches it."""
    scene = Scene()
    x, y, width, height = layout.kernel(scene)
    name, title, lines = shared
    place = (x + width / 2 - 330, y, 660, height)
    role = ROLES.get(name, "object")
    scene.box(f"object.{name}", place, role, title, lines)
    for number, (actor, knows, said, reaches) in enumerate((left, right)):
        column = layout.columns(2)[number]
        side = ("left", "right")[number]
        layout.process(scene, f"{side}.{actor.pid}", actor.name, actor.pid, column)
        box = (column[0] + 90, 110, column[1] - 180, 96 + 44 * len(said))
        scene.box(f"{side}.{actor.pid}.knows", box, "user", knows, said)
        if reaches:
            foot = layout.foot_of(box)
            top = layout.top_of(place, (0.25, 0.75)[number])
            points = [foot, (foot[0], 480), (top[0], 480), top]
            scene.arrow(f"{side}.own", points, "own")
    return scene
