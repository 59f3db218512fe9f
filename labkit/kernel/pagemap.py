"""Which page of a process lies in which frame of physical memory, and whether it is its alone.

Linux, Documentation/admin-guide/mm/pagemap.rst; proc_pid_pagemap(5). The number of the frame is
shown to privileged processes only (CAP_SYS_ADMIN); the bits are shown to the process's owner too,
and the bit for "mapped by nobody else" tells copy on write without any frame.
"""

import ctypes
import mmap
import os
import struct
from typing import NamedTuple

from labkit.errors import LabkitError
from labkit.kernel.unreadable import ONES_OWN, Unreadable

PAGE = mmap.PAGESIZE
_FRAME = (1 << 55) - 1
_BITS = {"soft_dirty": 55, "exclusive": 56, "file_or_shared": 61, "swapped": 62, "present": 63}
_ENTRY = struct.Struct("=Q")


class Page(NamedTuple):
    """One page of a process's address space, and its entry of 64 bits.

    Attributes:
        address: its first address.
        present: in memory (bit 63); swapped: out on a disk (bit 62).
        file_or_shared: of a file, or of shared memory (bit 61).
        exclusive: no other process maps the frame (bit 56, since Linux 4.2).
        soft_dirty: written since the bit was last cleared (bit 55); never set where the kernel was
            built without CONFIG_MEM_SOFT_DIRTY.
        frame: the number of its physical frame; None if not present, or not shown to us.
        line: the entry in hexadecimal; where: the file and the offset that it was read from.
    """

    address: int
    present: bool
    swapped: bool
    file_or_shared: bool
    exclusive: bool
    soft_dirty: bool
    frame: int | None
    line: str
    where: str


def pages(pid: int | str, address: int, size: int = 1) -> list[Page]:
    """The pages that `size` bytes from `address` on lie in. None of them is touched.

    Raises:
        Unreadable: the process is gone or another user's, or the kernel has no pagemap.
    """
    first = address // PAGE
    count = (address + size + PAGE - 1) // PAGE - first
    path = f"/proc/{pid}/pagemap"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(descriptor, count * _ENTRY.size, first * _ENTRY.size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unreadable(path, error, ONES_OWN) from error
    entries = [entry for (entry,) in _ENTRY.iter_unpack(data)]
    return [_page(path, first + number, entry) for number, entry in enumerate(entries)]


def page_at(pid: int | str, address: int) -> Page:
    """The page that an address lies in; see `pages`.

    Raises:
        Unreadable: as for `pages`.
        LabkitError: no process has such an address.
    """
    found = pages(pid, address)
    if not found:
        raise LabkitError(f"{address:#x} is not an address that a process can have")
    return found[0]


def why_not() -> str | None:
    """Why no frames are shown here and what to do, in one sentence; None if they are.

    Tried on a page of this process.
    """
    memory = mmap.mmap(-1, PAGE)
    memory[0] = 1  # now it is there
    place = ctypes.c_char.from_buffer(memory)
    try:
        page = page_at("self", ctypes.addressof(place))
    except LabkitError as error:
        return f"{error}."
    finally:
        del place
        memory.close()
    if page.frame is not None:
        return None
    return (
        "the kernel shows the numbers of physical frames to privileged processes only"
        " (CAP_SYS_ADMIN); run it with sudo to see them."
    )


def _page(path: str, number: int, entry: int) -> Page:
    bits = {name: bool(entry >> bit & 1) for name, bit in _BITS.items()}
    # For a page on a disk these bits tell where there; 0 stands for a frame that is kept from us.
    frame = entry & _FRAME if bits["present"] else 0
    return Page(
        address=number * PAGE,
        frame=frame or None,
        line=f"{entry:#018x}",
        where=f"{path}, offset {number * _ENTRY.size:#x}",
        **bits,
    )
