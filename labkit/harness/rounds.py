"""Rounds: every cell once, then every cell again, so that drift of the machine hits all alike.

One round takes the cells in groups that share a mechanism and all settings but pattern and size,
the groups in a new random order each time. A group gets a fresh pair of ends and fresh kernel
objects. The first round also finds out how much each channel holds and how long a message takes;
from then on the number of messages follows from the time that is left.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from labkit.errors import LabkitError
from labkit.harness.ends import MOST_SINGLES, Engine, OpenCell, SharedRecords
from labkit.harness.own_faults import how_died
from labkit.harness.pair import EndDied, EndStalled, HungUp, Pair
from labkit.harness.record import (
    CALLS_AFTER,
    CALLS_BEFORE,
    CLOCK_COST,
    CPU_AFTER,
    CPU_BEFORE,
    INVOLUNTARY,
    MAJOR_FAULTS,
    MINOR_FAULTS,
    STARTED,
    STOPPED,
    SYSTEM_S,
    SYSTEM_US,
    TIMED,
    USAGE_AFTER,
    USAGE_BEFORE,
    USER_S,
    USER_US,
    VOLUNTARY,
)
from labkit.harness.refusal import is_refusal, not_forked, refused, why_stopped
from labkit.harness.request import Cell
from labkit.kernel.objects import REFUSALS, Objects
from labkit.kernel.trace import SystemCall
from labkit.mechanisms import is_own, mechanism
from labkit.mechanisms.contract import Channel, End, Mechanism, room_for
from labkit.mechanisms.own_running import told

PILOT_S = 0.001  # a first guess at a message's time needs this much
PILOT_MESSAGES = 16
LEAST_TARGET_S = 0.002  # of timed messages in one repeat
MOST_TARGET_S = 0.5
LEAST_MESSAGES = 8
MARGIN = 0.03  # of the time is kept back, because a repeat sometimes takes longer than planned;
GRACE = 0.05  # and a round that is late by no more than this is finished all the same
SINGLES_SHARE = 0.3  # of a latency repeat's time goes to single round trips
HIDDEN_CALLS = ("posix_sem",)  # waiting strategies whose system calls libc makes
TRACED_MESSAGES = 200
CONFIRMED_NS = 2e9  # where so many messages take longer, there is no time to trace them
ESTIMATED_OVERHEAD_S = 0.006  # of one repeat of one cell, before any was seen

# Of the single round trips of a repeat: column name -> percentile.
PERCENTILES = {
    "p1": 1, "p5": 5, "p10": 10, "p25": 25, "p50": 50,
    "p75": 75, "p90": 90, "p95": 95, "p99": 99, "p999": 99.9,
}  # fmt: skip

Emit = Callable[..., None]


@dataclass
class CellState:
    """What is known of a cell so far."""

    index: int
    cell: Cell
    ns_per_message: float = 0.0
    in_flight: float | None = None
    repeats: int = 0
    reason: str | None = None  # why it is measured no more
    status: str = "ok"

    @property
    def over(self) -> bool:
        """Whether it was skipped or failed."""
        return self.reason is not None


@dataclass
class Schedule:
    """How much time is left, and what that leaves for one repeat of one cell."""

    deadline: float  # CLOCK_MONOTONIC, s
    repeats: int
    overhead_s: float = ESTIMATED_OVERHEAD_S

    def target_s(self, repeats_left: int) -> float:
        """Seconds of timed messages for the next repeat."""
        share = (self.deadline - time.monotonic()) / max(1, repeats_left)
        return min(MOST_TARGET_S, max(LEAST_TARGET_S, share - self.overhead_s))

    def learn(self, took_s: float, timed_s: float) -> None:
        """Note what a repeat cost beyond its timed messages."""
        self.overhead_s += 0.05 * (max(0.0, took_s - timed_s) - self.overhead_s)


class Rounds:
    """Measures all cells of a plan.

    Args:
        cells: what to measure.
        reasons: for each, why it is not worth trying, or None.
        engines: the compiled or interpreted loops and verbs of a mechanism, by engine and name.
        cpus: (first, second) CPUs for pinned placements.
        emit: told of progress, samples and outcomes.
        lifeline: a socket that hangs up when nobody wants the results any more.
        stall_s: how long an end may make no progress; None for the usual.
    """

    def __init__(
        self,
        cells: list[Cell],
        reasons: list[str | None],
        engine: Callable[[str, Mechanism], Engine],
        cpus: tuple[int, int | None],
        emit: Emit,
        lifeline: Any,
        stall_s: float | None = None,
    ) -> None:
        self.states = [CellState(index, cell) for index, cell in enumerate(cells)]
        self._reasons = reasons
        self._engine = engine
        self._cpus = cpus
        self._emit = emit
        self._lifeline = lifeline
        self._stall_s = stall_s
        self._shared = SharedRecords()
        self._order = random.Random()
        self._start = time.monotonic()

    def run(self, deadline: float, repeats: int) -> None:
        """Measure `repeats` rounds until `deadline`; fewer if even the least does not fit.

        Args:
            deadline: CLOCK_MONOTONIC, in seconds, time.monotonic().

        Raises:
            HungUp: nobody wants the results any more.
        """
        seconds = deadline - time.monotonic()
        schedule = Schedule(deadline - MARGIN * seconds, repeats)
        for state, reason in zip(self.states, self._reasons, strict=True):
            if reason is not None:
                self._give_up(state, "skipped", reason)
        for number in range(repeats):
            groups = list(self._groups())
            self._order.shuffle(groups)
            for group in groups:
                if number > 0 and time.monotonic() >= schedule.deadline + GRACE * seconds:
                    return
                self._run_group(group, schedule)

    def trace(self) -> None:
        """Count the system calls that libc hides, in a short traced run of each such cell.

        What the verbs of somebody's own have counted is held against such a run, too.

        Raises:
            HungUp: nobody wants the results any more.
        """
        for state in self.states:
            hidden = state.cell.waiting in HIDDEN_CALLS
            if state.over or not state.repeats or not (hidden or self._to_be_confirmed(state)):
                continue
            with Objects() as objects:
                cell = self._make(state, objects)
                if cell is None:
                    continue
                try:
                    pair = self._pair([cell], *self._setting(state))
                except OSError as error:
                    self._discard(cell)
                    if hidden:
                        why = f"system calls are not counted: {not_forked(error)}"
                        self._tell(state, reason=why)
                    continue
                try:
                    calls = self._traced_calls(pair, state)
                except EndDied as died:
                    self._give_up(state, "failed", f"in the traced run, {died}")
                except HungUp:
                    raise
                except LabkitError as refusal:
                    if hidden:
                        self._tell(state, reason=f"system calls are not counted: {refusal}")
                else:
                    if calls is not None and not hidden:
                        self._confirm(state, calls)
                    elif calls is not None:
                        self._tell(state, traced_calls_per_message=calls / TRACED_MESSAGES)
                finally:
                    pair.take_down()
                    self._discard(cell)

    def _to_be_confirmed(self, state: CellState) -> bool:
        """Whether the counting of somebody's own verbs is to be held against a trace.

        Not where they are interpreted: the interpreter makes calls of its own.
        """
        if not is_own(state.cell.mechanism) or state.cell.engine != "compiled":
            return False
        count = self._warm_up(state) + TRACED_MESSAGES
        return state.ns_per_message * count < CONFIRMED_NS

    def _confirm(self, state: CellState, traced: int) -> None:
        """Hold what the verbs counted against what a trace of the same messages saw."""
        counted = self._counted()
        if counted == traced:
            return
        shown, seen = (f"{each / TRACED_MESSAGES:.3g}" for each in (counted, traced))
        self._tell(
            state,
            system_calls_source="trace",
            traced_calls_per_message=traced / TRACED_MESSAGES,
            reason=f"its verbs counted {shown} system calls a message where a trace saw {seen},"
            " which stands here instead: add 1 to ch[CALLS] for each call.",
        )

    def _counted(self) -> int:
        """System calls that both ends counted in the last timed stretch."""
        records = [self._shared.record(end) for end in ("producer", "consumer")]
        return sum(int(r[CALLS_AFTER] - r[CALLS_BEFORE]) for r in records)

    def _traced_calls(self, pair: Pair, state: CellState) -> int | None:
        """System calls of both ends in TRACED_MESSAGES timed messages; None if it went wrong."""
        calls = 0

        def count(end: End, call: SystemCall) -> None:
            nonlocal calls
            timed = self._shared.record(end)[TIMED] == 1
            # Where the clock is no vDSO's, reading it is a call, but none of the mechanism's.
            calls += call.entry and timed and call.name != "clock_gettime"

        order = {"do": "measure", "cell": 0, "warm": self._warm_up(state)}
        if not self._ordered(pair, state, {"do": "open", "cell": 0}):
            return None
        order |= {"count": TRACED_MESSAGES, "singles": 0}
        if not self._went_well(pair, state, pair.order_traced(order, count)):
            return None
        return calls

    def _pair(
        self, cells: list[OpenCell], engine: Engine, cpus: tuple[int | None, int | None]
    ) -> Pair:
        return Pair(self._shared, cells, engine, cpus, self._lifeline, self._stall_s)

    def _setting(self, state: CellState) -> tuple[Engine, tuple[int | None, int | None]]:
        """The engine and the CPUs of a cell."""
        first, second = self._cpus
        cpus = {
            "same-cpu": (first, first),
            "cross-cpu": (first, second),
            "free": (None, None),
        }[state.cell.placement]
        return self._engine(state.cell.engine, mechanism(state.cell.mechanism)), cpus

    def _groups(self) -> Iterator[list[CellState]]:
        """Cells that one pair of ends can measure one after the other."""
        groups: dict[tuple[str, ...], list[CellState]] = {}
        key: tuple[str, ...]
        for state in self.states:
            cell = state.cell
            if not state.over:
                key = (
                    cell.mechanism,
                    cell.waiting,
                    cell.placement,
                    cell.copy,
                    cell.touch,
                    cell.engine,
                )
                groups.setdefault(key, []).append(state)
        for key, members in groups.items():
            at_once = max(1, mechanism(key[0]).channels_at_once // 3)
            for i in range(0, len(members), at_once):
                yield members[i : i + at_once]

    def _run_group(self, group: list[CellState], schedule: Schedule) -> None:
        """One repeat of each cell of a group; a new pair for the rest if one goes down."""
        waiting = group
        while waiting := [state for state in waiting if not state.over]:
            with Objects() as objects:
                made: list[tuple[CellState, OpenCell]] = []
                for state in waiting:
                    cell = self._make(state, objects)
                    if cell is not None:
                        made.append((state, cell))
                waiting = self._run_pair(made, schedule) if made else []

    def _make(self, state: CellState, objects: Objects) -> OpenCell | None:
        """Create a cell's channels, or give the cell up with the kernel's reason."""
        cell = state.cell
        kind = mechanism(cell.mechanism)
        room = room_for(cell.pattern, cell.message_size)
        channels: list[Channel] = []
        wanted = (2 if cell.pattern == "latency" else 1) + (state.in_flight is None)
        try:
            for _ in range(wanted):
                channels.append(kind.channel(objects, cell.message_size, room, cell.waiting))
        except REFUSALS as error:
            for channel in channels:
                channel.discard()
            # Refused later on (somebody else's objects fill a limit now): what was measured stays.
            if state.repeats == 0:
                self._give_up(state, "skipped", refused(kind, cell.message_size, error))
            return None
        except Exception as error:
            if not is_own(kind.name):
                raise
            self._give_up(state, "failed", f"no channel could be made: {told(error)}.")
            return None
        spare = channels.pop() if state.in_flight is None else None
        return OpenCell(
            pattern=cell.pattern,
            message_size=cell.message_size,
            touch=cell.touch,
            through_buffer=kind.family == "shared-memory" and cell.copy == "copy",
            channels=channels,
            spare=spare,
        )

    def _run_pair(
        self, made: list[tuple[CellState, OpenCell]], schedule: Schedule
    ) -> list[CellState]:
        """Fork a pair and have it measure; returns the cells it did not come to."""
        engine, cpus = self._setting(made[0][0])
        try:
            pair = self._pair([each for _, each in made], engine, cpus)
        except OSError as error:
            for state, open_cell in made:
                self._discard(open_cell)
                if state.repeats == 0:  # later on, what was measured stays
                    self._give_up(state, "skipped", not_forked(error))
            return []
        try:
            for position, (state, open_cell) in enumerate(made):
                try:
                    going = self._run_cell(pair, position, state, open_cell, schedule, cpus)
                except EndDied as died:
                    self._give_up(state, "failed", self._how(state, died))
                    if isinstance(died, EndStalled):
                        self._spare_the_rest(state)
                    going = False
                finally:
                    self._discard(open_cell)
                if not going:
                    for _, left in made[position + 1 :]:
                        self._discard(left)
                    return [later for later, _ in made[position + 1 :]]
            return []
        finally:
            pair.take_down()

    @staticmethod
    def _discard(cell: OpenCell) -> None:
        for channel in (*cell.channels, *([cell.spare] if cell.spare else [])):
            channel.discard()

    def _run_cell(
        self,
        pair: Pair,
        position: int,
        state: CellState,
        cell: OpenCell,
        schedule: Schedule,
        cpus: tuple[int | None, int | None],
    ) -> bool:
        """One repeat of one cell. False if the pair is down and the rest needs another."""
        began = time.monotonic()
        if state.in_flight is None and not self._find_room(pair, position, state, cell):
            return False
        if not self._ordered(pair, state, {"do": "open", "cell": position}):
            return False
        warm = self._warm_up(state)
        if state.ns_per_message == 0:
            count = PILOT_MESSAGES
            while True:
                if not self._measure(pair, position, state, warm, count, 0):
                    return False
                elapsed = self._elapsed(state.cell)
                state.ns_per_message = elapsed / count
                warm = 0
                if elapsed >= PILOT_S * 1e9 or count >= 1 << 20:
                    break
                count *= 8
        target = schedule.target_s(self._repeats_left(schedule))
        trip = max(1.0, state.ns_per_message)
        singles = 0
        if state.cell.pattern == "latency":
            singles = int(min(MOST_SINGLES, SINGLES_SHARE * target * 1e9 / trip))
            singles = max(LEAST_MESSAGES, singles)
            target *= 1 - SINGLES_SHARE
        count = max(LEAST_MESSAGES, int(target * 1e9 / trip))
        if not self._measure(pair, position, state, warm, count, singles):
            return False
        timed = self._sample(state, count, singles, cpus)
        if not self._ordered(pair, state, {"do": "close", "cell": position}):
            return False
        if state.repeats == 0:
            self._tell(state)
        state.repeats += 1
        schedule.learn(time.monotonic() - began, timed)
        return True

    def _find_room(self, pair: Pair, position: int, state: CellState, cell: OpenCell) -> bool:
        replies = pair.order({"do": "fill", "cell": position})
        if not self._went_well(pair, state, replies):
            return False
        state.in_flight = replies["producer"]["bytes"] / cell.message_size
        return self._ordered(pair, state, {"do": "empty", "cell": position})

    @staticmethod
    def _warm_up(state: CellState) -> int:
        """Messages before the timed ones: what the channel holds and one more, at the least."""
        if state.cell.pattern == "latency":
            return 2 * PILOT_MESSAGES
        return int(state.in_flight or 0) + PILOT_MESSAGES

    def _measure(
        self, pair: Pair, position: int, state: CellState, warm: int, count: int, singles: int
    ) -> bool:
        order = {"do": "measure", "cell": position, "warm": warm, "count": count}
        return self._ordered(pair, state, order | {"singles": singles})

    def _ordered(self, pair: Pair, state: CellState, order: dict[str, Any]) -> bool:
        return self._went_well(pair, state, pair.order(order))

    def _went_well(self, pair: Pair, state: CellState, replies: dict[Any, Any]) -> bool:
        """Whether both ends did what they were told; if not, the cell is given up."""
        for end, reply in replies.items():
            if reply["status"] >= 0:
                continue
            words = self._shared.state(end, 1 if end == "producer" else 0)
            kind = mechanism(state.cell.mechanism)
            reason = why_stopped(kind, state.cell.message_size, end, reply, words)
            at_once = state.repeats == 0 and pair.progress("producer") <= 1
            skipped = at_once and is_refusal(reply)
            self._give_up(state, "skipped" if skipped else "failed", reason)
            pair.take_down()
            return False
        return True

    def _elapsed(self, cell: Cell) -> float:
        """Nanoseconds of the last timed stretch."""
        producer, consumer = self._shared.record("producer"), self._shared.record("consumer")
        if cell.pattern == "latency":
            return float(producer[STOPPED] - producer[STARTED])
        return float(consumer[STOPPED] - min(producer[STARTED], consumer[STARTED]))

    def _sample(
        self,
        state: CellState,
        count: int,
        singles: int,
        cpus: tuple[int | None, int | None],
    ) -> float:
        """Emit what the last timed stretch showed; returns its length in seconds."""
        elapsed = self._elapsed(state.cell)
        state.ns_per_message = elapsed / count
        records = [self._shared.record(end) for end in ("producer", "consumer")]

        def usage(word: int) -> int:
            return sum(int(r[USAGE_AFTER + word] - r[USAGE_BEFORE + word]) for r in records)

        sample = {
            "cell": state.index,
            "repeat": state.repeats,
            "started_s": round(min(int(r[STARTED]) for r in records) / 1e9 - self._start, 6),
            "messages": count,
            "elapsed_ns": elapsed,
            "ns_per_message": elapsed / count,
            "rtt_count": singles,
            "system_calls": None
            if state.cell.waiting in HIDDEN_CALLS
            else sum(int(r[CALLS_AFTER] - r[CALLS_BEFORE]) for r in records),
            "voluntary_switches": usage(VOLUNTARY),
            "involuntary_switches": usage(INVOLUNTARY),
            "page_faults": usage(MINOR_FAULTS) + usage(MAJOR_FAULTS),
            "cpu_ns": sum(int(r[CPU_AFTER] - r[CPU_BEFORE]) for r in records),
            "user_ns": usage(USER_S) * 1_000_000_000 + usage(USER_US) * 1000,
            "system_ns": usage(SYSTEM_S) * 1_000_000_000 + usage(SYSTEM_US) * 1000,
            "producer_cpu": -1 if cpus[0] is None else cpus[0],
            "consumer_cpu": -1 if cpus[1] is None else cpus[1],
        }
        if singles:
            between = np.diff(np.array(self._shared.samples(singles + 1)))
            # Each holds one whole reading, so that cannot have cost more than the shortest took.
            clock_ns = min(int(records[0][CLOCK_COST]), int(between.min()))
            times = between - clock_ns
            sample["clock_ns"] = clock_ns
            quantiles = np.percentile(times, list(PERCENTILES.values()))
            for name, quantile in zip(PERCENTILES, quantiles, strict=True):
                sample[f"rtt_ns_{name}"] = float(quantile)
            sample["rtt_ns_max"] = float(times.max())
        self._emit("sample", **sample)
        return elapsed / 1e9

    def _give_up(self, state: CellState, status: str, reason: str) -> None:
        state.status, state.reason = status, reason
        self._tell(state)

    @staticmethod
    def _how(state: CellState, died: EndDied) -> str:
        """How an end died, with what its author should look for where it is somebody's own."""
        name = state.cell.mechanism
        return how_died(name, died, state.in_flight is None) if is_own(name) else str(died)

    def _spare_the_rest(self, stalled: CellState) -> None:
        """One that hangs is likely to hang in every cell: its others would eat up all the time."""
        name = stalled.cell.mechanism
        if not is_own(name):
            return
        for state in self.states:
            if state.cell.mechanism == name and not state.over and state.repeats == 0:
                reason = f"not tried, because another cell of {name} hung: {stalled.reason}"
                self._give_up(state, "failed", reason)

    def _repeats_left(self, schedule: Schedule) -> int:
        return sum(schedule.repeats - s.repeats for s in self.states if not s.over)

    def _tell(self, state: CellState, **more: Any) -> None:
        """Emit a cell's outcome so far."""
        self._emit(
            "outcome",
            cell=state.index,
            in_flight_messages=state.in_flight,
            status=state.status,
            **({"reason": state.reason or ""} | more),
        )
