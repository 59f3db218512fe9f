"""One message from user mode to user mode: every crossing into the kernel, and every copy.

A mode switch is one process changing its mode, at each system call twice; a context switch is
another process getting the CPU. syscalls(2), ptrace(2), getrusage(2), futex(2), pipe(7); Bovet and
Cesati, Understanding the Linux Kernel, chapters 3 and 10.
"""

import copy
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from labkit.errors import RequestError
from labkit.harness.request import PLACEMENTS, WAITINGS, nearest
from labkit.harness.stage import Stage
from labkit.kernel import cpus, trace
from labkit.mechanisms import names
from labkit.mechanisms.contract import End
from labkit.walkthroughs import lanes as picture
from labkit.walkthroughs import reel
from labkit.walkthroughs.one_message import MOST_BYTES, Channel, Passage, channel
from labkit.walkthroughs.reel import Counts, Frame, Reel
from labkit.walkthroughs.scene import Role, Scene
from labkit.walkthroughs.step import Evidence, Steps

TITLE = "Mode switches: one message on its way"
QUESTION = "How often does one message cross into the kernel, and how often is it copied?"

_PRINTABLE = set(string.printable) - set(string.whitespace) | {" "}

_TITLES = {
    reel.BEFORE: "Two processes, two ways",
    reel.ASKED: "The consumer asks first",
    reel.WAITS: "Nothing there: the consumer waits",
    reel.MADE: "The producer writes its message",
    reel.ROOM: "A place is taken",
    reel.HANDED: "The message is handed over",
    reel.INSIDE: "Inside the kernel",
    reel.ANNOUNCED: "Waking who waits",
    reel.RETURNED: "The producer's call returns",
    reel.WOKEN: "The consumer goes on",
    reel.FETCHES: "The consumer fetches the message",
    reel.FETCHED: "The message is fetched",
    reel.TAKEN: "The consumer has the message",
    reel.BACK: "The place is given back",
    reel.AGAIN: "A second message: the producer first",
    reel.FOUND: "A second message: it is there already",
    reel.IN_PLACE: "Shared memory used in place",
    reel.ALL: "What it took",
}


@dataclass
class _Side:
    """One mechanism's passages and their frames."""

    name: str
    title: str
    frames: list[Frame] = field(default_factory=list)
    ends: list[tuple[str, Counts, Passage]] = field(default_factory=list)
    quiet: list[tuple[str, Passage]] = field(default_factory=list)  # the same, untraced


def check(
    mechanism: str, beside: str | None, waiting: str, message: str, placement: str
) -> dict[str, Any]:
    """The options in good order.

    Raises:
        RequestError: one of them is not allowed.
    """
    known = names(extra=True)
    _known("mechanism", mechanism, known)
    if beside is not None:
        _known("mechanism to stand beside it", beside, known)
        if beside == mechanism:
            raise RequestError(
                f"{mechanism} cannot stand beside itself: name another mechanism, or none."
            )
    _known("way of waiting", waiting, WAITINGS)
    _known("placement", placement, PLACEMENTS)
    if not isinstance(message, str) or not 1 <= len(message) <= MOST_BYTES:
        raise RequestError(f"the message has 1 to {MOST_BYTES} letters, so that they can be shown.")
    if not set(message) <= _PRINTABLE:
        raise RequestError("the message is of plain letters, digits and signs (ASCII).")
    if placement == "cross-cpu" and len(cpus.allowed()) < 2:
        raise RequestError("this process may use only one CPU: cross-cpu needs two.")
    return {
        "mechanism": mechanism,
        "beside": beside,
        "waiting": waiting,
        "message": message,
        "placement": placement,
    }


def _known(what: str, name: object, among: Sequence[str]) -> None:
    if isinstance(name, str) and name in among:
        return
    near = nearest(name, among) if isinstance(name, str) else None
    meant = f" (did you mean '{near}'?)" if near else ""
    raise RequestError(f"there is no {what} {name!r:.60}{meant}; it is one of {', '.join(among)}.")


