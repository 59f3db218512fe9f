"""Where runs are kept: a folder that appears whole or not at all.

Everything is written into a staging folder beside the target, flushed to the disk, and renamed;
rename(2) is atomic, so nobody ever sees half a run. Nothing heavy is imported here, so that an
output folder that will not do is refused before anything is measured.
"""

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from labkit.errors import LabkitError, RequestError

RUNS = Path("data/runs")  # students' runs, which git ignores
STAGING = ".labkit-"
ABANDONED_S = 60.0  # after which a staging folder that nobody holds is a killed writer's

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
_ROOM = ": make room there, or save it in a folder on another disk (--out)"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: ": files may not become that large, so raise `ulimit -f`",
    errno.EMFILE: ": too many files are open in this process, so raise `ulimit -n`",
}


def default_folder(now: datetime | None = None) -> Path:
    """`data/runs/` and the time, with a number behind it where that exists already."""
    stem = f"{now or datetime.now():%Y-%m-%dT%H-%M-%S}"
    runs = _checkout() / RUNS
    folder, number = runs / stem, 1
    while os.path.lexists(folder):
        number += 1
        folder = runs / f"{stem}-{number}"
    return folder


def _checkout() -> Path:
    """The way up to the checkout that one is in, as from its notebooks; else the folder here."""
    with suppress(OSError):  # the current folder may be gone
        for up in range(len(Path.cwd().parents)):
            place = Path(*[os.pardir] * up)
            if (place / "data" / "reference").is_dir():
                return place
    return Path()


def check_out(path: str | os.PathLike[str]) -> Path:
    """Make sure that a run can be saved there, by making and removing a folder in its place.

    Raises:
        RequestError: it exists, or a folder cannot be made there.
    """
    target = _absent(path)
    with _errors(target), _parents(target) as keep:
        trial = tempfile.mkdtemp(prefix=STAGING, dir=target.parent)
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
        _remove_abandoned(target.parent)
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=target.parent))
        held = _held(staging)
        try:
            fill(staging)
            _sync_all(staging)
            # mkdtemp makes a private folder; a run is as open as any other new folder.
            staging.chmod(0o777 & ~_umask())
            os.rename(staging, target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        finally:
            os.close(held)
        keep(True)
        _sync(target.parent)
    return target


def _held(staging: Path) -> int:
    """A descriptor that says that its writer lives: the lock ends with the process, flock(2)."""
    descriptor = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with suppress(OSError):  # not every file system has locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _remove_abandoned(parent: Path) -> None:
    """Remove what killed writers have left beside the runs here, of this user's only."""
    for folder in parent.glob(f"{STAGING}*"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                about = os.fstat(descriptor)
                old = about.st_mtime < time.time() - ABANDONED_S
                if about.st_uid != os.geteuid() or not old:
                    continue
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _absent(path: str | os.PathLike[str]) -> Path:
    try:
        target = Path(path)
    except TypeError:
        raise RequestError(f"{path!r:.60} is no path to save a run in.") from None
    try:
        exists = os.path.lexists(target)
        if not exists:
            os.lstat(target)  # what lexists leaves unsaid: a name that is too long, a loop
    except FileNotFoundError:
        return target
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"a run cannot be saved in {shown(target)} ({said}).") from None
    raise RequestError(
        f"{shown(target)} exists already and is not overwritten: name a folder that does not"
        " exist yet, or remove it first."
    )


@contextmanager
def _errors(target: Path) -> Iterator[None]:
    """Say in one sentence what the system refused."""
    try:
        yield
    except OSError as error:
        what = f"a run cannot be saved in {shown(target)} ({error.strerror or error})"
        if error.errno in _ANOTHER_FOLDER:
            raise RequestError(f"{what}: name a folder that can be made.") from error
        remedy = _REMEDIES.get(error.errno or 0, "")
        raise LabkitError(f"{what}; nothing was kept there{remedy}.") from error


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


def shown(path: Path) -> str:
    """A path on one line, whatever is in it."""
    return ascii(str(path)) if not str(path).isprintable() else str(path)
