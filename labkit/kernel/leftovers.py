"""One object that a ledger names: is it there, is it the one that was entered, and away with it.

What is there is looked at before it is removed: it must belong to this user, be of the kind that
was entered, closed to others, and made when its entry says, by the entry's owner.
"""

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import posix_ipc
import sysv_ipc

from labkit.kernel import ledger_file
from labkit.kernel.ledger_file import Entry
from labkit.kernel.ledger_owner import Owner
from labkit.kernel.refusals import REFUSALS

SHARED_MEMORY = "/dev/shm"  # where glibc keeps POSIX shared memory, shm_overview(7)
EARLY_S = 2.0  # System V times are whole seconds, and files' times lag behind by a clock tick
LATE_S = 60.0  # between an entry and its object, at the most; a machine may be very busy

# there: removed, if that was asked for. unseen: it cannot be told from here.
State = Literal["there", "gone", "other", "unseen", "refused"]


@dataclass(frozen=True)
class Sight:
    """What was seen of an entry's object, and why it was left alone."""

    state: State
    why: str = ""


Look = Callable[[Entry, Owner, Owner, bool], Sight]

GONE, UNSEEN, THERE = Sight("gone"), Sight("unseen"), Sight("there")


def other(why: str) -> Sight:
    """Something is there, but not the object that was entered."""
    return Sight("other", why)


def examine(entry: Entry, owner: Owner, here: Owner, remove: bool) -> Sight:
    """Look for an entry's object and, if asked to, remove it when it is the one.

    Args:
        owner: who entered it; dead, or this process itself.
        here: this process.
    """
    boots_differ = owner.boot != here.boot
    if boots_differ and entry.kind in (*ledger_file.SYSTEM_V, *ledger_file.POSIX):
        return GONE  # the kernel's own, and that kernel runs no more
    if entry.kind in (*ledger_file.SYSTEM_V, "posix_mq"):
        if owner.ipc != here.ipc:
            return UNSEEN  # ipc_namespaces(7)
        look: Look = _posix_queue if entry.kind == "posix_mq" else _system_v
    else:
        look = _LOOKS[entry.kind]
    try:
        sight = look(entry, owner, here, remove)
    except REFUSALS as error:
        sight = _again(look, entry, owner, here, error)
    if sight is GONE and look not in (_posix_queue, _system_v):
        # Another mount namespace may have another folder of that name, mount_namespaces(7).
        return GONE if boots_differ or owner.mounts == here.mounts else UNSEEN
    return sight


def _again(look: Look, entry: Entry, owner: Owner, here: Owner, error: BaseException) -> Sight:
    """After a refusal: somebody else, cleaning up at the same time, may have been quicker."""
    with contextlib.suppress(*REFUSALS):
        if look(entry, owner, here, False) is GONE:
            return GONE
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Sight("refused", f"it could not be removed ({reason})")


def _system_v(entry: Entry, owner: Owner, here: Owner, remove: bool) -> Sight:
    """By its key, in the kernel's own list, which shows what IPC_STAT does. proc_sysvipc(5)

    Looking there attaches nothing and leaves no trace on an object that may be someone else's.
    """
    table, column, removal = _SYSTEM_V[entry.kind]
    try:
        with open(f"/proc/sysvipc/{table}", encoding="ascii") as file:
            heading, *lines = (line.split() for line in file)
    except FileNotFoundError:
        return UNSEEN
    rows = (dict(zip(heading, line, strict=False)) for line in lines)
    found = next((row for row in rows if row["key"] == str(entry.name)), None)
    if found is None:
        return GONE
    if not int(found["cuid"]) == int(found["uid"]) == here.uid:
        return other("it is another user's")
    if int(found["perms"], 8) & 0o177:
        return other("it is open to others")
    maker = entry.maker or owner.pid
    if owner.pids == here.pids and int(found.get("cpid", maker)) != maker:
        return other("another process made it")
    if not entry.at - EARLY_S <= int(found["ctime"]) <= entry.at + LATE_S:
        return other("it was made, or changed, at another time")
    if remove:
        removal(int(found[column]))
    return THERE


_SYSTEM_V: dict[str, tuple[str, str, Callable[[int], None]]] = {
    "sysv_shm": ("shm", "shmid", sysv_ipc.remove_shared_memory),
    "sysv_mq": ("msg", "msqid", sysv_ipc.remove_message_queue),
    "sysv_sem": ("sem", "semid", sysv_ipc.remove_semaphore),
}


def _posix_queue(entry: Entry, owner: Owner, here: Owner, remove: bool) -> Sight:
    """By its name; on Linux its descriptor is a file's, mq_overview(7)."""
    try:
        queue = posix_ipc.MessageQueue(entry.name)
    except posix_ipc.ExistentialError:
        return GONE
    except posix_ipc.PermissionsError:
        return other("it is another user's")
    try:
        facts = os.fstat(queue.mqd)
    finally:
        queue.close()
    if why := _mismatch(facts, entry, here):
        return other(why)
    if remove:
        posix_ipc.unlink_message_queue(entry.name)
    return THERE


def _posix_segment(entry: Entry, owner: Owner, here: Owner, remove: bool) -> Sight:
    """By its name in /dev/shm."""
    try:
        facts = os.lstat(f"{SHARED_MEMORY}{entry.name}")
    except FileNotFoundError:
        return GONE
    if why := _mismatch(facts, entry, here):
        return other(why)
    if remove:
        posix_ipc.unlink_shared_memory(entry.name)
    return THERE


def _in_folder(entry: Entry, owner: Owner, here: Owner, remove: bool) -> Sight:
    """A FIFO or a file, in a folder that only its owner can enter."""
    folder, name = os.path.split(str(entry.name))
    try:
        inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return GONE
    except OSError:
        return other("its folder is no private folder of ours")
    try:
        holder = os.fstat(inside)
        if holder.st_uid != here.uid or holder.st_mode & 0o077:
            return other("its folder is no private folder of ours")
        facts = os.stat(name, dir_fd=inside, follow_symlinks=False)
        if why := _mismatch(facts, entry, here):
            return other(why)
        if remove:
            os.unlink(name, dir_fd=inside)
        return THERE
    except FileNotFoundError:
        return GONE
    finally:
        os.close(inside)


def _folder(entry: Entry, owner: Owner, here: Owner, remove: bool) -> Sight:
    """The folder itself; one that still holds something is kept, rmdir(2)."""
    path = str(entry.name)
    try:
        facts = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    if why := _mismatch(facts, entry, here):
        return other(why)
    if remove:
        os.rmdir(path)
    return THERE


_LOOKS: dict[str, Look] = {
    "posix_shm": _posix_segment,
    "fifo": _in_folder,
    "file": _in_folder,
    "folder": _folder,
}
_TYPES = {"fifo": stat.S_IFIFO, "folder": stat.S_IFDIR}  # all others are regular files


def _mismatch(facts: os.stat_result, entry: Entry, here: Owner) -> str:
    """Why this is not the object that was entered; "" if it is. inode(7)"""
    if facts.st_uid != here.uid:
        return "it is another user's"
    if stat.S_IFMT(facts.st_mode) != _TYPES.get(entry.kind, stat.S_IFREG):
        return "it is of another kind"
    if facts.st_mode & 0o077:
        return "it is open to others"
    if facts.st_ctime < entry.at - EARLY_S:
        return "it is older than its entry"
    return ""
