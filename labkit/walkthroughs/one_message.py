"""One message between the two real ends of a mechanism, with everything that can be seen of it.

The ends are those of the comparison, with its verbs and its rings; only the loops are others. They
carry a text instead of a number, and stop where something can be looked at: at a checkpoint an end
sleeps on a word of its own until it may pass. That sleep is no part of the passage: its calls are
known by the address of the word and left out. ptrace(2), proc_pid_mem(5), pidfd_getfd(2)
"""

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from labkit.errors import LabkitError
from labkit.harness.actor import sleeping_in
from labkit.harness.ends import Engine, OpenCell, SharedRecords
from labkit.harness.pair import Pair
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
    begin,
    finish,
)
from labkit.harness.refusal import refused
from labkit.harness.stage import Stage
from labkit.kernel.compiler import Compiler, measured
from labkit.kernel.descriptors import queue_state, unread_bytes
from labkit.kernel.libc import memcpy, syscall
from labkit.kernel.memory import get_byte, load_acquire, set_byte, store_release, words
from labkit.kernel.numbers import FUTEX
from labkit.kernel.objects import REFUSALS
from labkit.kernel.process_memory import read_memory
from labkit.kernel.sysv_status import queue_status
from labkit.kernel.trace import SystemCall, Tracer
from labkit.mechanisms import mechanism, pipe_vmsplice, ring
from labkit.mechanisms.contract import BUFFER, CALLS, DESCRIPTOR, End, Verbs
from labkit.mechanisms.waiting.futex import FUTEX_WAIT, FUTEX_WAKE

# Words of an end's state that no mechanism uses.
TEXT = 52  # the message: 8 words
GO = 60  # up to which checkpoint the end may pass
AT = 61  # the checkpoint it is at

START, MADE, MOVED, DONE = 1, 2, 3, 4
MOST_BYTES = 8
PLACES = 4  # that a ring has, or messages that a channel should hold
PATIENCE_S = 120.0  # for one message, on a machine that has other things to do
LOOK_S = 0.0005
HIDDEN = ("posix_sem",)  # waiting strategies whose system calls only a trace can count
PIDFD_GETFD = 438  # the same number on every architecture, asm-generic/unistd.h

What = Literal["entry", "exit", "asleep", "spinning", "made", "moved", "done"]
_CHECKPOINTS: dict[int, What] = {MADE: "made", MOVED: "moved", DONE: "done"}


@measured
def stop_at(channel: int, checkpoint: int) -> int:
    """Say that this end has come to a checkpoint, and wait until it may pass."""
    store_release(channel + 8 * AT, checkpoint)
    passed = load_acquire(channel + 8 * GO)
    while passed < checkpoint:
        syscall(FUTEX, channel + 8 * GO, FUTEX_WAIT, passed, 0, 0, 0)
        passed = load_acquire(channel + 8 * GO)
    return 0


@measured
def spell(place: int, text: int, n: int) -> int:
    """Produce the message: write its bytes one by one."""
    for i in range(n):
        set_byte(place + i, get_byte(text + i))
    return 0


@measured
def hand_over(claim: Any, publish: Any, channel: int, n: int, private: int) -> int:
    """The producer's part of one message."""
    ch = words(channel)
    text = channel + 8 * TEXT
    if private != 0:
        spell(private, text, n)
        stop_at(channel, MADE)
        place = claim(ch, n)
        if place < 0:
            return place  # type: ignore[no-any-return]
        memcpy(place, private, n)
        stop_at(channel, MOVED)
    else:
        place = claim(ch, n)
        if place < 0:
            return place  # type: ignore[no-any-return]
        spell(place, text, n)
        stop_at(channel, MADE)
    return publish(ch, n)  # type: ignore[no-any-return]


