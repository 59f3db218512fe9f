"""The two ends of a pair: what runs in the producer's and in the consumer's process.

An end is forked from the helper. It does what the helper tells it over a socket, one order at a
time: open a cell's channels, measure, close them. Messages travel only through the mechanism.
"""

import ctypes
import json
import mmap
import os
import signal
import socket
from dataclasses import dataclass
from typing import Any

from labkit.harness import payload
from labkit.harness.record import RECORD_WORDS
from labkit.kernel.cpus import pin
from labkit.mechanisms.contract import (
    BUFFER,
    PAGE,
    SELF,
    STATE_WORDS,
    TAKEN,
    Channel,
    End,
    Verbs,
)
from labkit.mechanisms.own_running import told
from labkit.mechanisms.segment import address_of

CHANNELS = 3  # of a cell, at most: there, back, and one to be filled
MOST_SINGLES = 4096
PR_SET_PDEATHSIG = 1


class SharedRecords:
    """Memory that both ends and the helper see: states, records, single round trips, the gate.

    The helper can read from it how far each end got even after that end was killed.
    """

    def __init__(self) -> None:
        self._states = 1024
        self._records = self._states + 2 * CHANNELS * 8 * STATE_WORDS
        self._samples = self._records + 2 * 8 * RECORD_WORDS
        self._memory = mmap.mmap(-1, self._samples + 8 * (MOST_SINGLES + 1))
        self.gate = address_of(self._memory)

    def state_address(self, end: End, channel: int) -> int:
        """Where the state words of this end of this channel are."""
        number = CHANNELS * (end == "consumer") + channel
        return self.gate + self._states + 8 * STATE_WORDS * number

    def state(self, end: End, channel: int) -> Any:
        """The state words of this end of this channel, as an array."""
        return (ctypes.c_int64 * STATE_WORDS).from_address(self.state_address(end, channel))

    def record_address(self, end: End) -> int:
        """Where this end's record is."""
        return self.gate + self._records + 8 * RECORD_WORDS * (end == "consumer")

    def record(self, end: End) -> Any:
        """This end's record, as an array of words."""
        return (ctypes.c_int64 * RECORD_WORDS).from_address(self.record_address(end))

    @property
    def samples_address(self) -> int:
        """Where the times of single round trips are."""
        return self.gate + self._samples

    def samples(self, count: int) -> list[int]:
        """The first `count` of them, in ns."""
        return list((ctypes.c_int64 * count).from_address(self.samples_address))

    def reset(self) -> None:
        """Set the gate back, for a new pair."""
        ctypes.c_int64.from_address(self.gate).value = 0


@dataclass(frozen=True)
class Engine:
    """The loops and verbs in one engine's form: compiled, or as they stand in the source."""

    name: str
    loops: dict[str, Any]
    verbs: Verbs


@dataclass(frozen=True)
class OpenCell:
    """A cell ready to be measured: its settings and its channels."""

    pattern: str
    message_size: int
    touch: str
    through_buffer: bool  # shared memory in copy mode: memcpy in, memcpy out
    channels: list[Channel]
    spare: Channel | None  # to be filled, so as to see how much it holds


class EndProcess:
    """One end, in its own process, obeying orders until told to leave."""

    def __init__(
        self,
        end: End,
        orders: socket.socket,
        shared: SharedRecords,
        cells: list[OpenCell],
        engine: Engine,
        cpu: int | None,
    ) -> None:
        self.end = end
        self.orders = orders
        self.shared = shared
        self.cells = cells
        self.engine = engine
        self.cpu = cpu
        # This end's private buffer, page-aligned, with a page before it for a message's type. One
        # is enough: an end has one message in hand, and each page more is one more to be found
        # again after every switch of address spaces.
        largest = max(cell.message_size for cell in cells)
        self._memory = mmap.mmap(-1, largest + 2 * PAGE)
        self.buffer = address_of(self._memory) + PAGE

    def serve(self) -> None:
        """Obey until the other side hangs up."""
        # Nobody is left to take the results when the helper is gone; prctl(2).
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if self.cpu is not None:
            pin(self.cpu)
        while order := self.orders.recv(4096):
            self.orders.send(json.dumps(self._obey(json.loads(order))).encode())

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        cell = self.cells[order["cell"]]
        try:
            if order["do"] == "open":
                self._open(cell)
            elif order["do"] == "fill":
                return self._fill(cell)
            elif order["do"] == "empty":
                if cell.spare is not None:
                    cell.spare.close()
            elif order["do"] == "close":
                for channel in cell.channels:
                    channel.close()
            else:
                return {"status": self._measure(cell, order)}
        except OSError as error:
            return {"status": -(error.errno or 5)}
        except Exception as error:  # posix_ipc's and sysv_ipc's own; a mechanism of a student's
            return {"status": -5, "error": told(error)}
        return {"status": 0}

    def _open_channel(self, channel: Channel, number: int) -> Any:
        state = self.shared.state(self.end, number)
        ctypes.memset(ctypes.addressof(state), 0, ctypes.sizeof(state))
        state[SELF] = ctypes.addressof(state)
        state[BUFFER] = self.buffer
        # The answer of a ping-pong runs the other way.
        backwards = number == 1
        end: End = self.end
        if backwards:
            end = "consumer" if end == "producer" else "producer"
        channel.open(end, state)
        return state

    def _open(self, cell: OpenCell) -> None:
        for number, channel in enumerate(cell.channels):
            self._open_channel(channel, number)

    def _fill(self, cell: OpenCell) -> dict[str, Any]:
        """How many messages the spare channel takes before it refuses."""
        channel = cell.spare
        if channel is None:
            return {"status": 0}
        number = CHANNELS - 1
        state = self._open_channel(channel, number)
        taken = 0
        if self.end == "producer":
            channel.refuse_to_wait(state)
            most = 1 << 24
            taken = self.engine.loops["pour"](
                self.engine.verbs.claim,
                self.engine.verbs.publish,
                ctypes.addressof(state),
                cell.message_size,
                most,
            )
        return {
            "status": min(taken, 0),
            "taken": max(taken, 0),
            "bytes": max(taken, 0) * cell.message_size + state[TAKEN],
        }

    def _measure(self, cell: OpenCell, order: dict[str, Any]) -> int:
        touch = payload.ALL if cell.touch == "all" else payload.ENDS
        private = self.buffer if cell.through_buffer else 0
        there, back = (self.shared.state_address(self.end, number) for number in (0, 1))
        common = (cell.message_size, touch, private, order["warm"], order["count"])
        where = (self.shared.gate, self.shared.record_address(self.end))
        verbs, loops = self.engine.verbs, self.engine.loops
        if cell.pattern == "throughput":
            if self.end == "producer":
                status = loops["source"](verbs.claim, verbs.publish, there, *common, *where)
            else:
                status = loops["sink"](verbs.peek, verbs.release, there, *common, *where)
        else:
            loop = loops["ping" if self.end == "producer" else "pong"]
            status = loop(
                verbs.claim,
                verbs.publish,
                verbs.peek,
                verbs.release,
                there,
                back,
                *common,
                order["singles"],
                self.shared.samples_address,
                *where,
            )
        return int(status)


def fork_end(process: EndProcess, also_close: list[socket.socket]) -> int:
    """Fork one end from the helper: its process id. The child never returns."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, signal.SIG_DFL)
        for other in also_close:
            other.close()
        process.serve()
        status = 0
    finally:
        os._exit(status)  # nothing of the helper's is to be cleaned up here
