"""The cost model: what a message should take, added up from parts that were measured apart.

    time = calls x call + the mechanism's own work + switches x switch + wake-ups x wake-up
         + bytes x copies x byte + faults x fault (+ reading and writing the payload itself)

How often each happens, the run counted. What each costs, the machine's constants say, which were
measured on their own (`labkit.costs.probes`). Nothing is fitted to the cell that is predicted, and
nothing counted twice: a send-to-self holds two calls and two copies, so the mechanism's own work
is what is left of it beyond these. What the sum doesn't reach is the remainder, and is shown.
"""

import math
from dataclasses import dataclass, fields
from typing import Any

from labkit.costs.constants import Constants
from labkit.mechanisms.contract import room_for
from labkit.mechanisms.ring import BESIDE_READY, LINE, Layout

Row = dict[str, Any]

FUTEXES = ("futex", "posix_sem")  # ways of waiting that libc or labkit builds of futex(2)
# The pages are lent, and only read out; the reader reads the writer's memory itself.
ONE_COPY = {"pipe_vmsplice": 1, "process_vm": 1}
NO_CONSTANT = "no constant of this machine covers it"


@dataclass
class Parts:
    """What one round trip (latency) or one message (throughput) should take, part by part, ns."""

    calls: float = 0.0  # into the kernel and out again
    own: float = 0.0  # what the mechanism does besides: locks, queues, buffers, atomic steps
    payload: float = 0.0  # the payload written and read where touch=all
    copies: float = 0.0
    switches: float = 0.0
    wakeups: float = 0.0
    faults: float = 0.0
    overlap: float = 0.0  # negative: done by one CPU while the other works, too

    @property
    def total(self) -> float:
        """All parts together."""
        return float(sum(getattr(self, each.name) for each in fields(self)))


PARTS = tuple(each.name for each in fields(Parts))


def predict(row: Row, constants: Constants) -> tuple[Parts | None, str]:
    """What one cell should take.

    Args:
        row: a row of the summary; only its counts are used, never its times.
        constants: this machine's.

    Returns:
        The parts, or None and why there are none.
    """
    if row["engine"] != "compiled":
        return None, "the constants are those of compiled code, and this cell is interpreted"
    if row["placement"] == "free":
        return None, "the scheduler chose the CPUs, so it is not known which of the costs apply"
    cell = _Cell(row, constants)
    parts = cell.shared_memory() if cell.is_shared else cell.kernel_copied()
    if math.isnan(cell.count("system_calls")):
        return None, "its system calls were not counted"
    if math.isnan(parts.total):
        return None, NO_CONSTANT
    return parts, ""


