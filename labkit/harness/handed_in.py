"""Runs as a course system hands them out: folders, a zip each, or one zip with zips in it.

Nothing is unpacked to the disk and no more of a file is read than a run can have, so neither a name
that leads out of an archive nor one that unpacks without end does any harm; both are refused by
their name, as is all that is damaged, and the rest is used.
"""

import io
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from labkit.errors import RequestError
from labkit.harness.run import MACHINE, SAMPLES, SUMMARY

MOST_BYTES = 16 << 20  # of one of a run's files; a thorough run's has a seventh of it or less
MOST_NESTED = 64 << 20  # of an archive in an archive
MOST_UNPACKED = 4 << 30  # from one archive in all
MOST_MEMBERS = 50_000
MOST_DEPTH = 3  # archives in archives
FILES = (MACHINE, SUMMARY)  # by which a run is known

_BAD_ARCHIVE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a way of packing that Python does not know
    OSError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Found:
    """The files of a run that are needed here, as they are, and where they were.

    Attributes:
        samples: None if the run came without them.
    """

    name: str
    machine: bytes
    summary: bytes
    samples: bytes | None = None


@dataclass(frozen=True)
class Refused:
    """What is not used, and why, in one clause."""

    name: str
    why: str


Each = Found | Refused


class _NotTaken(Exception):
    """Why one member of an archive, or one file, is refused."""


def handed_in(place: Path) -> Iterator[Each]:
    """Every run in a folder or in one zip, in the order of their names.

    Raises:
        RequestError: there is no such folder or zip.
    """
    try:
        mode = place.stat().st_mode
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise RequestError(
            f"{_shown(place)} cannot be read ({said}): name the folder, or the .zip, with the runs."
        ) from None
    if stat.S_ISDIR(mode):
        yield from _tree(place)
    elif stat.S_ISREG(mode):
        yield from _zip(place, place.name)
    else:
        raise RequestError(f"{_shown(place)} is neither a folder nor a zip with runs in it.")


