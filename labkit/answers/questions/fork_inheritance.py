"""Notebook 04: what a child has in common with its parent."""

from typing import Any

from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question, python_value


def _who_sees(facts: Facts) -> str:
    if facts["parent_sees_private"]:
        return "a"
    return "b" if facts["parent_sees_segment"] else "c"


def _end_of_file(facts: Facts) -> str:
    return "a" if facts["ended_with_forgotten_end"] else "b"


def _left_open(value: Any) -> str:
    ends = python_value(value)
    if not isinstance(ends, int) or isinstance(ends, bool):
        raise NotYet("Hand in a whole number of descriptors.")
    # Parent and two children each hold both ends of both pipes: 3 x 4. pipe(2), fork(2)
    wanted = 3 * 4 - 4
    if ends != wanted:
        raise NotYet(
            f"Draw it: two pipes have four ends, and three processes hold each of them after two"
            f" forks. Of these {3 * 4}, a pipeline of two children uses two and the parent talks"
            " to it through two more."
        )
    return "Right: only then does each reader see the end of its file when its writer is done."


def _ended(whether: bool) -> str:
    return "saw the end of the file" if whether else "was still waiting"


QUESTIONS = (
    Question(
        id="04-1",
        text="A process is attached to one segment; `nattch` is 1. It calls `fork()`. What does"
        " `nattch` say now?",
        misconception="A child must attach for itself.",
        facts={"nattch_after_fork": int},
        right=lambda facts: int(facts["nattch_after_fork"]),
        saw=lambda facts: f"nattch {facts['nattch_after_fork']}.",
        unit="in the column nattch",
        slips={
            1: "Then the child would have to attach before it could see the segment.",
            0: "Nothing is detached by `fork()`; `exec()` does that.",
        },
        why="The child inherits every mapping of its parent, at the same addresses, and each counts"
        " as an attachment of its own. fork(2), shmat(2)",
    ),
    Question(
        id="04-2",
        text="After `fork()`, parent and child print the same address for a variable `x`, and the"
        " same address for a shared segment. The child writes to both. What does the parent see?",
        misconception="The same address means the same memory.",
        facts={"parent_sees_segment": bool, "parent_sees_private": bool},
        right=_who_sees,
        saw=lambda facts: (
            f"the parent {'saw' if facts['parent_sees_segment'] else 'did not see'} the write to"
            f" the segment and {'saw' if facts['parent_sees_private'] else 'did not see'} the one"
            " to `x`."
        ),
        choices={
            "a": Choice(
                "Both writes: the addresses are the same.",
                "The address is the same in two address spaces. At the child's first write to `x`"
                " the kernel gave it a frame of its own: copy on write.",
            ),
            "b": Choice(
                "Only the write to the segment.",
                "A shared mapping stays shared over `fork()`. Private memory is shared only until"
                " somebody writes.",
            ),
            "c": Choice(
                "Neither: the child works on a copy of everything.",
                "That holds for private memory. A shared mapping is inherited as what it is:"
                " shared.",
            ),
        },
    ),
    Question(
        id="04-3",
        text="Parent and child share a pipe. The child has written all it had to write and goes on"
        " living, but never closed its write end. The parent has closed its own and reads until the"
        " end of the file. What happens?",
        misconception="A pipe ends when its writer closes it.",
        facts={"ended_with_forgotten_end": bool, "ended_after_closing": bool},
        right=_end_of_file,
        saw=lambda facts: (
            f"with the forgotten end the parent {_ended(facts['ended_with_forgotten_end'])};"
            f" once it was closed, it {_ended(facts['ended_after_closing'])}."
        ),
        choices={
            "a": Choice(
                "The parent reads everything and then sees the end of the file.",
                "The kernel reports the end only when no write end is open anywhere, and the child"
                " still holds one.",
            ),
            "b": Choice(
                "The parent reads everything and then waits.",
                "It waits for a child that will never write again. Close what you don't use, right"
                " after `fork()`, and what you are done with at once. pipe(7)",
            ),
            "c": Choice(
                "The parent is killed by SIGPIPE.",
                "That signal is for writing into a pipe that nobody can read any more.",
            ),
        },
    ),
)


EXERCISES = (
    Exercise(
        id="04-e1",
        text="A parent makes two pipes and forks two children. The parent writes into the first"
        " pipe, child A reads from it, child B writes into the second, the parent reads from it."
        " How many descriptors have to be closed, in all three processes together, before they"
        " begin?",
        takes="a number of descriptors",
        check=_left_open,
    ),
)
