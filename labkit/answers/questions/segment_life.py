"""Notebook 02: the life of a System V segment, and who is attached."""

import os
from pathlib import Path
from typing import Any

from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question, Undecided

SEGMENTS = Path("/proc/sysvipc/shm")
ASKED = 10_000  # bytes, in the exercise


def _after_removal(facts: Facts) -> str:
    if facts["removal_refused"]:
        return "c"
    return "b" if facts["readable_after_removal"] else "a"


def _addresses(facts: Facts) -> str:
    if not facts["same_bytes"]:
        return "c"
    if facts["same_address"]:
        raise Undecided(
            "Both happened to get the same address here, so this run doesn't tell: run the"
            " walkthrough again."
        )
    return "b"


def _rows() -> dict[int, dict[str, int]]:
    """Every segment that /proc/sysvipc/shm lists, by its id. proc(5), sysvipc(7)"""
    lines = SEGMENTS.read_text().splitlines()
    names = lines[0].split()
    rows = [dict(zip(names, map(int, line.split()), strict=False)) for line in lines[1:]]
    return {row["shmid"]: row for row in rows}


def _made(segment: Any) -> str:
    number = int(getattr(segment, "id", segment))
    row = _rows().get(number)
    if row is None:
        raise NotYet(f"No segment has the id {number}; `ipcs -m` lists those there are.")
    if row["uid"] != os.geteuid():
        raise NotYet(f"Segment {number} belongs to another user.")
    if row["size"] != ASKED:
        raise NotYet(f"Segment {number} was asked for with {row['size']:,} bytes, not {ASKED:,}.")
    if row["nattch"] < 2:
        raise NotYet(f"Its size is right, and nattch is {row['nattch']}: attach it once more.")
    return (
        f"Segment {number}: {row['size']:,} bytes asked for, nattch {row['nattch']}. Now detach and"
        " remove it: it would outlive this notebook."
    )


QUESTIONS = (
    Question(
        id="02-1",
        text="Two processes are attached to a segment. One marks it for removal with `shmctl()` and"
        " `IPC_RMID`. What becomes of its bytes?",
        misconception="Removing a segment deletes it now.",
        facts={
            "nattch_after_removal": int,
            "readable_after_removal": bool,
            "removal_refused": bool,
        },
        right=_after_removal,
        saw=lambda facts: (
            "the removal was refused."
            if facts["removal_refused"]
            else f"nattch {facts['nattch_after_removal']} after the removal, and the bytes could"
            f" {'still' if facts['readable_after_removal'] else 'no longer'} be read."
        ),
        choices={
            "a": Choice(
                "They are gone at once; the next access of either process faults.",
                "The call only marks the segment. Mappings stay as they are, so that nobody's"
                " pointer breaks; what is gone is the key, so nobody new finds it. shmctl(2)",
            ),
            "b": Choice(
                "They stay until the last of the two has detached.",
                "It is like unlinking an open file: the name goes at once, the thing with its last"
                " user. shmctl(2), IPC_RMID",
            ),
            "c": Choice(
                "Nothing: the call is refused while somebody is attached.",
                "There is no such refusal. Only the owner, the creator or a privileged process may"
                " remove a segment, but attached processes don't prevent it.",
            ),
        },
    ),
    Question(
        id="02-2",
        text="One single process attaches the same segment twice. What does `nattch` say?",
        misconception="nattch counts processes.",
        facts={"nattch": int},
        right=lambda facts: int(facts["nattch"]),
        saw=lambda facts: f"nattch {facts['nattch']}, and one process.",
        unit="in the column nattch",
        slips={
            1: "That would be the number of processes.",
            0: "Nothing stops a process from attaching twice: it gets two addresses.",
        },
        why="`nattch` counts attachments. Each `shmat()` adds one, at an address of its own; both"
        " addresses lead to the same bytes. shmat(2)",
    ),
    Question(
        id="02-3",
        text="Two processes attach the same segment and let the kernel choose where. What must be"
        " true for them to see each other's bytes?",
        misconception="The same memory means the same address.",
        facts={"same_address": bool, "same_bytes": bool},
        right=_addresses,
        saw=lambda facts: (
            f"{'the same address' if facts['same_address'] else 'two different addresses'}, and"
            f" {'the same bytes' if facts['same_bytes'] else 'different bytes'}."
        ),
        choices={
            "a": Choice(
                "The addresses must be equal.",
                "An address means something only within one process. Its page table decides which"
                " frame is behind it, and two tables can lead to one frame from anywhere.",
            ),
            "b": Choice(
                "The addresses may differ.",
                "The frames are shared, not the addresses. That is also why a pointer into the"
                " segment must not be put into it: store an offset.",
            ),
            "c": Choice(
                "One has to send the other its address first.",
                "The other could do nothing with it. What is passed on is the key or the id, and"
                " each attaches for itself.",
            ),
        },
    ),
)

EXERCISES = (
    Exercise(
        id="02-e1",
        text=f"Make a System V segment of {ASKED:,} bytes and attach it twice, then hand it to the"
        " check before you remove it.",
        takes="the segment (sysv_ipc.SharedMemory) or its id",
        check=_made,
    ),
)