@measured
def take_over(peek: Any, release: Any, channel: int, n: int, private: int) -> int:
    """The consumer's part of one message; what it has read it spells out into its state."""
    ch = words(channel)
    place = peek(ch, n)
    if place < 0:
        return place  # type: ignore[no-any-return]
    if private != 0:
        memcpy(private, place, n)
        place = private
    spell(channel + 8 * TEXT, place, n)
    stop_at(channel, MOVED)
    return release(ch, n)  # type: ignore[no-any-return]


@measured
def send_one(
    claim: Any,
    publish: Any,
    channel: int,
    n: int,
    touch: int,
    private: int,
    warm: int,
    count: int,
    gate: int,
    record: int,
) -> int:
    """The producing end: one message. The arguments are those of every throughput loop."""
    ch = words(channel)
    stop_at(channel, START)
    begin(record, ch[CALLS])
    status = hand_over(claim, publish, channel, n, private)
    finish(record, ch[CALLS])
    store_release(channel + 8 * AT, DONE)
    return status


@measured
def receive_one(
    peek: Any,
    release: Any,
    channel: int,
    n: int,
    touch: int,
    private: int,
    warm: int,
    count: int,
    gate: int,
    record: int,
) -> int:
    """The consuming end: one message."""
    ch = words(channel)
    stop_at(channel, START)
    begin(record, ch[CALLS])
    status = take_over(peek, release, channel, n, private)
    finish(record, ch[CALLS])
    store_release(channel + 8 * AT, DONE)
    return status


class Seen(NamedTuple):
    """What was where at one moment; None where it could not be read, or there is no such thing.

    Attributes:
        producer, consumer: the bytes of each end's private buffer.
        segment: those of the place in shared memory.
        ready: the number that says whether a message is there: the ready word, or the semaphore.
        queued: bytes that the kernel says wait in its buffer.
    """

    producer: bytes | None
    consumer: bytes | None
    segment: bytes | None
    ready: int | None
    queued: int | None


class Moment(NamedTuple):
    """Something that happened.

    Attributes:
        what: entry or exit of a system call; the consumer asleep, or spinning; at the producer
            "made", its message is written; "moved", an end has copied it between its buffer and
            the segment (or the consumer has it in hand); "done".
        call: of an entry or exit.
    """

    what: What
    end: End
    call: SystemCall | None
    seen: Seen


@dataclass
class Passage:
    """One message's passage.

    Attributes:
        moments: in the order in which they were seen.
        traced: whether system calls are among them.
        loop_calls: system calls as the loops counted them; None where libc makes and hides them.
        voluntary, involuntary: context switches, getrusage(2), of both ends; meaningless if
            traced, as each stop for the tracer is one.
        faults: page faults, both ends.
        arrived: the bytes that the consumer has read.
    """

    moments: list[Moment] = field(default_factory=list)
    traced: bool = False
    loop_calls: int | None = None
    voluntary: dict[End, int] = field(default_factory=dict)
    involuntary: dict[End, int] = field(default_factory=dict)
    faults: int = 0
    arrived: bytes = b""

    @property
    def trace_calls(self) -> int:
        """System calls in the trace."""
        return sum(moment.what == "entry" for moment in self.moments)


