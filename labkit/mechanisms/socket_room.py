"""How large a socket's buffers must be asked for, so that it holds the room a stream should have.

A socket counts what a message costs the kernel (its bookkeeping too), not its payload, socket(7);
so the buffer that holds 64 KiB of payload depends on the message size, and is found by trying.
"""

import socket
from collections.abc import Callable

ROUNDS = 4
SocketPair = tuple[socket.socket, socket.socket]


def held(sender: socket.socket, message_size: int, enough: int) -> int:
    """Bytes of payload a fresh pair takes before it refuses, or a little over `enough`."""
    sender.setblocking(False)
    message = bytes(message_size)
    taken = 0
    try:
        while taken <= 2 * enough:
            taken += sender.send(message)
    except OSError:
        pass  # EAGAIN: full. EMSGSIZE: never, which the harness finds out and reports
    return taken


def buffer_for(make: Callable[[int], SocketPair], message_size: int, room: int) -> int:
    """The SO_SNDBUF to ask for so that a pair of `make` holds about `room` bytes of payload."""
    wanted = room
    best = (room, wanted)
    for _ in range(ROUNDS):
        pair = make(wanted)
        taken = held(pair[0], message_size, room)
        for end in pair:
            end.close()
        best = min(best, (abs(taken - room), wanted))
        if taken == 0 or best[0] <= max(message_size, room // 16):
            break
        wanted = max(2048, min(8 * wanted, wanted * room // taken))
    return best[1]
