"""Who made an object, told well enough that nobody else is taken for them.

A process number alone names nobody: it is used again, it means another process in another pid
namespace, and a home may be shared by containers and by machines. namespaces(7), proc_pid_stat(5)
"""

import hashlib
import os
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["alive", "dead", "elsewhere"]


@dataclass(frozen=True)
class Owner:
    """A process for good: no two have the same facts, before or after a restart, here or there."""

    boot: str  # of the running kernel, proc_sys_kernel(5); "" where it is not told
    machine: str  # a digest of machine-id(5) and the host's name
    ipc: int  # the namespaces' inode numbers: System V objects and POSIX queues,
    pids: int  # process numbers,
    mounts: int  # paths
    pid: int
    start: int  # in clock ticks since the machine started, proc_pid_stat(5)
    uid: int
    at: float  # when this was written down, time.time()

    def as_json(self) -> dict[str, Any]:
        """The same as a dictionary."""
        return asdict(self)

    @classmethod
    def of_json(cls, facts: dict[str, Any]) -> "Owner":
        """From what was read from a file.

        Raises:
            ValueError: something is missing or of the wrong type.
        """
        found = {name: facts.get(name) for name in cls.__dataclass_fields__}
        for name in ("boot", "machine"):
            if not isinstance(found[name], str):
                raise ValueError(f"its owner has no {name}")
        for name in ("ipc", "pids", "mounts", "pid", "start", "uid"):
            number = found[name]
            if type(number) is not int or not 0 <= number < 1 << 63:
                raise ValueError(f"its owner has no {name}")
        if found["pid"] == 0 or not isinstance(found["at"], float):
            raise ValueError("its owner has no pid or time")
        return cls(**found)  # type: ignore[arg-type]  # each was just looked at


def ourselves() -> Owner:
    """This process.

    Raises:
        OSError: /proc cannot be read.
    """
    return Owner(
        boot=_line("/proc/sys/kernel/random/boot_id"),
        machine=_machine(),
        ipc=_namespace("ipc"),
        pids=_namespace("pid"),
        mounts=_namespace("mnt"),
        pid=os.getpid(),
        start=_stat("self")[1],
        uid=os.geteuid(),
        at=time.time(),
    )


def state_of(owner: Owner, here: Owner, unlocked: bool) -> State:
    """Whether an owner still lives, as far as it can be told from here.

    Args:
        here: this process.
        unlocked: its lock was seen to be free, by the kernel that it was taken from.

    Returns:
        `elsewhere` where nothing can be told: in another pid namespace, on another machine.
    """
    if not here.boot or owner.boot != here.boot:
        # Before this machine started it wrote, on this machine: gone with all its processes. A file
        # that was written since is from another machine, whatever it calls itself.
        ours = bool(here.boot) and owner.machine == here.machine and owner.at < _started()
        return "dead" if ours else "elsewhere"
    if owner.pids == here.pids and _numbers_are_ours():
        return "alive" if _lives(owner.pid, owner.start) else "dead"
    return "dead" if unlocked else "elsewhere"


def _lives(pid: int, start: int) -> bool:
    """Whether the process that started then has this number now; a zombie holds nothing."""
    try:
        condition, started = _stat(str(pid))
    except (FileNotFoundError, ProcessLookupError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True  # /proc hides it, hidepid in proc(5): not ours, but who knows
        return True
    except OSError:
        return True
    return started == start and condition not in "ZX"


def _numbers_are_ours() -> bool:
    """Whether /proc counts processes as we do: it may be mounted from another namespace."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _stat(pid: str) -> tuple[str, int]:
    """State and start time of a process, fields 3 and 22; a name may hold blanks and brackets."""
    fields = _line(f"/proc/{pid}/stat", missing=False).rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _namespace(kind: str) -> int:
    return os.stat(f"/proc/self/ns/{kind}").st_ino


def _machine() -> str:
    """Which machine this is, as a digest: machine-id(5) should not be passed on as it is."""
    text = f"labkit {_line('/etc/machine-id')} {os.uname().nodename}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _started() -> float:
    """When this machine started, time.time(); proc_stat(5)"""
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            if line.startswith("btime "):
                return float(line.split()[1])
    return 0.0


def _line(path: str, missing: bool = True) -> str:
    """A small file of the kernel's; "" where there is none, if it may be missing."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        if missing:
            return ""
        raise
