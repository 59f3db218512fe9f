"""Notebook 07: one counter, two processes, and what a lock is for."""

from collections.abc import Callable
from typing import Any

from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question, Undecided


def _without_lock(facts: Facts) -> str:
    if facts["counted"] == facts["expected"]:
        raise Undecided(
            "This run lost nothing, and that proves nothing: run it again, or force the stop"
            " between load and store."
        )
    return "b" if facts["counted"] < facts["expected"] else "c"


def _after_a_kill(facts: Facts) -> str:
    return "b" if facts["value_after_kill"] == 0 else "a"


# The walkthrough's names for these facts.
_COUNTED = {"expected": "increments, unguarded", "counted": "counter, unguarded"}
_STOPPED = {"counted_after_stop": "counter after two increments, A stopped between"}


def _renamed(names: dict[str, str]) -> Callable[[Any], dict[str, Any]]:
    return lambda walk: {name: walk.facts[theirs] for name, theirs in names.items()}


def _after_the_holder(walk: Any) -> dict[str, Any]:
    return {
        "value_after_kill": walk.facts["value after the holder's death, without SEM_UNDO"],
        "value_after_kill_with_undo": walk.facts["value after the holder's death, with SEM_UNDO"],
    }


def _lost_some(value: Any) -> str:
    facts = value if isinstance(value, dict) else _renamed(_COUNTED)(value)
    counted, expected = int(facts["counted"]), int(facts["expected"])
    if counted >= expected:
        raise NotYet(
            f"{counted:,} of {expected:,} were counted, none lost. More additions, or both"
            " processes on different CPUs, make a collision likelier."
        )
    lost = expected - counted
    return f"{lost:,} of {expected:,} additions were lost ({lost / expected:.2%})."


QUESTIONS = (
    Question(
        id="07-1",
        text="Two processes each add 1 to the same counter in shared memory, many times, without a"
        " lock. At the end the counter shows",
        misconception="Adding 1 is one step.",
        facts={"expected": int, "counted": int},
        right=_without_lock,
        observe=_renamed(_COUNTED),
        saw=lambda facts: f"{facts['counted']:,} of {facts['expected']:,} additions were counted.",
        choices={
            "a": Choice(
                "exactly the number of additions.",
                "It may, by luck. Adding is a load, an addition and a store; whoever loads between"
                " another's load and store brings back an old value.",
            ),
            "b": Choice(
                "less than that.",
                "Two that load the same value store the same value: one addition is lost each"
                " time.",
            ),
            "c": Choice(
                "more than that.",
                "For this, an addition would have to be made twice. A lost update only ever loses.",
            ),
        },
    ),
    Question(
        id="07-2",
        text="The counter shows 0. Process A loads it and is stopped right then; B adds 1 and ends;"
        " A goes on and stores its sum. What does the counter show?",
        misconception="Ten right runs mean that a program is correct.",
        facts={"counted_after_stop": int},
        right=lambda facts: int(facts["counted_after_stop"]),
        observe=_renamed(_STOPPED),
        saw=lambda facts: f"the counter showed {facts['counted_after_stop']}.",
        unit="in the counter",
        slips={
            2: "That would need A to look again before it stores. It has the old value in a"
            " register.",
            0: "Both have stored, so it cannot be untouched.",
        },
        why="One forced stop makes the loss certain. A thousand runs in which the scheduler was"
        " kind only show that it was kind.",
    ),
    Question(
        id="07-3",
        text="A process holds a System V semaphore (value 0) and is killed. What do those who wait"
        " for it see, if nobody asked for `SEM_UNDO`?",
        misconception="The kernel frees what a dead process held.",
        facts={"value_after_kill": int, "value_after_kill_with_undo": int},
        right=_after_a_kill,
        observe=_after_the_holder,
        saw=lambda facts: (
            f"the semaphore's value was {facts['value_after_kill']} after the kill, with"
            f" `SEM_UNDO` {facts['value_after_kill_with_undo']}."
        ),
        choices={
            "a": Choice(
                "The kernel gives it back, and they go on.",
                "It closes files and drops mappings, but a semaphore is a number that anybody may"
                " change: the kernel doesn't know who holds it, unless `SEM_UNDO` kept book.",
            ),
            "b": Choice(
                "It stays at 0, and they wait for ever.",
                "That is what `SEM_UNDO` is for: it takes the change back when its process ends."
                " What the lock protected may still be half done. semop(2)",
            ),
            "c": Choice(
                "It is removed, and they get an error.",
                "A semaphore set lives until somebody removes it, with or without its maker.",
            ),
        },
    ),
)

EXERCISES = (
    Exercise(
        id="07-e1",
        text="Change the counting without a lock until at least one addition is lost.",
        takes='the walkthrough, or {"expected": ..., "counted": ...}',
        check=_lost_some,
    ),
)
