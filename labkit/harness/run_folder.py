"""Where runs are kept: a folder that appears whole or not at all.

Everything is written into a staging folder beside the target, flushed to the disk, and renamed;
rename(2) is atomic, so nobody ever sees half a run. Nothing heavy is imported here, so that an
output folder that will not do is refused before anything is measured.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from labkit.errors import LabkitError, RequestError

RUNS = Path("data/runs")  # students' runs, which git ignores

# What the person who named the folder can put right by naming another.
_ANOTHER_FOLDER = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EINVAL,
}


def default_folder(now: datetime | None = None) -> Path:
    """`data/runs/` and the time, with a number behind it where that exists already."""
    stem = f"{now or datetime.now():%Y-%m-%dT%H-%M-%S}"
    folder, number = RUNS / stem, 1
    while os.path.lexists(folder):
        number += 1
        folder = RUNS / f"{stem}-{number}"
    return folder


def check_out(path: str | os.PathLike[str]) -> Path:
    """Make sure that a run can be saved there, by making and removing a folder in its place.

    Raises:
        RequestError: it exists, or a folder cannot be made there.
    """
    target = _absent(path)
    with _errors(target), _parents(target) as keep:
        trial = tempfile.mkdtemp(prefix=".labkit-", dir=target.parent)
        os.rmdir(trial)
        keep(False)
    return target


def write_whole(path: str | os.PathLike[str], fill: Callable[[Path], None]) -> Path:
    """Make a folder with whatever `fill` writes into it; all of it, or none.

    Args:
        path: the folder; it must not exist. Missing parents are made.
        fill: is given the staging folder.

    Raises:
        RequestError: the folder exists or cannot be made there.
        LabkitError: it could not be written, for example because the disk is full.
    """
    target = _absent(path)
    with _errors(target), _parents(target) as keep:
        staging = Path(tempfile.mkdtemp(prefix=".labkit-", dir=target.parent))
        try:
            fill(staging)
            _sync_all(staging)
            # mkdtemp makes a private folder; a run is as open as any other new folder.
            staging.chmod(0o777 & ~_umask())
            os.rename(staging, target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        keep(True)
        _sync(target.parent)
    return target


def _absent(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    try:
        exists = os.path.lexists(target)
        if not exists:
            os.lstat(target)  # what lexists leaves unsaid: a name that is too long, a loop
    except FileNotFoundError:
        return target
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"a run cannot be saved in {_shown(target)} ({said}).") from None
    raise RequestError(
        f"{_shown(target)} exists already and is not overwritten: name a folder that does not"
        " exist yet, or remove it first."
    )


@contextmanager
def _errors(target: Path) -> Iterator[None]:
    """Say in one sentence what the system refused."""
    try:
        yield
    except OSError as error:
        what = f"a run cannot be saved in {_shown(target)} ({error.strerror or error})"
        if error.errno in _ANOTHER_FOLDER:
            raise RequestError(f"{what}: name a folder that can be made.") from error
        raise LabkitError(f"{what}; nothing was kept there.") from error


@contextmanager
def _parents(target: Path) -> Iterator[Callable[[bool], None]]:
    """Make missing parents; they go again unless what they were made for is to be kept."""
    made: list[Path] = []
    kept = False

    def keep(decision: bool) -> None:
        nonlocal kept
        kept = decision

    missing = [p for p in target.parents if not p.exists()]
    try:
        for parent in reversed(missing):
            with suppress(FileExistsError):  # somebody else was quicker
                parent.mkdir()
                made.append(parent)
        yield keep
    finally:
        if not kept:
            for parent in reversed(made):
                with suppress(OSError):  # not empty: somebody else uses it by now
                    parent.rmdir()


def _sync_all(folder: Path) -> None:
    """Flush every file in a folder, then the folder itself, to the disk."""
    for entry in folder.rglob("*"):
        _sync(entry)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot flush folders
            raise
    finally:
        os.close(descriptor)


def _umask() -> int:
    """This process's mask; umask(2) can only tell it by setting it, /proc without."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def _shown(path: Path) -> str:
    return ascii(str(path)) if not str(path).isprintable() else str(path)
