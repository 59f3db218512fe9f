"""What the kernel knows of a System V object: IPC_STAT, and its row in /proc/sysvipc.

shmctl(2), msgctl(2), semctl(2), proc_sysvipc(5). IPC_STAT asks for read permission on the object;
/proc/sysvipc shows every object of the namespace to everybody. Neither leaves a trace on it.
"""

import ctypes
import os
import platform
from typing import NamedTuple

from labkit.kernel.libc import errno, msgctl, semctl, shmctl
from labkit.kernel.unreadable import Unreadable

# linux/ipc.h, linux/sem.h
IPC_STAT = 2
GETPID, GETVAL, GETNCNT, GETZCNT = 11, 12, 14, 15
SHM_DEST, SHM_LOCKED = 0o1000, 0o2000  # in the mode of a segment: marked for removal, locked


class Permissions(NamedTuple):
    """Whose an object is and who may do what: struct ipc_perm, svipc(7)."""

    key: int
    uid: int
    gid: int
    cuid: int
    cgid: int
    mode: int  # nine bits of permission, and for a segment SHM_DEST and SHM_LOCKED


class SegmentStatus(NamedTuple):
    """A segment: struct shmid_ds, shmctl(2). Times are seconds since 1970, 0 for never.

    Attributes:
        size: bytes as they were asked for; what is mapped is rounded up to whole pages.
        attached: how often it is attached, by all processes together (shm_nattch).
        creator, last: the process that made it, and that last attached or detached it; 0 for one of
            another pid namespace, and `last` before the first.
        attach_time, detach_time, change_time: of the last attach, detach, and change by shmctl.
        marked: it goes at its last detach (SHM_DEST).
        line: the fields under their C names; where: the call that told them.
    """

    permissions: Permissions
    size: int
    attached: int
    creator: int
    last: int
    attach_time: int
    detach_time: int
    change_time: int
    marked: bool
    line: str
    where: str


class QueueStatus(NamedTuple):
    """A queue: struct msqid_ds, msgctl(2). Times are seconds since 1970, 0 for never.

    Attributes:
        messages, data_bytes: that wait in it; most_bytes: that it holds.
        last_sender, last_receiver: processes; 0 for none yet.
        send_time, receive_time, change_time: of the last msgsnd, msgrcv, and change by msgctl.
        line: the fields under their C names; where: the call that told them.
    """

    permissions: Permissions
    messages: int
    data_bytes: int
    most_bytes: int
    last_sender: int
    last_receiver: int
    send_time: int
    receive_time: int
    change_time: int
    line: str
    where: str


class SemaphoreStatus(NamedTuple):
    """One semaphore of a set: semctl(2).

    Attributes:
        value: semval; waiting_for_increase: semncnt; waiting_for_zero: semzcnt.
        last: the process that last changed it (sempid); 0 for none.
    """

    value: int
    waiting_for_increase: int
    waiting_for_zero: int
    last: int


class SemaphoreSetStatus(NamedTuple):
    """A set of semaphores: struct semid_ds, semctl(2). Times are seconds since 1970, 0 for never.

    Attributes:
        operation_time, change_time: of the last semop, and change by semctl.
        line: the fields under their C names; where: the calls that told them.
    """

    permissions: Permissions
    semaphores: tuple[SemaphoreStatus, ...]
    operation_time: int
    change_time: int
    line: str
    where: str


class Row(NamedTuple):
    """An object's row in /proc/sysvipc: its columns by their headings, the line, the file."""

    columns: dict[str, str]
    line: str
    where: str


def segment_status(identifier: int) -> SegmentStatus:
    """What IPC_STAT says of a segment.

    Raises:
        OSError: EINVAL or EIDRM, there is no such segment; EACCES, it may not be read.
    """
    told = _Segment()
    _checked(shmctl(identifier, IPC_STAT, ctypes.addressof(told)))
    line = (
        f"shm_segsz {told.segsz}, shm_nattch {told.nattch}, shm_cpid {told.cpid},"
        f" shm_lpid {told.lpid}, shm_atime {told.atime}, shm_dtime {told.dtime},"
        f" shm_ctime {told.ctime}, shm_perm.mode {told.perm.mode:#o}"
    )
    return SegmentStatus(
        permissions=told.perm.told(),
        size=told.segsz,
        attached=told.nattch,
        creator=told.cpid,
        last=told.lpid,
        attach_time=told.atime,
        detach_time=told.dtime,
        change_time=told.ctime,
        marked=bool(told.perm.mode & SHM_DEST),
        line=line,
        where=f"shmctl({identifier}, IPC_STAT)",
    )


def queue_status(identifier: int) -> QueueStatus:
    """What IPC_STAT says of a queue.

    Raises:
        OSError: EINVAL or EIDRM, there is no such queue; EACCES, it may not be read.
    """
    told = _Queue()
    _checked(msgctl(identifier, IPC_STAT, ctypes.addressof(told)))
    line = (
        f"msg_qnum {told.qnum}, msg_cbytes {told.cbytes}, msg_qbytes {told.qbytes},"
        f" msg_lspid {told.lspid}, msg_lrpid {told.lrpid}, msg_stime {told.stime},"
        f" msg_rtime {told.rtime}, msg_ctime {told.ctime}, msg_perm.mode {told.perm.mode:#o}"
    )
    return QueueStatus(
        permissions=told.perm.told(),
        messages=told.qnum,
        data_bytes=told.cbytes,
        most_bytes=told.qbytes,
        last_sender=told.lspid,
        last_receiver=told.lrpid,
        send_time=told.stime,
        receive_time=told.rtime,
        change_time=told.ctime,
        line=line,
        where=f"msgctl({identifier}, IPC_STAT)",
    )


