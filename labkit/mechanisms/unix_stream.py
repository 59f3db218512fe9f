"""A Unix-domain stream socket: bytes both ways between two sockets of one machine. unix(7)

Try it in a shell:  python3 -m http.server --help   (or: socat - UNIX-LISTEN:/tmp/s)

Unrelated processes meet at a path (bind, listen, connect, accept); relatives inherit a socketpair,
as here. Like a pipe it is a stream: a message may arrive in parts. Unlike a pipe, each send keeps
its own buffer in the kernel, and descriptors can be passed along.
"""

import os
import socket
from functools import cache
from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.libc import errno, recv, send
from labkit.kernel.limits import limits
from labkit.mechanisms import private_buffer
from labkit.mechanisms.contract import (
    BUFFER,
    CALLS,
    DESCRIPTOR,
    TAKEN,
    Channel,
    End,
    Mechanism,
    Verbs,
)
from labkit.mechanisms.socket_room import SocketPair, buffer_for

EINTR = 4
MSG_NOSIGNAL = 0x4000  # a closed other end is an error to report, not a SIGPIPE


@measured
def publish(ch: Any, n: int) -> int:
    """send(2): the kernel copies the message into a buffer of its own."""
    done = 0
    while done < n:
        ch[CALLS] += 1
        taken = send(ch[DESCRIPTOR], ch[BUFFER] + done, n - done, MSG_NOSIGNAL)
        if taken > 0:
            done += taken
        elif errno() != EINTR:
            ch[TAKEN] = done
            return -errno()
    return 0


@measured
def peek(ch: Any, n: int) -> int:
    """recv(2): the kernel copies the next n bytes out, in as many parts as it has them."""
    done = 0
    while done < n:
        ch[CALLS] += 1
        taken = recv(ch[DESCRIPTOR], ch[BUFFER] + done, n - done, 0)
        if taken > 0:
            done += taken
        elif taken == 0:
            return -32  # EPIPE: the other end has closed
        elif errno() != EINTR:
            return -errno()
    return ch[BUFFER]  # type: ignore[no-any-return]


def socket_pair(kind: int, buffer: int) -> SocketPair:
    """Two connected Unix sockets whose buffers were asked to hold `buffer` bytes. socketpair(2)"""
    pair = socket.socketpair(socket.AF_UNIX, kind)
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    return pair


@cache
def _buffer(kind: int, message_size: int, room: int) -> int:
    return buffer_for(lambda wanted: socket_pair(kind, wanted), message_size, room)


class SocketPairChannel(Channel):
    """A connected pair of Unix sockets that the ends inherit."""

    KIND: int = socket.SOCK_STREAM

    def create(self) -> None:
        buffer = _buffer(self.KIND, self.message_size, self.room)
        self.sockets = socket_pair(self.KIND, buffer)

    def open(self, end: End, state: Any) -> None:
        self.socket, other = self.sockets if end == "producer" else reversed(self.sockets)
        other.close()
        state[DESCRIPTOR] = self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def discard(self) -> None:
        for end in self.sockets:
            end.close()

    def refuse_to_wait(self, state: Any) -> None:
        os.set_blocking(self.socket.fileno(), False)


def socket_limits() -> dict[str, int | None]:
    """What bounds a socket's buffers on this machine. socket(7)"""
    return {name: limits().get(name) for name in ("wmem_max", "wmem_default")}


SOCKET_REMEDIES = {
    "EMSGSIZE": "a message must fit the socket's send buffer: raise it with "
    "`sysctl -w net.core.wmem_max=N`",
    "EMFILE": "no descriptor is left: raise `ulimit -n`",
}

MECHANISM = Mechanism(
    name="unix_stream",
    title="Unix socket, stream",
    family="kernel-copied",
    persistence="process",
    rendezvous="a path (or an abstract name) to connect to; relatives inherit a pair",
    verbs=Verbs(private_buffer.claim, publish, peek, private_buffer.release),
    channel=SocketPairChannel,
    limits=socket_limits,
    remedies=SOCKET_REMEDIES,
)
