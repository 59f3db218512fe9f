"""Two walks that nobody has walked, for the tests of the player: all kinds of items are in them.

The numbers are invented; what the lab shows comes from the running kernel.
"""

from typing import Any

from labkit.walkthroughs.scene import Scene, State
from labkit.walkthroughs.step import Evidence, Steps

WRITER, READER = (30.0, 10.0, 480.0, 740.0), (1090.0, 10.0, 480.0, 740.0)
HELLO = [*"hello", "\\0"]
PIPE = (570.0, 330.0, 460.0, 170.0)


def _walk(name: str, title: str, question: str, steps: Steps, *notes: str) -> dict[str, Any]:
    head = {"name": name, "title": title, "question": question, "notes": list(notes)}
    machine = "Observed on Linux 6.18.1 (x86_64), 2026-11-24 01:38 UTC."
    return head | {"machine": machine, **steps.data()}


def _lanes(writer: str, reader: str, held: list[str], sent: list[str], got: list[str]) -> Scene:
    """Two processes with their two modes, and a pipe's buffer between them.

    Args:
        writer, reader: "user", "kernel" or "asleep": where each process is.
        held, sent, got: the bytes in the pipe and in both buffers.
    """
    scene = Scene()
    for name, words, pid, place, where in (
        ("writer", "writer", 4711, WRITER, writer),
        ("reader", "reader", 4712, READER, reader),
    ):
        x, y, w, _ = place
        scene.box(name, place, "process", words)
        scene.badge(f"{name}.pid", (x + w - 16, y + 28), f"PID {pid}", "process", "end")
        user, kernel = (x + 20, y + 72, w - 40, 250), (x + 20, y + 400, w - 40, 320)
        runs: State = "active" if where == "user" else ""
        scene.box(f"{name}.user", user, "user", "user mode", [], runs)
        inside: State = "active" if where == "kernel" else ""
        scene.box(f"{name}.kernel", kernel, "kernel", "kernel mode", [], inside)
        if where == "asleep":
            scene.badge(f"{name}.sleeps", (x + w / 2, y + 680), "asleep", "kernel", "middle")
    scene.bytes("out", (70, 170, 400, 60), "user", sent, "char out[6]")
    scene.bytes("in", (1130, 170, 400, 60), "user", got or [""] * 6, "char in[6]")
    scene.box("pipe", PIPE, "object", "pipe")
    scene.bytes(
        "buffer",
        (600, 420, 400, 60),
        "kernel",
        [*held, *[""] * (8 - len(held))],
        "65,536 bytes of room",
    )
    return scene


