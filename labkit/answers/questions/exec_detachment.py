"""Notebook 05: what exec() leaves and what it takes."""

import fcntl
import os
from typing import Any

from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question


def _bytes(facts: Facts) -> str:
    if not facts["segment_exists"]:
        return "a"
    return "b" if facts["bytes_kept"] else "c"


def _inherited(value: Any) -> str:
    if isinstance(value, tuple):  # what os.pipe() returns: the read end is the first
        value = value[0]
    number = value if isinstance(value, int) else value.fileno()
    try:
        flags = fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError as error:
        raise NotYet(f"Descriptor {number} is not open here ({error.strerror}).") from None
    if number <= 2:
        raise NotYet("That one was open already: make one of your own.")
    if flags & fcntl.FD_CLOEXEC:
        raise NotYet(
            f"Descriptor {number} is marked close-on-exec, so `exec()` will close it; see"
            " `os.set_inheritable`."
        )
    kind = os.readlink(f"/proc/self/fd/{number}")
    return f"Descriptor {number} (`{kind}`) will be open in the next program."


QUESTIONS = (
    Question(
        id="05-1",
        text="A process is attached to a segment; `nattch` is 1. It calls `exec()`. What does"
        " `nattch` say now?",
        misconception="An attached segment survives exec().",
        facts={"nattch_after_exec": int},
        right=lambda facts: int(facts["nattch_after_exec"]),
        saw=lambda facts: f"nattch {facts['nattch_after_exec']}.",
        unit="in the column nattch",
        slips={
            1: "The new program has none of the old one's addresses, so it could not use it.",
            2: "Nothing is attached by `exec()`, and there is no second process.",
        },
        why="`exec()` gives the process a new address space; every mapping of the old one goes,"
        " shared segments too. execve(2), shmat(2)",
    ),
    Question(
        id="05-2",
        text="The segment is detached by `exec()`. What about the bytes in it?",
        misconception="A segment that nobody is attached to is gone.",
        facts={"segment_exists": bool, "bytes_kept": bool},
        right=_bytes,
        saw=lambda facts: (
            "the segment was gone."
            if not facts["segment_exists"]
            else f"the segment was there, its bytes {'kept' if facts['bytes_kept'] else 'lost'}."
        ),
        choices={
            "a": Choice(
                "They are gone: nobody is attached any more.",
                "A System V segment lives until it is removed or the machine stops, attached or"
                " not. That is why forgotten ones pile up. sysvipc(7)",
            ),
            "b": Choice(
                "They are kept; the new program can attach again by key or id.",
                "Detaching changes the process, not the segment.",
            ),
            "c": Choice(
                "The segment is kept, filled with zeros.",
                "Zeros are what a new segment holds. This one is not new.",
            ),
        },
    ),
    Question(
        id="05-3",
        text="Before and after `exec()`, which process is it?",
        misconception="exec() makes a process.",
        facts={"same_pid": bool, "same_program": bool},
        right=lambda facts: "b" if facts["same_pid"] else "a",
        saw=lambda facts: (
            f"{'the same PID' if facts['same_pid'] else 'another PID'}, and"
            f" {'the same program' if facts['same_program'] else 'another program'}."
        ),
        choices={
            "a": Choice(
                "A new one, with a PID of its own; the old one has ended.",
                "`fork()` makes processes, `exec()` only gives one a new program. Parent, PID and"
                " what was left open stay.",
            ),
            "b": Choice(
                "The same one, with the same PID, running another program.",
                "That is why a shell first forks and then lets the child exec: else it would be"
                " gone itself.",
            ),
            "c": Choice(
                "There are two: the old program goes on beside the new one.",
                "A successful `exec()` never returns: nothing is left of the old program that"
                " could go on.",
            ),
        },
    ),
)

EXERCISES = (
    Exercise(
        id="05-e1",
        text="Open a pipe whose read end the next program will still have after `exec()`. Python's"
        " `os.pipe` alone does not do that.",
        takes="the descriptor, a number (or both ends, as os.pipe() returns them)",
        check=_inherited,
    ),
)
