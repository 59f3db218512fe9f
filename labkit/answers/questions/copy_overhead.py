"""Notebook 06: what a copy costs, read from a run."""

from math import isfinite
from typing import Any

from labkit.answers.drawing import Axis, Drawing, Line, Shape, falls
from labkit.answers.exercise import Exercise, NotYet
from labkit.answers.question import Choice, Facts, Question, Right, Undecided
from labkit.answers.ratio import TOO_FEW, decided, divided, ratio

SMALL, LARGE = 64, 1 << 20
MUCH, ABOUT = 2.0, 1.25  # a factor that is much, and one that is about the same
HARDLY = 3.0  # less than this is "hardly more" to the eye, on an axis of factors
NAMES = {"pipe": "kernel", "futex": "futex", "spin": "spin"}  # key to waiting, below
SIZES = {"64": SMALL, "4K": 4 << 10, "64K": 64 << 10, "1M": LARGE}  # columns of the drawing


def _latency_of(run: Any, mechanism: str, placement: str) -> Any:
    """The latency rows of a mechanism that the kernel copies, by size."""
    done = run.summary.query(
        "status == 'ok' and pattern == 'latency' and copy == 'copy' and touch == 'ends'"
        " and engine == 'compiled' and mechanism == @mechanism and placement == @placement"
    )
    return done.drop_duplicates("message_size").set_index("message_size")


def _latency(run: Any, size: int, placement: str) -> Any:
    done = run.summary.query(
        "status == 'ok' and pattern == 'latency' and copy == 'copy' and message_size == @size"
        " and placement == @placement and mechanism in ['pipe', 'posix_shm']"
    )
    return done.drop_duplicates("waiting").set_index("waiting")


def _lead(run: Any, name: str, size: int) -> dict[str, list[float]]:
    """How many times as long the pipe takes as shared memory with a futex, on one CPU."""
    rows = _latency(run, size, "same-cpu")
    if not {"kernel", "futex"} <= set(rows.index):
        return {}
    return {name: ratio(rows.loc["kernel"], rows.loc["futex"])}


def _of_small(run: Any) -> dict[str, Any]:
    return _lead(run, "factor", SMALL)


def _by_size(run: Any) -> dict[str, Any]:
    return _lead(run, "factor_small", SMALL) | _lead(run, "factor_large", LARGE)


def _calls(run: Any) -> dict[str, Any]:
    for placement in ("cross-cpu", "free"):
        calls = _latency(run, SMALL, placement)["system_calls_per_message"]
        if {"kernel", "spin"} <= set(calls.index):
            return {"pipe": round(float(calls["kernel"]), 1), "spin": round(float(calls["spin"]))}
    return {}


def _two_cpus(run: Any) -> dict[str, Any]:
    rows = _latency(run, SMALL, "cross-cpu")
    if not set(NAMES.values()) <= set(rows.index):
        return {}
    rows = rows[rows.index.isin(list(NAMES.values()))]
    names = {waiting: key for key, waiting in NAMES.items()}
    return {
        "low": {names[str(w)]: float(v) for w, v in rows["ns_low"].items()},
        "high": {names[str(w)]: float(v) for w, v in rows["ns_high"].items()},
    }


def _in_order(facts: Facts) -> Right:
    """Ranks by time; what cannot be told apart by its interval shares one."""
    low, high = facts["low"], facts["high"]
    if set(low) != set(NAMES) or any(not low[key] > 0 or not high[key] > 0 for key in NAMES):
        raise Undecided(TOO_FEW)
    ranks: list[set[str]] = []
    reach = 0.0
    for key in sorted(low, key=lambda each: float(low[each])):
        if ranks and low[key] <= reach:
            ranks[-1].add(key)
        else:
            ranks.append({key})
        reach = max(reach, high[key])
    if len(ranks) == 1:
        raise Undecided(
            "The intervals overlap, so this run shows no order: measure again with a larger"
            " `budget`, with nothing else running."
        )
    return tuple(frozenset(level) for level in ranks)


def _order_seen(facts: Facts) -> str:
    middle = {key: (facts["low"][key] + facts["high"][key]) / 2e3 for key in NAMES}
    if any(each != each for each in middle.values()):
        return "round trips were timed, but too seldom for intervals."
    told = [f"{key} {middle[key]:.3g} µs" for key in sorted(middle, key=lambda k: middle[k])]
    return f"{', '.join(told)} a round trip."


def _growth(run: Any) -> dict[str, Any]:
    done = run.summary.query(
        "status == 'ok' and pattern == 'latency' and copy == 'in-place' and touch == 'ends'"
        " and waiting == 'futex' and placement == 'same-cpu'"
    ).set_index("message_size")
    if not {SMALL, LARGE} <= set(done.index):
        return {}
    return {"growth": ratio(done.loc[LARGE], done.loc[SMALL])}


