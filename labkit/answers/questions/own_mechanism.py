"""The notebook of your own mechanism: a letterbox beside a pipe, and one that is broken."""

from typing import Any

from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question
from labkit.answers.ratio import decided, ratio

ABOUT = 1.25  # a factor that is about the same


def _stream(run: Any) -> dict[str, Any]:
    """How much longer a message of the smallest size takes in the letterbox than in a pipe."""
    wanted = "status == 'ok' and pattern == 'throughput' and placement == 'same-cpu'"
    rows = run.summary.query(wanted)
    rows = rows[rows["message_size"] == rows["message_size"].min()]
    pipe, own = rows[rows["mechanism"] == "pipe"], rows[_own(run, rows)]
    return {"factor": ratio(own.iloc[0], pipe.iloc[0])}


def _own(run: Any, rows: Any) -> Any:
    """Which rows are of mechanisms in files of somebody's own."""
    names = [each["name"] for each in run.machine["settings"].get("own", ())]
    return rows["mechanism"].isin(names)


def _faster(facts: Facts) -> str:
    return decided(
        facts["factor"],
        lambda factor: "a" if factor < 1 / ABOUT else "c" if factor > ABOUT else "b",
    )


def _broken(run: Any) -> dict[str, Any]:
    rows = run.summary[_own(run, run.summary)]
    reason = str(rows["reason"].iloc[0])
    return {
        "failed": str(rows["status"].iloc[0]) == "failed",
        "wrong_message": "expected message" in reason,
    }


def _caught(facts: Facts) -> str:
    if not facts["failed"]:
        return "a"
    return "b" if facts["wrong_message"] else "c"


def _ended(facts: Facts) -> str:
    if not facts["failed"]:
        return "the run noticed nothing."
    if facts["wrong_message"]:
        return "the run failed: the consumer found something else than the next message."
    return "the run failed, because an end came no further."


def _more_room(value: Any) -> str:
    rows = value.summary[_own(value, value.summary)]
    if not len(rows):
        raise NotYet("No mechanism of your own is in this run: name its file in mechanisms=[...].")
    wrong = rows[rows["status"] != "ok"]
    if len(wrong):
        raise NotYet(f"A cell went wrong: {wrong['reason'].iloc[0]}")
    rooms = rows["in_flight_messages"].dropna()
    if not len(rooms) or rooms.min() < 2:
        held = f"{rooms.min():g}" if len(rooms) else "an unknown number"
        raise NotYet(
            f"It takes {held} at a time before it refuses. Each end needs a number of its own that"
            " says at which place it is, and each place a flag of its own."
        )
    return f"Your mechanism holds {rooms.min():g} messages or more, and none was lost or mixed up."


QUESTIONS = (
    Question(
        id="10-1",
        text="A letterbox is one place in shared memory with a flag. Whoever has to wait gives the"
        " CPU away (`sched_yield`). Both ends are on one CPU. How does a stream of 64-byte messages"
        " compare to a stream through a pipe?",
        misconception="Shared memory is always faster.",
        facts={"factor": list},
        right=_faster,
        saw=lambda facts: (
            f"a message through the letterbox took {facts['factor'][0]:.3g} times as long as one"
            " through the pipe."
        ),
        choices={
            "a": Choice(
                "The letterbox is faster: the kernel copies nothing.",
                "The copy of 64 bytes is the least of it. Ask how often the two ends have to take"
                " turns: a pipe holds over a thousand such messages, a letterbox one.",
            ),
            "b": Choice(
                "About the same.",
                "Compare what a message costs each: two system calls in the pipe, and in the"
                " letterbox as many turns of the CPU as there are messages.",
            ),
            "c": Choice(
                "The letterbox is slower.",
                "One place means one message and then the other end's turn. What a pipe does a"
                " thousand times between two context switches, a letterbox does once.",
            ),
        },
        observe=_stream,
        graded=False,
    ),
    Question(
        id="10-2",
        text="Somebody leaves out the waiting in `peek`: it returns the address of the place at"
        " once. What will a run say?",
        misconception="If it runs, it is right.",
        facts={"failed": bool, "wrong_message": bool},
        right=_caught,
        saw=_ended,
        choices={
            "a": Choice(
                "Nothing: the numbers look even better.",
                "So they would, if nobody looked at the messages. Each of them carries its number,"
                " and the consumer checks that it is the next one.",
            ),
            "b": Choice(
                "It fails: what lies there is not the next message.",
                "The consumer is early, and finds what was there before. Without a check that would"
                " be a fast mechanism with wrong results.",
            ),
            "c": Choice(
                "It hangs: the producer waits for ever.",
                "The consumer never waits, so it never stops the producer. It reads on, only not"
                " what it should.",
            ),
        },
        observe=_broken,
    ),
)


EXERCISES = (
    Exercise(
        id="10-e1",
        text="Give your mechanism more than one place, so that the producer may be ahead, and"
        " measure it.",
        takes="the run, as labkit.compare() returns it",
        check=_more_room,
    ),
)
