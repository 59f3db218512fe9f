"""What the scripts of these tests measure with: cells and pairs in this very process.

Scripts import it (they run with this folder on their path), and only they: it forks.
"""

import dataclasses
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from labkit.harness import pair, rounds
from labkit.harness.ends import OpenCell, SharedRecords
from labkit.harness.helper import Engines
from labkit.harness.pair import Pair
from labkit.harness.payload import ALL
from labkit.harness.record import CALLS_AFTER, CALLS_BEFORE, TIMED
from labkit.harness.request import Cell
from labkit.harness.rounds import Rounds
from labkit.kernel import cpus, memory
from labkit.kernel.objects import Objects
from labkit.kernel.trace import SystemCall
from labkit.mechanisms import family, mechanism, names
from labkit.mechanisms.contract import End, Mechanism, Verbs, room_for

CPUS = cpus.allowed()
FIRST, SECOND = CPUS[0], CPUS[1] if len(CPUS) > 1 else None
WAITINGS = Mechanism.WAITINGS
ENGINES = Engines()


def cell(
    name: str,
    message_size: int = 64,
    pattern: str = "throughput",
    waiting: str | None = None,
    copy: str = "copy",
    touch: str = "all",
    engine: str = "compiled",
    placement: str | None = None,
) -> Cell:
    """A cell; by default it touches every byte, and a spinner gets a CPU of its own."""
    if waiting is None:
        waiting = "kernel" if family(name) == "kernel-copied" else "futex"
    if placement is None:
        placement = "cross-cpu" if waiting == "spin" else "same-cpu"
    return Cell(name, waiting, pattern, placement, copy, touch, engine, message_size)


def channels() -> list[tuple[str, str]]:
    """Every mechanism with every waiting strategy that can be measured with these CPUs."""
    return [
        (name, waiting)
        for name in names(extra=True)
        for waiting in (("kernel",) if family(name) == "kernel-copied" else WAITINGS)
        if waiting != "spin" or SECOND is not None
    ]


class Measured:
    """What `Rounds` said of some cells."""

    def __init__(self, cells: list[Cell]) -> None:
        self.cells = cells
        self.samples: list[dict[str, Any]] = []
        self.outcomes: dict[int, dict[str, Any]] = {}

    def take(self, event: str, **what: Any) -> None:
        if event == "sample":
            self.samples.append(what)
        elif event == "outcome":
            self.outcomes.setdefault(what["cell"], {}).update(what)

    def of(self, number: int) -> tuple[str, str]:
        """Status and reason of a cell."""
        outcome = self.outcomes[number]
        return outcome["status"], outcome["reason"]

    def bad(self) -> list[str]:
        """A line for each cell that is not ok."""
        return [
            f"{each}: {self.of(number)}"
            for number, each in enumerate(self.cells)
            if self.of(number) != ("ok", "")
        ]


def measure(
    cells: Iterable[Cell], repeats: int = 1, seconds: float = 0.0, trace: bool = False
) -> Measured:
    """Some rounds of some cells, as short as can be unless seconds are given."""
    found = Measured(list(cells))
    if any(each.engine == "python" for each in found.cells):
        memory.prepare()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reasons: list[str | None] = [None] * len(found.cells)
        work = Rounds(found.cells, reasons, ENGINES, (FIRST, SECOND), found.take, theirs)
        work.run(time.monotonic() + seconds, repeats)
        if trace:
            work.trace()
    return found


def replace(name: str, **changes: Any) -> None:
    """Let a mechanism be another from now on, as far as measuring goes: its verbs, its channel."""
    known = vars(rounds)["mechanism"]
    changed = dataclasses.replace(known(name), **changes)

    def lookup(asked: str) -> Any:
        return changed if asked == name else known(asked)

    vars(rounds)["mechanism"] = lookup


def verbs_of(name: str, **changes: Any) -> Verbs:
    """A mechanism's verbs, some of them changed."""
    return dataclasses.replace(mechanism(name).verbs, **changes)


