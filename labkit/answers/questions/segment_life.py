"""Notebook 02: the life of a System V segment, and who is attached."""

import os
from pathlib import Path
from typing import Any

from labkit.answers.drawing import Axis, Drawing, Line, Shape
from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question, Undecided

SEGMENTS = Path("/proc/sysvipc/shm")
ASKED = 10_000  # bytes, in the exercise
# Bytes of the segment that are in memory, at the six moments of the drawing.
RESIDENT = (
    "resident_after_shmget",
    "resident_after_shmat",
    "resident_after_first_touch",
    "resident_after_touch",
    "resident_after_removal",
    "resident_after_last_detach",
)


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


def _frames(facts: Facts) -> list[float]:
    """How many page frames the segment had, moment by moment."""
    return [facts[name] / facts["page_bytes"] for name in RESIDENT]


def _when_frames_come(line: Line) -> str:
    """What a line over the six moments says of when a segment's page frames come, and go."""
    made, attached, first, second, marked, last = line
    if made > 0:
        return "made"
    if attached > 0:
        return "attached"
    if last > 0:
        return "stays"
    if not 0 < first <= second:
        return "other"
    if marked < second:
        return "marked"
    if marked > second:
        return "other"
    if first == second:
        return "at_once"
    return "touched" if (first, second) == (1, 2) else "other"


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


FRAMES = Drawing(
    columns={
        "made": "made",
        "attached": "attached",
        "first": "1st page touched",
        "second": "2nd page touched",
        "marked": "removal marked",
        "last": "last detach",
    },
    across="moment",
    axis=Axis(
        name="page frames in memory",
        unit="page frames",
        levels=(0, 1, 2, 3, 4),
        marks=(0, 1, 2, 3, 4),
        counts=True,
    ),
    observed=_frames,
    shape_of=_when_frames_come,
    shapes={
        "touched": Shape(
            "A frame with each page that is touched, all gone with the last detach",
            "The first access to a page faults, and only then does the kernel look for a frame."
            " Removal takes away the key; the frames stay for as long as somebody is attached.",
        ),
        "made": Shape(
            "Frames from the moment it is made",
            "`shmget()` only writes into the kernel's books: a key, a size, an owner. A segment of"
            " gigabytes is made in microseconds, because no page of it exists yet.",
        ),
        "attached": Shape(
            "Frames from the moment it is attached",
            "`shmat()` notes in the process which addresses belong to the segment. The page table"
            " stays empty there until an access faults.",
        ),
        "at_once": Shape(
            "All frames with the first touch",
            "A fault is answered for the page that was touched. Its neighbour waits for a touch of"
            " its own. (With pages of 64 KiB both touches would hit one page.)",
        ),
        "marked": Shape(
            "A frame with each page, gone when the segment is marked for removal",
            "`IPC_RMID` with somebody attached only marks the segment and takes away its key. The"
            " frames go with the last detach. shmctl(2)",
        ),
        "stays": Shape(
            "Some frames stay after the last detach",
            "That is how it is for a segment that nobody marked: it stays, with all its bytes,"
            " until somebody removes it or the machine stops. This one was marked.",
        ),
        "other": Shape(
            "Another line",
            "Frames come one by one, each with the first touch of its page, and none is given back"
            " before the last detach of a segment that is marked for removal.",
        ),
    },
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
    Question(
        id="02-4",
        text="A segment is asked for with 5000 bytes, so it has two pages. Draw how many page"
        " frames it takes, from its making to its end.",
        misconception="Making or attaching a segment takes its memory.",
        facts=dict.fromkeys((*RESIDENT, "page_bytes"), int),
        right=FRAMES.shape,
        saw=lambda facts: f"page frames, {FRAMES.say(FRAMES.line(facts))}.",
        drawing=FRAMES,
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
