"""A Unix-domain datagram socket: whole messages, in order, and none is lost. unix(7)

Try it in a shell:  logger hello   (the system log listens on such a socket)

A send waits when the receiver's queue is full. A pair, as here, may hold as many messages as its
buffer pays for; a socket bound to a path takes net.unix.max_dgram_qlen + 1 from strangers.
"""

import socket
from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.libc import errno, recv, send
from labkit.mechanisms import private_buffer
from labkit.mechanisms.contract import BUFFER, CALLS, DESCRIPTOR, Mechanism, Verbs
from labkit.mechanisms.unix_stream import (
    SOCKET_REMEDIES,
    SocketPairChannel,
    socket_limits,
)

EINTR = 4
EBADMSG = 74
MSG_NOSIGNAL = 0x4000


@measured
def publish(ch: Any, n: int) -> int:
    """send(2): one call, one message, whole or not at all."""
    ch[CALLS] += 1
    while send(ch[DESCRIPTOR], ch[BUFFER], n, MSG_NOSIGNAL) < 0:
        if errno() != EINTR:
            return -errno()
        ch[CALLS] += 1
    return 0


@measured
def peek(ch: Any, n: int) -> int:
    """recv(2): one call, one message."""
    ch[CALLS] += 1
    size = recv(ch[DESCRIPTOR], ch[BUFFER], n, 0)
    while size < 0:
        if errno() != EINTR:
            return -errno()
        ch[CALLS] += 1
        size = recv(ch[DESCRIPTOR], ch[BUFFER], n, 0)
    if size != n:
        return -EBADMSG
    return ch[BUFFER]  # type: ignore[no-any-return]


class DatagramChannel(SocketPairChannel):
    """A connected pair of datagram sockets that the ends inherit."""

    KIND = socket.SOCK_DGRAM


MECHANISM = Mechanism(
    name="unix_dgram",
    title="Unix socket, datagrams",
    family="kernel-copied",
    persistence="process",
    rendezvous="a path (or an abstract name) to send to; relatives inherit a pair",
    verbs=Verbs(private_buffer.claim, publish, peek, private_buffer.release),
    channel=DatagramChannel,
    limits=socket_limits,
    remedies=SOCKET_REMEDIES,
)
