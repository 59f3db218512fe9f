"""What a ledger's file looks like: JSON lines, and nothing in them is believed unchecked.

The first line is the owner. Each further one enters an object or strikes one out:

    {"in": 7, "kind": "posix_shm", "name": "/labkit-...", "at": 1769860800.123}
    {"out": 7}

An entry whose object another process is to make says so: `"maker": 4711`.
"""

import json
import math
import os
import re
from dataclasses import dataclass
from typing import Any

from labkit.kernel.ledger_owner import Owner

FORMAT = 1
MOST_BYTES = 64 << 20
FILE = re.compile(r"[0-9a-f]{16}\.jsonl")
UNFINISHED = re.compile(r"[0-9a-f]{16}\.new")  # its owner has not yet got to naming it

# Names that labkit gives. An entry with any other name is not labkit's.
POSIX_NAME = re.compile(r"/labkit-[0-9a-f]{24}")
FOLDER_NAME = re.compile(r"labkit-[0-9a-f]{16}")
FILE_NAME = re.compile(r"[0-9a-f]{16}")
LARGEST_KEY = 0x7FFFFFFF
SYSTEM_V = ("sysv_shm", "sysv_mq", "sysv_sem")
POSIX = ("posix_shm", "posix_mq")
IN_FOLDER = ("fifo", "file")
FOLDER = "folder"


class Damaged(ValueError):
    """A file that is no ledger, or no longer one; the message says why."""


@dataclass(frozen=True)
class Entry:
    """One object: entered before it is made."""

    number: int
    kind: str
    name: int | str  # a System V key, a POSIX name or a path
    at: float  # time.time()
    maker: int = 0  # the process id of who is to make it, if that is not the owner itself

    @property
    def shown(self) -> str:
        """Its name as ipcs(1) or ls(1) would show it."""
        return f"0x{self.name:08x}" if isinstance(self.name, int) else self.name


@dataclass(frozen=True)
class Contents:
    """What a ledger holds: its owner, and what was entered and not struck out."""

    owner: Owner
    device: int  # that its owner saw it on
    locked: bool  # whether its owner could lock it
    entries: list[Entry]
    size: int  # in bytes, without a last line that was cut short


def first_line(owner: Owner, device: int, locked: bool) -> bytes:
    """The line that a ledger begins with."""
    head = {"labkit ledger": FORMAT, "device": device, "locked": locked}
    return _line(head | owner.as_json())


def entered(entry: Entry) -> bytes:
    """The line that enters an object."""
    record = {"in": entry.number, "kind": entry.kind, "name": entry.name, "at": entry.at}
    return _line(record | ({"maker": entry.maker} if entry.maker else {}))


def struck(number: int) -> bytes:
    """The line that strikes it out."""
    return b'{"out": %d}\n' % number


def parse(data: bytes) -> Contents:
    """Read a ledger; a last line without its end was being written when its owner was killed.

    Raises:
        Damaged: it is none.
    """
    if len(data) > MOST_BYTES:
        raise Damaged("it is too large for a ledger")
    lines = data.split(b"\n")[:-1]
    if not lines:
        raise Damaged("it has no first line")
    head = _object(lines[0], 1)
    if head.get("labkit ledger") != FORMAT:
        raise Damaged("it does not begin like a ledger of this version")
    device = head.get("device")
    if type(device) is not int:
        raise Damaged("its first line names no device")
    try:
        owner = Owner.of_json(head)
    except ValueError as error:
        raise Damaged(str(error)) from error
    found: dict[int, Entry] = {}
    for number, line in enumerate(lines[1:], 2):
        record = _object(line, number)
        if "out" in record:
            if type(record["out"]) is not int:
                raise Damaged(f"line {number} strikes out no number")
            found.pop(record["out"], None)
        else:
            entry = _entry(record, number)
            found[entry.number] = entry
    size = data.rindex(b"\n") + 1
    return Contents(owner, device, head.get("locked") is True, list(found.values()), size)


def _entry(record: dict[str, Any], line: int) -> Entry:
    number, kind, name, at = (record.get(key) for key in ("in", "kind", "name", "at"))
    maker = record.get("maker", 0)
    if type(number) is not int or type(kind) is not str or type(at) is not float:
        raise Damaged(f"line {line} is no entry")
    if not math.isfinite(at) or not isinstance(name, int | str) or not _is_ours(kind, name):
        raise Damaged(f"line {line} names nothing that labkit makes")
    if type(maker) is not int or maker < 0:
        raise Damaged(f"line {line} names no process as the maker")
    return Entry(number, kind, name, at, maker)


def _is_ours(kind: str, name: int | str) -> bool:
    """Whether labkit would have given this name to an object of this kind."""
    if kind in SYSTEM_V:
        return type(name) is int and 1 <= name <= LARGEST_KEY
    if not isinstance(name, str):
        return False
    if kind in POSIX:
        return POSIX_NAME.fullmatch(name) is not None
    if not _is_path(name):
        return False
    if kind in IN_FOLDER:
        name, last = os.path.split(name)
        if FILE_NAME.fullmatch(last) is None:
            return False
    elif kind != FOLDER:
        return False
    return FOLDER_NAME.fullmatch(os.path.basename(name)) is not None


def _is_path(name: str) -> bool:
    """Whether it is an absolute path, without detours."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return "\0" not in name and os.path.isabs(name) and os.path.normpath(name) == name


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise Damaged(f"line {number} is no record")
    return record


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"