class Channel:
    """A channel of one mechanism between two ends, ready to carry single messages.

    Args:
        message_size: bytes, at most MOST_BYTES.
        pinned: the CPUs of producer and consumer; None leaves it to the scheduler.

    Raises:
        LabkitError: the mechanism is refused here.
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        waiting: str,
        message_size: int,
        pinned: tuple[int | None, int | None],
    ) -> None:
        self.kind = mechanism(name)
        self.shares = self.kind.family == "shared-memory"
        self.waiting = waiting if self.shares else "kernel"
        self.size = message_size
        self._stage = stage
        self._shared = SharedRecords()
        try:
            self._channel = self.kind.channel(
                stage.objects, message_size, PLACES * message_size, self.waiting
            )
        except REFUSALS as error:
            raise LabkitError(refused(self.kind, message_size, error)) from error
        self._pair: Pair | None = None
        self._queue = -1  # our own descriptor of what the consumer reads from
        try:
            self._start(pinned)
        except BaseException:
            self.close()
            raise

    def _start(self, pinned: tuple[int | None, int | None]) -> None:
        copying, in_place = (
            OpenCell("throughput", self.size, "all", through, [self._channel], None)
            for through in (self.shares, False)
        )
        engine = _engine(self.kind.verbs, self._stage.listened_to)
        cells = [copying, in_place]
        self._pair = Pair(self._shared, cells, engine, pinned, self._stage.lifeline)
        self.pids: dict[End, int] = dict(self._pair.pids)
        self._well(self._pair.order({"do": "open", "cell": 0}))
        descriptor = int(self._state("consumer")[DESCRIPTOR])
        if not self.shares and self.kind.name not in ("sysv_mq", "process_vm"):
            self._queue = _borrowed(self.pids["consumer"], descriptor)
        # So that each page and each place was touched before, and each call made once.
        self.pass_on(bytes(self.size), "consumer")
        self.clear()

    def clear(self) -> None:
        """Empty all buffers: pass messages of zeros, once around the ring."""
        for _ in range(PLACES):
            self.pass_on(bytes(self.size), "producer")

    def close(self) -> None:
        """End both ends and remove the kernel's object."""
        if self._pair is not None:
            self._pair.take_down()
        if self._queue >= 0:
            os.close(self._queue)
        self._channel.discard()

    def _state(self, end: End) -> Any:
        return self._shared.state(end, 0)

    def ring_words(self) -> tuple[list[int], int]:
        """Of a ring in shared memory: the message that each place was announced for, in the order
        of the places, and the last that the consumer has passed.
        """
        state = self._state("producer")
        addresses = [
            int(state[ring.READY]) + number * int(state[ring.READY_STRIDE])
            for number in range(int(state[ring.SLOTS]))
        ]
        found = [
            int.from_bytes(read_memory(self.pids["producer"], address, 4), "little") >> 1
            for address in (*addresses, int(state[ring.PASSED]))
        ]
        return found[:-1], found[-1]

    def lost(self) -> bool:
        """Whether an end is dead, or nobody waits for the results any more."""
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT  # whoever reads its status is to find it
        ended = (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED)
        for pid in self.pids.values():
            try:
                event = os.waitid(os.P_PID, pid, look)  # a tracer is told of stops, too
            except ChildProcessError:  # reaped already
                return True
            if event is not None and event.si_code in ended:
                return True
        return bool(select.select([self._stage.lifeline], [], [], 0)[0])

    def _well(self, replies: dict[End, dict[str, Any]]) -> None:
        for end, reply in replies.items():
            if "error" in reply:
                raise LabkitError(f"the {end} stopped with {reply['error']}.")
            if reply["status"] < 0:
                raise LabkitError(refused(self.kind, self.size, -reply["status"]))

    def pass_on(
        self,
        text: bytes,
        first: End,
        traced: bool = False,
        in_place: bool = False,
        stops: bool = False,
    ) -> Passage:
        """Pass one message.

        Args:
            text: `message_size` bytes.
            first: "consumer": it asks first and has to wait. "producer": the message is there
                before anybody asks for it.
            traced: with a trace of both ends.
            in_place: in shared memory without copying.
            stops: the producer stops at each checkpoint, so that buffers can be looked at.

        Raises:
            LabkitError: tracing is refused, an end died, or the mechanism was refused something.
        """
        assert self._pair is not None
        watch = _Watch(self, text, first, traced, in_place, stops)
        order = {"do": "measure", "cell": int(in_place), "warm": 0, "count": 1, "singles": 0}
        if traced:
            with Tracer() as tracer:
                for pid in self.pids.values():
                    tracer.attach(pid)
                self._pair.give(order)
                tracer.follow(watch.on_call, watch.advance, PATIENCE_S)
        else:
            self._pair.give(order)
            deadline = time.monotonic() + PATIENCE_S
            while not watch.advance() and time.monotonic() < deadline:
                time.sleep(LOOK_S)
        self._well(self._pair.replies(self.size))
        return watch.passage()


