"""What a new process, and a new program in the same process, keep of shared memory."""

import ctypes
import os

from labkit.claims.claim import Claim, Evidence, Found
from labkit.claims.lab import Lab, peek
from labkit.harness.actor import Memory
from labkit.kernel import libc
from labkit.kernel.descriptors import descriptors
from labkit.kernel.mappings import segment_mappings
from labkit.kernel.sysv_status import segment_status

TOPIC = "fork and exec"
_TEXT = "hello"


def _inherited(lab: Lab) -> Found:
    segment = lab.segment()
    parent = lab.actor("the parent")
    place = parent.call("shmat", segment.id, 0, 0).result
    parent.write(place, _TEXT.encode() + b"\0")
    before = segment_status(segment.id).attached
    child = lab.fork(parent, "the child")
    after = segment_status(segment.id)
    mapped = segment_mappings(child.pid, segment.id)
    return Found(
        {
            "before": before,
            "after": after.attached,
            "parent": f"{place:#x}",
            "child": [f"{each.start:#x}" for each in mapped],
            "written": _TEXT,
            "read": child.read(place, len(_TEXT)).decode(errors="replace"),
        },
        [*(Evidence(each.where, each.line) for each in mapped), Evidence(after.where, after.line)],
    )


def _talk(lab: Lab) -> Found:
    place = lab.attach(lab.segment().id)
    question, reply = b"from the parent\0", b"from the child\0"
    ctypes.memmove(place, question, len(question))

    def work() -> str:
        read = peek(place, 64)
        ctypes.memmove(place, reply, len(reply))
        return read

    child_read = lab.child(work).value
    read = peek(place, 64)
    return Found(
        {"child_read": child_read, "parent_read": read},
        [Evidence("the segment, read by the parent", read)],
    )


def _exec(lab: Lab) -> Found:
    segment = lab.segment()
    actor = lab.actor("the process")
    place = actor.call("shmat", segment.id, 0, 0).result
    actor.write(place, _TEXT.encode() + b"\0")
    before = segment_status(segment.id)
    mapped = len(segment_mappings(actor.pid, segment.id))
    pid = actor.pid
    actor.exec()
    after = segment_status(segment.id)
    still = len(segment_mappings(actor.pid, segment.id))
    again = actor.call("shmat", segment.id, 0, 0)
    read = "" if again.error else actor.read(again.result, len(_TEXT)).decode(errors="replace")
    return Found(
        {
            "pid": pid,
            "before": before.attached,
            "after": after.attached,
            "mapped": mapped,
            "still": still,
            "again": again.error or "accepted",
            "written": _TEXT,
            "read": read,
        },
        [
            Evidence(f"{before.where} before exec", before.line),
            Evidence(f"{after.where} after exec", after.line),
        ],
    )


def make_pipes(memory: Memory) -> list[list[int]]:
    """An actor's two pipes: of C's pipe(2), and of Python's os.pipe."""
    ends = (ctypes.c_int * 2)()
    if libc.LibcFunction("pipe", "int", "long")(ctypes.addressof(ends)) < 0:
        raise OSError(libc.errno(), os.strerror(libc.errno()))
    return [list(ends), list(os.pipe())]


def _descriptors(lab: Lab) -> Found:
    actor = lab.actor("the process")
    of_c, of_python = actor.act(make_pipes)
    held = {each.number: each for each in descriptors(actor.pid)}
    targets = {each: held[each].target for each in (*of_c, *of_python)}
    actor.exec()
    after = {each.number: each.target for each in descriptors(actor.pid)}

    def kept(ends: list[int]) -> int:
        return sum(after.get(each) == targets[each] for each in ends)

    return Found(
        {
            "c_closes": held[of_c[0]].close_on_exec,
            "python_closes": held[of_python[0]].close_on_exec,
            "c_kept": kept(of_c),
            "python_kept": kept(of_python),
        },
        [Evidence(held[each].where, held[each].line) for each in (of_c[0], of_python[0])],
    )


CLAIMS = [
    Claim(
        id="fork-inherits",
        topic=TOPIC,
        said="A child created by fork() inherits its parent's attached shared memory segments.",
        claim="A child that fork creates has its parent's segments attached.",
        source="fork(2), shmop(2)",
        experiment=_inherited,
        holds=lambda f: (
            f["after"] == f["before"] + 1
            and f["child"] == [f["parent"]]
            and f["read"] == f["written"]
        ),
        observed="nattch went from {before} to {after} at fork; the parent has it at {parent}, the"
        " child at {child}, and reads '{read}' there.",
    ),
    Claim(
        id="parent-and-child-talk",
        topic=TOPIC,
        said="Thus, shared memory provides an easy method of IPC between parent & child.",
        claim="Parent and child can exchange data through a segment attached before fork, without"
        " looking anything up.",
        source="fork(2), shmop(2)",
        experiment=_talk,
        holds=lambda f: (
            f["child_read"] == "from the parent" and f["parent_read"] == "from the child"
        ),
        observed="The child read '{child_read}' and wrote an answer; the parent, which waited for"
        " its end, read '{parent_read}'.",
    ),
    Claim(
        id="exec-detaches",
        topic=TOPIC,
        said="after an exec(), all attached shared memory segments are detached.",
        claim="exec detaches all segments from the process.",
        source="execve(2), shmop(2)",
        experiment=_exec,
        holds=lambda f: f["before"] == f["mapped"] == 1 and f["after"] == f["still"] == 0,
        observed="nattch was {before} before exec and {after} after; process {pid} mapped the"
        " segment {mapped} time before and {still} times after.",
    ),
    Claim(
        id="exec-keeps-the-segment",
        topic=TOPIC,
        claim="exec detaches and deletes nothing: the new program can attach the segment again by"
        " its identifier, and finds in it what the old one wrote.",
        source="execve(2), sysvipc(7)",
        experiment=_exec,
        holds=lambda f: f["again"] == "accepted" and f["read"] == f["written"],
        observed="After exec, process {pid} attached the same id: {again}; it held '{read}'.",
    ),
    Claim(
        id="exec-and-descriptors",
        topic=TOPIC,
        claim="Descriptors survive exec unless they are marked close-on-exec: Python's os.pipe"
        " marks them, C's pipe doesn't.",
        source="execve(2), pipe(2), fcntl(2)",
        experiment=_descriptors,
        holds=lambda f: (
            not f["c_closes"] and f["c_kept"] == 2 and f["python_closes"] and f["python_kept"] == 0
        ),
        observed="Close-on-exec: C's pipe {c_closes}, Python's {python_closes}; ends still open"
        " after exec: {c_kept} of C's, {python_kept} of Python's.",
    ),
]
