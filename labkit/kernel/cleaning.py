"""Removes what processes that are gone have left, and nothing else.

Only what this user's ledgers name is looked for, only for owners that are known to be dead, and
only what fits its entry is removed.
"""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from labkit.kernel import ledger, ledger_file, ledger_folder
from labkit.kernel.ledger_file import FILE, UNFINISHED, Contents, Damaged, Entry
from labkit.kernel.ledger_owner import Owner, ourselves, state_of
from labkit.kernel.leftovers import examine

# What an owner left that cannot be told dead, or seen, is kept in mind for so long and no longer.
FORGOTTEN_S = 30 * 86400.0


@dataclass(frozen=True)
class Removed:
    """An object that was removed."""

    kind: str
    name: str
    made: float  # when it was entered, time.time()
    pid: int  # of the process that made it


@dataclass
class Cleaned:
    """What was removed, and a sentence for whatever was left and why."""

    removed: list[Removed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: int = 0  # objects that should have gone and did not


def clean(dry_run: bool = False) -> Cleaned:
    """Remove what dead owners left, of this user and in these ledgers.

    Args:
        dry_run: only say what would be removed.
    """
    done = Cleaned()
    try:
        here = ourselves()
    except OSError as error:
        done.notes.append(f"nothing can be told of processes here: /proc says {error.strerror}.")
        return done
    for folder in ledger_folder.folders():
        with contextlib.suppress(OSError):  # there is none, or it is not ours
            with ledger_folder.opened(folder) as inside:
                _clean_folder(folder, inside, here, dry_run, done)
            if not dry_run:
                ledger_folder.drop(folder)
    return done


def _clean_folder(folder: Path, inside: int, here: Owner, dry_run: bool, done: Cleaned) -> None:
    own = ledger.ours().path
    for name in sorted(os.listdir(inside)):
        if UNFINISHED.fullmatch(name) and not dry_run:
            _unlink(name, inside)  # it names nothing yet; its owner, if alive, makes a new one
        if FILE.fullmatch(name) is None or folder / name == own:
            continue
        try:
            with _opened(name, inside) as descriptor:
                settled = _clean_one(descriptor, name, inside, here, dry_run, done)
        except Damaged as why:
            done.notes.append(f"{folder / name} is not a ledger that can be read: {why}.")
        except OSError:
            continue  # gone since, or not a plain file of ours
        else:
            if settled and not dry_run:
                _unlink(name, inside)


def _clean_one(
    descriptor: int, name: str, inside: int, here: Owner, dry_run: bool, done: Cleaned
) -> bool:
    """Clean up after one owner; whether its ledger has served.

    Raises:
        Damaged: it cannot be read.
    """
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        unlocked = True
    except BlockingIOError:
        return False  # its owner lives and holds it
    except OSError:
        unlocked = False  # not every filesystem has locks
    facts = os.fstat(descriptor)
    forgotten = facts.st_mtime < time.time() - FORGOTTEN_S
    if facts.st_size == 0:
        return forgotten  # a failing machine loses the end of a file, and with it the objects
    contents = ledger_file.parse(_read(descriptor))
    owner = contents.owner
    if owner.uid != here.uid:
        raise Damaged("another user's process wrote it")
    # A lock says something only if the same kernel sees the same file.
    unlocked = unlocked and contents.locked and contents.device == facts.st_dev
    state = state_of(owner, here, unlocked)
    if state == "alive":
        return False
    if state == "elsewhere":
        _note_unseen(contents.owner, len(contents.entries), done)
        return forgotten
    unseen, kept = _remove(contents, here, dry_run, done)
    _note_unseen(contents.owner, unseen, done)
    if kept and not dry_run:
        _strike(name, inside, contents, [each for each in contents.entries if each not in kept])
    return forgotten or not kept


def _remove(
    contents: Contents, here: Owner, dry_run: bool, done: Cleaned
) -> tuple[int, list[Entry]]:
    """Remove what a dead owner left: how much of it cannot be seen, and what has to stay entered.

    The last made goes first: a folder after its files.
    """
    unseen, kept = 0, []
    for entry in reversed(contents.entries):
        sight = examine(entry, contents.owner, here, remove=not dry_run)
        if sight.state == "there":
            pid = contents.owner.pid
            done.removed.append(Removed(entry.kind, entry.shown, entry.at, pid))
        if sight.state in ("refused", "unseen"):
            kept.append(entry)
        if sight.why:
            done.notes.append(f"{entry.kind} {entry.shown} was left alone: {sight.why}.")
        done.refused += sight.state == "refused"
        unseen += sight.state == "unseen"
    return unseen, kept


def _note_unseen(owner: Owner, count: int, done: Cleaned) -> None:
    if count:
        done.notes.append(
            f"{'1 object' if count == 1 else f'{count} objects'} of process {owner.pid}, which ran"
            " in another container or on another machine, cannot be seen from here."
        )


def _strike(name: str, inside: int, contents: Contents, gone: list[Entry]) -> None:
    """Note in a dead owner's ledger what is gone; another that cleans may do the same."""
    lines = b"".join(ledger_file.struck(entry.number) for entry in gone)
    if not lines:
        return
    with contextlib.suppress(OSError):
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=inside)
        try:
            if os.fstat(descriptor).st_size != contents.size:
                os.ftruncate(descriptor, contents.size)  # the line that was never finished
            os.write(descriptor, lines)
        finally:
            os.close(descriptor)


@contextmanager
def _opened(name: str, inside: int) -> Iterator[int]:
    """A plain file of ours; whatever else has been put there is not even waited for.

    Raises:
        OSError: it is none.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=inside)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
            raise PermissionError(f"{name} is no plain file of this user's.")
        yield descriptor
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(ledger_file.MOST_BYTES + 1)


def _unlink(name: str, inside: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=inside)
