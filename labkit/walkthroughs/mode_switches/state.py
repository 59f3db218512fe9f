"""What is known of a passage so far: who runs, in which mode, where the bytes are, what it took.

System calls and their order are the trace's. A context switch follows from the order: the other
process runs now. What the kernel copied is inferred from the bytes that calls say they moved; what
the program copied is known from its code.
"""

from typing import Literal

from labkit.mechanisms.contract import End
from labkit.walkthroughs.mode_switches.calls import Way, by_name, moved
from labkit.walkthroughs.mode_switches.frames import Counts
from labkit.walkthroughs.mode_switches.lanes import Copy, Lanes, Spot
from labkit.walkthroughs.one_message import Channel, Moment, Passage

_BETWEEN = {
    "pipe": "pipe", "fifo": "FIFO", "sysv_mq": "queue", "posix_mq": "queue",
    "unix_stream": "socket", "unix_dgram": "socket", "unix_seqpacket": "socket", "tcp": "socket",
    "pipe_vmsplice": "pipe", "process_vm": "",
}  # fmt: skip

Role = Literal["ask", "receive", "fetch", "back", "room", "send", "announce"]


def title_of(way: Channel) -> str:
    """What a channel's mechanism is called in a picture, with how its ends wait."""
    title = way.kind.title if len(way.kind.title) < 30 else way.kind.name
    return title + (f", {way.waiting}" if way.shares and not way.own else "")


def what_lies_between(way: Channel, passage: Passage) -> str:
    """What of the kernel's stands between the ends, "pipe"; "" for nothing."""
    if not way.own:
        return _BETWEEN.get(way.kind.name, "")
    straight = any(each.call and "process_vm" in each.call.name for each in passage.moments)
    return "" if way.shares or straight else "buffer"