def _with_size(run: Any) -> dict[str, Any]:
    """Round trips through the pipe, in those of 64 bytes: medians, and how far they may be off."""
    pipe = _latency_of(run, "pipe", "same-cpu")
    if not set(SIZES.values()) <= set(pipe.index):
        return {}
    sizes = [size for size in SIZES.values() if size != SMALL]
    ratios = [[1.0, 1.0, 1.0], *(ratio(pipe.loc[size], pipe.loc[SMALL]) for size in sizes)]
    return dict(
        zip(("factors", "least", "most"), map(list, zip(*ratios, strict=True)), strict=True)
    )


def _shape(line: Line) -> str:
    """What a line over the four sizes looks like; each point counts only as a factor."""
    _, page, channel, million = line
    if falls(line):
        return "other"
    if max(line) < HARDLY:
        return "flat"
    if channel >= HARDLY and million < MUCH * channel:
        return "levels"
    if page < HARDLY:
        return "bend"
    as_the_bytes_do = page >= 64 / 4 and channel >= 1024 / 4 and million >= 16384 / 4
    return "bytes" if as_the_bytes_do else "steady"


def _shape_of_growth(facts: Facts) -> str:
    shape = GROWTH.shape(facts)
    if not all(map(isfinite, (*facts["least"], *facts["most"]))):
        raise Undecided(TOO_FEW)
    if {_shape(tuple(facts["least"])), _shape(tuple(facts["most"]))} != {shape}:
        raise Undecided(
            "The times jumped so much that the line might as well have another shape: measure again"
            " with a larger `budget`, with nothing else running."
        )
    return shape


def _exactly(facts: Facts) -> Right:
    return int(facts["spin"])


def _faster_pipe(run: Any) -> str:
    table = run.summary.query("status == 'ok' and pattern == 'latency' and copy == 'copy'")
    shared = table[~table["waiting"].isin(["kernel"])]
    pairs = shared.merge(
        table[table["waiting"] == "kernel"],
        on=["placement", "message_size", "touch", "engine"],
        suffixes=("", "_copied"),
    )
    if not len(pairs):
        raise NotYet("The run needs a kernel-copied mechanism and shared memory side by side.")
    slower = pairs[pairs["ns_low"] > pairs["ns_high_copied"]]
    if not len(slower):
        raise NotYet(
            "In this run shared memory was nowhere slower by more than the intervals leave open."
            " Which way of waiting is bad at waiting? Where is there nobody to wake it cheaply?"
        )
    factors = slower["ns_per_message"] / slower["ns_per_message_copied"]
    most = slower.loc[factors.idxmax()]
    return (
        f"{most['mechanism']} ({most['waiting']}) took {factors.max():.2f} times as long as"
        f" {most['mechanism_copied']}: {most['message_size']:,} bytes, {most['placement']}."
    )


GROWTH = Drawing(
    columns={"64": "64 B", "4K": "4 KiB", "64K": "64 KiB", "1M": "1 MiB"},
    across="message size",
    axis=Axis(
        name="times as long as 64 B",
        unit="times as long",
        sign="\N{MULTIPLICATION SIGN}",
        levels=(0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000),
        marks=(1, 10, 100, 1000, 10_000),
        factors=True,
    ),
    fixed={"64": 1},
    observed=lambda facts: list(facts["factors"]),
    shape_of=_shape,
    shapes={
        "bend": Shape(
            "Flat at first, then it climbs",
            "Sleeping, waking and switching cost the same whatever the size, and at 64 bytes they"
            " are nearly all there is: sixty-four times as many bytes vanish in them. Only where"
            " the bytes take longer than all that does the line begin to climb.",
        ),
        "bytes": Shape(
            "It climbs as the bytes do, from the start",
            "So it would if bytes were all that is paid for. But a call, a sleep and a wake-up come"
            " with every message, and at 64 bytes they are nearly the whole price; they don't grow"
            " with the size.",
        ),
        "steady": Shape(
            "It climbs from the start, less than the bytes do",
            "More bytes do take more time, but a few kilobytes are copied in a fraction of the time"
            " that sleeping and waking take. That fixed part hides them.",
        ),
        "flat": Shape(
            "Flat all the way",
            "The kernel copies every byte, in and out, so each has its price. It is small, and"
            " at 1 MiB it is paid a million times; and a pipe holds 64 KiB, so that the two ends"
            " must also take turns.",
        ),
        "levels": Shape(
            "It climbs, then levels off",
            "What levels off is the rate, bytes per second. The time goes on: once the bytes are"
            " what is paid for, sixteen times as many take about sixteen times as long.",
        ),
        "other": Shape(
            "It goes down somewhere",
            "Nothing gets cheaper when there is more to copy: a larger message makes at least the"
            " calls and the copies of a smaller one.",
        ),
    },
)