def observe(
    stage: Stage,
    steps: Steps,
    mechanism: str = "pipe",
    beside: str | None = None,
    waiting: str = "futex",
    message: str = "hello",
    placement: str = "same-cpu",
) -> None:
    """Watch one message pass.

    Args:
        mechanism: what carries it.
        beside: a second mechanism, drawn beside the first.
        waiting: how an end waits in shared memory.
        message: its bytes; ASCII, 1 to 12 characters.
        placement: "same-cpu", "cross-cpu" or "free".
    """
    if why := trace.why_not():
        stage.notes.append(f"System calls are not traced here, only counted by the loops: {why}.")
    allowed = cpus.allowed()
    pinned: tuple[int | None, int | None] = {
        "same-cpu": (allowed[0], allowed[0]),
        "cross-cpu": (allowed[0], allowed[-1]),
        "free": (None, None),
    }[placement]
    sides = []
    for name in filter(None, (mechanism, beside)):
        with channel(stage, name, waiting, len(message), pinned) as way:
            sides.append(_side(way, message, pinned, traced=not why))
    for side in sides:
        _facts(steps, side)
    if len(sides) == 1:
        _alone(steps, sides[0])
    else:
        _together(steps, sides)


def _side(way: Channel, message: str, pinned: tuple[int | None, int | None], traced: bool) -> _Side:
    """Pass the message in each situation, with a trace and without."""
    title = way.kind.title if len(way.kind.title) < 30 else way.kind.name
    if way.shares:
        title += f", {way.waiting}"
    side = _Side(way.kind.name, title)
    text = message.encode()
    situations: list[tuple[str, End, bool]] = [
        ("the consumer waits", "consumer", False),
        ("nobody waits", "producer", False),
    ]
    if way.shares:
        situations.append(("nobody waits, in place", "producer", True))
    for number, (name, first, in_place) in enumerate(situations):
        quiet = way.pass_on(text, first, in_place=in_place)
        way.clear()
        passage = way.pass_on(text, first, traced, in_place, stops=True)
        way.clear()
        told = Reel(way, message, pinned, passage, in_place)
        frames = told.frames()
        if number:
            frames = told.shortened(frames, reel.IN_PLACE if in_place else reel.AGAIN)
        side.frames += frames
        side.ends.append((name, copy.copy(told.counts), passage))
        side.quiet.append((name, quiet))
    return side


def _facts(steps: Steps, side: _Side) -> None:
    for name, counts, passage in side.ends:
        for what, value in counts.named().items():
            steps.facts[f"{side.name}, {name}: {what}"] = value
        if passage.traced:
            steps.facts[f"{side.name}, {name}: system calls in the trace"] = passage.trace_calls
        steps.facts[f"{side.name}, {name}: system calls by the loop"] = passage.loop_calls
        steps.facts[f"{side.name}, {name}: arrived"] = passage.arrived.decode(errors="replace")


def _verdict(side: _Side) -> str:
    """What the counts come to, in a sentence or two."""
    waits, quiet, *in_place = [counts for _, counts, _ in side.ends]
    if waits.hidden:
        return f"{side.name}: system calls could not be counted; copies: {quiet.copies}."
    calls = f"{waits.system_calls} system calls when the consumer has to wait"
    if waits.system_calls == quiet.system_calls:
        calls = f"{waits.system_calls} system calls, whether somebody waits or not"
    elif not quiet.system_calls:
        calls += ", none when nobody does"
    else:
        calls += f", {quiet.system_calls} when nobody does"
    placed = f", and {in_place[0].copies} in place" if in_place else ""
    return f"{side.name}: {calls}; copies: {quiet.copies}{placed}."