class _Cell:
    """One cell of a run and what is known of it."""

    def __init__(self, row: Row, constants: Constants) -> None:
        self.row, self.constants = row, constants
        self.mechanism, self.pattern = str(row["mechanism"]), str(row["pattern"])
        self.waiting = str(row["waiting"])
        self.is_shared = self.waiting != "kernel"
        self.size = int(row["message_size"])
        self.messages = 2 if self.pattern == "latency" else 1  # that a time is the time of
        self.across = row["placement"] == "cross-cpu"

    def value(self, name: str) -> float:
        """One constant, ns."""
        return self.constants.value(name)

    def count(self, column: str) -> float:
        """A count for each round trip or message; NaN where it was not possible."""
        return float(self.row[f"{column}_per_message"])

    def kernel_copied(self) -> Parts:
        """The kernel's own calls carry, wait and wake."""
        parts = self._common()
        label = f"{self.mechanism}/{self.pattern}"
        beyond = self.constants.at(f"own_work/{label}", self.size)
        copies = min(beyond, kernel_copies(self.mechanism) * self.kernel_copy())
        parts.own = self.messages * (beyond - copies)
        parts.copies = self.messages * copies
        if self.across:
            parts.copies += self.messages * self._journey()
            to_self = self.constants.at(f"send_to_self/{label}", self.size)
            self._overlap(parts, self.constants.at(f"send_alone/{label}", self.size) / to_self)
        return parts

    def kernel_copy(self) -> float:
        """What the kernel's own copy of one message costs, one way, mean of in and out, ns."""
        whole = 2 * self.size
        both = [self.constants.per_byte(f"kernel_{way}", whole) for way in ("write", "read")]
        return self.size * sum(both) / 2

    def shared_memory(self) -> Parts:
        """Memory carries; the way of waiting calls the kernel when somebody sleeps."""
        parts = self._common()
        ring = self.value(f"own_work/{self.waiting}/{self.pattern}/8")
        beyond = 0.0
        if self.waiting in FUTEXES:  # where a call is made only to sleep or to wake: that is more
            each = (self.value("futex_wake") + self.value("futex_wait")) / 2
            calls = self.count("system_calls")
            beyond = max(0.0, each - self.value("null_call")) * calls
        parts.own = self.messages * ring + beyond
        if self.row["copy"] == "copy":
            parts.copies = self.messages * 2 * self.user_copy()
        if self.across:
            touched = self.row["copy"] == "copy" or self.row["touch"] == "all"
            if self.pattern == "latency" and self.waiting == "spin":
                parts.wakeups = self.messages * self.value("cache_line")
            if touched:
                parts.copies += self.messages * self._journey()
            self._overlap(parts, 0.5)
        return parts

    def user_copy(self) -> float:
        """What memcpy of one message costs, one way, from what is gone through again and again."""
        return self.value("memcpy_call") + self.size * self.constants.per_byte(
            "memcpy", memory_passed(self.row)
        )

    def _common(self) -> Parts:
        """What is counted alike for all mechanisms."""
        calls = self.count("system_calls")
        parts = Parts(calls=calls * self.value("null_call"))
        asleep, put_off = self.count("voluntary_switches"), self.count("involuntary_switches")
        if not self.across:
            # A sleeper is woken once, so there are as many wake-ups as voluntary switches.
            parts.switches = (asleep + put_off) * self.value("switch")
            parts.wakeups = asleep * self.value("wake/same-cpu")
        elif self.waiting != "spin":
            parts.switches = put_off * self.value("switch")
            # In a stream one end sleeps while the other works: nobody waits for that.
            waited = self.pattern == "latency"
            parts.wakeups = asleep * self.value("wake/cross-cpu") if waited else 0.0
        faults = self.count("page_faults")
        parts.faults = faults * self.value("fault_present") if faults else 0.0
        if self.row["touch"] == "all":
            each = self.constants.per_byte("fill", self.size)
            each += self.constants.per_byte("check", self.size)
            parts.payload = self.messages * self.size * each
        return parts

    def _journey(self) -> float:
        """What one message costs more because the other CPU has it in its caches, ns."""
        if self.size <= BESIDE_READY:
            return 0.0  # it travels with the word that announces it
        line = self.value("cache_line")
        measured = self.constants.measured_at("copy_out_cross")
        if not measured:
            return line * 2
        here = 2 * self.size * self.constants.per_byte("memcpy", 2 * self.size)
        if self.size < measured[0]:
            # From one line's journey to that of the smallest measured, by lines.
            least = measured[0] * self._taken_over(measured[0])
            share = (self.size - LINE) / (measured[0] - LINE)
            return max(0.0, 2 * line + share * (least - 2 * line) - here)
        return max(0.0, self.size * self._taken_over(self.size) - here)

    def _taken_over(self, size: int) -> float:
        """Copied in and copied out across CPUs, ns per byte."""
        return self.constants.per_byte("copy_in_cross", size) + self.constants.per_byte(
            "copy_out_cross", size
        )

    def _overlap(self, parts: Parts, sending: float) -> None:
        """In a stream across CPUs both ends work at once: the lesser half takes no time."""
        if self.pattern == "throughput":
            share = 0.5 if math.isnan(sending) else min(max(sending, 0.0), 1.0)
            work = parts.calls + parts.own + parts.copies + parts.payload
            parts.overlap = -work * min(share, 1 - share)


def kernel_copies(mechanism: str) -> int:
    """How often the kernel copies each byte of a message: in and out, or only once."""
    return ONE_COPY.get(mechanism, 2)


def memory_passed(row: Row) -> int:
    """Bytes that both ends go through before they come back to the first: the working set.

    With shared memory, the places of its rings and a buffer each; where the kernel copies, a
    message's pages in the kernel and a buffer each.
    """
    size, pattern = int(row["message_size"]), str(row["pattern"])
    if row["waiting"] == "kernel":
        return 3 * size
    layout = Layout(size, room_for(pattern, size))
    # A ping-pong has a ring each way, and goes round: each message takes the next place.
    rings = 2 if pattern == "latency" else 1
    return rings * layout.slots * layout.stride + 2 * size
