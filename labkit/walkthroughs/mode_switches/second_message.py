"""The passage of a second message, told in fewer frames: one for each end, or one for both."""

import copy
import json

from labkit.mechanisms.contract import End
from labkit.walkthroughs.mode_switches.frames import AGAIN, FOUND, IN_PLACE, Counts, Frame
from labkit.walkthroughs.mode_switches.reel import Reel
from labkit.walkthroughs.mode_switches.words import calls
from labkit.walkthroughs.one_message import Passage


def shortened(reel: Reel, frames: list[Frame], phase: int) -> list[Frame]:
    """The passage of a message that nobody has to wait for: a frame for each end, or one."""
    if phase == IN_PLACE:
        return [_summed(reel, phase, frames[1:], *_in_place_said(reel.state.counts, reel.message))]
    parts = frames[1 : reel.sent_by], frames[reel.sent_by :]
    sent, found = (_calls_of(reel.state.passage, end) for end in ("producer", "consumer"))
    shares = reel.state.way.shares
    if shares and not sent:
        first = "and nobody sleeps, so it makes no system call at all"
    else:
        first = f"with {calls(sent)}, though nobody sleeps"
    if shares and not found:
        second = "and the message is there, so no system call either"
    else:
        second = f"with {calls(found)}, though nobody has to wait"
    verdict = (
        "A message through the kernel takes two calls, one in and one out, whoever comes first."
        if not shares and sent == found == 1
        else f"A message through the kernel takes {calls(sent + found)}, whoever comes first."
        if not shares
        else "When nobody waits, nobody needs the kernel."
        if not sent + found
        else "A semaphore in the kernel is a system call each time."
    )
    call = "; ".join(dict.fromkeys(frame.call.rstrip("; ") for frame in parts[0] if frame.call))
    last = "; ".join(dict.fromkeys(frame.call.rstrip("; ") for frame in parts[1] if frame.call))
    return [
        _summed(
            reel, AGAIN, parts[0], "A second message: the producer is first",
            f"""Counted anew: this time the producer sends before anybody asks. It does the
            same as before, {first}.""",
            f"the producer is first, {first}.", f"{call};" if call else "",
        ),
        _summed(
            reel, FOUND, parts[1] or parts[0][-1:], "The message is there already",
            f"""The consumer comes later, {second}. {verdict}""",
            f"the consumer comes later, {second}.", f"{last};" if last else "",
        ),
    ]  # fmt: skip


def _in_place_said(counts: Counts, message: str) -> tuple[str, str, str, str]:
    calls = counts.system_calls
    said = f"""Counted anew: the producer writes its message straight into the segment, and the
        consumer reads it there. No byte is copied (copies: {counts.copies}); system
        calls: {calls}. Only so does shared memory do without copies."""
    brief = f"written and read in place: copies {counts.copies}, system calls {calls}."
    return (
        "Without copying: in place",
        said,
        brief,
        f"strcpy(segment, {json.dumps(message)});",
    )


def _calls_of(passage: Passage, end: End) -> int:
    return sum(m.what == "entry" and m.end == end for m in passage.moments)


def _summed(
    reel: Reel,
    phase: int,
    frames: list[Frame],
    title: str,
    said: str,
    brief: str,
    call: str,
) -> Frame:
    """Several frames in one: the last state, and all copies on the way."""
    last = copy.deepcopy(frames[-1])
    copies = [each for frame in frames for each in frame.lanes.copies]
    last.lanes.copies = list(dict.fromkeys(copies))
    evidence = list(dict.fromkeys(each for frame in frames for each in frame.evidence))
    last.lanes.crossing = {end: "both" for frame in frames for end in frame.lanes.crossing}
    switches = [frame.lanes.switch for frame in frames if frame.lanes.switch]
    last.lanes.switch = switches[-1] if switches else None
    if phase == IN_PLACE:  # what the consumer did there had no frame of its own
        last.lanes.runs, last.counts = dict(reel.state.lanes.runs), copy.copy(reel.state.counts)
    return Frame(phase, title, said, brief, call, evidence, last.lanes, last.counts)
