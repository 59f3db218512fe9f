"""What a process has mapped, and how much of it is really there.

proc_pid_maps(5), proc_pid_smaps(5). Of a System V segment the kernel shows its key in the path,
/SYSV followed by eight hexadecimal digits, and its id as the inode.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from labkit.kernel.unreadable import ONES_OWN, Unreadable

_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) (\S+) (\d+) *(.*)")
_SYSTEM_V = re.compile(r"/SYSV([0-9a-f]{8})( \(deleted\))?")
_KIB = 1024


@dataclass(frozen=True)
class Mapping:
    """One mapping: a line of maps, with its amounts if smaps was asked.

    Attributes:
        start, end: its first address, and the first one behind it.
        permissions: as in "rw-s": read, write, execute; s for shared, p for private.
        offset: where in the file it begins, bytes.
        device, inode: of the file; for a System V segment, the inode is its id.
        path: the file, a name in brackets such as [heap], or "". A file without a name any more
            ends in " (deleted)".
        amounts: what smaps says, in bytes: Rss (in memory), Pss (the same, each page divided by the
            number of processes that map it), Shared_Clean, Private_Dirty and so on. Empty if only
            maps was read.
        line: the line as it was read; where: the file it was read from.
    """

    start: int
    end: int
    permissions: str
    offset: int
    device: str
    inode: int
    path: str
    line: str
    where: str
    amounts: dict[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of address space."""
        return self.end - self.start

    @property
    def shared(self) -> bool:
        """Whether what is written here is seen by others, as with MAP_SHARED."""
        return self.permissions[3] == "s"

    @property
    def resident(self) -> int:
        """Bytes in memory, Rss."""
        return self.amounts["Rss"]

    @property
    def proportional(self) -> int:
        """Bytes in memory, each page's shared out among those who map it, Pss."""
        return self.amounts["Pss"]

    @property
    def shared_bytes(self) -> int:
        """Bytes in memory that other processes map too, Shared_Clean + Shared_Dirty."""
        return self.amounts["Shared_Clean"] + self.amounts["Shared_Dirty"]

    @property
    def private_bytes(self) -> int:
        """Bytes in memory that no other process maps, Private_Clean + Private_Dirty."""
        return self.amounts["Private_Clean"] + self.amounts["Private_Dirty"]

    @property
    def segment_id(self) -> int | None:
        """The id, if it is a System V segment."""
        return self.inode if _SYSTEM_V.fullmatch(self.path) else None

    @property
    def segment_key(self) -> int | None:
        """The key it was made with, if it is a System V segment; 0 with IPC_PRIVATE."""
        found = _SYSTEM_V.fullmatch(self.path)
        return int(found[1], 16) if found else None


def mappings(pid: int | str = "self", amounts: bool = False) -> list[Mapping]:
    """All mappings of a process, by address.

    Args:
        amounts: read smaps instead, which takes the kernel a walk through all its pages.

    Raises:
        Unreadable: the process is gone, or another user's.
    """
    where = f"/proc/{pid}/{'smaps' if amounts else 'maps'}"
    try:
        with open(where, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise Unreadable(where, error, ONES_OWN) from error
    return list(_parse(lines, where))


def mapping_at(pid: int | str, address: int) -> Mapping | None:
    """The mapping that an address lies in, with its amounts; None where nothing is mapped.

    Raises:
        Unreadable: the process is gone, or another user's.
    """
    return next((each for each in mappings(pid, True) if each.start <= address < each.end), None)


def segment_mappings(pid: int | str, segment_id: int) -> list[Mapping]:
    """The places where a process has a System V segment attached, with their amounts.

    Raises:
        Unreadable: the process is gone, or another user's.
    """
    return [each for each in mappings(pid, True) if each.segment_id == segment_id]


def _parse(lines: list[str], where: str) -> Iterator[Mapping]:
    """Mappings from the lines of maps, or of smaps, where lines of amounts follow each."""
    begun: Mapping | None = None
    for line in lines:
        if head := _HEAD.fullmatch(line):
            if begun is not None:
                yield begun
            start, end, permissions, offset, device, inode, path = head.groups()
            begun = Mapping(
                start=int(start, 16),
                end=int(end, 16),
                permissions=permissions,
                offset=int(offset, 16),
                device=device,
                inode=int(inode),
                path=path,
                line=line,
                where=where,
            )
        elif begun is not None and line.endswith(" kB"):
            name, _, value = line.removesuffix(" kB").partition(":")
            begun.amounts[name] = int(value) * _KIB
    if begun is not None:
        yield begun
