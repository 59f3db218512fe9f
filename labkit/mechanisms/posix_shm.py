"""POSIX shared memory: a file that lives in memory, behind a name. shm_overview(7)

Try it in a shell:  ls -l /dev/shm

shm_open(3) gives a descriptor of size 0, ftruncate(2) gives it a size, mmap(2) an address. The
object stays under its name until shm_unlink(3), and its memory until the last mapping is gone.
"""

import posix_ipc

from labkit.kernel.limits import limits
from labkit.kernel.objects import map_shared
from labkit.mechanisms import ring
from labkit.mechanisms.contract import End, Mechanism
from labkit.mechanisms.segment import SegmentChannel, address_of


class PosixSegmentChannel(SegmentChannel):
    """An object under a random name that both ends open and map."""

    def create_segment(self, size: int) -> None:
        self.name = self.objects.posix_segment(size)

    def attach(self, end: End) -> int:
        segment = posix_ipc.SharedMemory(self.name)
        self.mapping = map_shared(segment.fd, self.layout.size)
        segment.close_fd()  # a mapping needs no descriptor any more
        return address_of(self.mapping)

    def detach(self) -> None:
        self.mapping.close()

    def discard_segment(self) -> None:
        self.objects.remove("posix_shm", self.name)


MECHANISM = Mechanism(
    name="posix_shm",
    title="POSIX shared memory",
    family="shared-memory",
    persistence="kernel",
    rendezvous="a name such as /lab, seen in /dev/shm",
    verbs=ring.VERBS,
    channel=PosixSegmentChannel,
    limits=lambda: {name: limits().get(name) for name in ("dev_shm_size", "dev_shm_free")},
    remedies={
        "ENOSPC": "/dev/shm is full: `df -h /dev/shm`; in a container start it with --shm-size=1g",
        "EACCES": "/dev/shm cannot be written here",
        "ENOENT": "/dev/shm is not mounted: `mount -t tmpfs none /dev/shm` as root",
        "ENOSYS": "this kernel or container has no POSIX shared memory",
    },
)