class State:
    """One passage as it goes on.

    Attributes:
        lanes: what the picture shows now.
        counts: what was counted so far.
        between: what of the kernel's stands between the ends; "" for nothing.
        copies_by_hand: whether the program itself copies into and out of a segment.
        lends: whether the kernel refers to the producer's page instead of copying it.
        asleep: whether the consumer has had to sleep.
        polls: whether it looked again and again instead.
    """

    def __init__(
        self,
        way: Channel,
        text: bytes,
        pinned: tuple[int | None, int | None],
        passage: Passage,
        in_place: bool,
    ) -> None:
        self.way = way
        self.text = text
        self.passage = passage
        self.in_place = in_place
        self.copies_by_hand = way.shares and not in_place
        self.between = what_lies_between(way, passage)
        self.lends = any(each.call and each.call.name == "vmsplice" for each in passage.moments)
        self.lends = self.lends or way.kind.name == "pipe_vmsplice"
        self.counts = Counts()
        names = [f"CPU {cpu}" if cpu is not None else "running" for cpu in pinned]
        self.pinned: dict[End, str] = {"producer": names[0], "consumer": names[1]}
        self.one_cpu = pinned[0] is not None and pinned[0] == pinned[1]
        if pinned[0] is None:
            self.pinned = {"producer": "running ", "consumer": "running"}
        first = passage.moments[0].end
        self.lanes = Lanes(
            title=title_of(way),
            pids=way.pids,
            between=self.between,
            segment=way.shares,
            cells=self._empty(),
            modes={"producer": "user", "consumer": "user"},
            pinned=self.pinned,
            runs={first: self.pinned[first]} if self.one_cpu else dict(self.pinned),
        )
        self.asleep = self.polls = False
        self.inside = self.outside = 0  # bytes that the kernel was found to have taken, and given
        self._took = self._gave = 0  # bytes that calls have said so of
        self._reached: set[tuple[End, str]] = set()

    def _empty(self) -> dict[Spot, list[str]]:
        nothing = [""] * len(self.text)
        cells: dict[Spot, list[str]] = {}
        if not (self.way.shares and self.in_place):
            cells |= {"producer": list(nothing), "consumer": list(nothing)}
        if self.way.shares:
            cells["segment"] = list(nothing)
        if self.between:
            cells["kernel"] = list(nothing)
        return cells

    def take(self, moment: Moment) -> None:
        """Take note of what a moment shows by itself, whatever it means."""
        self._look(moment)
        self._reached.add((moment.end, moment.what))
        if moment.what != "done":
            self.gets_the_cpu(moment.end)

    def _look(self, moment: Moment) -> None:
        """Put into the buffers what was seen in them."""
        spots: tuple[Spot, ...] = ("producer", "consumer", "segment")
        for spot in spots:
            seen = getattr(moment.seen, spot)
            if spot in self.lanes.cells and seen is not None:
                self.lanes.cells[spot] = [chr(byte) if byte else "" for byte in seen]
        if self.way.shares and moment.seen.ready is not None:
            self.lanes.about["segment"] = self._told(moment.seen.ready)

    def _told(self, word: int) -> str:
        """What tells whether a message is there: a semaphore, or a count and a bit in one word."""
        if self.way.waiting == "posix_sem":
            return f"semaphore {word}"
        return f"ready {word >> 1}, bit {word & 1}"

    def gets_the_cpu(self, end: End) -> None:
        """Where the ends share a CPU, an event of the other means that it has it now."""
        lanes = self.lanes
        if end in lanes.runs:
            return
        other: End = "consumer" if end == "producer" else "producer"
        if self.one_cpu:
            lanes.runs = {end: self.pinned[end]}
            lanes.switch = (other, end)
        else:
            lanes.runs[end] = self.pinned[end]
        self.counts.context_switches += 1

    def enters(self, moment: Moment) -> None:
        """A system call begins."""
        assert moment.call is not None
        self.counts.system_calls += 1
        self.counts.mode_switches += 1
        self.lanes.modes[moment.end] = "kernel"
        self.lanes.crossing[moment.end] = "kernel"
        name = by_name(moment.call, self.way.waiting)
        self.lanes.states[moment.end] = f"in {name if len(name) < 13 else '…' + name[-8:]}"

    def leaves(self, moment: Moment) -> None:
        """A system call returns."""
        self.counts.mode_switches += 1
        self.lanes.modes[moment.end] = "user"
        self.lanes.crossing[moment.end] = "user"
        self.lanes.states.pop(moment.end, None)
        self._kernel_copies(moment)

    def sleeps(self, end: End) -> str:
        """An end sleeps: the name of the call that it sleeps in."""
        self.asleep = True
        name = self.lanes.states.get(end, "in the kernel").removeprefix("in ")
        self.lanes.states[end] = f"asleep in {name}"
        self.lanes.runs.pop(end, None)
        if self.one_cpu:
            self.lanes.runs = {}
            self.gets_the_cpu("producer")
        else:
            self.counts.context_switches += 1
        return name

    def spins(self, end: End) -> None:
        """An end looks again and again."""
        self.polls = True
        self.lanes.states.pop(end, None)

    def role(self, moment: Moment) -> Role:
        """What a call is for: by whose it is, and what that end has done before."""
        assert moment.call is not None
        if moment.call.name == "process_vm_readv":
            return "fetch"
        waits = self.way.shares or self.way.kind.name == "process_vm"
        if not waits and not self.way.own:
            return "send" if moment.end == "producer" else "receive"
        if moment.end == "consumer":
            if ("consumer", "moved") in self._reached:
                return "back"
            return "ask" if waits else "receive"
        if ("producer", "moved" if self.copies_by_hand else "made") not in self._reached:
            return "room"
        return "announce" if waits else "send"

    # Copies.

    def moved(self, moment: Moment) -> tuple[Way, int]:
        """How and how many bytes of the message a call moved, by its exit."""
        call = moment.call
        assert call is not None
        counts_only = (call.pid, call.args[0]) in self.way.counters
        return moved(call, self.way.shares or counts_only)

    def came_before(self, moment: Moment) -> int:
        """Bytes that were put in although nobody has said so: a call gives them to the consumer."""
        way, size = self.moved(moment)
        return max(0, self._gave + size - self.inside) if way == "out" else 0

    def put_in(self, size: int) -> None:
        """The kernel has taken so many bytes from the producer."""
        self.inside += size
        if not self.lends:
            self.count_copy(Copy("producer", "kernel", size))

    def _given_out(self, size: int) -> None:
        self.outside += size
        self.count_copy(Copy("kernel", "consumer", size))

    def _kernel_copies(self, moment: Moment) -> None:
        """Infer from a call's result what the kernel has copied. What came out was put in."""
        way, size = self.moved(moment)
        if way in ("in", "lent"):
            self._took += size
            if (more := self._took - self.inside) > 0:
                self.put_in(more)
        if way == "in" and moment.seen.consumer == self.text and not self.outside:
            self._given_out(size)
            states = self.lanes.states
            states["consumer"] = states.get("consumer", "").removeprefix("asleep ")
            self.gets_the_cpu("consumer")
        if way == "out":
            if (more := self.came_before(moment)) > 0:
                self.put_in(more)
            self._gave += size
            if (more := self._gave - self.outside) > 0:
                self._given_out(more)
        if way == "across":
            self.count_copy(Copy("producer", "consumer", size))
        if self.between:
            self.show_inside(self.inside > self.outside)

    def show_inside(self, there: bool) -> None:
        """Show the message in the kernel's buffer, or that buffer empty."""
        self.lanes.cells["kernel"] = list(self.text.decode()) if there else [""] * len(self.text)
        self.lanes.about.pop("kernel", None)
        if there:
            self.lanes.about["kernel"] = "lent, not copied" if self.lends else "a copy"

    def count_copy(self, what: Copy) -> None:
        """Count a copy, and show it."""
        self.lanes.copies.append(what)
        self.counts.copies += 1
        self.counts.copied += what.size