def pipe_walk() -> dict[str, Any]:
    """Lanes of user and kernel mode, a pipe between two processes."""
    steps = Steps()
    scene = _lanes("user", "asleep", [], HELLO, [])
    scene.token("cpu", (270, 300), "runs on CPU 0", "process")
    steps.add(
        "Before anything is sent",
        "The writer runs in user mode and has the message in its own memory. The reader called"
        " read() on an empty pipe and sleeps in the kernel until there is something to read.",
        scene,
        evidence=[
            Evidence("state of the reader", "/proc/4712/stat", "4712 (reader) S 4700 4700 4670"),
            Evidence("bytes in the pipe", "ioctl(3, FIONREAD)", "0"),
        ],
        counts={"system calls": 1, "mode switches": 1, "copies": 0, "bytes copied": 0},
    )
    scene = _lanes("kernel", "asleep", [], HELLO, [])
    scene.arrow("enter", [(380, 330), (380, 410)], "mode", "write()")
    scene.token("cpu", (190, 520), "runs on CPU 0", "process")
    steps.add(
        "The writer enters the kernel",
        "write() is a system call: the same process, with the same PID, goes on in kernel mode."
        " That is a mode switch. No other process has run.",
        scene,
        call="ssize_t n = write(fd[1], out, 6);",
        evidence=[Evidence("system call", "ptrace, entry", 'write(4, "hello\\0", 6)')],
        counts={"system calls": 2, "mode switches": 2, "copies": 0, "bytes copied": 0},
    )
    scene = _lanes("kernel", "asleep", HELLO, HELLO, [])
    scene.arrow("copy in", [(490, 200), (800, 200), (800, 320)], "copy", "6 bytes copied")
    scene.token("cpu", (190, 520), "runs on CPU 0", "process")
    steps.add(
        "The kernel copies the message into the pipe",
        "The bytes are now there twice: in the writer's memory and in the kernel's buffer."
        " The kernel also finds that somebody waits for them and marks the reader as runnable.",
        scene,
        call="ssize_t n = write(fd[1], out, 6);",
        evidence=[
            Evidence("system call", "ptrace, exit", 'write(4, "hello\\0", 6) = 6'),
            Evidence("bytes in the pipe", "ioctl(3, FIONREAD)", "6"),
        ],
        counts={"system calls": 2, "mode switches": 2, "copies": 1, "bytes copied": 6},
    )
    scene = _lanes("asleep", "kernel", HELLO, HELLO, [])
    scene.arrow("switch", [(500, 610), (1100, 610)], "context", "context switch")
    scene.token("cpu", (1250, 520), "runs on CPU 0", "process")
    steps.add(
        "Another process runs: a context switch",
        "The scheduler takes the CPU from the writer and gives it to the reader, which goes on"
        " where it fell asleep: in kernel mode, in the middle of its read().",
        scene,
        evidence=[
            Evidence(
                "switches of the reader",
                "/proc/4712/status",
                "voluntary_ctxt_switches:\t2\nnonvoluntary_ctxt_switches:\t0",
            )
        ],
        counts={
            "system calls": 2,
            "mode switches": 2,
            "context switches": 1,
            "copies": 1,
            "bytes copied": 6,
        },
    )
    scene = _lanes("asleep", "user", [], HELLO, HELLO)
    scene.arrow("copy out", [(800, 320), (800, 200), (1110, 200)], "copy", "6 bytes copied")
    scene.arrow("leave", [(1220, 410), (1220, 330)], "mode", "read() = 6")
    scene.token("cpu", (1420, 300), "runs on CPU 0", "process")
    steps.add(
        "The reader has it, and the pipe is empty",
        "A second copy, from the kernel into the reader's memory. What has been read from a pipe"
        " is gone from it: a second reader would find nothing.",
        scene,
        call="ssize_t n = read(fd[0], in, sizeof in);",
        evidence=[
            Evidence("system call", "ptrace, exit", 'read(3, "hello\\0", 6) = 6'),
            Evidence("bytes in the pipe", "ioctl(3, FIONREAD)", "0"),
        ],
        counts={
            "system calls": 2,
            "mode switches": 3,
            "context switches": 1,
            "copies": 2,
            "bytes copied": 12,
        },
    )
    scene = _lanes("asleep", "user", [], HELLO, HELLO)
    scene.items = [item for item in scene.items if not item["id"].startswith("writer")]
    scene.items = [item for item in scene.items if item["id"] != "out"]
    scene.box("writer", WRITER, "process", "writer", ["exit status 0"], "gone")
    scene.arrow("eof", [(1090, 530), (960, 530), (960, 505)], "refused")
    scene.arrow("sig", [(540, 250), (1080, 250)], "signal", "SIGCHLD")
    scene.text("end", (570, 590), "no writer is left:\nend of file", 28, bold=True, role="alarm")
    steps.add(
        "The writer exits: end of file",
        "With the last writer gone, read() does not wait any longer: it returns 0, end of file.",
        scene,
        call="ssize_t n = read(fd[0], in, sizeof in);   /* 0 */",
        evidence=[Evidence("system call", "ptrace, exit", 'read(3, "", 6) = 0')],
        counts={
            "system calls": 3,
            "mode switches": 5,
            "context switches": 1,
            "copies": 2,
            "bytes copied": 12,
        },
    )
    return _walk(
        "mode_switches",
        "One message through a pipe",
        "How often does one message enter the kernel, and how often is it copied?",
        steps,
    )


