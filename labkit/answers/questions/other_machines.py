"""Notebook 09: a run of one's own against the reference run."""

from math import exp, isfinite, log
from typing import Any

from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question, Right, Undecided

SMALL = 64
ABOUT = 1.25  # a factor that is about the same
CHANGED = ("faster", "slower")  # verdicts of labkit.diff
ENOUGH = 6  # cells of which one can say how many changed


def _rows(changes: Any, placement: str) -> Any:
    wanted = "pattern == 'latency' and placement == @placement and message_size == @SMALL"
    return changes.query(wanted, local_dict={"placement": placement, "SMALL": SMALL})


def _of_the_pipe(changes: Any) -> dict[str, Any]:
    """The round trip of 64 bytes through a pipe on one CPU: reference to mine."""
    row = _rows(changes, "same-cpu").query("mechanism == 'pipe'").iloc[0]
    decided = row["verdict"] in (*CHANGED, "within noise")
    return {
        "changed": row["verdict"] in CHANGED,
        "ratio": float(row["ratio"]) if decided else float("nan"),
    }


def _mine(facts: Facts) -> Right:
    if not isfinite(facts["ratio"]):
        raise Undecided(
            "The pipe's cell could not be held against the reference's: measure again with a larger"
            " `budget`, on one CPU."
        )
    if not facts["changed"]:
        return "b"
    return "a" if facts["ratio"] < 1 else "c"


def _apart(changes: Any) -> dict[str, Any]:
    """How far apart the machines are on one CPU and on two: a factor, 1 and up."""
    found = {}
    for name, placement in (("one_cpu", "same-cpu"), ("two_cpus", "cross-cpu")):
        ratios = [float(each) for each in _rows(changes, placement)["ratio"] if each > 0]
        if ratios:
            middle = sorted(abs(log(each)) for each in ratios)[len(ratios) // 2]
            found[name] = round(exp(middle), 3)
    return found


def _where(facts: Facts) -> Right:
    one, two = float(facts["one_cpu"]), float(facts["two_cpus"])
    if not (isfinite(one) and isfinite(two)):
        raise Undecided("One of the two was not measured: measure again with a larger `budget`.")
    return "b" if two > ABOUT * one else "a" if one > ABOUT * two else "c"


def _of_itself(changes: Any) -> str:
    ratios = changes["ratio"].dropna()
    if len(ratios) < ENOUGH:
        raise NotYet(
            f"{len(ratios)} cells were measured in both runs, and it takes {ENOUGH} to say"
            " anything: the same call twice has them all."
        )
    if (ratios == 1).all():
        raise NotYet("Every ratio is exactly 1: that is one run held against itself. Measure anew.")
    told = changes.loc[ratios.index, "verdict"]
    changed = int(told.isin(CHANGED).sum())
    return (
        f"{changed} of {len(ratios)} cells changed between two runs of one machine. As many of the"
        " differences to another machine may be nothing but that."
    )


QUESTIONS = (
    Question(
        id="09-1",
        text="64 bytes there and back through a pipe, both processes on one CPU. Against the"
        " reference, your machine is",
        misconception="A newer machine is faster at everything.",
        facts={"changed": bool, "ratio": float},
        right=_mine,
        observe=_of_the_pipe,
        saw=lambda facts: (
            f"your machine took {facts['ratio']:.2f} times as long"
            f"{'' if facts['changed'] else ', which is within noise'}."
            if isfinite(facts["ratio"])
            else "there are too few repeats to tell."
        ),
        choices={
            "a": Choice(
                "faster.",
                "What counts here are system calls and switches: the clock, and what protects the"
                " kernel against side channels, have most to say.",
            ),
            "b": Choice(
                "not to be told apart from it.",
                "That is also an answer: the interval of the ratio holds 1, or the ratio is within"
                " what two runs of one machine differ by.",
            ),
            "c": Choice(
                "slower.",
                "A laptop that saves power, a virtual machine in a virtual machine, a kernel with"
                " all its protections: each can make a system call several times as long.",
            ),
        },
        graded=False,
    ),
    Question(
        id="09-2",
        text="64 bytes there and back, by all mechanisms. Where will the two machines lie further"
        " apart?",
        misconception="One factor says how much faster a machine is.",
        facts={"one_cpu": float, "two_cpus": float},
        right=_where,
        observe=_apart,
        saw=lambda facts: (
            f"they differ by a factor of {facts['one_cpu']:.2f} on one CPU and of"
            f" {facts['two_cpus']:.2f} on two (the median of the mechanisms)."
        ),
        choices={
            "a": Choice(
                "With both processes on one CPU.",
                "There it is the processor and the kernel's code that count, and those differ less"
                " from machine to machine than how a sleeping CPU is woken.",
            ),
            "b": Choice(
                "With each process on a CPU of its own.",
                "To wake another CPU can take a microsecond or a hundred: idle states, sockets and"
                " a hypervisor all have a hand in it.",
            ),
            "c": Choice(
                "By about the same factor in both.",
                "Then one machine would be the other played faster. Two machines of one kind come"
                " out so; others seldom do.",
            ),
        },
        graded=False,
    ),
)

EXERCISES = (
    Exercise(
        id="09-e1",
        text="Measure twice on your own machine, and hold the two runs against each other with"
        " `labkit.diff(first, second)`.",
        takes="the table that labkit.diff() returns",
        check=_of_itself,
    ),
)
