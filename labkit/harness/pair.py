"""A pair of ends seen from the helper that forked them: orders, replies, deaths and stalls.

An end that dies, or stops making progress, is a fact to report by name, with the message it was
at; the other end is then taken down. It is never waited for without a deadline.
"""

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.errors import LabkitError
from labkit.harness.ends import CHANNELS, EndProcess, Engine, OpenCell, SharedRecords, fork_end
from labkit.harness.patience import LOOK_S, Chances
from labkit.kernel.process_descriptor import open_process
from labkit.kernel.trace import SystemCall, Tracer
from labkit.mechanisms.contract import SEQUENCE, End

ENDS: tuple[End, End] = ("producer", "consumer")
STALL_S = 10.0  # without one message of progress, at the least, of time to make it in
TRACED_S = 60.0  # for a traced stretch, each of whose system calls is stopped at twice
# Slower than this for one message is no progress either, by the engine.
LEAST_BYTES_PER_S = {"compiled": 20e6, "python": 0.5e6}


class EndDied(LabkitError):
    """One end of a pair died or stalled; the message says which, how, and at which message."""


class EndStalled(EndDied):
    """Neither end died, but one made no progress until its time was up."""


class HungUp(LabkitError):
    """Whoever asked for the measurement is gone."""


@dataclass
class _Member:
    end: End
    pid: int
    pidfd: int
    orders: socket.socket