SHM = "       key      shmid perms       size  cpid  lpid nattch   uid   gid"


def _shm_line(perms: int, pids: str, nattch: int) -> str:
    line = f" 305441741          7  {perms:4}       4096  {pids}     {nattch:2}  1000  1000"
    return f"{SHM}\n{line}      0      0 1764000000          0 1764000000   4096          0"


def _spaces(
    child: str, nattch: int, pages: list[str], attached: bool = True, marked: bool = False
) -> Scene:
    scene = Scene()
    scene.box("parent", (30, 10, 560, 470), "process", "parent")
    scene.badge("parent.pid", (574, 38), "PID 4711", "process", "end")
    scene.box(
        "parent.data", (50, 84, 520, 116), "private", "heap, private", ["int x = 1", "Pss 4 kB"]
    )
    if attached:
        scene.box(
            "parent.map",
            (50, 220, 520, 150),
            "memory",
            "7f21a4c00000-7f21a4c01000",
            ["rw-s  /SYSV1234abcd", "what is mapped: 4096 bytes"],
            mono=True,
        )
    scene.box("guard", (50, 390, 520, 60), "guard", "not mapped: SIGSEGV")
    if child:
        state: State = "gone" if child == "gone" else ""
        scene.box("child", (1010, 10, 560, 470), "process", "child", [], state)
        pid = "was PID 4712" if state else "PID 4712"
        scene.badge("child.pid", (1554, 38), pid, "process", "end")
        if not state:
            scene.box(
                "child.data",
                (1030, 84, 520, 116),
                "private",
                "heap, private",
                [f"int x = {child}", "Pss 4 kB"],
            )
            scene.box(
                "child.map",
                (1030, 220, 520, 150),
                "memory",
                "7f21a4c00000-7f21a4c01000",
                ["rw-s  /SYSV1234abcd", "what is mapped: 4096 bytes"],
                mono=True,
            )
    scene.box("kernel", (30, 510, 1540, 240), "kernel", "the kernel")
    ending: State = "marked" if marked else ""
    scene.box("segment", (560, 530, 480, 190), "object", "segment 7, key 0x1234abcd", [], ending)
    scene.badge("nattch", (590, 690), f"nattch {nattch}", "object")
    for number, page in enumerate(pages):
        scene.box(f"page {number}", (590 + 220 * number, 590, 200, 60), "page", page, mono=True)
    scene.box("exe", (80, 590, 300, 120), "file", "/usr/bin/lab", ["text, read only"])
    if attached:
        scene.arrow("parent maps", [(420, 370), (620, 530)], "map")
    if child and child != "gone":
        scene.arrow("child maps", [(1180, 370), (980, 530)], "map")
    scene.arrow("parent holds", [(230, 480), (230, 590)], "own", "text")
    return scene


