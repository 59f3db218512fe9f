"""Students' files, as a course system hands them out: folders, archives, archives in archives.

Nothing is unpacked to the disk, so no name in an archive can lead anywhere. Every size is bounded
before anything is read, so an archive that would unpack to more than a class can have handed in is
refused by its name, as is whatever is damaged; the rest is used.
"""

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.answers.store import MOST_BYTES, parse
from labkit.errors import RequestError

MOST_FILES = 100_000  # looked at in all
MOST_DEPTH = 4  # archives in archives
MOST_UNPACKED = 512 << 20  # bytes, from one archive and all inside it
MOST_ARCHIVE = 256 << 20  # bytes of one archive inside another
SPACE_BEFORE = b" \t\r\n\xef\xbb\xbf"  # and the mark with which some editors begin a file

_BAD_ARCHIVE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a way of packing that Python doesn't know
    OSError,
    RuntimeError,  # encrypted
    ValueError,
)


@dataclass(frozen=True)
class Submission:
    """One file that a student handed in."""

    source: str  # where it was found, for people
    content: dict[str, Any]


@dataclass
class Collected:
    """What was found, and what was refused: (where, why)."""

    submissions: list[Submission] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)  # neither an export nor an archive
    files: int = 0
    unpacked: int = 0  # bytes, of the outermost archive that is open now


def collect(place: str | os.PathLike[str]) -> Collected:
    """All submissions in a folder, or in one archive.

    Raises:
        RequestError: there is no such folder or file.
    """
    root = Path(place)
    try:
        there = stat.S_ISDIR(root.stat().st_mode) or root.is_file()
        if there and root.is_dir():
            os.listdir(root)
        why = "is no folder and no file"
    except FileNotFoundError:
        there, why = False, "does not exist"
    except (OSError, ValueError) as error:
        there, why = False, f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if not there:
        raise RequestError(
            f"{ascii(str(root))[1:-1][:80]} {why}: name the folder, or the .zip, that your course"
            " system gave you."
        )
    found = Collected()
    for path in _files(root, found):
        found.unpacked = 0  # an archive too large is its owner's, and nobody else's
        if not _one_more(found):
            break
        shown = _printable(os.path.relpath(path, root) if path != root else path.name)
        if path.suffix.lower() == ".zip":
            _open_archive(path, shown, found, 1)
        else:
            try:
                with path.open("rb") as file:
                    _look(file.read(MOST_BYTES + 1), path.name, shown, found)
            except OSError as error:
                found.refused.append((shown, error.strerror or str(error)))
    return found


def _files(root: Path, found: Collected) -> Iterator[Path]:
    """Regular files in order of their names; links are not followed."""
    if root.is_file():
        yield root
        return

    def locked(error: OSError) -> None:
        shown = _printable(os.path.relpath(error.filename, root))
        found.refused.append((shown, error.strerror or str(error)))

    for folder, folders, names in os.walk(root, onerror=locked):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _one_more(found: Collected) -> bool:
    found.files += 1
    if found.files == MOST_FILES + 1:
        found.refused.append(("the rest", f"more than {MOST_FILES:,} files"))
    return found.files <= MOST_FILES


def _open_archive(source: Path | io.BytesIO, shown: str, found: Collected, depth: int) -> None:
    if depth > MOST_DEPTH:
        found.refused.append((shown, f"more than {MOST_DEPTH} archives one inside the other"))
        return
    try:
        with zipfile.ZipFile(source) as archive:
            for member in sorted(archive.infolist(), key=lambda each: each.filename):
                if not _one_more(found):
                    return
                _open_member(
                    archive, member, f"{shown}/{_printable(member.filename)}", found, depth
                )
    except _BAD_ARCHIVE as error:
        found.refused.append((shown, f"no readable archive ({_said(error)})"))


def _open_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, shown: str, found: Collected, depth: int
) -> None:
    name = member.filename.lower()
    parts = name.replace("\\", "/").split("/")
    if member.is_dir() or "__macosx" in parts or parts[-1].startswith("._"):
        return
    most = MOST_ARCHIVE if name.endswith(".zip") else MOST_BYTES
    try:
        with archive.open(member) as file:
            # What it really unpacks to counts, not what its head says.
            data = file.read(min(most, MOST_UNPACKED - found.unpacked) + 1)
    except _BAD_ARCHIVE as error:
        found.refused.append((shown, f"damaged or locked ({_said(error)})"))
        return
    found.unpacked += len(data)
    if found.unpacked > MOST_UNPACKED or (len(data) > most and name.endswith((".json", ".zip"))):
        found.refused.append((shown, "it unpacks to too much"))
    elif name.endswith(".zip"):
        _open_archive(io.BytesIO(data), shown, found, depth + 1)
    else:
        _look(data, parts[-1], shown, found)


def _look(data: bytes, name: str, shown: str, found: Collected) -> None:
    """Take a file that is an export by its ending or by its content; count what is neither.

    Browsers and course systems change endings: answers.json.txt, or none at all.
    """
    if not data and not name.lower().endswith(".json"):
        return
    if name.lower().endswith(".json") or data.lstrip(SPACE_BEFORE).startswith(b"{"):
        _take(data, shown, found)
    else:
        found.passed_over.append(shown)


def _take(data: bytes, shown: str, found: Collected) -> None:
    try:
        found.submissions.append(Submission(shown, parse(data)))
    except ValueError as error:
        found.refused.append((shown, str(error)))


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__


def _printable(name: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in name)[-120:]
