"""Notebook 03: what is left after reading, after the writer's end, and where bytes end."""

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question, python_value


def _second_read(facts: Facts) -> str:
    left = facts["second_read"]
    queue, segment = bool(left["sysv_mq"]), bool(left["sysv_shm"])
    if bool(left["pipe"]):
        return "d"
    return "c" if queue and segment else "b" if segment else "a"


def _still(there: bool) -> str:
    return "still there" if there else "gone"


def _names(left: Mapping[str, Any]) -> str:
    kept = [name for name, there in left.items() if there]
    return ", ".join(f"`{name}`" for name in kept) or "nowhere"


def _after_exit(facts: Facts) -> str:
    pipe, queue = facts["pipe_after_exit"], facts["queue_after_exit"]
    return "c" if pipe and queue else "b" if queue else "a"


def _first_read(facts: Facts) -> str:
    if facts["pipe_first_read"] == facts["queue_first_read"]:
        return "a" if facts["pipe_first_read"] > facts["message_bytes"] else "b"
    return "c"


def _capacity(value: Any) -> str:
    number = python_value(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise NotYet("Hand in a whole number of bytes.")
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        held = 0
        with suppress(BlockingIOError):
            while True:
                held += os.write(writer, bytes(4096))
        size = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
    finally:
        os.close(reader)
        os.close(writer)
    if number != held:
        raise NotYet(
            f"A pipe that was filled just now refused {'earlier' if number > held else 'later'}"
            f" than after {number:,} bytes. Write blocks of a whole page (4096) until"
            " `BlockingIOError`, and add up what each `os.write` returns."
        )
    return f"Just filled one here, too: {held:,} bytes; the kernel calls its size {size:,}."


QUESTIONS = (
    Question(
        id="03-1",
        text="`hello` is put into a pipe, into a System V message queue and into a shared segment."
        " Each is read once, then once more. Where is `hello` found the second time?",
        misconception="A queue keeps its messages, as a segment keeps its bytes.",
        facts={"second_read": dict},
        right=_second_read,
        saw=lambda facts: f"read a second time: {_names(facts['second_read'])}.",
        choices={
            "a": Choice(
                "Nowhere: reading takes it away.",
                "Reading memory changes nothing in it. The segment's bytes stay until somebody"
                " writes over them or the segment goes.",
            ),
            "b": Choice(
                "Only in the shared segment.",
                "A pipe and a queue hand a message over: taking it removes it. Memory is only"
                " looked at.",
            ),
            "c": Choice(
                "In the queue and in the segment.",
                "A queue outlives its processes, but `msgrcv()` removes the message it returns."
                " The queue is still there, and empty.",
            ),
            "d": Choice(
                "In all three.",
                "`read()` takes bytes out of a pipe; the second one would wait for new ones, or"
                " see the end of the file.",
            ),
        },
    ),
    Question(
        id="03-2",
        text="A writer puts a message into a pipe and one into a message queue, and exits before"
        " anybody has read. A reader still has the pipe open. What does it find?",
        misconception="Unread data dies with its writer.",
        facts={"pipe_after_exit": bool, "queue_after_exit": bool},
        right=_after_exit,
        saw=lambda facts: (
            f"in the pipe it was {_still(facts['pipe_after_exit'])}, in the queue"
            f" {_still(facts['queue_after_exit'])}."
        ),
        choices={
            "a": Choice(
                "Neither: what was not read went with the writer.",
                "The bytes had left the writer when `write()` returned. They are the kernel's, not"
                " the writer's.",
            ),
            "b": Choice(
                "Only the one in the queue.",
                "The pipe's buffer lives as long as somebody holds an end, and the reader does."
                " Only when the last end is closed does it go.",
            ),
            "c": Choice(
                "Both.",
                "The queue stays until it is removed, the pipe until its last end is closed: two"
                " different spans of life, and both outlast this writer.",
            ),
        },
    ),
    Question(
        id="03-3",
        text="Five bytes wait unread in a FIFO, a pipe with a name in the file system. Which size"
        " does `ls -l` show for it?",
        misconception="A FIFO's data is on disk.",
        facts={"fifo_file_bytes": int, "fifo_waiting_bytes": int},
        right=lambda facts: int(facts["fifo_file_bytes"]),
        saw=lambda facts: (
            f"{facts['fifo_waiting_bytes']} bytes waiting, and a file size of"
            f" {facts['fifo_file_bytes']}."
        ),
        unit="bytes",
        slips={
            5: "That would put the message on the disk.",
            4096: "A FIFO takes no block on the disk; a page of memory is only taken in the"
            " kernel.",
        },
        why="Only the name is in the file system. The bytes are in a buffer of the kernel, as with"
        " any pipe, and go with the last end that is closed. fifo(7)",
    ),
    Question(
        id="03-4",
        text="Two messages of three bytes wait, in a pipe and in a message queue. One read asks for"
        " 100 bytes. What does it get?",
        misconception="A queue is a stream.",
        facts={"message_bytes": int, "pipe_first_read": int, "queue_first_read": int},
        right=_first_read,
        saw=lambda facts: (
            f"{facts['pipe_first_read']} bytes from the pipe, {facts['queue_first_read']} from the"
            " queue."
        ),
        choices={
            "a": Choice(
                "All six bytes from either.",
                "A queue keeps its messages apart: one call returns one message.",
            ),
            "b": Choice(
                "Three bytes from either.",
                "A pipe has forgotten where one write ended and the next began. It is a stream of"
                " bytes: whoever wants messages has to mark their ends. pipe(7)",
            ),
            "c": Choice(
                "Six from the pipe, three from the queue.",
                "Bytes in a stream have no borders; messages in a queue do.",
            ),
        },
    ),
)

EXERCISES = (
    Exercise(
        id="03-e1",
        text="Find out how many bytes a new pipe takes before it refuses: fill one, with"
        " `os.set_blocking(writer, False)`, page by page.",
        takes="a number of bytes",
        check=_capacity,
    ),
)