class _Watch:
    """Lets the two ends pass their checkpoints in order, and writes down what is seen."""

    def __init__(
        self,
        channel: Channel,
        text: bytes,
        first: End,
        traced: bool,
        in_place: bool,
        stops: bool,
    ) -> None:
        self._channel = channel
        self._shared = channel._shared
        self._first = first
        self._stops = stops
        copying = channel.shares and not in_place
        self._ahead: dict[End, list[int]] = {  # the checkpoints that each end has not yet reached
            "producer": [MADE, MOVED, DONE] if copying else [MADE, DONE],
            "consumer": [MOVED, DONE],
        }
        self._found = Passage(traced=traced)
        self._ends: dict[int, End] = {pid: end for end, pid in channel.pids.items()}
        self._waits = False  # whether the consumer was seen waiting
        self._places = self._where(in_place)
        for end in self._ahead:
            state = self._state(end)
            state[AT] = state[GO] = 0
            for number in range(TEXT, TEXT + 8):
                state[number] = 0
        memory = self._shared.state_address("producer", 0) + 8 * TEXT
        for number, byte in enumerate(text):
            set_byte(memory + number, byte)

    def _state(self, end: End) -> Any:
        return self._channel._state(end)

    def _where(self, in_place: bool) -> dict[str, int]:
        """The addresses of what is looked at: in the producer, but for the consumer's buffer."""
        ours, theirs = self._state("producer"), self._state("consumer")
        found = {"producer": int(ours[BUFFER]), "consumer": int(theirs[BUFFER])}
        name = self._channel.kind.name
        if self._channel.shares:
            found["segment"] = int(ours[ring.PLACE])
            if in_place:
                del found["producer"], found["consumer"]
        elif name == "process_vm":
            found["producer"] = int(ours[ring.PLACE])
        elif name == "pipe_vmsplice":
            at = ours[pipe_vmsplice.AT] * ours[pipe_vmsplice.STRIDE]
            found["producer"] = int(ours[pipe_vmsplice.PAGES] + at)
        if self._channel.waiting in ("futex", "spin"):
            found["ready"] = int(ours[ring.WORD])
        elif self._channel.waiting == "posix_sem":
            found["ready"] = int(ours[ring.ITEMS])
        return found

    def advance(self) -> bool:
        """Take note of checkpoints that were reached, and let pass; True when it is over."""
        if self._channel.lost():
            return True
        order: tuple[End, End] = ("producer", "consumer")
        for end in order if self._first == "producer" else reversed(order):
            at = self._catch_up(end)
            # Only the producer is held, as long as nobody waits for what it does: the consumer's
            # stops would let the two take turns that they don't take by themselves.
            held = self._stops and end == "producer"
            if at and (at > START or self._may_start(end)):
                self._let(end, at if held else DONE)
        return not any(self._ahead.values())

    def _catch_up(self, end: End) -> int:
        """Note the checkpoints that an end has reached since; the one it is at."""
        at = load_acquire(self._shared.state_address(end, 0) + 8 * AT)
        ahead = self._ahead[end]
        while ahead and ahead[0] <= at:
            self._note(_CHECKPOINTS[ahead.pop(0)], end)
        return at

    def _let(self, end: End, checkpoint: int) -> None:
        go = self._shared.state_address(end, 0) + 8 * GO
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
            spins = self._channel.waiting == "spin"
            if spins or sleeping_in(self._channel.pids["consumer"]):
                self._note("spinning" if spins else "asleep", "consumer")
                self._waits = True
        return self._waits

    def on_call(self, call: SystemCall) -> None:
        """A system call's entry or exit: noted where it belongs to the message."""
        end = self._ends[call.pid]
        self._catch_up(end)  # what it did in user mode since it was last seen came before this
        # Where the clock is no vDSO's, reading it is a call, but none of the mechanism's.
        if self._shared.record(end)[TIMED] != 1 or call.name == "clock_gettime":
            return
        if call.args[0] == self._shared.state_address(end, 0) + 8 * GO:
            return  # a stop at a checkpoint
        self._note("entry" if call.entry else "exit", end, call)

    def _note(self, what: What, end: End, call: SystemCall | None = None) -> None:
        moments = self._found.moments
        moments.append(Moment(what, end, call, self._look()))
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

    def _look(self) -> Seen:
        pids, size, places = self._channel.pids, self._channel.size, self._places
        found: dict[str, bytes | None] = {}
        for what in ("producer", "consumer", "segment"):
            pid = pids["consumer" if what == "consumer" else "producer"]
            found[what] = _memory(pid, places.get(what, 0), size)
        word = _memory(pids["producer"], places.get("ready", 0), 4)
        ready = None if word is None else int.from_bytes(word, "little")
        return Seen(**found, ready=ready, queued=self._queued())

    def _queued(self) -> int | None:
        with contextlib.suppress(OSError, LabkitError):
            if self._channel.kind.name == "sysv_mq":
                return queue_status(int(self._state("consumer")[DESCRIPTOR])).data_bytes
            if self._channel._queue >= 0 and self._channel.kind.name == "posix_mq":
                return queue_state(self._channel._queue).data_bytes
            if self._channel._queue >= 0:
                return unread_bytes(self._channel._queue)
        return None

    def passage(self) -> Passage:
        """What was found, once both ends have replied."""
        found = self._found
        ends: tuple[End, End] = ("producer", "consumer")
        records = {end: self._shared.record(end) for end in ends}

        def usage(end: End, word: int) -> int:
            return int(records[end][USAGE_AFTER + word] - records[end][USAGE_BEFORE + word])

        if self._channel.waiting not in HIDDEN:
            found.loop_calls = sum(int(r[CALLS_AFTER] - r[CALLS_BEFORE]) for r in records.values())
        for end in ends:
            found.voluntary[end] = usage(end, VOLUNTARY)
            found.involuntary[end] = usage(end, INVOLUNTARY)
            found.faults += usage(end, MINOR_FAULTS) + usage(end, MAJOR_FAULTS)
        text = self._shared.state_address("consumer", 0) + 8 * TEXT
        found.arrived = bytes(get_byte(text + number) for number in range(self._channel.size))
        return found


