"""What descriptors a process has, where they lead, and what waits behind them.

proc_pid_fd(5), proc_pid_fdinfo(5), FIONREAD of ioctl(2), mq_getattr(3)
"""

import contextlib
import ctypes
import fcntl
import os
import struct
import termios
from typing import NamedTuple

from labkit.kernel.libc import errno, mq_getattr
from labkit.kernel.unreadable import ONES_OWN, Unreadable


class Descriptor(NamedTuple):
    """One descriptor of a process.

    Attributes:
        number: what the process calls it.
        target: where it leads: a path, or as "pipe:[4711]" a kind and an inode.
        flags: of its open file description, as octal digits with open(2)'s O_ constants, and
            O_CLOEXEC, which is the descriptor's own.
        position: the offset where the next read or write takes place.
        close_on_exec: whether execve(2) closes it.
        line: the line of its flags as it was read; where: the file it was read from.
    """

    number: int
    target: str
    flags: int
    position: int
    close_on_exec: bool
    line: str
    where: str

    @property
    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self.flags & os.O_ACCMODE in (os.O_WRONLY, os.O_RDWR)

    @property
    def readable(self) -> bool:
        """Whether it was opened for reading."""
        return self.flags & os.O_ACCMODE in (os.O_RDONLY, os.O_RDWR)


def descriptors(pid: int | str = "self") -> list[Descriptor]:
    """All descriptors of a process, by number. One that is closed meanwhile is left out.

    Raises:
        Unreadable: the process is gone, or another user's.
    """
    folder = f"/proc/{pid}/fd"
    try:
        numbers = sorted(int(name) for name in os.listdir(folder))
    except OSError as error:
        raise Unreadable(folder, error, ONES_OWN) from error
    found = []
    for number in numbers:
        with contextlib.suppress(FileNotFoundError):
            found.append(_descriptor(pid, number))
    return found


def descriptor(pid: int | str, number: int) -> Descriptor | None:
    """One descriptor of a process; None if it has none of that number.

    Raises:
        Unreadable: the process is gone, or another user's.
    """
    return next((each for each in descriptors(pid) if each.number == number), None)


def closes_on_exec(number: int) -> bool:
    """Whether execve(2) would close this descriptor of ours. F_GETFD of fcntl(2)

    Raises:
        OSError: there is no such descriptor.
    """
    return bool(fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)


def unread_bytes(number: int) -> int:
    """Bytes that wait behind a descriptor of ours to be read; nothing is read. FIONREAD

    For a pipe, a FIFO or a stream socket, all of them; for a datagram socket, those of the next
    datagram: pipe(7), unix(7), udp(7).

    Raises:
        OSError: there is no such descriptor, or it has no such count.
    """
    told = fcntl.ioctl(number, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", told)[0])


class QueueState(NamedTuple):
    """What is in a POSIX message queue.

    Attributes:
        messages: that wait in it; most_messages: that it holds; message_size: the longest, bytes.
        data_bytes: of all messages that wait; None if we may not read the queue.
        line: what was read, with data_bytes as QSIZE; where: what told it.
    """

    messages: int
    most_messages: int
    message_size: int
    data_bytes: int | None
    line: str
    where: str


class _Attributes(ctypes.Structure):
    """struct mq_attr of mqueue.h, 64-bit Linux."""

    _fields_ = (
        ("flags", ctypes.c_long),
        ("maxmsg", ctypes.c_long),
        ("msgsize", ctypes.c_long),
        ("curmsgs", ctypes.c_long),
        ("reserved", ctypes.c_long * 4),
    )


def queue_state(number: int) -> QueueState:
    """What is in the POSIX queue behind this descriptor of ours. Nothing is taken out.

    On Linux a queue descriptor is a file descriptor, and reading it with read(2) gives a line about
    the queue, not a message: mq_overview(7).

    Raises:
        OSError: it is no queue descriptor.
    """
    told = _Attributes()
    if mq_getattr(number, ctypes.addressof(told)) < 0:
        raise OSError(errno(), os.strerror(errno()))
    line = f"mq_curmsgs {told.curmsgs}, mq_maxmsg {told.maxmsg}, mq_msgsize {told.msgsize}"
    data_bytes = None
    with contextlib.suppress(OSError, ValueError, IndexError):
        about = os.pread(number, 256, 0).decode()
        data_bytes = int(about.split("QSIZE:")[1].split()[0])
        line = f"{line}; {' '.join(about.split())}"
    return QueueState(
        told.curmsgs, told.maxmsg, told.msgsize, data_bytes, line, f"mq_getattr({number})"
    )


def _descriptor(pid: int | str, number: int) -> Descriptor:
    where = f"/proc/{pid}/fdinfo/{number}"
    target = os.readlink(f"/proc/{pid}/fd/{number}")
    with open(where, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    flags = int(facts["flags"], 8)
    line = next(line for line in lines if line.startswith("flags:"))
    return Descriptor(
        number,
        target,
        flags,
        int(facts.get("pos", "0")),
        bool(flags & os.O_CLOEXEC),
        " ".join(line.split()),
        where,
    )