def _how_counted(side: _Side) -> list[Evidence]:
    """The trace against the loops, and what getrusage says of the same without a trace."""
    evidence = []
    for name, _, passage in side.ends:
        loop = "not counted (libc hides them)" if passage.loop_calls is None else passage.loop_calls
        value = f"trace {passage.trace_calls}, loop {loop}" if passage.traced else f"loop {loop}"
        evidence.append(Evidence(f"system calls, {name}", "the same run", value))
    for name, passage in side.quiet:
        value = ", ".join(
            f"{end}: {passage.voluntary[end]} voluntary, {passage.involuntary[end]} involuntary"
            for end in passage.voluntary
        )
        where = "getrusage(2), a run without trace"
        evidence.append(Evidence(f"context switches, {name}", where, value))
        evidence.append(Evidence(f"page faults, {name}", where, str(passage.faults)))
    return evidence


def _closing(scene: Scene, sides: Sequence[_Side]) -> None:
    """A table of what was counted."""
    rows = [(side, each) for side in sides for each in side.ends]
    height = min(136.0, 700 / len(rows))
    for number, (side, (name, counts, _)) in enumerate(rows):
        y = 30 + number * height
        room = height - 20
        scene.box(f"row.{number}", (30, y, 1540, room), "note", f"{side.title}: {name}")
        for column, words in enumerate(counts.shown()):
            role: Role = "kernel" if column < 2 else "process" if column == 2 else "memory"
            at = (70 + 375 * column, y + min(74, room - 24))
            scene.badge(f"row.{number}.{column}", at, words, role)


def _alone(steps: Steps, side: _Side) -> None:
    for frame in side.frames:
        scene = Scene()
        picture.draw(scene, frame.lanes, frame.counts.shown(), 30, 1540, "")
        steps.add(frame.title, frame.said, scene, frame.call, frame.evidence, frame.counts.named())
    _last(steps, [side])


def _together(steps: Steps, sides: list[_Side]) -> None:
    """Two sides, step by step: what happens at one waits for what answers it at the other."""
    phases = sorted({frame.phase for side in sides for frame in side.frames})
    shown = [side.frames[0] for side in sides]
    for phase in phases:
        now = [[frame for frame in side.frames if frame.phase == phase] for side in sides]
        for number in range(max(map(len, now))):
            fresh = [len(frames) > number for frames in now]
            for index, frames in enumerate(now):
                if fresh[index]:
                    shown[index] = frames[number]
                else:
                    shown[index] = _at_rest(shown[index])
            scene, counts = Scene(), {}
            said, evidence, calls = [], [], []
            for index, (side, frame) in enumerate(zip(sides, shown, strict=True)):
                lines = frame.counts.shown()
                picture.draw(scene, frame.lanes, lines, 20 + 800 * index, 760, f"{index}.")
                for name, value in frame.counts.named().items():
                    counts[f"{side.name}: {name}"] = value
                if fresh[index]:
                    said.append(f"{side.name}: {frame.brief}")
                    evidence += [
                        each._replace(what=f"{side.name}, {each.what}") for each in frame.evidence
                    ]
                    calls += [frame.call] if frame.call else []
            alone = [frame.title for frame, new in zip(shown, fresh, strict=True) if new]
            title = alone[0] if len(alone) == 1 else _TITLES[phase]
            steps.add(title, " ".join(said), scene, "   ".join(calls), evidence, counts)
    _last(steps, sides)


def _at_rest(frame: Frame) -> Frame:
    """The same frame when nothing more happens in it."""
    still = copy.deepcopy(frame)
    still.lanes.crossing, still.lanes.switch, still.lanes.copies = {}, None, []
    return still


def _last(steps: Steps, sides: list[_Side]) -> None:
    scene = Scene()
    _closing(scene, sides)
    said, evidence = [], []
    for side in sides:
        said.append(_verdict(side))
        evidence += [each._replace(what=f"{side.name}, {each.what}") for each in _how_counted(side)]
    said.append(
        "Copies by the kernel are inferred from the bytes moved, those by the program are known"
        " from its code. Tracing may add context switches of its own (beside them stands what"
        " getrusage counted without it) and distorts times, so none are shown."
    )
    counts = {
        f"{side.name}, {name}: {what}": value
        for side in sides
        for name, each, _ in side.ends
        for what, value in each.named().items()
    }
    steps.add(_TITLES[reel.ALL], " ".join(said), scene, "", evidence, counts)
