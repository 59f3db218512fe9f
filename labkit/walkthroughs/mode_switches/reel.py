"""The frames of one message's passage: what each moment means, in words, with its evidence."""

import copy
import json
from collections.abc import Sequence

from labkit.mechanisms.contract import End
from labkit.walkthroughs.mode_switches import evidence as seen_in
from labkit.walkthroughs.mode_switches import words
from labkit.walkthroughs.mode_switches.calls import by_name, in_c
from labkit.walkthroughs.mode_switches.frames import (
    BEFORE,
    HANDED,
    MADE,
    TAKEN,
    Frame,
)
from labkit.walkthroughs.mode_switches.lanes import Copy, Spot
from labkit.walkthroughs.mode_switches.state import State
from labkit.walkthroughs.one_message import Channel, Moment, Passage
from labkit.walkthroughs.step import Evidence


class Reel:
    """The frames of one passage.

    Attributes:
        state: how far it is: what was counted so far.
        sent_by: how many frames there were when the consumer began.
    """

    def __init__(
        self,
        way: Channel,
        message: str,
        pinned: tuple[int | None, int | None],
        passage: Passage,
        in_place: bool,
    ) -> None:
        self._way = way
        self.message = message
        self._text = message.encode()
        self._passage = passage
        self._in_place = in_place
        self.state = State(way, self._text, pinned, passage, in_place)
        self.sent_by = 0
        # Calls that an end has made in a row for one purpose, which are one frame.
        self._pending: dict[End, list[Evidence]] = {}
        self._made_by: dict[End, int] = dict.fromkeys(("producer", "consumer"), 0)
        self._frames: list[Frame] = []

    # What is shown.

    def frames(self) -> list[Frame]:
        """All frames, from before the first moment on."""
        self._before()
        for number, moment in enumerate(self._passage.moments):
            self._take(number, moment)
        if not self._passage.traced:
            self._counted_by_the_loops()
        return self._frames

    def _counted_by_the_loops(self) -> None:
        """Without a trace: what the loops have counted, all at once."""
        calls, size = self._passage.loop_calls, len(self._text)
        self.state.counts.hidden = calls is None
        self.state.counts.system_calls = calls or 0
        self.state.counts.mode_switches = 2 * (calls or 0)
        if not self._way.shares:
            ways = [Copy("producer", "kernel", size), Copy("kernel", "consumer", size)]
            if self.state.lends:
                ways = ways[1:]
            elif not self.state.between:
                ways = [Copy("producer", "consumer", size)]
            for way in ways:
                self.state.count_copy(way)
        self.state.lanes.states = {}
        arrived = self._passage.arrived.decode(errors="replace")
        told = "libc hides them" if calls is None else f"{calls} system calls"
        self._frame(
            TAKEN,
            "The message has arrived",
            f"""The consumer has read "{arrived}". The trace is missing, so the order of the calls
            is not known; the loops count each call where they make it: {told}.""",
            f'arrived "{arrived}"; {told}.',
            "",
            [Evidence("counted by the loops", "labkit's own verbs", told)],
        )

    def _frame(
        self,
        phase: int,
        title: str,
        said: str,
        brief: str = "",
        call: str = "",
        evidence: Sequence[Evidence] = (),
    ) -> None:
        """Add a frame; events of the two ends may come either way, but phases don't go back."""
        phase = max(phase, self._frames[-1].phase if self._frames else phase)
        lanes, counts = copy.deepcopy(self.state.lanes), copy.copy(self.state.counts)
        self._frames.append(
            Frame(phase, title, said, brief or said, call, list(evidence), lanes, counts)
        )
        self.state.lanes.crossing, self.state.lanes.switch, self.state.lanes.copies = {}, None, []

    def _before(self) -> None:
        pids = self._way.pids
        who = f"""The producer is process {pids["producer"]}, the consumer process
            {pids["consumer"]}; both are in user mode."""
        if self._way.shares:
            said = f"""{who} Each has a buffer of its own, and both have mapped the segment
                between them: to touch it, nobody needs the kernel."""
            brief = "between the two processes lies a segment, which both have mapped."
        elif self.state.between:
            said = f"""{who} Each has a buffer of its own. The {self.state.between} between them is
                memory of the kernel's, which user mode cannot touch. The kernel is no third
                process: its code is run by whoever calls it."""
            brief = f"between the two processes stands a {self.state.between}, in the kernel."
        else:
            said = f"""{who} Nothing lies between them but a small shared page that says what is
                ready; the message stays in the producer's memory until the kernel copies it
                across."""
            brief = "the message stays in the producer's memory until the kernel reads it there."
        turns = "one CPU, in turns" if self.state.one_cpu else "a CPU each"
        where = " and ".join(dict.fromkeys(name.strip() for name in self.state.pinned.values()))
        evidence = [Evidence("the ends run on", "sched_setaffinity(2)", f"{where}: {turns}")]
        self._frame(BEFORE, "Before: two processes in user mode", said, brief, "", evidence)

    def _take(self, number: int, moment: Moment) -> None:
        if moment.end == "consumer" and not self.sent_by:
            self.sent_by = len(self._frames)
        if moment.what == "exit" and (size := self.state.came_before(moment)):
            self._inside(moment, size)
        self.state.take(moment)
        if moment.what == "entry":
            self._entry(moment)
        elif moment.what == "exit":
            self._exit(moment, self._calls_again(number))
        elif moment.what == "spinning":
            self._spins(moment)
        elif moment.what == "asleep":
            self._sleeps(moment)
        elif moment.what == "made":
            self._made(moment)
        elif moment.what == "moved" and self.state.copies_by_hand:
            self._moved(moment)

    def _calls_again(self, number: int) -> bool:
        """Whether an end that comes out of a call goes on with another for the same purpose."""
        moment = self._passage.moments[number]
        for each in self._passage.moments[number + 1 :]:
            if each.end == moment.end and each.what not in ("asleep", "spinning"):
                same = each.what == "entry" and self.state.role(each) == self.state.role(moment)
                return same
        return False

    # What a moment means.

    def _entry(self, moment: Moment) -> None:
        call = moment.call
        assert call is not None
        self.state.enters(moment)
        role, line = self.state.role(moment), seen_in.line(self._way, moment)
        times = self._made_by[moment.end] = self._made_by[moment.end] + 1
        if role in ("room", "back") or times > 1:
            if times == 1:
                self._pending[moment.end] = [line]
            return
        evidence, looked = [line], ""
        if role == "ask" and self._way.waiting == "futex" and moment.seen.ready is not None:
            word = moment.seen.ready
            told = f"{word}: message {word >> 1}, lowest bit {word & 1}"
            evidence.append(Evidence("the ready word", "the segment", told))
            looked = words.looked_at(word)
        name = by_name(call, self._way.waiting)
        pid = self._way.pids[moment.end]
        if role in ("receive", "ask"):
            said = words.asks(name, pid, looked)
        elif role == "send":
            said = words.sends(name, pid)
        elif role == "announce":
            said = words.announces(name, pid, self._way, self.state.asleep)
        else:
            said = words.fetches(name, pid)
        self._frame(*said, in_c(call, self._way.waiting), evidence)

    def _exit(self, moment: Moment, again: bool) -> None:
        call = moment.call
        assert call is not None
        role = self.state.role(moment)
        self.state.leaves(moment)
        if again:
            return
        times, self._made_by[moment.end] = self._made_by[moment.end], 0
        name = by_name(call, self._way.waiting)
        evidence = [*self._pending.pop(moment.end, []), seen_in.line(self._way, moment)]
        if times > 1:
            evidence.append(Evidence("the same call, one after the other", "ptrace", f"{times}"))
        if role in ("room", "back"):
            self.state.lanes.crossing[moment.end] = "both"
            said = words.room(name, role == "room", self._way, times)
        elif role == "send":
            said = words.returns(name, *self._sent(moment))
            evidence += self._amount(moment)
        elif role == "announce":
            said = words.has_announced(name, self.state.asleep or not self._way.own)
        elif role == "ask" and self.state.polls:
            said = words.sees_it(name, times)
        elif role == "ask":
            said = words.wakes_up(name, self._way.shares)
        else:
            there = moment.seen.consumer == self._text
            seen = f'There stands "{self.message}" now.' if there else ""
            way = "" if role == "fetch" else self.state.between
            said = words.has_received(name, call.result or 0, way, seen)
            evidence += [*self._contents(moment, "consumer"), *self._amount(moment)]
        self._frame(*said, in_c(call, self._way.waiting), evidence)

    def _spins(self, moment: Moment) -> None:
        self.state.spins(moment.end)
        pid = self._way.pids[moment.end]
        made = [each.call for each in self._passage.moments if each.call and each.call.pid == pid]
        if times := self._made_by[moment.end]:
            name, line = by_name(made[0], self._way.waiting), in_c(made[0], self._way.waiting)
            self._frame(
                *words.polls(name, times),
                f"while (!ready) {line}",
                [Evidence("calls of the consumer so far", "ptrace", f"{times} x {name}")],
            )
            return
        self._frame(
            *words.spins(),
            "while (ready < count) ;",
            [Evidence("the consumer", f"PID {pid}", "in user mode, in no system call")],
        )

    def _sleeps(self, moment: Moment) -> None:
        name = self.state.sleeps(moment.end)
        self._frame(
            *words.sleeps(name, self.state.one_cpu),
            "",
            [
                Evidence(
                    "the consumer's state",
                    f"/proc/{self._way.pids[moment.end]}/stat",
                    "S (sleeping)",
                )
            ],
        )

    def _made(self, moment: Moment) -> None:
        where, spot = "in its own buffer", "producer"
        if self._way.shares and self._in_place:
            where, spot = "straight into the segment", "segment"
        elif not self.state.between and not self._way.shares:
            where = "in its own memory"
        if spot in self.state.lanes.cells and getattr(moment.seen, spot) is None:
            self.state.lanes.cells["producer"] = list(self.message)
        self._frame(
            MADE,
            "The producer writes its message",
            f"""The producer writes "{self.message}" {where}, in user mode. These are ordinary
            stores: no system call, and nothing that the consumer could see yet.""",
            f'the producer writes "{self.message}" {where}.',
            f"strcpy({'segment' if spot == 'segment' else 'buf'}, {json.dumps(self.message)});",
            self._contents(moment, "producer"),
        )

    def _moved(self, moment: Moment) -> None:
        """A copy made by the program itself, known from its code and from both buffers."""
        size = len(self._text)
        inwards = moment.end == "producer"
        self.state.lanes.copies = []
        self.state.count_copy(
            Copy("producer", "segment", size) if inwards else Copy("segment", "consumer", size)
        )
        known = Evidence(
            "the copy", "the program's own code; no trace shows it", f"memcpy of {size} bytes"
        )
        if inwards:
            self._frame(
                HANDED,
                "The program copies it into the segment",
                f"""The producer copies its {size} bytes from its buffer into the segment. That is
                a copy like any other, made in user mode by the program itself: no mode switch.""",
                f"the producer copies {size} bytes into the segment, in user mode.",
                f"memcpy(segment, buf, {size});",
                [known, *self._contents(moment, "segment")],
            )
        else:
            self._frame(
                TAKEN,
                "The program copies it out of the segment",
                f"""The consumer copies the {size} bytes into its own buffer. With a copy at both
                ends, shared memory has copied the message {self.state.counts.copies} times: as
                often as a pipe does.""",
                f"the consumer copies {size} bytes out of the segment: a second copy.",
                f"memcpy(buf, segment, {size});",
                [known, *self._contents(moment, "consumer")],
            )

    def _inside(self, moment: Moment, size: int) -> None:
        """What comes out to the consumer was put in, though the producer's call is not back yet."""
        assert moment.call is not None
        self.state.put_in(size)
        self.state.show_inside(True)
        name = by_name(moment.call, self._way.waiting)
        said = words.put_in(name, size, self.state.between, self.state.lends)
        self._frame(*said, "", [seen_in.line(self._way, moment)])

    def _sent(self, moment: Moment) -> tuple[str, str]:
        """What became of the message by the time the producer's call returned: long and short."""
        size, between = self.state.moved(moment)[1], self.state.between
        if self.state.lends:
            return words.lent(size, between)
        return words.sent(size, between, bool(self.state.outside), moment.seen.queued == 0)

    # Evidence.

    def _contents(self, moment: Moment, spot: Spot) -> list[Evidence]:
        return seen_in.contents(self._way, moment, spot, self._in_place)

    def _amount(self, moment: Moment) -> list[Evidence]:
        return seen_in.amount(self._way, self.state.between, moment)
