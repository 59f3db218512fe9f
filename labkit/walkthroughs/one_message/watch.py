"""The watch over one message: lets both ends pass their checkpoints, and writes down what is seen.

ptrace(2), futex(2)
"""

import time
from typing import Any

from labkit.harness.actor import sleeping_in
from labkit.harness.ends import SharedRecords
from labkit.harness.patience import LOOK_S, Chances, use_of
from labkit.harness.record import (
    CALLS_AFTER,
    CALLS_BEFORE,
    INVOLUNTARY,
    MAJOR_FAULTS,
    MINOR_FAULTS,
    TIMED,
    USAGE_AFTER,
    USAGE_BEFORE,
    VOLUNTARY,
)
from labkit.kernel.libc import syscall
from labkit.kernel.memory import get_byte, load_acquire, set_byte, set_word, store_release
from labkit.kernel.numbers import FUTEX
from labkit.kernel.trace import SystemCall
from labkit.mechanisms.contract import End
from labkit.mechanisms.waiting.futex import FUTEX_WAKE
from labkit.walkthroughs.one_message.loops import AT, DONE, GO, MADE, MOVED, PLACE, START, TEXT
from labkit.walkthroughs.one_message.passage import Moment, Passage, What
from labkit.walkthroughs.one_message.sight import Sight

HIDDEN = ("posix_sem",)  # waiting strategies whose system calls only a trace can count
BUSY_S = 0.005  # of CPU time: who has not gone to sleep by then looks again and again
BUSY_CALLS = 8  # that it has made without going to sleep, which says the same
OWN_PATIENCE_S = 5.0  # with somebody's own verbs, of time that was theirs to use
OWN_MOST_S = 20.0  # where one end takes the CPU that both would need

_CHECKPOINTS: dict[int, What] = {MADE: "made", MOVED: "moved", DONE: "done"}
_ENDS: tuple[End, End] = ("producer", "consumer")


