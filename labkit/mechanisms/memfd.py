"""A memory file without a name, its descriptor passed over a Unix socket. memfd_create(2)

Like POSIX shared memory without the name: nobody can find it who was not handed its descriptor.
The producer hands it over with SCM_RIGHTS, unix(7): the kernel installs a descriptor of the same
open file in the receiving process, where it may well get another number.
"""

import os
import socket

from labkit.kernel.objects import map_shared
from labkit.mechanisms import ring
from labkit.mechanisms.contract import End, Mechanism
from labkit.mechanisms.segment import SegmentChannel, address_of


class MemoryFileChannel(SegmentChannel):
    """A memory file that the producer passes to the consumer."""

    def create_segment(self, size: int) -> None:
        self.descriptor = os.memfd_create("labkit", os.MFD_CLOEXEC)
        try:
            os.posix_fallocate(self.descriptor, 0, size)
            self.sockets = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError:
            os.close(self.descriptor)
            raise

    def attach(self, end: End) -> int:
        giving, taking = self.sockets
        if end == "producer":
            socket.send_fds(giving, [b"d"], [self.descriptor])
            descriptor = self.descriptor
        else:
            os.close(self.descriptor)  # inherited by accident of fork; use the one handed over
            _, [descriptor], _, _ = socket.recv_fds(taking, 1, 1)
        self.mapping = map_shared(descriptor, self.layout.size)
        os.close(descriptor)
        giving.close()
        taking.close()
        return address_of(self.mapping)

    def detach(self) -> None:
        self.mapping.close()

    def discard_segment(self) -> None:
        os.close(self.descriptor)
        for end in self.sockets:
            end.close()


MECHANISM = Mechanism(
    name="memfd",
    title="Memory file (memfd)",
    family="shared-memory",
    persistence="process",
    rendezvous="its descriptor passed over a Unix socket",
    verbs=ring.VERBS,
    channel=MemoryFileChannel,
    limits=lambda: {},
    remedies={
        "ENOMEM": "the machine, or the container's limit, is out of memory: free some",
        "ENOSPC": "the machine, or the container's limit, is out of memory: free some",
        "ENOSYS": "this kernel has no memfd_create (Linux 3.17 or newer has)",
    },
)
