"""How long ends may make no progress: in time that was theirs to use, not on the clock.

Thirty pairs that spin on two CPUs are slow, and each of them is well. So the time that an end
waited for a CPU does not count, nor a time in which whoever watches stood still itself (a paused
container, a virtual machine that was put aside). An end that sleeps could have been woken, one
that runs could have got on, and one that a signal has stopped is not going to: their time counts.
"""

import contextlib
import os
import time
from dataclasses import dataclass

LOOK_S = 1.0  # between two looks, at the least
STOPPED = ("T", "t")  # by a signal, or by a tracer; proc_pid_stat(5)
WAITING_OR_RUNNING = "R"


@dataclass(frozen=True)
class Use:
    """What a process has had of the CPUs so far."""

    state: str
    run_s: float
    wait_s: float | None  # runnable without running; None where the kernel does not count it


def use_of(pid: int) -> Use | None:
    """Read it from /proc: the state and times of stat, and schedstat where there is one.

    Kernel documentation, scheduler/sched-stats: time on the CPU and time on a run queue, in ns.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    ticks = int(fields[11]) + int(fields[12])
    use = Use(fields[0], ticks / os.sysconf("SC_CLK_TCK"), None)
    with contextlib.suppress(OSError, ValueError):
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            run, wait = (int(word) / 1e9 for word in file.read().split()[:2])
        if run or wait:
            use = Use(use.state, run, wait)
    return use


class Chances:
    """How long one process could have got on since it was last known to.

    `s` is that time in seconds, `stopped_s` for how long of it every look found it stopped.
    """

    def __init__(self, pid: int, most_s: float) -> None:
        self._pid = pid
        self._most_s = most_s  # that a single look may add
        self._last = use_of(pid)
        self._at = time.monotonic()
        self.s = self.stopped_s = 0.0

    def look(self) -> None:
        """Count what passed since the last look."""
        now, use = time.monotonic(), use_of(self._pid)
        passed = min(now - self._at, self._most_s)
        self.stopped_s = self.stopped_s + passed if use and use.state in STOPPED else 0.0
        self.s = max(0.0, self.s + _usable(passed, self._last, use))
        self._last, self._at = use, now


def _usable(passed: float, before: Use | None, now: Use | None) -> float:
    """How much of the time between two looks was the process's to use; less than 0 to take back.

    A wait for a CPU is added up by the kernel when it is over. Until then it shows as a process
    that is runnable and has not run.
    """
    if before is None or now is None:
        return passed
    ran = now.run_s - before.run_s
    if now.state == WAITING_OR_RUNNING and (ran == 0 or now.wait_s is None):
        return min(ran, passed)
    if now.wait_s is None or before.wait_s is None:
        return passed
    return passed - (now.wait_s - before.wait_s)