def segment_walk() -> dict[str, Any]:
    """Address spaces and a segment."""
    steps = Steps()
    steps.add(
        "A segment exists, and one process has it attached",
        "shmget() made the segment, shmat() put it into the parent's address space. The key is the"
        " name under which others find it, the id is the kernel's number, the address is the"
        " parent's own affair.",
        _spaces("", 1, ["frame 5a1f3"]),
        call="int id = shmget(0x1234abcd, 4096, IPC_CREAT | 0600);\nchar *p = shmat(id, NULL, 0);",
        evidence=[
            Evidence("nattch", "/proc/sysvipc/shm", _shm_line(600, "4711  4711", 1)),
            Evidence(
                "mapping",
                "/proc/4711/maps",
                "7f21a4c00000-7f21a4c01000 rw-s 00000000 00:01 7          /SYSV1234abcd (deleted)",
            ),
        ],
    )
    steps.add(
        "fork(): the child inherits the attachment",
        "The child gets a copy of the address space. Private memory is shared for reading until"
        " somebody writes; the segment stays shared for good, and nattch counts the child too.",
        _spaces("1", 2, ["frame 5a1f3"]),
        call="pid_t child = fork();",
        evidence=[Evidence("nattch", "/proc/sysvipc/shm", _shm_line(600, "4711  4712", 2))],
    )
    scene = _spaces("2", 2, ["frame 5a1f3", "frame 61c02"])
    scene.items.append(
        {"id": "why", "kind": "box", "role": "note", "x": 640, "y": 170, "w": 330, "h": 170}
        | {"title": "copy on write", "state": "", "mono": False}
        | {"lines": ["The child wrote to private memory: it has a frame of its own now."]}
    )
    steps.add(
        "The child writes to private memory",
        "The write faults, the kernel copies the page, and the child goes on with its own copy."
        " The parent's x is still 1.",
        scene,
        call="x = 2;",
        evidence=[
            Evidence("frame", "/proc/4712/pagemap", "0x81800000000061c02, was 0x8180000000005a1f3")
        ],
    )
    scene = _spaces("gone", 1, ["frame 5a1f3"], marked=True)
    scene.arrow("parent removes", [(560, 440), (700, 440), (700, 520)], "signal")
    steps.add(
        "The child exits; the parent marks the segment for removal",
        "Exit detaches: nattch falls to 1. shmctl(IPC_RMID) only marks the segment while somebody"
        " still has it attached.",
        scene,
        call="shmctl(id, IPC_RMID, NULL);",
        evidence=[Evidence("perms", "/proc/sysvipc/shm", _shm_line(1600, "4711  4711", 1))],
    )
    scene = _spaces("gone", 0, ["frame 5a1f3"], attached=False)
    for item in scene.items:
        if item["id"] == "segment":
            item |= {"state": "gone"}
        if item["id"] == "exe":
            item |= {"state": "refused"}
    steps.add(
        "The last detach: the segment is gone",
        "With nattch at 0 the kernel frees the segment. Its id means nothing any more.",
        scene,
        call="shmdt(p);",
        evidence=[Evidence("shmctl", "IPC_STAT", "Invalid argument (EINVAL)")],
    )
    return _walk(
        "fork_inheritance",
        "What a child inherits",
        "What does a child share with its parent after fork(), and what is its own?",
        steps,
        "Frames are not shown to users without privilege here (CAP_SYS_ADMIN): pagemap gives 0.",
    )


HOSTILE = (
    "</script><script>alert(1)</script>",
    "\"quotes\" & 'single' <b>bold</b> ]]> <!-- --> %3C #x \\u003c `${1}` $x$",
    "🧪 emoji 👩‍🔬, العربية בעברית, \u202etxt.exe, nul \0 bell \a, lone \udc80",
    "x" * 2000,
)


def hostile_walk() -> dict[str, Any]:
    """What a process may be called, and a queue may hold, to break a page."""
    steps = Steps()
    for text in HOSTILE:
        scene = Scene()
        scene.box(f"box {text}", (40, 40, 700, 300), "process", text, [text, text])
        scene.bytes("bytes", (40, 420, 700, 60), "kernel", [text, text], text)
        scene.text("text", (40, 600), text[:60])
        scene.token("token", (1200, 200), text[:20])
        scene.badge("badge", (1000, 300), text[:20])
        scene.arrow("arrow", [(1000, 500), (1500, 500)], "copy", text[:20])
        evidence = [Evidence(text, text, text)]
        steps.add(text, text, scene, text, evidence, {text: 1})
    return _walk("hostile", HOSTILE[0], HOSTILE[1], steps, HOSTILE[0], HOSTILE[2])