@contextlib.contextmanager
def channel(
    stage: Stage,
    name: str,
    waiting: str,
    message_size: int,
    pinned: tuple[int | None, int | None],
) -> Iterator[Channel]:
    """A channel that is gone after the block; see `Channel`."""
    made = Channel(stage, name, waiting, message_size, pinned)
    try:
        yield made
    finally:
        made.close()


def _engine(verbs: Verbs, look: Callable[[], None]) -> Engine:
    """Compiled loops; `look` is called before each function, as compiling takes its time."""
    compiler = Compiler()

    def compiled_one(function: Callable[..., Any], signature: Any) -> Any:
        look()
        return compiler.compile(function, signature)

    loops: dict[str, Callable[..., Any]] = {"source": send_one, "sink": receive_one}
    signature = compiler.loop_signature(2, send_one.__code__.co_argcount - 2)
    compiled = {name: compiled_one(loop, signature) for name, loop in loops.items()}
    each = (verbs.claim, verbs.publish, verbs.peek, verbs.release)
    return Engine(
        "compiled", compiled, Verbs(*(compiled_one(verb, compiler.verb) for verb in each))
    )


def _memory(pid: int, address: int, size: int) -> bytes | None:
    if address == 0:
        return None
    try:
        return read_memory(pid, address, size)
    except LabkitError:
        return None


def _borrowed(pid: int, descriptor: int) -> int:
    """Our own descriptor of what a descriptor of a child's leads to; -1 where that is refused."""
    process = os.pidfd_open(pid)
    try:
        return syscall(PIDFD_GETFD, process, descriptor, 0, 0, 0, 0)
    finally:
        os.close(process)
