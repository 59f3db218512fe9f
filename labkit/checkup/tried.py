"""Each mechanism tried: a channel of it is created, as for a stream, and removed again."""

import ctypes
import errno
import os
import tempfile

import posix_ipc

from labkit.checkup import needs, posix, system_v
from labkit.checkup.check import Finding
from labkit.checkup.remedy import here
from labkit.harness.request import DEFAULT_SIZES
from labkit.kernel import libc
from labkit.kernel.limits import resources, system_v_queues
from labkit.kernel.objects import Objects
from labkit.kernel.refusals import REFUSALS, error_number
from labkit.mechanisms import mechanism
from labkit.mechanisms.contract import Mechanism, room_for
from labkit.mechanisms.socket_room import held
from labkit.mechanisms.unix_stream import SocketPairChannel
from labkit.units import format_size

IN_FILES = ("fifo", "mmap_file")
YAMA_RELATIVES = 1  # relatives may trace, and whom the traced process has named; ptrace(2)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def try_mechanism(name: str) -> Finding:
    """Try the default sizes, the largest first, until one is taken."""
    kind = mechanism(name)
    refusals: dict[int, BaseException] = {}
    for size in sorted(DEFAULT_SIZES, reverse=True):
        refusal = _try(kind, size)
        if refusal is None:
            return _taken(kind, size, refusals)
        refusals[size] = refusal
    smallest = refusals[min(refusals)]
    return Finding(
        False, f"creating one was refused: {_named(smallest)}", _remedy(kind, smallest, needs.ROOM)
    )


def _taken(kind: Mechanism, size: int, refusals: dict[int, BaseException]) -> Finding:
    why = f"created and removed one for messages of {format_size(size)}"
    if not refusals:
        return Finding(True, why)
    above = refusals[min(refusals)]
    return Finding(
        True,
        f"{why}; {needs.beyond(size)} refused ({_named(above)})",
        _remedy(kind, above, max(refusals)),
    )


def _try(kind: Mechanism, size: int) -> BaseException | None:
    """Create a channel for messages of this size and remove it: the refusal, if there was one."""
    with Objects() as objects:
        try:
            channel = kind.channel(objects, size, room_for("throughput", size), "futex")
        except REFUSALS as error:
            return error
        try:
            # A socket says only of a message itself whether it is too large.
            if isinstance(channel, SocketPairChannel) and not held(channel.sockets[0], size, 0):
                return OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
            if kind.name == "process_vm":
                return _may_not_read(kind)
        finally:
            channel.discard()
    return None


def _may_not_read(kind: Mechanism) -> OSError | None:
    """process_vm_readv(2), of this process itself, and what Yama says of others."""
    here = (ctypes.c_int64 * 5)()
    here[0], here[1] = here[2], here[3] = ctypes.addressof(here) + 32, 8
    vectors = ctypes.addressof(here)
    if libc.process_vm_readv(os.getpid(), vectors, 1, vectors + 16, 1, 0) < 0:
        return OSError(libc.errno(), os.strerror(libc.errno()))
    if (kind.limits()["ptrace_scope"] or 0) > YAMA_RELATIVES:
        return PermissionError(errno.EPERM, "kernel.yama.ptrace_scope forbids it to all but root")
    return None


def _number(error: BaseException) -> int | None:
    # Nothing was looked up by name, so what did not exist is the file system of the names.
    return errno.ENOENT if isinstance(error, posix_ipc.ExistentialError) else error_number(error)


def _named(error: BaseException) -> str:
    number = _number(error)
    if number is None:
        return str(error).rstrip(".") or type(error).__name__
    return f"{errno.errorcode.get(number, number)}, {os.strerror(number)}"


def _remedy(kind: Mechanism, error: BaseException, size: int) -> str:
    """What lets this mechanism take messages of `size` bytes."""
    name, number, place = kind.name, _number(error), here()
    if name in IN_FILES and number in (*FORBIDDEN, errno.ENOSPC, errno.ENOENT, errno.EOPNOTSUPP):
        return f"export TMPDIR=~  # or free some of {_temporary_folder()}"
    if name == "process_vm" and (kind.limits()["ptrace_scope"] or 0) > YAMA_RELATIVES:
        return place.change_of_host("kernel.yama.ptrace_scope", YAMA_RELATIVES)
    if number in (errno.ENOSYS, errno.EPERM):
        return place.unfiltered()
    if number == errno.ENOMEM or (name == "memfd" and number == errno.ENOSPC):
        return "free -h  # the machine or the container is out of memory: free some"
    if number == errno.EMSGSIZE and issubclass(kind.channel, SocketPairChannel):
        return place.change_of_host("net.core.wmem_max", 2 * size)
    if name == "posix_mq":
        return _remedy_of_posix_queue(number)
    if number == errno.EMFILE:
        return place.change(limits={"RLIMIT_NOFILE": 1024})
    if name == "sysv_mq" and number == errno.EINVAL:
        return system_v.msgmax().remedy
    if name == "sysv_mq" and number == errno.ENOSPC:
        most = 2 * (system_v_queues()["msgmni"] or 0)
        return place.change({"kernel.msgmni": max(32_000, most)})
    if name == "sysv_shm" and number == errno.EINVAL:
        return system_v.shmmax().remedy
    if name == "sysv_shm" and number == errno.ENOSPC:
        return system_v.shmmni().remedy or "ipcs -m  # ipcrm -m ID removes one that nobody needs"
    if name == "posix_shm" and number == errno.ENOSPC:
        return place.shared_memory()
    if name == "posix_shm" and number in FORBIDDEN:
        return f"{place.sudo}mount -o remount,rw,mode=1777 /dev/shm"
    if name == "posix_shm" and number == errno.ENOENT:
        return f"{place.sudo}mount -t tmpfs -o mode=1777 none /dev/shm"
    if name == "tcp" and number in (errno.EADDRNOTAVAIL, errno.ENETUNREACH):
        return f"{place.sudo}ip link set lo up"
    word = errno.errorcode.get(number or 0, "")
    return f"# {kind.remedies.get(word, f'labkit compare leaves {name} out by itself')}"


def _remedy_of_posix_queue(number: int | None) -> str:
    if number == errno.EMFILE:
        # One errno for two limits: too few descriptors, or too few bytes for this user's queues.
        if (limit := posix.rlimit_msgqueue()).remedy:
            return limit.remedy
        files = resources()["RLIMIT_NOFILE"] or 0
        if files < 2 * needs.OWN_DESCRIPTORS:
            return here().change(limits={"RLIMIT_NOFILE": 1024})
        return "# queues of this user elsewhere fill `ulimit -q`: end what has them, or raise it"
    finding = {
        errno.EMSGSIZE: posix.msgsize_max,
        errno.EINVAL: posix.msg_max,
        errno.ENOSPC: posix.queues_max,
    }.get(number or 0)
    return (finding().remedy if finding else "") or "# labkit compare leaves posix_mq out by itself"


def _temporary_folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # none can be written
        return "/tmp"
