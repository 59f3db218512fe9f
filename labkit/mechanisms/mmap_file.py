"""A file mapped shared: what one process stores, the other loads, and the file keeps. mmap(2)

The pages are the page cache's, shared by all who map the file; the kernel writes them to the disk
in its own time. It lives as long as the file does, across a reboot too.
"""

import os

from labkit.kernel.objects import map_shared
from labkit.mechanisms import ring
from labkit.mechanisms.contract import End, Mechanism
from labkit.mechanisms.segment import SegmentChannel, address_of


class MappedFileChannel(SegmentChannel):
    """A file in a private folder that both ends map."""

    def create_segment(self, size: int) -> None:
        self.path = self.objects.file(size)

    def attach(self, end: End) -> int:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self.mapping = map_shared(descriptor, self.layout.size)
        os.close(descriptor)  # a mapping needs no descriptor any more
        return address_of(self.mapping)

    def detach(self) -> None:
        self.mapping.close()

    def discard_segment(self) -> None:
        self.objects.remove("file", self.path)


MECHANISM = Mechanism(
    name="mmap_file",
    title="Shared mapping of a file",
    family="shared-memory",
    persistence="filesystem",
    rendezvous="a path in the filesystem",
    verbs=ring.VERBS,
    channel=MappedFileChannel,
    limits=lambda: {},
    remedies={
        "ENOSPC": "the temporary folder is full: free some, or set TMPDIR",
        "EACCES": "the temporary folder cannot be written: set TMPDIR",
        "ENOTSUP": "the temporary folder's filesystem cannot reserve space: set TMPDIR",
    },
)
