"""One side of the picture: a mechanism, its message in each situation, and what that took."""

import copy
from dataclasses import dataclass, field

from labkit.mechanisms.contract import End
from labkit.walkthroughs.mode_switches.frames import AGAIN, IN_PLACE, Counts, Frame
from labkit.walkthroughs.mode_switches.reel import Reel
from labkit.walkthroughs.mode_switches.second_message import shortened
from labkit.walkthroughs.mode_switches.state import title_of
from labkit.walkthroughs.one_message import Channel, Passage
from labkit.walkthroughs.step import Evidence, Steps


@dataclass
class Side:
    """One mechanism's passages and their frames."""

    name: str
    title: str
    frames: list[Frame] = field(default_factory=list)
    ends: list[tuple[str, Counts, Passage]] = field(default_factory=list)
    quiet: list[tuple[str, Passage]] = field(default_factory=list)  # the same, untraced


def passed(way: Channel, message: str, pinned: tuple[int | None, int | None], traced: bool) -> Side:
    """Pass the message in each situation, with a trace and without."""
    side = Side(way.kind.name, title_of(way))
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
            frames = shortened(told, frames, IN_PLACE if in_place else AGAIN)
        side.frames += frames
        side.ends.append((name, copy.copy(told.state.counts), passage))
        side.quiet.append((name, quiet))
    return side


def facts(steps: Steps, side: Side) -> None:
    """What predictions are held against: the counts of each situation, and what arrived."""
    for name, counts, passage in side.ends:
        for what, value in counts.named().items():
            steps.facts[f"{side.name}, {name}: {what}"] = value
        if passage.traced:
            steps.facts[f"{side.name}, {name}: system calls in the trace"] = passage.trace_calls
        steps.facts[f"{side.name}, {name}: system calls by the loop"] = passage.loop_calls
        steps.facts[f"{side.name}, {name}: arrived"] = passage.arrived.decode(errors="replace")


def verdict(side: Side) -> str:
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


def how_counted(side: Side) -> list[Evidence]:
    """The trace against the loops, and what getrusage says without a trace: row by row."""

    def calls(passage: Passage) -> str:
        loop = "hidden by libc" if passage.loop_calls is None else f"loop {passage.loop_calls}"
        return f"trace {passage.trace_calls}, {loop}" if passage.traced else loop

    def switches(passage: Passage) -> str:
        voluntary, involuntary = (
            sum(each.values()) for each in (passage.voluntary, passage.involuntary)
        )
        return f"{voluntary} + {involuntary}"

    untraced = [passage for _, passage in side.quiet]
    return [
        Evidence(
            "system calls",
            "each row's own run",
            "; ".join(calls(passage) for _, _, passage in side.ends),
        ),
        Evidence(
            "context switches, voluntary + involuntary",
            "getrusage(2), no trace",
            "; ".join(map(switches, untraced)),
        ),
        Evidence(
            "page faults",
            "getrusage(2), no trace",
            "; ".join(str(passage.faults) for passage in untraced),
        ),
    ]