class Pair:
    """A producer and a consumer process, forked here, told what to do by `order`.

    Args:
        cells: what they may be asked to measure, by index.
        cpus: where each is pinned; None leaves it to the scheduler.
        lifeline: a socket whose hanging up means that nobody wants the results any more.
        stall_s: how long an end may make no progress with a small message.
    """

    def __init__(
        self,
        shared: SharedRecords,
        cells: list[OpenCell],
        engine: Engine,
        cpus: tuple[int | None, int | None],
        lifeline: socket.socket,
        stall_s: float | None = None,
    ) -> None:
        self.shared = shared
        self.cells = cells
        self._lifeline = lifeline
        self._stall_s = STALL_S if stall_s is None else stall_s
        self._bytes_per_s = LEAST_BYTES_PER_S[engine.name]
        self._members: list[_Member] = []
        shared.reset()
        try:
            for end, cpu in zip(ENDS, cpus, strict=True):
                self._members.append(self._fork(end, engine, cpu))
        except (OSError, LabkitError):
            self.take_down()
            raise

    def _fork(self, end: End, engine: Engine, cpu: int | None) -> _Member:
        """Fork one end. When a descriptor or memory for it is refused, nothing of it is left."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = 0
        try:
            with theirs:
                process = EndProcess(end, theirs, self.shared, self.cells, engine, cpu)
                others = [ours, self._lifeline, *(member.orders for member in self._members)]
                pid = fork_end(process, others)
            return _Member(end, pid, open_process(pid), ours)
        except (OSError, LabkitError):
            ours.close()  # an end that waits for orders leaves by itself
            if pid:
                os.waitpid(pid, 0)
            raise

    @property
    def pids(self) -> dict[End, int]:
        """The process id of each end."""
        return {member.end: member.pid for member in self._members}

    def order(self, what: dict[str, Any]) -> dict[End, dict[str, Any]]:
        """Give both ends the same order and wait for both replies.

        Raises:
            EndDied: an end died or made no progress; both are gone then.
            HungUp: the lifeline hung up.
        """
        self.give(what)
        return self.replies(self.cells[what["cell"]].message_size)

    def give(self, what: dict[str, Any]) -> None:
        """Give both ends an order, without waiting for the replies."""
        text = json.dumps(what).encode()
        for member in self._members:
            with contextlib.suppress(OSError):  # it is dead: the replies will say how
                member.orders.send(text)

    def replies(self, message_size: int) -> dict[End, dict[str, Any]]:
        """Wait for the replies of both ends to the last order."""
        found: dict[End, dict[str, Any]] = {}
        poll = select.poll()
        by_fd = {member.orders.fileno(): member for member in self._members}
        for fd in (*by_fd, self._lifeline.fileno()):
            poll.register(fd, select.POLLIN)
        patience = self._stall_s + message_size / self._bytes_per_s
        look_s = min(LOOK_S, self._stall_s / 4)
        seen, since, looked = self._progress(), time.monotonic(), time.monotonic()
        chances: dict[End, Chances] = {}
        while len(found) < len(self._members):
            for fd, _ in poll.poll(1000 * look_s):
                if fd == self._lifeline.fileno():
                    if self._lifeline.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                        self.take_down()
                        raise HungUp("nobody waits for the results any more.")
                    continue
                member = by_fd[fd]
                try:
                    text = member.orders.recv(65536)
                except OSError:
                    text = b""
                if not text:
                    self._report_death(member)
                found[member.end] = reply = json.loads(text)
                poll.unregister(fd)
                if reply["status"] < 0:
                    # The other end may be waiting for what will never come.
                    return self._abandon(found)
            if time.monotonic() - looked < look_s:
                continue
            looked, now = time.monotonic(), self._progress()
            waiting = [member for member in self._members if member.end not in found]
            if now != seen or not chances:
                chances = {each.end: Chances(each.pid, 2 * look_s) for each in waiting}
                since = since if now == seen else looked
                seen = now
                continue
            for each in waiting:
                chances[each.end].look()
            left = [chances[each.end] for each in waiting]
            stopped = [each.end for each in waiting if chances[each.end].stopped_s >= patience]
            if stopped or (left and min(each.s for each in left) >= patience):
                self._report_stall(found, stopped, looked - since)
        return found

    def order_traced(
        self, what: dict[str, Any], on_call: Callable[[End, SystemCall], None]
    ) -> dict[End, dict[str, Any]]:
        """The same as `order`, with both ends traced: `on_call` is given each system call.

        Raises:
            LabkitError: tracing is refused here.
            EndDied, HungUp: as `order` does.
        """
        ends = {member.pid: member.end for member in self._members}
        with Tracer() as tracer:
            for pid in ends:
                tracer.attach(pid)
            self.give(what)
            dead: list[int] = []
            tracer.follow(
                lambda call: on_call(ends[call.pid], call),
                until=lambda: bool(dead) or self._answered(),
                timeout_s=TRACED_S,
                on_exit=lambda pid, _: dead.append(pid),
            )
        return self.replies(self.cells[what["cell"]].message_size)

    def _answered(self) -> bool:
        """Whether both ends have replied, or nobody waits for the results any more."""
        orders = [member.orders for member in self._members]
        ready, _, _ = select.select([*orders, self._lifeline], [], [], 0)
        return self._lifeline in ready or len(ready) == len(orders)

    def progress(self, end: End) -> int:
        """The number of the message that this end is at, on its first channel."""
        return int(self.shared.state(end, 0)[SEQUENCE])

    def _progress(self) -> list[int]:
        return [
            int(self.shared.state(end, channel)[SEQUENCE])
            for end in ENDS
            for channel in range(CHANNELS)
        ]

    def _abandon(self, found: dict[End, dict[str, Any]]) -> dict[End, dict[str, Any]]:
        self.take_down()
        for end in ENDS:
            found.setdefault(end, {"status": 0})
        return found

    def _report_death(self, member: _Member) -> None:
        _, status = os.waitpid(member.pid, 0)
        message = self.progress(member.end)
        self._members = [other for other in self._members if other is not member]
        os.close(member.pidfd)
        member.orders.close()
        self.take_down()
        how = (
            f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
            if os.WIFSIGNALED(status)
            else f"exited with status {os.WEXITSTATUS(status)}"
        )
        raise EndDied(f"the {member.end} {how} at message {message}.")

    def _report_stall(self, found: dict[End, Any], stopped: list[End], waited: float) -> None:
        """Name who stands still: those whom a signal has stopped; else all who have not replied."""
        ends = stopped or [end for end in ENDS if end not in found]
        who = " and ".join(f"the {end} (at message {self.progress(end)})" for end in ends)
        self.take_down()
        why = ", stopped by a signal," if stopped else ""
        were = "was" if len(ends) == 1 else "were"
        raise EndStalled(f"{who}{why} made no progress for {waited:.0f} s and {were} ended.")

    def take_down(self) -> None:
        """End both processes and reap them."""
        for member in self._members:
            member.orders.close()  # an end that waits for orders leaves by itself
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(member.pidfd, signal.SIGKILL)
            os.waitpid(member.pid, 0)
            os.close(member.pidfd)
        self._members = []