def semaphore_status(identifier: int) -> SemaphoreSetStatus:
    """What IPC_STAT says of a set, and GETVAL, GETNCNT, GETZCNT and GETPID of its semaphores.

    Raises:
        OSError: EINVAL or EIDRM, there is no such set; EACCES, it may not be read.
    """
    told = _SemaphoreSet()
    _checked(semctl(identifier, 0, IPC_STAT, ctypes.addressof(told)))
    each = tuple(
        SemaphoreStatus(
            value=_checked(semctl(identifier, n, GETVAL, 0)),
            waiting_for_increase=_checked(semctl(identifier, n, GETNCNT, 0)),
            waiting_for_zero=_checked(semctl(identifier, n, GETZCNT, 0)),
            last=_checked(semctl(identifier, n, GETPID, 0)),
        )
        for n in range(told.nsems)
    )
    line = (
        f"sem_nsems {told.nsems}, sem_otime {told.otime}, sem_ctime {told.ctime},"
        f" sem_perm.mode {told.perm.mode:#o}; semval {[one.value for one in each]},"
        f" semncnt {[one.waiting_for_increase for one in each]},"
        f" semzcnt {[one.waiting_for_zero for one in each]}, sempid {[one.last for one in each]}"
    )
    return SemaphoreSetStatus(
        permissions=told.perm.told(),
        semaphores=each,
        operation_time=told.otime,
        change_time=told.ctime,
        line=line,
        where=f"semctl({identifier}, IPC_STAT, GETVAL, GETNCNT, GETZCNT, GETPID)",
    )


_TABLES = {"shm": "shmid", "msg": "msqid", "sem": "semid"}


def row(kind: str, identifier: int) -> Row | None:
    """An object's row in /proc/sysvipc; None if there is no such object.

    Args:
        kind: "shm", "msg" or "sem".

    Raises:
        Unreadable: this kernel or container does not show the table.
    """
    where = f"/proc/sysvipc/{kind}"
    try:
        with open(where, encoding="ascii") as file:
            heading, *lines = file.read().splitlines()
    except OSError as error:
        why = "this kernel has no System V objects, or the container hides them"
        raise Unreadable(where, error, why) from error
    for line in lines:
        columns = dict(zip(heading.split(), line.split(), strict=False))
        if columns[_TABLES[kind]] == str(identifier):
            return Row(columns, " ".join(line.split()), where)
    return None


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(errno(), os.strerror(errno()))
    return result


# The kernel's structures on 64-bit machines: asm-generic/ipcbuf.h, shmbuf.h, msgbuf.h, sembuf.h.


class _Permissions(ctypes.Structure):
    _fields_ = (
        ("key", ctypes.c_int32),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("cuid", ctypes.c_uint32),
        ("cgid", ctypes.c_uint32),
        ("mode", ctypes.c_uint32),
        ("seq", ctypes.c_uint16),
        ("unused0", ctypes.c_uint16),
        ("unused", ctypes.c_uint64 * 2),
    )

    def told(self) -> Permissions:
        return Permissions(self.key, self.uid, self.gid, self.cuid, self.cgid, self.mode)


class _Segment(ctypes.Structure):
    _fields_ = (
        ("perm", _Permissions),
        ("segsz", ctypes.c_uint64),
        ("atime", ctypes.c_int64),
        ("dtime", ctypes.c_int64),
        ("ctime", ctypes.c_int64),
        ("cpid", ctypes.c_int32),
        ("lpid", ctypes.c_int32),
        ("nattch", ctypes.c_uint64),
        ("unused", ctypes.c_uint64 * 2),
    )


class _Queue(ctypes.Structure):
    _fields_ = (
        ("perm", _Permissions),
        ("stime", ctypes.c_int64),
        ("rtime", ctypes.c_int64),
        ("ctime", ctypes.c_int64),
        ("cbytes", ctypes.c_uint64),
        ("qnum", ctypes.c_uint64),
        ("qbytes", ctypes.c_uint64),
        ("lspid", ctypes.c_int32),
        ("lrpid", ctypes.c_int32),
        ("unused", ctypes.c_uint64 * 2),
    )


# x86-64 alone has kept the words beside the times that its 32-bit ancestor needed: asm/sembuf.h.
_BESIDE = platform.machine() in ("x86_64", "AMD64")


class _SemaphoreSet(ctypes.Structure):
    _fields_ = (
        ("perm", _Permissions),
        ("otime", ctypes.c_int64),
        *((("unused1", ctypes.c_uint64),) if _BESIDE else ()),
        ("ctime", ctypes.c_int64),
        *((("unused2", ctypes.c_uint64),) if _BESIDE else ()),
        ("nsems", ctypes.c_uint64),
        ("unused", ctypes.c_uint64 * 2),
    )
