"""What the running kernel allows: each limit read where the kernel tells it, never assumed.

Every function here returns numbers by name, and None for what this kernel or container hides.
The names are those of the files under /proc/sys, of setrlimit(2), or are explained.
"""

import os
import resource
from pathlib import Path

SETTINGS = Path("/proc/sys")
SHARED_MEMORY_FOLDER = "/dev/shm"

UNLIMITED = 2**64 - 1  # RLIM_INFINITY as C has it (Python's is -1), so that limits can be compared

Limits = dict[str, int | None]


def limits() -> Limits:
    """All limits below in one table."""
    return {
        **system_v_queues(),
        **system_v_segments(),
        **system_v_semaphores(),
        **posix_queues(),
        **posix_segments(),
        **pipes(),
        **sockets(),
        **resources(),
    }


def system_v_queues() -> Limits:
    """msgmax, msgmnb: bytes in a message, a queue; msgmni: queues. /proc/sys/kernel, msgget(2)"""
    return {name: _number(f"kernel/{name}") for name in ("msgmax", "msgmnb", "msgmni")}


def system_v_segments() -> Limits:
    """shmmax: bytes in a segment; shmall: pages in all; shmmni: segments. /proc/sys/kernel,
    shmget(2)"""
    return {name: _number(f"kernel/{name}") for name in ("shmmax", "shmall", "shmmni")}


def system_v_semaphores() -> Limits:
    """The four numbers of /proc/sys/kernel/sem, in its order. semget(2), semop(2)

    semmsl: semaphores in a set; semmns: in all; semopm: operations in a semop; semmni: sets.
    """
    return {
        name: _number("kernel/sem", place)
        for place, name in enumerate(("semmsl", "semmns", "semopm", "semmni"))
    }


def posix_queues() -> Limits:
    """msg_max: messages in a queue; msgsize_max: bytes in one; queues_max. /proc/sys/fs/mqueue

    They bind an unprivileged process. RLIMIT_MSGQUEUE bounds the bytes of all queues of a user.
    mq_overview(7)
    """
    names = ("msg_max", "msgsize_max", "queues_max")
    return {name: _number(f"fs/mqueue/{name}") for name in names}


def posix_segments() -> Limits:
    """dev_shm_size, dev_shm_free: bytes of the file system /dev/shm. shm_overview(7), statvfs(3)"""
    try:
        told = os.statvfs(SHARED_MEMORY_FOLDER)
    except OSError:
        return {"dev_shm_size": None, "dev_shm_free": None}
    return {
        "dev_shm_size": told.f_blocks * told.f_frsize,
        "dev_shm_free": told.f_bavail * told.f_frsize,
    }


def pipes() -> Limits:
    """pipe-max-size: bytes one may be set to; pipe-user-pages-*: of a user. /proc/sys/fs, pipe(7)

    A user above the soft number gets pipes of one or two pages; above the hard one, none. 0 means
    that there is no such limit.
    """
    names = ("pipe-max-size", "pipe-user-pages-soft", "pipe-user-pages-hard")
    return {name: _number(f"fs/{name}") for name in names}


def sockets() -> Limits:
    """Bytes of a socket's buffers (/proc/sys/net/core, socket(7)) and a datagram queue's length.

    max_dgram_qlen (/proc/sys/net/unix, unix(7)): messages that wait at a bound datagram socket.
    """
    names = ("wmem_default", "wmem_max", "rmem_default", "rmem_max")
    return {
        **{name: _number(f"net/core/{name}") for name in names},
        "max_dgram_qlen": _number("net/unix/max_dgram_qlen"),
    }


def resources() -> Limits:
    """This process's soft limits (`ulimit`), 2**64-1 where there is none. getrlimit(2)

    RLIMIT_MSGQUEUE: bytes of POSIX queues of this user; RLIMIT_NOFILE: descriptors of this
    process; RLIMIT_NPROC: processes and threads of this user.
    """
    found: Limits = {}
    for name in ("RLIMIT_MSGQUEUE", "RLIMIT_NOFILE", "RLIMIT_NPROC"):
        try:
            soft, _ = resource.getrlimit(getattr(resource, name))
        except (OSError, ValueError):
            found[name] = None
        else:
            found[name] = UNLIMITED if soft == resource.RLIM_INFINITY else soft
    return found


def _number(setting: str, place: int = 0) -> int | None:
    try:
        return int((SETTINGS / setting).read_text().split()[place])
    except (OSError, ValueError, IndexError):
        return None
