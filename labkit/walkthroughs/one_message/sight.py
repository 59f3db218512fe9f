"""What can be seen of a message from outside: buffers, words, and how much a kernel buffer holds.

proc_pid_mem(5), pidfd_getfd(2)
"""

import contextlib
import os
from typing import Any

from labkit.errors import LabkitError
from labkit.harness.ends import SharedRecords
from labkit.kernel.descriptors import descriptors, queue_state, unread_bytes
from labkit.kernel.libc import syscall
from labkit.kernel.memory import get_word
from labkit.kernel.process_descriptor import open_process
from labkit.kernel.process_memory import read_memory
from labkit.kernel.sysv_status import queue_status
from labkit.mechanisms import is_own, pipe_vmsplice, ring
from labkit.mechanisms.contract import BUFFER, DESCRIPTOR, End
from labkit.walkthroughs.one_message.loops import PLACE
from labkit.walkthroughs.one_message.passage import Seen

PIDFD_GETFD = 438  # the same number on every architecture, asm-generic/unistd.h


class Sight:
    """Looks into both ends of a channel, and into what lies between them.

    Args:
        size: bytes of the message.
        shares: whether the ends share memory.
        waiting: how an end waits there.
    """

    def __init__(
        self,
        name: str,
        pids: dict[End, int],
        shared: SharedRecords,
        size: int,
        shares: bool,
        waiting: str,
    ) -> None:
        self._name = name
        self._pids = pids
        self._shared = shared
        self._size = size
        self._shares = shares
        self._waiting = waiting
        self._in_place = False
        self._places: dict[str, int] = {}
        self._queue = -1  # our own descriptor of what the consumer reads from
        if not shares and name not in ("sysv_mq", "process_vm"):
            descriptor = int(shared.state("consumer", 0)[DESCRIPTOR])
            self._queue = _borrowed(pids["consumer"], descriptor)

    def close(self) -> None:
        """Give back what was borrowed."""
        if self._queue >= 0:
            os.close(self._queue)

    def aim(self, in_place: bool) -> None:
        """Find the addresses of what is to be looked at while the next message passes."""
        ours, theirs = (self._shared.state(end, 0) for end in ("producer", "consumer"))
        found = {"producer": int(ours[BUFFER]), "consumer": int(theirs[BUFFER])}
        if self._shares and in_place:
            del found["producer"], found["consumer"]
        if is_own(self._name):
            pass  # its verbs say where a message is, when it is there
        elif self._shares:
            found["segment"] = int(ours[ring.PLACE])
        elif self._name == "process_vm":
            found["producer"] = int(ours[ring.PLACE])
        elif self._name == "pipe_vmsplice":
            at = ours[pipe_vmsplice.AT] * ours[pipe_vmsplice.STRIDE]
            found["producer"] = int(ours[pipe_vmsplice.PAGES] + at)
        if self._waiting in ("futex", "spin"):
            found["ready"] = int(ours[ring.WORD])
        elif self._waiting == "posix_sem":
            found["ready"] = int(ours[ring.ITEMS])
        self._in_place, self._places = in_place, found

    def look(self) -> Seen:
        """What is where now."""
        if is_own(self._name):
            self._ask_where()
        found: dict[str, bytes | None] = {}
        for what in ("producer", "consumer", "segment"):
            pid = self._pids["consumer" if what == "consumer" else "producer"]
            found[what] = _memory(pid, self._places.get(what, 0), self._size)
        word = _memory(self._pids["producer"], self._places.get("ready", 0), 4)
        ready = None if word is None else int.from_bytes(word, "little")
        return Seen(**found, ready=ready, queued=self._queued())

    def _ask_where(self) -> None:
        """Take over where the verbs of somebody's own have said that the message is."""
        ends: tuple[End, End] = ("producer", "consumer")
        for end in ends:
            place = get_word(self._shared.state_address(end, 0) + 8 * PLACE)
            if place and self._shares and end == "producer":
                self._places["segment"] = place
            elif place and not self._shares:
                self._places[end] = place

    def _queued(self) -> int | None:
        with contextlib.suppress(OSError, LabkitError):
            if self._name == "sysv_mq":
                identifier = int(self._shared.state("consumer", 0)[DESCRIPTOR])
                return queue_status(identifier).data_bytes
            if self._queue >= 0 and self._name == "posix_mq":
                return queue_state(self._queue).data_bytes
            if self._queue >= 0:
                return unread_bytes(self._queue)
        return None

    def ring_words(self) -> tuple[list[int], int]:
        """Of a ring in shared memory: the message that each place was announced for, in the order
        of the places, and the last that the consumer has passed.
        """
        state: Any = self._shared.state("producer", 0)
        addresses = [
            int(state[ring.READY]) + number * int(state[ring.READY_STRIDE])
            for number in range(int(state[ring.SLOTS]))
        ]
        found = [
            int.from_bytes(read_memory(self._pids["producer"], address, 4), "little") >> 1
            for address in (*addresses, int(state[ring.PASSED]))
        ]
        return found[:-1], found[-1]


def eventfds(pids: dict[End, int]) -> set[tuple[int, int]]:
    """Process and number of each descriptor that only counts and carries no message. eventfd(2)"""
    return {
        (pid, each.number)
        for pid in pids.values()
        for each in descriptors(pid)
        if each.target == "anon_inode:[eventfd]"
    }


def _memory(pid: int, address: int, size: int) -> bytes | None:
    if address == 0:
        return None
    try:
        return read_memory(pid, address, size)
    except LabkitError:
        return None


def _borrowed(pid: int, descriptor: int) -> int:
    """Our own descriptor of what a descriptor of a child's leads to; -1 where that is refused."""
    process = open_process(pid)
    try:
        return syscall(PIDFD_GETFD, process, descriptor, 0, 0, 0, 0)
    finally:
        os.close(process)