class Watch:
    """Over one message.

    Args:
        pids: of both ends.
        waiting: how an end waits.
        own: whether only its verbs, somebody's own, know that.
        copying: whether the ends copy the message into and out of a segment.
        text: the message.
        first: see `Channel.pass_on`, as for traced and stops.
    """

    def __init__(
        self,
        pids: dict[End, int],
        shared: SharedRecords,
        sight: Sight,
        waiting: str,
        own: bool,
        copying: bool,
        text: bytes,
        first: End,
        traced: bool,
        stops: bool,
    ) -> None:
        self._pids = pids
        self._shared = shared
        self._sight = sight
        self._waiting = waiting
        self._own = own
        self._size = len(text)
        self._first = first
        self._stops = stops
        self._ahead: dict[End, list[int]] = {  # the checkpoints that each end has not yet reached
            "producer": [MADE, MOVED, DONE] if copying else [MADE, DONE],
            "consumer": [MOVED, DONE],
        }
        self._found = Passage(traced=traced)
        self._ends: dict[int, End] = {pid: end for end, pid in pids.items()}
        self._waits = False  # whether the consumer was seen waiting
        self._asked_s: float | None = None  # the consumer's CPU time when it began to ask
        self._chances: list[Chances] = []
        self._began = self._looked = time.monotonic()
        for end in _ENDS:
            for number in (AT, GO, PLACE, *range(TEXT, TEXT + 8)):
                set_word(self._word(end, number), 0)
        memory = self._word("producer", TEXT)
        for number, byte in enumerate(text):
            set_byte(memory + number, byte)

    def _word(self, end: End, number: int) -> int:
        """The address of a word of an end's state."""
        return self._shared.state_address(end, 0) + 8 * number

    def advance(self) -> bool:
        """Take note of checkpoints that were reached, and let pass; True when it is over."""
        for end in _ENDS if self._first == "producer" else reversed(_ENDS):
            at = self._catch_up(end)
            # Only the producer is held, as long as nobody waits for what it does: the consumer's
            # stops would let the two take turns that they don't take by themselves.
            held = self._stops and end == "producer"
            if at and (at > START or self._may_start(end)):
                self._let(end, at if held else DONE)
        return not any(self._ahead.values())

    def hangs(self) -> bool:
        """Whether the ends could long since have got on, and have not; for somebody's own."""
        now = time.monotonic()
        if not self._chances:
            self._chances = [Chances(pid, 2 * LOOK_S) for pid in self._pids.values()]
        elif now - self._looked >= LOOK_S:
            self._looked = now
            for each in self._chances:
                each.look()
        chances = [each.s for each in self._chances]
        late = now - self._began >= OWN_MOST_S and max(chances) >= OWN_PATIENCE_S
        return late or min(chances) >= OWN_PATIENCE_S

    def _catch_up(self, end: End) -> int:
        """Note the checkpoints that an end has reached since; the one it is at."""
        at = load_acquire(self._word(end, AT))
        ahead = self._ahead[end]
        while ahead and ahead[0] <= at:
            self._note(_CHECKPOINTS[ahead.pop(0)], end)
        return at

    def _let(self, end: End, checkpoint: int) -> None:
        go = self._word(end, GO)
        if load_acquire(go) != checkpoint:
            store_release(go, checkpoint)
            syscall(FUTEX, go, FUTEX_WAKE, 1, 0, 0, 0)

    def _may_start(self, end: End) -> bool:
        if end == self._first:
            return True
        if end == "consumer":
            return not self._ahead["producer"]
        return self._consumer_waits()

    def _consumer_waits(self) -> bool:
        if not self._waits and self._shared.record("consumer")[TIMED] == 1:
            spins = self._waiting == "spin" or (self._own and self._busy())
            if spins or sleeping_in(self._pids["consumer"]):
                self._note("spinning" if spins else "asleep", "consumer")
                self._waits = True
        return self._waits

    def _busy(self) -> bool:
        """Whether the consumer looks again and again, as only its verbs know how it waits."""
        made = sum(each.what == "entry" for each in self._found.moments)
        use = use_of(self._pids["consumer"])
        if use is None:
            return False
        if self._asked_s is None:
            self._asked_s = use.run_s
        return made >= BUSY_CALLS or use.run_s - self._asked_s >= BUSY_S

    def on_call(self, call: SystemCall) -> None:
        """A system call's entry or exit: noted where it belongs to the message."""
        end = self._ends[call.pid]
        self._catch_up(end)  # what it did in user mode since it was last seen came before this
        # Where the clock is no vDSO's, reading it is a call, but none of the mechanism's.
        if self._shared.record(end)[TIMED] != 1 or call.name == "clock_gettime":
            return
        if call.args[0] == self._word(end, GO):
            return  # a stop at a checkpoint
        self._note("entry" if call.entry else "exit", end, call)

    def _note(self, what: What, end: End, call: SystemCall | None = None) -> None:
        moments = self._found.moments
        moments.append(Moment(what, end, call, self._sight.look()))
        if what != "moved" or end != "consumer":
            return
        # Nothing orders what the consumer did in user mode against the producer's return, which
        # was seen first; it came after the consumer's own last call.
        own = [n for n, each in enumerate(moments[:-1]) if each.end == end and each.call]
        if own:
            late = moments.pop()
            moments[own[-1] + 1 :] = [
                late,
                *(
                    each._replace(seen=each.seen._replace(consumer=late.seen.consumer))
                    for each in moments[own[-1] + 1 :]
                ),
            ]

    def passage(self) -> Passage:
        """What was found, once both ends have replied."""
        found = self._found
        records: dict[End, Any] = {end: self._shared.record(end) for end in _ENDS}

        def usage(end: End, word: int) -> int:
            return int(records[end][USAGE_AFTER + word] - records[end][USAGE_BEFORE + word])

        if self._waiting not in HIDDEN:
            found.loop_calls = sum(int(r[CALLS_AFTER] - r[CALLS_BEFORE]) for r in records.values())
        for end in _ENDS:
            found.voluntary[end] = usage(end, VOLUNTARY)
            found.involuntary[end] = usage(end, INVOLUNTARY)
            found.faults += usage(end, MINOR_FAULTS) + usage(end, MAJOR_FAULTS)
        text = self._word("consumer", TEXT)
        found.arrived = bytes(get_byte(text + number) for number in range(self._size))
        return found
