"""Notebook 08: statements of the class notes, tried out."""

from pathlib import Path
from typing import Any

from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question, python_value


def _existing(facts: Facts) -> str:
    if facts["larger_refused"]:
        return "c" if facts["smaller_refused"] else "b"
    return "a"


def _sizes(facts: Facts) -> str:
    if facts["reported_bytes"] > facts["asked_bytes"]:
        return "a"
    return "b" if facts["mapped_bytes"] > facts["asked_bytes"] else "c"


def _most_segments(value: Any) -> str:
    number = python_value(value)
    most = int(Path("/proc/sys/kernel/shmmni").read_text())
    largest = int(Path("/proc/sys/kernel/shmmax").read_text())
    if number == largest != most:
        raise NotYet(
            "That is `shmmax`: the largest size of one segment, in bytes. proc_sys_kernel(5)"
        )
    if number != most:
        raise NotYet("Which file under `/proc/sys/kernel` holds it? See sysvipc(7), shmget(2).")
    return f"`shmmni`: {most:,} segments at a time, in this IPC namespace."


def _verdicts(claims: Any) -> dict[str, Any]:
    """From the table that labkit.check_claims() returns: what the notes themselves say."""
    told = list(claims.loc[claims["said"] != "", "verdict"]) if "verdict" in claims else []
    return {"holds": told.count("holds"), "statements": len(told)} if told else {}


def _of_existing(claims: Any) -> dict[str, Any]:
    found = claims.attrs["facts"]["size-of-existing"]
    return {
        "smaller_refused": found["less"] != "accepted",
        "larger_refused": found["more"] != "accepted",
    }


def _of_rounding(claims: Any) -> dict[str, Any]:
    found = claims.attrs["facts"]["size-rounded"]
    return {
        "asked_bytes": found["asked"],
        "reported_bytes": found["recorded"],
        "mapped_bytes": found["mapped"],
    }


def _taken(refused: bool) -> str:
    return "refused" if refused else "taken"


QUESTIONS = (
    Question(
        id="08-1",
        text="The notes say that `size` means nothing to `shmget()` if the segment exists already."
        " You ask for an existing segment once with a smaller size, once with a larger one. What"
        " happens?",
        misconception="The size is ignored for an existing segment.",
        facts={"smaller_refused": bool, "larger_refused": bool},
        right=_existing,
        observe=_of_existing,
        saw=lambda facts: (
            f"the smaller one was {_taken(facts['smaller_refused'])}, the larger one"
            f" {_taken(facts['larger_refused'])}."
        ),
        choices={
            "a": Choice(
                "Both are taken: size is ignored.",
                "Nearly. But whoever asks for more than there is would write past the end, so the"
                " kernel says EINVAL. shmget(2)",
            ),
            "b": Choice(
                "The smaller is taken, the larger refused.",
                "The size asked for is a lower bound; 0 always does. shmget(2), EINVAL",
            ),
            "c": Choice(
                "Both are refused: the size has to be the same.",
                "Less than there is does no harm, so it is taken.",
            ),
        },
    ),
    Question(
        id="08-2",
        text="You ask for a segment of a page and a little more: 5000 bytes where a page has 4096."
        " Which size does the kernel report for it, and how much is mapped?",
        misconception="The kernel rounds the segment's size up.",
        facts={"asked_bytes": int, "reported_bytes": int, "mapped_bytes": int},
        right=_sizes,
        observe=_of_rounding,
        saw=lambda facts: (
            f"{facts['asked_bytes']:,} asked for, {facts['reported_bytes']:,} reported,"
            f" {facts['mapped_bytes']:,} mapped."
        ),
        choices={
            "a": Choice(
                "Two whole pages are reported and mapped.",
                "Memory is mapped by pages, but IPC_STAT and `ipcs` go on saying what was asked"
                " for. shmget(2)",
            ),
            "b": Choice(
                "5000 are reported, two whole pages are mapped.",
                "Both are true at once, and no one stops you from writing to byte 5001: the fault"
                " only comes at the page's end.",
            ),
            "c": Choice(
                "5000 are reported, and 5000 are mapped.",
                "A page table knows nothing smaller than a page.",
            ),
        },
    ),
    Question(
        id="08-3",
        text="The class notes make 33 statements. How many hold on this kernel, without a"
        " condition?",
        misconception="What is in the notes holds as it stands.",
        facts={"holds": int, "statements": int},
        right=lambda facts: int(facts["holds"]),
        saw=lambda facts: f"{facts['holds']} of {facts['statements']} hold without a condition.",
        unit="statements",
        why="Notes shorten. Most of them hold, some with a condition that a manual page knows, and"
        " a few do not. The table above names each with its evidence.",
        observe=_verdicts,
        graded=False,
    ),
)


EXERCISES = (
    Exercise(
        id="08-e1",
        text="The notes read `/proc/sys/kernel/shmmax` to find how many segments there may be."
        " Find the real number.",
        takes="a number of segments",
        check=_most_segments,
    ),
)
