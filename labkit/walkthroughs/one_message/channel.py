"""A channel of one mechanism between two ends, ready to carry single messages."""

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from labkit.errors import LabkitError
from labkit.harness.ends import Engine, OpenCell, SharedRecords
from labkit.harness.own_faults import how_died
from labkit.harness.pair import EndDied, Pair
from labkit.harness.refusal import refused, why_stopped
from labkit.harness.rehearsal import rehearse
from labkit.harness.request import Cell
from labkit.harness.stage import Stage
from labkit.kernel.compiler import Compiler
from labkit.kernel.objects import REFUSALS
from labkit.kernel.trace import Tracer
from labkit.mechanisms import is_own, mechanism
from labkit.mechanisms.contract import End, Mechanism, Verbs
from labkit.mechanisms.own import Own
from labkit.mechanisms.own_running import told
from labkit.walkthroughs.one_message.loops import receive_one, send_one
from labkit.walkthroughs.one_message.passage import Passage
from labkit.walkthroughs.one_message.sight import Sight, eventfds
from labkit.walkthroughs.one_message.watch import Watch

PLACES = 4  # that a ring has, or messages that a channel should hold
PATIENCE_S = 120.0  # for one message, on a machine that has other things to do
LOOK_S = 0.0005

Pinned = tuple[int | None, int | None]  # the CPUs of producer and consumer; None: the scheduler's


class Channel:
    """Two ends of one mechanism, and what lies between them.

    Args:
        message_size: bytes, at most MOST_BYTES.

    Raises:
        LabkitError: the mechanism is refused here, or somebody's own does not work.
    """

    def __init__(
        self, stage: Stage, name: str, waiting: str, message_size: int, pinned: Pinned
    ) -> None:
        self.kind = mechanism(name)
        self.own = is_own(name)
        self.shares = self.kind.family == "shared-memory"
        self.waiting = "kernel" if not self.shares else "own" if self.own else waiting
        self.size = message_size
        self._stage = stage
        self._shared = SharedRecords()
        self._channel = self._make()
        self._pair: Pair | None = None
        self._sight: Sight | None = None
        try:
            self._start(pinned)
        except BaseException:
            self.close()
            raise

    def _make(self) -> Any:
        room = PLACES * self.size
        try:
            return self.kind.channel(self._stage.objects, self.size, room, self.waiting)
        except REFUSALS as error:
            raise LabkitError(refused(self.kind, self.size, error)) from error
        except Exception as error:
            if not self.own:
                raise
            raise LabkitError(f"no channel could be made: {told(error)}.") from None

    def _start(self, pinned: Pinned) -> None:
        copying, in_place = (
            OpenCell("throughput", self.size, "all", through, [self._channel], None)
            for through in (self.shares, False)
        )
        loops = engine(self.kind, self._stage.listened_to)
        cells = [copying, in_place]
        self._pair = Pair(self._shared, cells, loops, pinned, self._stage.lifeline)
        self.pids: dict[End, int] = dict(self._pair.pids)
        with self._told():
            self._well(self._pair.order({"do": "open", "cell": 0}))
        self._sight = Sight(
            self.kind.name, self.pids, self._shared, self.size, self.shares, self.waiting
        )
        # Those carry no message, though they are read and written.
        self.counters = eventfds(self.pids) if self.own else set()
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
        if self._sight is not None:
            self._sight.close()
        self._channel.discard()

    def ring_words(self) -> tuple[list[int], int]:
        """See `Sight.ring_words`."""
        assert self._sight is not None
        return self._sight.ring_words()

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
            if reply["status"] < 0:
                words = self._shared.state(end, 0)
                raise LabkitError(why_stopped(self.kind, self.size, end, reply, words))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """An end's death, with what the author should look for if its verbs are somebody's own."""
        try:
            yield
        except EndDied as died:
            if not self.own:
                raise
            raise LabkitError(how_died(self.kind.name, died)) from None

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
            LabkitError: tracing is refused, an end died, or the mechanism was refused something;
                or it is somebody's own and carried another message, or none.
        """
        assert self._pair is not None
        assert self._sight is not None
        self._sight.aim(in_place)
        copying = self.shares and not in_place
        watch = Watch(
            *(self.pids, self._shared, self._sight, self.waiting, self.own),
            *(copying, text, first, traced, stops),
        )

        def over() -> bool:
            return self.lost() or watch.advance() or (self.own and watch.hangs())

        order = {"do": "measure", "cell": int(in_place), "warm": 0, "count": 1, "singles": 0}
        if traced:
            with Tracer() as tracer:
                for pid in self.pids.values():
                    tracer.attach(pid)
                self._pair.give(order)
                tracer.follow(watch.on_call, over, PATIENCE_S)
        else:
            self._pair.give(order)
            deadline = time.monotonic() + PATIENCE_S
            while not over() and time.monotonic() < deadline:
                time.sleep(LOOK_S)
        with self._told():
            self._well(self._pair.replies(self.size))
        passage = watch.passage()
        if self.own and passage.arrived != text:
            raise LabkitError(
                f"{self.kind.name}: the consumer found {passage.arrived!r} where the producer had"
                f" written {text!r}."
            )
        return passage


@contextlib.contextmanager
def channel(
    stage: Stage, name: str, waiting: str, message_size: int, pinned: Pinned
) -> Iterator[Channel]:
    """A channel that is gone after the block; see `Channel`."""
    made = Channel(stage, name, waiting, message_size, pinned)
    try:
        yield made
    finally:
        made.close()


def tried(stage: Stage, own: Own, message_size: int) -> str:
    """Have a mechanism of somebody's own known in this process: its name, for a channel.

    Raises:
        RequestError: it will not do; says in which line.
    """
    cell = Cell(
        *(own.name, own.waiting, "throughput", "same-cpu", "copy", "all", "compiled"),
        message_size=message_size,
    )
    rehearse([own], [cell], lambda _, kind: engine(kind, stage.listened_to), stage.tell)
    return own.name


@cache
def _compiler() -> Compiler:
    return Compiler()


def engine(kind: Mechanism, look: Callable[[], None]) -> Engine:
    """Compiled loops and verbs.

    Args:
        look: called before each function, as compiling takes its time: it may raise to end that.
    """
    compiler = _compiler()

    def compiled_one(function: Callable[..., Any], signature: Any) -> Any:
        look()
        return compiler.compile(function, signature)

    loops: dict[str, Callable[..., Any]] = {"source": send_one, "sink": receive_one}
    signature = compiler.loop_signature(2, send_one.__code__.co_argcount - 2)
    compiled = {name: compiled_one(loop, signature) for name, loop in loops.items()}
    verbs = kind.verbs
    each = (verbs.claim, verbs.publish, verbs.peek, verbs.release)
    return Engine(
        "compiled", compiled, Verbs(*(compiled_one(verb, compiler.verb) for verb in each))
    )
