"""Both ends of a channel in one process, so that it can send to itself.

The harness opens one end in each of two processes, and each closes what only the other needs.
Here one process keeps both, and neither may wait: a message that doesn't fit is refused.
"""

import copy
import ctypes
import os
import socket
from typing import Any

from labkit.mechanisms.contract import BUFFER, DESCRIPTOR, SELF, STATE_WORDS, Channel
from labkit.mechanisms.fifo import FifoChannel
from labkit.mechanisms.pipe import PipeChannel, set_pipe_room
from labkit.mechanisms.segment import SegmentChannel
from labkit.mechanisms.tcp import TcpChannel
from labkit.mechanisms.unix_stream import SocketPairChannel

PATIENCE_S = 1.0


class BothEnds:
    """A channel opened twice by this process; `producer` and `consumer` are its state words.

    Args:
        channel: as its mechanism made it, opened by nobody yet.
        buffers: addresses of a private buffer for each end.

    Raises:
        OSError: an end could not be opened.
    """

    def __init__(self, channel: Channel, buffers: tuple[int, int]) -> None:
        self._channel = channel
        self._sockets: list[socket.socket] = []
        self._descriptors: list[int] = []
        self._opened: list[Channel] = []
        self.producer, self.consumer = (_state(buffer) for buffer in buffers)
        try:
            self._open(channel)
        except OSError:
            self.close()
            raise

    def _open(self, channel: Channel) -> None:
        if isinstance(channel, PipeChannel):
            self._use(channel.writing, channel.reading)
        elif isinstance(channel, FifoChannel):
            # For reading first: opened for writing, it would wait for a reader. fifo(7)
            for flags in (os.O_RDONLY | os.O_NONBLOCK, os.O_WRONLY):
                self._descriptors.append(os.open(channel.path, flags))
            reading, writing = self._descriptors
            set_pipe_room(writing, channel.room)
            self._use(writing, reading)
        elif isinstance(channel, SocketPairChannel):
            self._use(*(end.fileno() for end in channel.sockets))
        elif isinstance(channel, TcpChannel):
            self._connect(channel)
        else:  # an identifier or a name that both may use, or memory
            for end in (self.producer, self.consumer):
                one = copy.copy(channel)
                if isinstance(one, SegmentChannel) and one.waiting == "eventfd":
                    one.semaphores = _duplicates(one.semaphores)  # each end closes its own
                one.open("producer" if end is self.producer else "consumer", end)
                self._opened.append(one)
                one.refuse_to_wait(end)

    def _connect(self, channel: TcpChannel) -> None:
        sending = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._sockets.append(sending)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sending.setsockopt(socket.SOL_SOCKET, option, channel.buffer)
        sending.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for one in (sending, channel.listener):
            one.settimeout(PATIENCE_S)
        sending.connect(channel.listener.getsockname())
        while True:
            receiving, caller = channel.listener.accept()
            if caller == sending.getsockname():
                break
            receiving.close()  # a stranger
        self._sockets.append(receiving)
        self._use(sending.fileno(), receiving.fileno())

    def _use(self, sending: int, receiving: int) -> None:
        for state, descriptor in ((self.producer, sending), (self.consumer, receiving)):
            os.set_blocking(descriptor, False)
            state[DESCRIPTOR] = descriptor

    def close(self) -> None:
        """Close what was opened here and remove the channel."""
        for end in self._sockets:
            end.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        for channel in self._opened:
            channel.close()
        self._channel.discard()


def _duplicates(descriptors: tuple[int, int] | None) -> tuple[int, int] | None:
    """Other descriptors of the same open files, as a forked process has them. dup(2)"""
    return descriptors and (os.dup(descriptors[0]), os.dup(descriptors[1]))


def _state(buffer: int) -> Any:
    state = (ctypes.c_int64 * STATE_WORDS)()
    state[SELF] = ctypes.addressof(state)
    state[BUFFER] = buffer
    return state
