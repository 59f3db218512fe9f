"""A Unix-domain sequenced-packet socket: a connection that keeps message boundaries. unix(7)

It is connected like a stream and delivers whole messages like a datagram socket, so its verbs are
the datagram's and only the kind of socket differs.
"""

import socket

from labkit.mechanisms import unix_dgram
from labkit.mechanisms.contract import Mechanism
from labkit.mechanisms.unix_stream import (
    SOCKET_REMEDIES,
    SocketPairChannel,
    socket_limits,
)


class SequencedPacketChannel(SocketPairChannel):
    """A connected pair of sequenced-packet sockets that the ends inherit."""

    KIND = socket.SOCK_SEQPACKET


MECHANISM = Mechanism(
    name="unix_seqpacket",
    title="Unix socket, sequenced packets",
    family="kernel-copied",
    persistence="process",
    rendezvous="a path (or an abstract name) to connect to; relatives inherit a pair",
    verbs=unix_dgram.MECHANISM.verbs,
    channel=SequencedPacketChannel,
    limits=socket_limits,
    remedies=SOCKET_REMEDIES,
)
