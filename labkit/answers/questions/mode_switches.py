"""Notebook 01: what a message costs in crossings, and who has to wait."""

from typing import Any

from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question

_OTHERS = "context switches"


def _of_one_write(facts: Facts) -> str:
    if facts["context_switches"] > 0:
        return "a"
    return "b" if facts["mode_switches"] > 0 else "c"


def _with_a_futex(facts: Facts) -> str:
    if facts["calls_when_waiting"] == 0:
        return "a"
    return "b" if facts["calls_when_ready"] == 0 else "c"


def _ends(walk: Any, mechanism: str) -> list[dict[str, Any]]:
    """What the walkthrough counted for each message of one mechanism, by name."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in walk.facts.items():
        message, _, what = name.rpartition(": ")
        if message.startswith(f"{mechanism}, "):
            found.setdefault(message, {})[what] = value
    return [counts for counts in found.values() if "system calls" in counts]


def _quiet(walk: Any) -> dict[str, Any]:
    """The message through the pipe for which nobody had to wait."""
    counts: dict[str, Any] = walk.facts
    begin = "pipe, nobody waits: "
    return {
        name.removeprefix(begin): value for name, value in counts.items() if name.startswith(begin)
    }


def _one_call(walk: Any) -> dict[str, Any]:
    """The writer's call alone: the step after which it has returned, and nobody has read yet."""
    for step in walk.steps:
        counts = {name.rpartition(": ")[2]: value for name, value in step["counts"].items()}
        if "write(" in step["call"] and counts["system calls"] == 1 and counts["copies"] == 1:
            return {name.replace(" ", "_"): counts[name] for name in ("mode switches", _OTHERS)}
    return {}


def _one_message(walk: Any) -> dict[str, Any]:
    quiet = _quiet(walk)
    return {"system_calls": quiet["system calls"]} if quiet else {}


def _ready_or_not(walk: Any) -> dict[str, Any]:
    for mechanism in ("posix_shm", "sysv_shm", "mmap_anon", "mmap_file", "memfd"):
        calls = [counts["system calls"] for counts in _ends(walk, mechanism)]
        if len(calls) > 1:
            return {"calls_when_ready": min(calls), "calls_when_waiting": max(calls)}
    return {}


def _no_calls(run: Any) -> str:
    done = run.summary.query("status == 'ok' and mechanism != ''")
    shared = done[done["waiting"] != "kernel"]
    if shared.empty:
        raise NotYet(
            "This run measured no shared memory: leave `mechanisms` out, or name `posix_shm`."
        )
    silent = shared[shared["system_calls_per_message"] == 0]
    if silent.empty:
        least = shared["system_calls_per_message"].min()
        raise NotYet(
            f"The least that shared memory needed here is {least:.2g} system calls a message. Who"
            " calls the kernel, and is there a way to wait without it?"
        )
    ways = ", ".join(sorted(set(silent["waiting"])))
    return f"Measured with waiting `{ways}`: messages went across, and nobody called the kernel."


QUESTIONS = (
    Question(
        id="01-1",
        text="A process writes one byte into a pipe that has room, and nobody is waiting to read."
        " What happens between calling `write()` and its return?",
        misconception="A system call is a context switch.",
        facts={"mode_switches": int, "context_switches": int},
        right=_of_one_write,
        observe=_one_call,
        saw=lambda facts: (
            f"{facts['mode_switches']} mode switches and {facts['context_switches']} context"
            " switches."
        ),
        choices={
            "a": Choice(
                "The CPU is given to the kernel, another process: a context switch there, and one"
                " back.",
                "The kernel is not a process that waits for its turn. The same process goes on, in"
                " kernel mode, with the same PID and the same address space. A context switch"
                " happens only when another process gets the CPU.",
            ),
            "b": Choice(
                "The same process enters the kernel and comes back: two mode switches, no context"
                " switch.",
                "In and out is two crossings of the same process. Had the pipe been full, the"
                " process would have slept, and then there would have been a context switch, too.",
            ),
            "c": Choice(
                "Nothing of the kind: `write()` is a function of the C library.",
                "The library's function is a thin shell around an instruction that enters the"
                " kernel; the pipe's buffer is kernel memory, and no user code can reach it.",
            ),
        },
    ),
    Question(
        id="01-2",
        text="One message goes through a pipe; room and data are there when they are wanted. How"
        " many system calls do writer and reader make for it, taken together?",
        misconception="The kernel hands the message on by itself.",
        facts={"system_calls": int},
        right=lambda facts: int(facts["system_calls"]),
        observe=_one_message,
        saw=lambda facts: f"{facts['system_calls']} system calls, both processes together.",
        unit="system calls",
        slips={
            1: "One call puts the message into the kernel's buffer; it stays there until somebody"
            " fetches it.",
            4: "Four is the number of mode switches: each call crosses twice.",
            0: "Then no byte would have left the writer's memory.",
        },
        why="The writer calls the kernel to copy the bytes in, the reader to copy them out. Each"
        " call crosses into the kernel and back.",
    ),
    Question(
        id="01-3",
        text="Two processes share memory and use a futex to wait for each other. When do they enter"
        " the kernel?",
        misconception="Shared memory never enters the kernel.",
        facts={"calls_when_ready": int, "calls_when_waiting": int},
        right=_with_a_futex,
        observe=_ready_or_not,
        saw=lambda facts: (
            f"{facts['calls_when_ready']} system calls for a message that was there already,"
            f" {facts['calls_when_waiting']} for one that had to be waited for."
        ),
        choices={
            "a": Choice(
                "Never, once the memory is mapped.",
                "The bytes need no kernel. Sleeping does: only the kernel can take the CPU from a"
                " process and wake it again.",
            ),
            "b": Choice(
                "Only when one of them has to sleep, and when the other wakes it.",
                "A futex is a word in the shared memory. Whoever finds it as wanted goes on at"
                " once; only who must sleep, or must wake a sleeper, calls the kernel. futex(7)",
            ),
            "c": Choice(
                "For each message, as with a pipe.",
                "If that were so, nothing would be gained but the copies. A message that is ready"
                " is taken with plain loads and stores.",
            ),
        },
    ),
)

EXERCISES = (
    Exercise(
        id="01-e1",
        text="Measure shared memory in such a way that no message makes a system call.",
        takes="the run, as labkit.compare() returns it",
        check=_no_calls,
    ),
)
