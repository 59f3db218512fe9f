"""A FIFO: a pipe with a name in the filesystem. fifo(7)

Try it in a shell:  mkfifo /tmp/f; cat /tmp/f & echo hello > /tmp/f; rm /tmp/f

Anyone who may open the path can meet there; open(2) waits for the other end. Only the name lives
on disk: the bytes are in the kernel, as in a pipe, and once it is open a FIFO *is* a pipe. So the
verbs are the pipe's.
"""

import os
from typing import Any

from labkit.mechanisms import pipe
from labkit.mechanisms.contract import DESCRIPTOR, Channel, End, Mechanism


class FifoChannel(Channel):
    """A FIFO that both ends open by its path."""

    def create(self) -> None:
        self.path = self.objects.fifo()

    def open(self, end: End, state: Any) -> None:
        self.descriptor = os.open(self.path, os.O_WRONLY if end == "producer" else os.O_RDONLY)
        if end == "producer":
            pipe.set_pipe_room(self.descriptor, self.room)
        state[DESCRIPTOR] = self.descriptor

    def close(self) -> None:
        os.close(self.descriptor)

    def discard(self) -> None:
        self.objects.remove("fifo", self.path)

    def refuse_to_wait(self, state: Any) -> None:
        os.set_blocking(self.descriptor, False)


MECHANISM = Mechanism(
    name="fifo",
    title="FIFO (named pipe)",
    family="kernel-copied",
    persistence="process",
    rendezvous="a path in the filesystem",
    verbs=pipe.MECHANISM.verbs,
    channel=FifoChannel,
    limits=pipe.MECHANISM.limits,
    remedies={
        "ENOSPC": "the temporary folder is full: free some, or set TMPDIR",
        "EACCES": "the temporary folder cannot be written: set TMPDIR",
        "EMFILE": "no descriptor is left: raise `ulimit -n`",
    },
)