def _tree(root: Path) -> Iterator[Each]:
    """What is in a folder; links are not followed, and names that begin with a dot are left out."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _ignored(name))
        here = Path(folder)
        shown = _shown(here.relative_to(root)) if here != root else _shown(Path(here.name or here))
        if set(names) & set(FILES):
            try:
                machine, summary = (_file(here / name) for name in FILES)
                yield Found(
                    shown, machine, summary, _file(here / SAMPLES) if SAMPLES in names else None
                )
            except _NotTaken as refusal:
                yield Refused(shown, str(refusal))
        for name in sorted(names):
            if name.lower().endswith(".zip") and not _ignored(name):
                path = here / name
                archive = _shown(path.relative_to(root))
                if path.is_symlink() or not path.is_file():
                    yield Refused(archive, "it is no ordinary file")
                else:
                    yield from _zip(path, archive)


def _file(path: Path) -> bytes:
    try:
        # Opening a FIFO would wait for a writer, and a link may lead anywhere.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _NotTaken(f"{path.name} is no ordinary file")
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise _NotTaken(f"{path.name} is missing") from None
    except OSError as error:
        raise _NotTaken(f"{path.name} cannot be read ({error.strerror})") from None
    if len(data) > MOST_BYTES:
        raise _NotTaken(f"{path.name} is larger than a run's can be")
    return data


def _zip(source: Path | io.BytesIO, shown: str, depth: int = 1) -> Iterator[Each]:
    """What is in an archive, and in those in it."""
    if depth > MOST_DEPTH:
        yield Refused(shown, f"it lies in more than {MOST_DEPTH} archives one inside the other")
        return
    found = 0
    try:
        with zipfile.ZipFile(source) as archive:
            members = [each for each in archive.infolist() if not each.is_dir()]
            if refusal := _unsafe(members):
                yield Refused(shown, refusal)
                return
            for each in _members(archive, members, shown, depth):
                found += 1
                yield each
    except _BAD_ARCHIVE as error:
        yield Refused(shown, f"it is no readable zip ({' '.join(str(error).split())[:80]})")
        return
    if not found:
        yield Refused(shown, "no run is in it")


def _unsafe(members: list[zipfile.ZipInfo]) -> str:
    """Why nothing of an archive is taken; empty if there is nothing against it."""
    if len(members) > MOST_MEMBERS:
        return f"it holds {len(members)} files, more than a class's runs have"
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or member.filename[1:2] == ":":
            return f"a name in it leads out of it ({ascii(member.filename)[:80]})"
    twice = [name for name, n in Counter(m.filename for m in members).items() if n > 1]
    if twice:
        return f"it holds {ascii(twice[0])[:80]} twice"
    wanted = [m for m in members if _wanted(PurePosixPath(m.filename.replace("\\", "/")))]
    if sum(member.file_size for member in wanted) > MOST_UNPACKED:
        return "it would unpack to more than a class's runs can be"
    return ""


def _wanted(path: PurePosixPath) -> bool:
    if any(_ignored(part) for part in path.parts):
        return False
    return path.name in (*FILES, SAMPLES) or path.name.lower().endswith(".zip")


def _members(
    archive: zipfile.ZipFile, members: Iterable[zipfile.ZipInfo], shown: str, depth: int
) -> Iterator[Each]:
    runs: dict[PurePosixPath, dict[str, zipfile.ZipInfo]] = {}
    nested: list[tuple[PurePosixPath, zipfile.ZipInfo]] = []
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if not _wanted(path):
            continue
        if path.name in (*FILES, SAMPLES):
            runs.setdefault(path.parent, {})[path.name] = member
        else:
            nested.append((path, member))
    for folder, files in sorted(runs.items()):
        if not set(files) & set(FILES):
            continue
        name = shown if str(folder) == "." else f"{shown}/{_shown(folder)}"
        try:
            for each in FILES:
                if each not in files:
                    raise _NotTaken(f"{each} is missing")
            machine, summary = (_unpacked(archive, files[each], MOST_BYTES) for each in FILES)
            samples = _unpacked(archive, files[SAMPLES], MOST_BYTES) if SAMPLES in files else None
            yield Found(name, machine, summary, samples)
        except _NotTaken as refusal:
            yield Refused(name, str(refusal))
    for path, member in sorted(nested, key=lambda pair: pair[0]):
        name = f"{shown}/{_shown(path)}"
        try:
            inner = io.BytesIO(_unpacked(archive, member, MOST_NESTED))
        except _NotTaken as refusal:
            yield Refused(name, str(refusal))
        else:
            yield from _zip(inner, name, depth + 1)


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """A member's bytes, at most so many, whatever the archive says of its size."""
    name = PurePosixPath(member.filename.replace("\\", "/")).name
    if member.flag_bits & 1:
        raise _NotTaken(f"{ascii(name)[1:-1]} is encrypted")
    if member.file_size > most:
        raise _NotTaken(
            f"{ascii(name)[1:-1]} would unpack to {member.file_size} bytes, more than a run has"
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise _NotTaken(f"{ascii(name)[1:-1]} is a link")
    try:
        with archive.open(member) as file:
            data = file.read(most + 1)
    except _BAD_ARCHIVE as error:
        raise _NotTaken(f"{ascii(name)[1:-1]} is damaged ({str(error)[:80]})") from None
    if len(data) > most:
        raise _NotTaken(f"{ascii(name)[1:-1]} unpacks to more than a run has")
    return data


def _ignored(name: str) -> bool:
    """Hidden ones, unfinished ones, and what macOS adds."""
    return name.startswith(".") or name == "__MACOSX"


def _shown(path: Path | PurePosixPath) -> str:
    text = str(path)
    return text if text.isprintable() else ascii(text)[1:-1]
