"""TCP over the loopback interface: the network's own protocol, without a network. tcp(7)

Try it in a shell:  python3 -m http.server --bind 127.0.0.1 8000

The ends meet at an address and a port, which anybody on the machine may connect to first: so they
prove themselves to each other with a secret token before the first message. TCP_NODELAY keeps the
kernel from waiting to fill a packet. It is a stream, with the Unix stream's verbs.
"""

import os
import secrets
import socket
from functools import cache
from typing import Any

from labkit.mechanisms import unix_stream
from labkit.mechanisms.contract import DESCRIPTOR, Channel, End, Mechanism
from labkit.mechanisms.socket_room import SocketPair, buffer_for

TOKEN_BYTES = 16
PATIENCE = 5.0  # seconds an end waits for the other to show itself


def _set_buffers(end: socket.socket, buffer: int) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)


def _listen(buffer: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    _set_buffers(listener, buffer)  # accepted sockets inherit them, and so the window, tcp(7)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def _connect(address: Any, buffer: int) -> socket.socket:
    end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    _set_buffers(end, buffer)
    end.settimeout(PATIENCE)
    end.connect(address)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return end


def _pair(buffer: int) -> SocketPair:
    with _listen(buffer) as listener:
        sender = _connect(listener.getsockname(), buffer)
        receiver, _ = listener.accept()
    return sender, receiver


@cache
def _buffer(message_size: int, room: int) -> int:
    return buffer_for(_pair, message_size, room // 2)  # the two buffers hold it together


class TcpChannel(Channel):
    """A listening socket that the consumer inherits and the producer connects to."""

    def create(self) -> None:
        self.buffer = _buffer(self.message_size, self.room)
        self.listener = _listen(self.buffer)
        self.token = secrets.token_bytes(TOKEN_BYTES)

    def open(self, end: End, state: Any) -> None:
        if end == "producer":
            self.socket = _connect(self.listener.getsockname(), self.buffer)
            self.socket.sendall(self.token)
        else:
            self.socket = self._accept_the_producer()
        self.listener.close()
        self.socket.settimeout(None)
        state[DESCRIPTOR] = self.socket.fileno()

    def _accept_the_producer(self) -> socket.socket:
        self.listener.settimeout(PATIENCE)
        while True:
            caller, _ = self.listener.accept()
            caller.settimeout(PATIENCE)
            try:
                said = caller.recv(TOKEN_BYTES, socket.MSG_WAITALL)
            except OSError:
                said = b""  # it said nothing, or hung up
            if secrets.compare_digest(said, self.token):
                return caller
            caller.close()  # a stranger

    def close(self) -> None:
        self.socket.close()

    def discard(self) -> None:
        self.listener.close()

    def refuse_to_wait(self, state: Any) -> None:
        os.set_blocking(self.socket.fileno(), False)


MECHANISM = Mechanism(
    name="tcp",
    title="TCP over loopback",
    family="kernel-copied",
    persistence="process",
    rendezvous="an address and a port",
    verbs=unix_stream.MECHANISM.verbs,
    channel=TcpChannel,
    limits=unix_stream.socket_limits,
    remedies={
        "EMFILE": "no descriptor is left: raise `ulimit -n`",
        "EADDRNOTAVAIL": "the loopback interface is down: `ip link set lo up`",
        "ENETUNREACH": "the loopback interface is down: `ip link set lo up`",
    },
)
