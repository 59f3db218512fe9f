"""An anonymous pipe: a buffer in the kernel, one end to write to, one end to read from. pipe(7)

Try it in a shell:  echo hello | cat

Only relatives share it: its descriptors are inherited over fork(2) or handed over a Unix socket.
It is a stream of bytes. write(2) may take only part of a large message and read(2) may return
only part of it, so both go on until the message is whole.
"""

import fcntl
import os
from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.libc import errno, read, write
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

EINTR = 4
NEW_PIPE = 65536  # bytes; fewer for a user who has very many, pipe(7)


@measured
def publish(ch: Any, n: int) -> int:
    """Give the message to the kernel, which copies it into the pipe's pages."""
    done = 0
    while done < n:
        ch[CALLS] += 1
        taken = write(ch[DESCRIPTOR], ch[BUFFER] + done, n - done)
        if taken > 0:
            done += taken
        elif errno() != EINTR:
            ch[TAKEN] = done
            return -errno()
    return 0


@measured
def peek(ch: Any, n: int) -> int:
    """Have the kernel copy the next message out of the pipe; it is gone from there."""
    done = 0
    while done < n:
        ch[CALLS] += 1
        taken = read(ch[DESCRIPTOR], ch[BUFFER] + done, n - done)
        if taken > 0:
            done += taken
        elif taken == 0:
            return -32  # EPIPE: the last writer has closed its end
        elif errno() != EINTR:
            return -errno()
    return ch[BUFFER]  # type: ignore[no-any-return]


class PipeChannel(Channel):
    """A pipe whose two descriptors the ends inherit."""

    def create(self) -> None:
        self.reading, self.writing = os.pipe()
        set_pipe_room(self.writing, self.room)

    def open(self, end: End, state: Any) -> None:
        # Each end closes the side it doesn't use; a forgotten write end would keep it from ending.
        self.descriptor, other = (
            (self.writing, self.reading) if end == "producer" else (self.reading, self.writing)
        )
        os.close(other)
        state[DESCRIPTOR] = self.descriptor

    def close(self) -> None:
        os.close(self.descriptor)

    def discard(self) -> None:
        os.close(self.reading)
        os.close(self.writing)

    def refuse_to_wait(self, state: Any) -> None:
        os.set_blocking(self.descriptor, False)


def set_pipe_room(descriptor: int, room: int) -> None:
    """Ask for a pipe of `room` bytes, or the most an ordinary user may have. fcntl(2)

    Never for less than a new pipe has: one of a single page is full as soon as it holds anything,
    and reading from a full pipe costs a look for writers to wake.
    """
    if room <= NEW_PIPE:
        return
    for wanted in (room, limits().get("pipe-max-size") or 65536):
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, wanted)
            return
        except OSError:
            continue  # what it has stays: the room is measured, not assumed


MECHANISM = Mechanism(
    name="pipe",
    title="Anonymous pipe",
    family="kernel-copied",
    persistence="process",
    rendezvous="inherited over fork, or its descriptor passed over a Unix socket",
    verbs=Verbs(private_buffer.claim, publish, peek, private_buffer.release),
    channel=PipeChannel,
    limits=lambda: {"pipe-max-size": limits().get("pipe-max-size")},
    remedies={"EMFILE": "no descriptor is left: raise `ulimit -n`"},
)