def stall_after(seconds: float) -> None:
    """Have less patience with ends that make no progress."""
    pair.STALL_S = seconds


class Ends:
    """A pair of ends for one cell, to be told what to do one order at a time."""

    def __init__(self, this: Cell) -> None:
        self.cell = this
        self.kind = mechanism(this.mechanism)
        self.shared = SharedRecords()

    def __enter__(self) -> "Ends":
        self.objects = Objects()
        room = room_for(self.cell.pattern, self.cell.message_size)
        count = 2 if self.cell.pattern == "latency" else 1
        self.channels = [
            self.kind.channel(self.objects, self.cell.message_size, room, self.cell.waiting)
            for _ in range(count)
        ]
        through = self.kind.family == "shared-memory" and self.cell.copy == "copy"
        opened = OpenCell(
            self.cell.pattern,
            self.cell.message_size,
            self.cell.touch,
            through,
            self.channels,
            None,
        )
        placed = {
            "same-cpu": (FIRST, FIRST),
            "cross-cpu": (FIRST, SECOND),
            "free": (None, None),
        }[self.cell.placement]
        self._lifeline, theirs = socket.socketpair()
        if self.cell.engine == "python":
            memory.prepare()
        engine = ENGINES(self.cell.engine, self.kind)
        self.pair = Pair(self.shared, [opened], engine, placed, theirs)
        self.order("open")
        return self

    def __exit__(self, *_: object) -> None:
        self.pair.take_down()
        for channel in self.channels:
            channel.discard()
        self.objects.remove_all()
        self._lifeline.close()

    def order(self, do: str) -> None:
        replies = self.pair.order({"do": do, "cell": 0})
        assert all(reply["status"] >= 0 for reply in replies.values()), replies

    def measure(self, count: int, warm: int = 32) -> None:
        """Warm up, then `count` timed messages or round trips, every one checked."""
        what = {"do": "measure", "cell": 0, "warm": warm, "count": count, "singles": 0}
        replies = self.pair.order(what)
        assert all(reply["status"] >= 0 for reply in replies.values()), replies

    def trace(self, count: int, warm: int = 32) -> list[SystemCall]:
        """The same under a trace: the system calls at whose entry an end was being timed."""
        calls: list[SystemCall] = []

        def on_call(end: End, call: SystemCall) -> None:
            if call.entry and self.shared.record(end)[TIMED] == 1:
                calls.append(call)

        what = {"do": "measure", "cell": 0, "warm": warm, "count": count, "singles": 0}
        replies = self.pair.order_traced(what, on_call)
        assert all(reply["status"] >= 0 for reply in replies.values()), replies
        return [call for call in calls if call.name != "clock_gettime"]

    def counted(self) -> int:
        """System calls of the last timed stretch, as the loop counted them."""
        records = [self.shared.record(end) for end in ("producer", "consumer")]
        return sum(int(r[CALLS_AFTER] - r[CALLS_BEFORE]) for r in records)


def wait_for(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Ask until the answer is true, and return it; an error if it takes too long."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.002)
    return answer


def _forked_by(pid: int) -> list[int]:
    """The children of a process with one thread, at once: pairs come and go. proc_tid_children(5)

    A kernel that does not list them there is looked through; that takes longer than many a pair.
    """
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return children(pid)


def kill_end(helper: int, which: int) -> bool:
    """Kill one end of a helper's present pair, and nobody who has its number since; if there is."""
    pair = _forked_by(helper)
    if len(pair) != 2:
        return False
    try:
        descriptor = os.pidfd_open(pair[which])
    except ProcessLookupError:
        return False
    try:
        if _forked_by(helper) != pair:
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def children(pid: int) -> list[int]:
    """The living children of a process, oldest first."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(name))
    return sorted(found)


__all__ = [
    "ALL",
    "ENGINES",
    "FIRST",
    "SECOND",
    "Ends",
    "Measured",
    "cell",
    "channels",
    "children",
    "kill_end",
    "measure",
    "replace",
    "stall_after",
    "verbs_of",
    "wait_for",
]
