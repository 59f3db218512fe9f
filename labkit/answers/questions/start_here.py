"""Notebook 00: one message seen, and one measured."""

from typing import Any

from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question
from labkit.units import format_size, format_time

MICROSECOND, MILLISECOND = 1e3, 1e6  # ns
SHOWN = ("pipe", "posix_shm")  # what the notebook measures itself


def _copied(walk: Any) -> dict[str, Any]:
    """The message for which nobody had to wait: copies in all, inferred from the bytes moved."""
    copies = [value for name, value in walk.facts.items() if name.endswith("nobody waits: copies")]
    return {"copies": copies[0]} if copies else {}


def _there_and_back(run: Any) -> dict[str, Any]:
    """The smallest message through the pipe, on one CPU where that was measured."""
    rows = run.summary.query("status == 'ok' and pattern == 'latency' and mechanism == 'pipe'")
    on_one = rows[rows["placement"] == "same-cpu"]
    rows = (on_one if len(on_one) else rows).sort_values("message_size")
    return {"round_trip_ns": float(rows["ns_per_message"].iloc[0])}


def _scale(facts: Facts) -> str:
    taken = float(facts["round_trip_ns"])
    return "a" if taken < MICROSECOND else "b" if taken < MILLISECOND else "c"


def _another(run: Any) -> str:
    done = run.summary.query("status == 'ok' and pattern == 'latency'")
    others = done[~done["mechanism"].isin(SHOWN)]
    if others.empty:
        raise NotYet(
            "No round trip of another mechanism is in this run. `labkit doctor` lists what this"
            ' machine has; name one of them: `mechanisms=["pipe", "sysv_mq"]`.'
        )
    if "pipe" not in set(done["mechanism"]):
        raise NotYet("Measure the pipe in the same run: only then can the two be compared.")
    row = others.sort_values("message_size").iloc[0]
    same = ["placement", "message_size"]
    pipe = done[(done["mechanism"] == "pipe") & (done[same] == row[same]).all(axis=1)]
    if pipe.empty:
        raise NotYet("The pipe was measured at another size or placement than the other one.")
    factor = row["ns_per_message"] / pipe["ns_per_message"].iloc[0]
    return (
        f"{row['mechanism']}, {format_size(int(row['message_size']))}, {row['placement']}:"
        f" {format_time(row['ns_per_message'])} there and back, {factor:.2f} times the pipe's."
    )


QUESTIONS = (
    Question(
        id="00-1",
        text="One process writes a word into a pipe, another reads it. How often is the word copied"
        " on its way?",
        misconception="A message is handed over; nobody copies it.",
        facts={"copies": int},
        right=lambda facts: int(facts["copies"]),
        observe=_copied,
        saw=lambda facts: (
            f"{facts['copies']} copies (inferred: as many calls moved the word's bytes)."
        ),
        unit="copies",
        slips={
            0: "Then both would have to see the same memory. They do with shared memory, not here.",
            1: "Straight from one process into the other is what `process_vm_writev` does. A pipe"
            " cannot: nobody may be there to read yet.",
            3: "The kernel keeps it in one place and hands out the same bytes.",
        },
        why="The writer's call copies the word into the kernel's memory, where it can wait. The"
        " reader's call copies it out again.",
    ),
    Question(
        id="00-2",
        text="How long does it take to send 64 bytes to another process through a pipe and to get"
        " 64 bytes back?",
        misconception="Calling the kernel is as slow as a disk, or as quick as a function.",
        facts={"round_trip_ns": float},
        right=_scale,
        observe=_there_and_back,
        saw=lambda facts: f"the median round trip took {format_time(facts['round_trip_ns'])}.",
        choices={
            "a": Choice(
                "Less than a microsecond, like a few function calls.",
                "Two processes have to take turns, each of them twice in the kernel. Only who does"
                " without the kernel is that quick; notebook 06 shows how.",
            ),
            "b": Choice(
                "Some microseconds, or some hundred.",
                "Four system calls at some hundred nanoseconds each, and putting to sleep, waking"
                " and switching on top. Most of it is waiting for one's turn.",
            ),
            "c": Choice(
                "Milliseconds, like reading from a disk.",
                "No device has a part in it: all of it happens in memory. In a millisecond a"
                " machine sends a hundred such messages or so.",
            ),
        },
        graded=False,
    ),
)

EXERCISES = (
    Exercise(
        id="00-e1",
        text="Measure a mechanism that is neither `pipe` nor `posix_shm` beside the pipe.",
        takes="the run, as labkit.compare() returns it",
        check=_another,
    ),
)
