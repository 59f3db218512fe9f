"""The frames of one message's passage: what each moment means, and what it adds to the counts.

System calls and their order are the trace's. A context switch follows from the order: the other
process runs now. What the kernel copied is inferred from the bytes that calls say they moved; what
the program copied is known from its code.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.mechanisms.contract import End
from labkit.walkthroughs import lanes as picture
from labkit.walkthroughs.calls import by_name, in_c, in_trace, moved
from labkit.walkthroughs.lanes import Copy, Lanes
from labkit.walkthroughs.one_message import Channel, Moment, Passage
from labkit.walkthroughs.step import Evidence

_BETWEEN = {
    "pipe": "pipe", "fifo": "FIFO", "sysv_mq": "queue", "posix_mq": "queue",
    "unix_stream": "socket", "unix_dgram": "socket", "unix_seqpacket": "socket", "tcp": "socket",
    "pipe_vmsplice": "pipe", "process_vm": "",
}  # fmt: skip
# What happens, in the order in which it usually does: two sides are shown step by step together.
(BEFORE, ASKED, WAITS, MADE, ROOM, HANDED, INSIDE, ANNOUNCED, RETURNED, WOKEN, FETCHES, FETCHED,
 TAKEN, BACK, AGAIN, FOUND, IN_PLACE, ALL) = range(18)  # fmt: skip


def _calls(number: int) -> str:
    return "1 system call" if number == 1 else f"{number} system calls"


@dataclass
class Counts:
    """What was counted of one message so far."""

    system_calls: int = 0
    mode_switches: int = 0
    context_switches: int = 0
    copies: int = 0
    copied: int = 0  # bytes
    hidden: bool = False  # system calls could not be counted

    def named(self) -> dict[str, int]:
        """What was counted, by name."""
        crossings = {"system calls": self.system_calls, "mode switches": self.mode_switches}
        return ({} if self.hidden else crossings) | {
            "context switches": self.context_switches,
            "copies": self.copies,
            "bytes copied": self.copied,
        }

    def shown(self) -> list[str]:
        """The same, a few words each."""
        return [
            f"system calls {'?' if self.hidden else self.system_calls}",
            f"mode switches {'?' if self.hidden else self.mode_switches}",
            f"context switches {self.context_switches}",
            f"copies {self.copies}, {self.copied} bytes",
        ]


@dataclass
class Frame:
    """One step of one side: `brief` is its one sentence where two sides share a step."""

    phase: int
    title: str
    said: str
    brief: str
    call: str
    evidence: list[Evidence]
    lanes: Lanes
    counts: Counts


class Reel:
    """The frames of one passage: what each moment means, and what it adds to the counts."""

    def __init__(
        self,
        way: Channel,
        message: str,
        pinned: tuple[int | None, int | None],
        passage: Passage,
        in_place: bool,
    ) -> None:
        self._way = way
        self._message = message
        self._text = message.encode()
        self._passage = passage
        self._in_place = in_place
        self._copies_by_hand = way.shares and not in_place
        self._between = _BETWEEN.get(way.kind.name, "")
        self.counts = Counts()
        names = [f"CPU {cpu}" if cpu is not None else "running" for cpu in pinned]
        self._pinned: dict[End, str] = {"producer": names[0], "consumer": names[1]}
        self._one_cpu = pinned[0] is not None and pinned[0] == pinned[1]
        if pinned[0] is None:
            self._pinned = {"producer": "running ", "consumer": "running"}
        first = passage.moments[0].end
        self._lanes = Lanes(
            title=(way.kind.title if len(way.kind.title) < 30 else way.kind.name)
            + (f", {way.waiting}" if way.shares else ""),
            pids=way.pids,
            between=self._between,
            segment=way.shares,
            cells=self._empty(),
            modes={"producer": "user", "consumer": "user"},
            pinned=self._pinned,
            runs={first: self._pinned[first]} if self._one_cpu else dict(self._pinned),
        )
        self._copied = {"in": False, "out": False}  # by the kernel
        self._asleep = False
        self._pending: Evidence | None = None  # of an entry that gets no frame of its own
        self._reached: set[tuple[End, str]] = set()
        self._sent_by = 0  # how many frames there were when the consumer began
        self._frames: list[Frame] = []

    def _empty(self) -> dict[picture.Spot, list[str]]:
        nothing = [""] * len(self._text)
        cells: dict[picture.Spot, list[str]] = {}
        if not (self._way.shares and self._in_place):
            cells |= {"producer": list(nothing), "consumer": list(nothing)}
        if self._way.shares:
            cells["segment"] = list(nothing)
        if self._between:
            cells["kernel"] = list(nothing)
        return cells

    # What is shown.

    def frames(self) -> list[Frame]:
        """All frames, from before the first moment on."""
        self._before()
        for moment in self._passage.moments:
            self._take(moment)
        if not self._passage.traced:
            self._counted_by_the_loops()
        return self._frames

    def _counted_by_the_loops(self) -> None:
        """Without a trace: what the loops have counted, all at once."""
        calls, size = self._passage.loop_calls, len(self._text)
        self.counts.hidden = calls is None
        self.counts.system_calls = calls or 0
        self.counts.mode_switches = 2 * (calls or 0)
        if not self._way.shares:
            ways = [Copy("producer", "kernel", size), Copy("kernel", "consumer", size)]
            if self._way.kind.name == "pipe_vmsplice":
                ways = ways[1:]
            elif not self._between:
                ways = [Copy("producer", "consumer", size)]
            for way in ways:
                self._count_copy(way)
        self._lanes.states = {}
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
        lanes, counts = copy.deepcopy(self._lanes), copy.copy(self.counts)
        self._frames.append(
            Frame(phase, title, said, brief or said, call, list(evidence), lanes, counts)
        )
        self._lanes.crossing, self._lanes.switch, self._lanes.copies = {}, None, []

    def _before(self) -> None:
        pids = self._way.pids
        who = f"""The producer is process {pids["producer"]}, the consumer process
            {pids["consumer"]}; both are in user mode."""
        if self._way.shares:
            said = f"""{who} Each has a buffer of its own, and both have mapped the segment
                between them: to touch it, nobody needs the kernel."""
            brief = "between the two processes lies a segment, which both have mapped."
        elif self._between:
            said = f"""{who} Each has a buffer of its own. The {self._between} between them is
                memory of the kernel's, which user mode cannot touch. The kernel is no third
                process: its code is run by whoever calls it."""
            brief = f"between the two processes stands a {self._between}, in the kernel."
        else:
            said = f"""{who} Nothing lies between them but a small shared page that says what is
                ready; the message stays in the producer's memory until the kernel copies it
                across."""
            brief = "the message stays in the producer's memory until the kernel reads it there."
        turns = "one CPU, in turns" if self._one_cpu else "a CPU each"
        where = " and ".join(dict.fromkeys(name.strip() for name in self._pinned.values()))
        evidence = [Evidence("the ends run on", "sched_setaffinity(2)", f"{where}: {turns}")]
        self._frame(BEFORE, "Before: two processes in user mode", said, brief, "", evidence)

    def _take(self, moment: Moment) -> None:
        if moment.end == "consumer" and not self._sent_by:
            self._sent_by = len(self._frames)
        if moment.what == "exit" and not self._copied["in"]:
            self._inside(moment)
        self._look(moment)
        self._reached.add((moment.end, moment.what))
        if moment.what != "done":
            self._gets_the_cpu(moment.end)
        if moment.what == "entry":
            self._entry(moment)
        elif moment.what == "exit":
            self._exit(moment)
        elif moment.what in ("asleep", "spinning"):
            self._waits(moment)
        elif moment.what == "made":
            self._made(moment)
        elif moment.what == "moved" and self._copies_by_hand:
            self._moved(moment)

    def _look(self, moment: Moment) -> None:
        """Put into the buffers what was seen in them."""
        for spot in ("producer", "consumer", "segment"):
            seen = getattr(moment.seen, spot)
            if spot in self._lanes.cells and seen is not None:
                self._lanes.cells[spot] = [chr(byte) if byte else "" for byte in seen]
        if self._way.shares and moment.seen.ready is not None:
            self._lanes.about["segment"] = self._told(moment.seen.ready)

    def _told(self, word: int) -> str:
        """What tells whether a message is there: a semaphore, or a count and a bit in one word."""
        if self._way.waiting == "posix_sem":
            return f"semaphore {word}"
        return f"ready {word >> 1}, bit {word & 1}"

    def _gets_the_cpu(self, end: End) -> None:
        """Where the ends share a CPU, an event of the other means that it has it now."""
        lanes = self._lanes
        if end in lanes.runs:
            return
        other: End = "consumer" if end == "producer" else "producer"
        if self._one_cpu:
            lanes.runs = {end: self._pinned[end]}
            lanes.switch = (other, end)
        else:
            lanes.runs[end] = self._pinned[end]
        self.counts.context_switches += 1

    # What a moment means.

    def _entry(self, moment: Moment) -> None:
        call, end = moment.call, moment.end
        assert call is not None
        self.counts.system_calls += 1
        self.counts.mode_switches += 1
        self._lanes.modes[end] = "kernel"
        self._lanes.crossing[end] = "kernel"
        name = by_name(call, self._way.waiting)
        self._lanes.states[end] = f"in {name if len(name) < 13 else '…' + name[-8:]}"
        if self._role(moment) in ("room", "back"):
            self._pending = self._line(moment)
            return
        evidence = [self._line(moment)]
        line = in_c(call, self._way.waiting)
        pid = self._way.pids[end]
        role = self._role(moment)
        if role in ("receive", "ask"):
            looked = ""
            if self._way.waiting == "futex" and moment.seen.ready is not None:
                word = moment.seen.ready
                told = f"{word}: message {word >> 1}, lowest bit {word & 1}"
                evidence.append(Evidence("the ready word", "the segment", told))
                looked = f"""In user mode it has looked at the ready word of the place: it holds
                    {word >> 1}, the number of an earlier message, not of the one awaited. It has
                    set the word's lowest bit: somebody sleeps."""
            self._frame(
                ASKED,
                f"The consumer asks: {name}",
                f"""{looked} The consumer calls {name}: a mode switch, from user mode to kernel
                mode. It is the same process, PID {pid}; now the kernel's code runs in it.""",
                f"the consumer calls {name} and is in the kernel.",
                line,
                evidence,
            )
        elif role == "send":
            self._frame(
                HANDED,
                f"The producer calls {name}",
                f"""The producer calls {name}: a mode switch, in the same process, PID {pid}. Only
                the kernel can put the message where both will find it.""",
                f"the producer calls {name} and is in the kernel.",
                line,
                evidence,
            )
        elif role == "announce":
            lies = "in the segment" if self._way.shares else "in the producer's memory"
            waited = self._asleep and self._way.waiting not in ("sysv_sem", "eventfd")
            why = (
                "Somebody sleeps, and only the kernel can wake a sleeper"
                if waited
                else f"With {self._way.waiting}, every step is a system call"
            )
            self._frame(
                ANNOUNCED,
                f"{'Shared memory enters' if self._way.shares else 'Into'} the kernel: {name}",
                f"""The message lies {lies}, but memory wakes nobody. {why}: the producer
                calls {name}, a mode switch in PID {pid}.""",
                f"the producer calls {name}, to wake the consumer, and is in the kernel, too.",
                line,
                evidence,
            )
        else:
            self._frame(
                FETCHES,
                f"The consumer calls {name}",
                f"""The consumer knows that a message is ready, and where; it asks the kernel to
                copy it from the other process's memory. A mode switch, in PID {pid}.""",
                f"the consumer calls {name} and is in the kernel.",
                line,
                evidence,
            )

    def _exit(self, moment: Moment) -> None:
        call, end = moment.call, moment.end
        assert call is not None
        role = self._role(moment)
        self.counts.mode_switches += 1
        self._lanes.modes[end] = "user"
        self._lanes.crossing[end] = "user"
        self._lanes.states.pop(end, None)
        self._kernel_copies(moment)
        name = by_name(call, self._way.waiting)
        line = in_c(call, self._way.waiting)
        evidence = [self._line(moment)]
        if role in ("room", "back"):
            evidence = [self._pending, *evidence] if self._pending else evidence
            what = "A free place is taken" if role == "room" else "The place is given back"
            self._lanes.crossing[end] = "both"
            self._frame(
                ROOM if role == "room" else BACK,
                f"{what}: {name}",
                f"""{what}: another counter, of free places, and another {name}. Into the kernel
                and out again, two mode switches, although nobody waits for it.""",
                f"one more {name}, for the free place: into the kernel and out again.",
                line,
                evidence,
            )
        elif role == "send":
            self._frame(
                RETURNED,
                f"{name} returns to the producer",
                f"""{self._sent(moment)} The producer is back in user mode: the second mode switch
                of its call.""",
                self._sent(moment, brief=True),
                line,
                [*evidence, *self._amount(moment)],
            )
        elif role == "announce":
            self._frame(
                RETURNED,
                f"{name} returns to the producer",
                f"""{name} returns, the second mode switch of the call. It moved no byte of the
                message: waking was all that the kernel was needed for.""",
                f"{name} returns; no byte was moved.",
                line,
                evidence,
            )
        elif role == "ask":
            again = " It has not copied anything." if self._way.shares else ""
            self._frame(
                WOKEN,
                f"The consumer wakes up: {name} returns",
                f"""The consumer runs again, and {name} takes it back to user mode, where it finds
                that a message is ready.{again}""",
                f"{name} returns: the consumer is awake, and finds that a message is ready.",
                line,
                evidence,
            )
        else:
            across = role == "fetch"
            how = (
                "straight from the producer's memory into the consumer's buffer, once"
                if across
                else f"out of the {self._between} into the consumer's buffer"
            )
            size = call.result or 0
            there = moment.seen.consumer == self._text
            seen = f'There stands "{self._message}" now.' if there else ""
            self._frame(
                FETCHED if across else WOKEN,
                f"{name} returns to the consumer",
                f"""The kernel has copied {size} bytes {how}; {name} returns, and the consumer is
                in user mode again. {seen}""",
                f"{name} returns; the kernel has copied {size} bytes to the consumer.",
                line,
                [*evidence, *self._contents(moment, "consumer"), *self._amount(moment)],
            )

    def _waits(self, moment: Moment) -> None:
        end = moment.end
        pid = self._way.pids[end]
        if moment.what == "spinning":
            self._lanes.states.pop(end, None)
            self._frame(
                WAITS,
                "The consumer spins",
                """The consumer looks at the ready word again and again: no message. That takes no
                system call; it takes a CPU.""",
                "the consumer looks again and again, in user mode.",
                "while (ready < count) ;",
                [Evidence("the consumer", f"PID {pid}", "in user mode, in no system call")],
            )
            return
        self._asleep = True
        name = self._lanes.states.get(end, "in the kernel").removeprefix("in ")
        self._lanes.states[end] = f"asleep in {name}"
        self._lanes.runs.pop(end, None)
        if self._one_cpu:
            self._lanes.runs = {}
            self._gets_the_cpu("producer")
            who = "and the CPU goes to the producer"
        else:
            self.counts.context_switches += 1
            who = "and its CPU is free for others"
        self._frame(
            WAITS,
            "Nothing there: the consumer sleeps",
            f"""No message is there. The kernel puts the consumer to sleep, {who}: a context
            switch. Not the mode of a process has changed, but the process that runs.""",
            f"nothing is there; the consumer sleeps in {name}: a context switch.",
            "",
            [Evidence("the consumer's state", f"/proc/{pid}/stat", "S (sleeping)")],
        )

    def _made(self, moment: Moment) -> None:
        where, spot = "in its own buffer", "producer"
        if self._way.shares and self._in_place:
            where, spot = "straight into the segment", "segment"
        elif not self._between and not self._way.shares:
            where = "in its own memory"
        if spot in self._lanes.cells and getattr(moment.seen, spot) is None:
            self._lanes.cells["producer"] = list(self._message)
        self._frame(
            MADE,
            "The producer writes its message",
            f"""The producer writes "{self._message}" {where}, in user mode. These are ordinary
            stores: no system call, and nothing that the consumer could see yet.""",
            f'the producer writes "{self._message}" {where}.',
            f"strcpy({'segment' if spot == 'segment' else 'buf'}, {json.dumps(self._message)});",
            self._contents(moment, "producer"),
        )

    def _moved(self, moment: Moment) -> None:
        """A copy made by the program itself, known from its code and from both buffers."""
        size = len(self._text)
        self.counts.copies += 1
        self.counts.copied += size
        inwards = moment.end == "producer"
        self._lanes.copies = [
            Copy("producer", "segment", size) if inwards else Copy("segment", "consumer", size)
        ]
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
                ends, shared memory has copied the message {self.counts.copies} times: as often as
                a pipe does.""",
                f"the consumer copies {size} bytes out of the segment: a second copy.",
                f"memcpy(buf, segment, {size});",
                [known, *self._contents(moment, "consumer")],
            )

    # What calls do.

    def _role(self, moment: Moment) -> str:
        """What a call is for: by whose it is, and what that end has done before."""
        assert moment.call is not None
        if moment.call.name == "process_vm_readv":
            return "fetch"
        waits = self._way.shares or self._way.kind.name == "process_vm"
        if not waits:
            return "send" if moment.end == "producer" else "receive"
        if moment.end == "consumer":
            return "back" if ("consumer", "moved") in self._reached else "ask"
        last = "moved" if self._copies_by_hand else "made"
        return "announce" if ("producer", last) in self._reached else "room"

    def _inside(self, moment: Moment) -> None:
        """What comes out to the consumer was put in, though the producer's call is not back yet."""
        assert moment.call is not None
        way, size = moved(moment.call, self._way.shares)
        if way != "out":
            return
        self._copied["in"] = True
        lent = self._way.kind.name == "pipe_vmsplice"
        if not lent:
            self._count_copy(Copy("producer", "kernel", size))
        self._lanes.cells["kernel"] = list(self._message)
        self._lanes.about["kernel"] = "lent, not copied" if lent else "a copy"
        title = f"Lent to the {self._between}" if lent else "The kernel copies it in"
        done = f"copies {size} bytes from the producer's buffer into memory of its own"
        if lent:
            done = f"puts a reference to the producer's page into the {self._between}, no copy"
        name = by_name(moment.call, self._way.waiting)
        self._frame(
            INSIDE,
            title,
            f"""In kernel mode, still for the producer, the kernel {done}. No trace shows that: it
            is inferred from what comes next, as {name} gives the consumer {size} bytes before the
            producer's call has returned.""",
            f"the kernel {done}.",
            "",
            [self._line(moment)],
        )

    def _kernel_copies(self, moment: Moment) -> None:
        """Infer from a call's result what the kernel has copied. What came out was put in."""
        assert moment.call is not None
        way, size = moved(moment.call, self._way.shares)
        if way in ("in", "out") and not self._copied["in"]:
            if self._way.kind.name != "pipe_vmsplice":
                self._count_copy(Copy("producer", "kernel", size))
            self._copied["in"] = True
        if way == "lent" and not self._copied["in"]:
            self._copied["in"] = True
        if way == "out" and not self._copied["out"]:
            self._count_copy(Copy("kernel", "consumer", size))
            self._copied["out"] = True
        if way == "in" and moment.seen.consumer == self._text and not self._copied["out"]:
            self._count_copy(Copy("kernel", "consumer", size))
            self._copied["out"] = True
            self._lanes.states["consumer"] = self._lanes.states.get("consumer", "").removeprefix(
                "asleep "
            )
            self._gets_the_cpu("consumer")
        if way == "across":
            self._count_copy(Copy("producer", "consumer", size))
        if self._between:
            inside = self._copied["in"] and not self._copied["out"]
            shown = self._message if inside else ""
            lent = self._way.kind.name == "pipe_vmsplice"
            self._lanes.cells["kernel"] = list(shown) or [""] * len(self._text)
            self._lanes.about.pop("kernel", None)
            if inside:
                self._lanes.about["kernel"] = "lent, not copied" if lent else "a copy"

    def _count_copy(self, what: Copy) -> None:
        self._lanes.copies.append(what)
        self.counts.copies += 1
        self.counts.copied += what.size

    def _sent(self, moment: Moment, brief: bool = False) -> str:
        """What became of the message by the time the producer's call returned."""
        assert moment.call is not None
        size = moved(moment.call, self._way.shares)[1]
        if self._way.kind.name == "pipe_vmsplice":
            if brief:
                return f"the producer's call returns; {size} bytes were lent, not copied."
            return f"""The {self._between} refers to the producer's own page: {size} bytes are in
                it, and none was copied."""
        if brief:
            if self._copied["out"]:
                return f"the producer's call returns; its {size} bytes have gone on already."
            return f"the producer's call returns; {size} bytes are in the kernel's memory."
        said = f"The kernel has copied {size} bytes from the producer's buffer into its own memory."
        if self._copied["out"]:
            return said + " They have gone on to the consumer already."
        if moment.seen.queued == 0:
            return f"""{said} The {self._between} itself counts none: as the consumer was waiting,
                they go straight to it."""
        return said

    # Evidence.

    def _line(self, moment: Moment) -> Evidence:
        """A call as the trace shows it."""
        assert moment.call is not None
        what = "entry" if moment.what == "entry" else "exit"
        order = f"ptrace, event {moment.call.order}"
        pid = self._way.pids[moment.end]
        return Evidence(f"{moment.end} (PID {pid}), {what}", order, in_trace(moment.call))

    def _contents(self, moment: Moment, spot: picture.Spot) -> list[Evidence]:
        """The bytes of a buffer."""
        end: End = "consumer" if spot == "consumer" else "producer"
        if self._in_place and self._way.shares:
            spot = "segment"
        seen = getattr(moment.seen, spot)
        where = f"/proc/{self._way.pids[end]}/mem"
        name = "the segment" if spot == "segment" else f"the {spot}'s buffer"
        if seen is None:
            return [Evidence(name, where, "cannot be read here")]
        return [Evidence(name, where, " ".join(f"{byte:02x}" for byte in seen))]

    def _amount(self, moment: Moment) -> list[Evidence]:
        """What the kernel says is in its buffer."""
        if moment.seen.queued is None:
            return []
        where = {"sysv_mq": "msgctl IPC_STAT", "posix_mq": "the queue's QSIZE"}
        told = where.get(self._way.kind.name, "ioctl FIONREAD")
        return [Evidence(f"waits in the {self._between}", told, f"{moment.seen.queued} bytes")]

    # A passage in fewer frames.

    def shortened(self, frames: list[Frame], phase: int) -> list[Frame]:
        """The passage of a message that nobody has to wait for: a frame for each end, or one."""
        if phase == IN_PLACE:
            return [self._summed(phase, frames[1:], *self._in_place_said())]
        parts = frames[1 : self._sent_by], frames[self._sent_by :]
        sent, found = (self._calls_of(end) for end in ("producer", "consumer"))
        shares = self._way.shares
        if shares and not sent:
            first = "and nobody sleeps, so it makes no system call at all"
        else:
            first = f"with {_calls(sent)}, though nobody sleeps"
        if shares and not found:
            second = "and the message is there, so no system call either"
        else:
            second = f"with {_calls(found)}, though nobody has to wait"
        verdict = (
            "A message through the kernel takes two calls, one in and one out, whoever comes first."
            if not shares and sent == found == 1
            else f"A message through the kernel takes {_calls(sent + found)}, whoever comes first."
            if not shares
            else "When nobody waits, nobody needs the kernel."
            if not sent + found
            else "A semaphore in the kernel is a system call each time."
        )
        call = "; ".join(dict.fromkeys(frame.call.rstrip("; ") for frame in parts[0] if frame.call))
        last = "; ".join(dict.fromkeys(frame.call.rstrip("; ") for frame in parts[1] if frame.call))
        return [
            self._summed(
                AGAIN, parts[0], "A second message: the producer is first",
                f"""Counted anew: this time the producer sends before anybody asks. It does the
                same as before, {first}.""",
                f"the producer is first, {first}.", f"{call};" if call else "",
            ),
            self._summed(
                FOUND, parts[1] or parts[0][-1:], "The message is there already",
                f"""The consumer comes later, {second}. {verdict}""",
                f"the consumer comes later, {second}.", f"{last};" if last else "",
            ),
        ]  # fmt: skip

    def _in_place_said(self) -> tuple[str, str, str, str]:
        calls = self.counts.system_calls
        said = f"""Counted anew: the producer writes its message straight into the segment, and the
            consumer reads it there. No byte is copied (copies: {self.counts.copies}); system
            calls: {calls}. Only so does shared memory do without copies."""
        brief = f"written and read in place: copies {self.counts.copies}, system calls {calls}."
        return (
            "Without copying: in place",
            said,
            brief,
            f"strcpy(segment, {json.dumps(self._message)});",
        )

    def _calls_of(self, end: End) -> int:
        return sum(m.what == "entry" and m.end == end for m in self._passage.moments)

    def _summed(
        self,
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
            last.lanes.runs, last.counts = dict(self._lanes.runs), copy.copy(self.counts)
        return Frame(phase, title, said, brief, call, evidence, last.lanes, last.counts)
