"""Anonymous shared memory: no name, no file, only relatives have it. mmap(2), MAP_ANONYMOUS

Mapped before fork(2), it appears in the child at the same address, and it is the same memory: the
one kind of shared memory that nobody has to find. It ends with the last process that has it.
"""

import mmap

from labkit.kernel.objects import map_shared
from labkit.mechanisms import ring
from labkit.mechanisms.contract import End, Mechanism
from labkit.mechanisms.segment import SegmentChannel, address_of


class AnonymousChannel(SegmentChannel):
    """A mapping that the helper makes and both ends inherit."""

    def create_segment(self, size: int) -> None:
        self.mapping: mmap.mmap = map_shared(-1, size)

    def attach(self, end: End) -> int:
        return address_of(self.mapping)  # attached already: fork did it

    def detach(self) -> None:
        self.mapping.close()

    def discard_segment(self) -> None:
        self.mapping.close()


MECHANISM = Mechanism(
    name="mmap_anon",
    title="Anonymous shared mapping",
    family="shared-memory",
    persistence="process",
    rendezvous="none: inherited over fork",
    verbs=ring.VERBS,
    channel=AnonymousChannel,
    limits=lambda: {},
    remedies={"ENOMEM": "the machine, or the container's limit, is out of memory: free some"},
)