QUESTIONS = (
    Question(
        id="06-1",
        text="64 bytes there and back on one CPU; everybody sleeps while waiting. How does shared"
        " memory with a futex compare with a pipe?",
        misconception="Shared memory is always much faster.",
        facts={"factor": list},
        right=lambda facts: decided(
            facts["factor"],
            lambda factor: "a" if factor >= MUCH else "c" if factor < 1 / MUCH else "b",
        ),
        saw=lambda facts: f"the pipe took {facts['factor'][0]:.2f} times as long.",
        choices={
            "a": Choice(
                "It takes less than half the time: two copies through the kernel are saved.",
                "Sixty-four bytes are copied in a few nanoseconds. What takes time at this size is"
                " sleeping, waking and switching, and that both have in common.",
            ),
            "b": Choice(
                "Within a factor of two, one way or the other.",
                "Both put the waiting process to sleep in the kernel and wake it there. With so"
                " few bytes, that is nearly the whole price.",
            ),
            "c": Choice(
                "It takes more than twice the time: the futex is an extra.",
                "The futex takes the place of what read() and write() do for sleeping and waking;"
                " it does not come on top.",
            ),
        },
        observe=_of_small,
        graded=False,
    ),
    Question(
        id="06-2",
        text="And from 64 bytes to 1 MiB: what happens to the lead of shared memory over the pipe"
        " (one CPU, both sleeping)?",
        misconception="Shared memory's lead is the same at every size.",
        facts={"factor_small": list, "factor_large": list},
        right=lambda facts: decided(
            divided(facts["factor_large"], facts["factor_small"]),
            lambda grown: "a" if grown > ABOUT else "c" if grown < 1 / ABOUT else "b",
        ),
        saw=lambda facts: (
            f"the pipe took {facts['factor_small'][0]:.2f} times as long at 64 bytes and"
            f" {facts['factor_large'][0]:.2f} times at 1 MiB."
        ),
        choices={
            "a": Choice(
                "It grows.",
                "With the bytes grows what the pipe does for each of them: the kernel's pages,"
                " its copies, and a turn for each time the pipe is full.",
            ),
            "b": Choice(
                "It stays about the same.",
                "It would, if the price were per message. Most of 1 MiB is paid per byte.",
            ),
            "c": Choice(
                "It shrinks.",
                "Shared memory used with `memcpy` at both ends copies twice as well, so this is"
                " not absurd: it depends on what else the pipe does per byte, and on the caches.",
            ),
        },
        observe=_by_size,
        graded=False,
    ),
    Question(
        id="06-3",
        text="Shared memory, both ends spinning, each on a CPU of its own. How many system calls"
        " does a round trip make?",
        misconception="Without the kernel, no message gets across.",
        facts={"pipe": float, "spin": int},
        right=_exactly,
        saw=lambda facts: f"{facts['spin']} with spinning, {facts['pipe']:g} through the pipe.",
        unit="system calls",
        slips={
            2: "One each way would be a signal that somebody sends; nobody does.",
            4: "That is what the pipe needs: write and read, there and back.",
        },
        why="A store by one process is seen by the load of the other, through the caches. The"
        " price is CPU time: whoever spins works while it waits.",
        observe=_calls,
    ),
    Question(
        id="06-4",
        text="64 bytes there and back between two CPUs. Order them, the quickest first.",
        misconception="What is quick on one CPU is quick on two.",
        facts={"low": dict, "high": dict},
        right=_in_order,
        saw=_order_seen,
        items={
            "pipe": "a pipe",
            "futex": "shared memory, sleeping on a futex",
            "spin": "shared memory, spinning",
        },
        why="To wake a sleeper on another CPU, the kernel must interrupt that CPU, which may have"
        " to leave an idle state first. A spinner is awake already.",
        observe=_two_cpus,
    ),
    Question(
        id="06-5",
        text="Producer and consumer use the bytes in place, and look only at the ends of each"
        " message. From 64 bytes to 1 MiB, the time of a round trip grows",
        misconception="A longer message always takes longer.",
        facts={"growth": list},
        right=lambda facts: decided(
            facts["growth"], lambda growth: "a" if growth < MUCH else "b" if growth < 1000 else "c"
        ),
        saw=lambda facts: f"1 MiB took {facts['growth'][0]:.2f} times as long as 64 bytes.",
        choices={
            "a": Choice(
                "hardly at all.",
                "Nobody carries the bytes. They are handed over like a key, and a key weighs the"
                " same whatever is behind the door.",
            ),
            "b": Choice(
                "a good deal, but far less than the bytes do.",
                "That is what copying looks like, once the fixed price is paid. Here nothing is"
                " copied.",
            ),
            "c": Choice(
                "as the bytes do: some 16,000 times.",
                "Then nothing but bytes would count. Nobody touches them here, except at the ends.",
            ),
        },
        observe=_growth,
        graded=False,
    ),
    Question(
        id="06-6",
        text="There and back through a pipe, on one CPU. Draw how the time of a round trip grows"
        " with the size of the message.",
        misconception="Sixteen times the bytes take sixteen times as long.",
        facts={"factors": list, "least": list, "most": list},
        right=_shape_of_growth,
        saw=lambda facts: f"{GROWTH.say(GROWTH.line(facts))}.",
        drawing=GROWTH,
        observe=_with_size,
        graded=False,
    ),
)

EXERCISES = (
    Exercise(
        id="06-e1",
        text="Find a case in which shared memory (with copies at both ends) is slower than a"
        " kernel-copied mechanism, and measure it.",
        takes="the run, as labkit.compare() returns it",
        check=_faster_pipe,
    ),
)
