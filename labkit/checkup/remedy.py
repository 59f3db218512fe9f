"""What to type to change a setting, which depends on where labkit runs.

A remedy is one line for a shell; what has to be known besides stands behind a #. In a container
most settings are fixed when it is started, so the remedy is what to start it with.
"""

import os
import resource
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.kernel import machine
from labkit.kernel.cpus import kernel_text

# The command that starts a container, by what labkit.kernel.machine calls its kind.
STARTERS = {"docker": "docker", "podman": "podman", "containerd": "nerdctl"}
# Containers whose limits and settings are those of the host, as they have no namespaces for them.
OF_THE_HOST = ("apptainer",)
ULIMITS = {"RLIMIT_NOFILE": "n", "RLIMIT_NPROC": "u", "RLIMIT_MSGQUEUE": "q"}
CAP_SYS_RESOURCE = 24  # linux/capability.h
SECCOMP_FILTER = "2"  # linux/seccomp.h
ANEW = "  # the container anew, with its other options and its image"


@dataclass(frozen=True)
class Place:
    """Where labkit runs, as far as that decides what to type.

    Attributes:
        container: what kind of container this is, machine.container().
        wsl: which Windows Subsystem for Linux, machine.wsl().
        root: whether commands need no sudo.
        bound: whether not even root may raise a hard limit, as in many sandboxes.
        filtered: whether a seccomp filter decides which system calls there are.
    """

    container: str | None
    wsl: int | None
    root: bool
    bound: bool = False
    filtered: bool = False

    @property
    def sudo(self) -> str:
        """What a command that needs privilege starts with."""
        return "" if self.root else "sudo "

    def change(
        self,
        settings: Mapping[str, int | str] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> str:
        """Change settings of sysctl(8) that an IPC namespace has its own of, and soft limits.

        Args:
            settings: by name, such as {"kernel.msgmax": 8192}. ipc_namespaces(7)
            limits: by name, such as {"RLIMIT_NOFILE": 1024}. getrlimit(2)
        """
        settings, limits = settings or {}, limits or {}
        set_to = [shlex.quote(f"{name}={value}") for name, value in settings.items()]
        if self.container in STARTERS:
            options = [f"--sysctl {each}" for each in set_to]
            options += [
                f"--ulimit {_short(name)}={value}:{value}" for name, value in limits.items()
            ]
            return self._start(*options)
        if self.container == "kubernetes":
            asked = [f"securityContext.sysctls with {', '.join(set_to)}"] if set_to else []
            asked += [
                f"{_short(name)}={value} in the container runtime's rlimits"
                for name, value in limits.items()
            ]
            return f"# ask whoever runs the cluster for {' and '.join(asked)}"
        commands: list[str] = []
        notes: list[str] = []
        if settings:
            commands.append(f"{self.sudo}sysctl -w {' '.join(set_to)}")
            notes.append(self._until())
        for name, value in limits.items():
            if not _within_hard(name, value) and self.bound:
                wanted = f"{_short(name)}={value}:{value}"
                notes.append(f"root is bound here: on the host, prlimit --pid PID --{wanted}")
                continue
            commands.append(self._raise(name, value))
            notes.append("in the shell that then starts labkit or Jupyter")
        return f"{' && '.join(commands)}  # {'; '.join(notes)}".strip()

    def change_of_host(self, name: str, value: int) -> str:
        """Change a setting that a machine has only once, for all its containers."""
        if self.container == "kubernetes":
            return f"# ask whoever runs the cluster for {name}={value} on its nodes"
        where = "on the host" if self.container else self._until()
        return f"{self.sudo}sysctl -w {name}={value}  # {where}"

    def shared_memory(self, size: str = "1g") -> str:
        """A larger /dev/shm. tmpfs(5)"""
        if self.container in STARTERS:
            return self._start(f"--shm-size={size}")
        if self.container == "kubernetes":
            return "# ask whoever runs the cluster for an emptyDir of medium Memory at /dev/shm"
        where = "on the host" if self.container in OF_THE_HOST else "then `df -h /dev/shm`"
        return f"{self.sudo}mount -o remount,size={size} /dev/shm  # {where}"

    def allow(self, capability: str) -> str:
        """Give the container a capability, without the CAP_. capabilities(7)"""
        if self.container in STARTERS:
            return self._start(f"--cap-add={capability}")
        if self.container == "kubernetes":
            return f"# ask whoever runs the cluster for securityContext.capabilities {capability}"
        return "# run labkit outside of the sandbox that refuses this"

    def unfiltered(self) -> str:
        """Leave out the filter of system calls, or whatever else refuses a call. seccomp(2)"""
        if self.wsl == 1:
            return NO_KERNEL
        if self.container in STARTERS:
            return self._start("--security-opt seccomp=unconfined")
        if self.container == "kubernetes":
            return "# ask whoever runs the cluster for seccompProfile type Unconfined"
        if self.container or self.filtered:
            return "# run labkit outside of the sandbox that refuses this"
        if self.wsl:
            return "wsl.exe --update  # in Windows, for a newer kernel"
        return "# this kernel is built without it: start one of a distribution"

    def _start(self, *options: str) -> str:
        return f"{STARTERS[self.container or '']} run {' '.join(options)}{ANEW}"

    def _until(self) -> str:
        if self.wsl:
            return "until WSL shuts down; to keep it: `command=` under [boot] in /etc/wsl.conf"
        if self.container in OF_THE_HOST:
            return "on the host, until it restarts"
        return "until the next restart; to keep it: a file in /etc/sysctl.d"

    def _raise(self, name: str, value: int) -> str:
        if _within_hard(name, value):
            return f"ulimit -{ULIMITS[name]} {value}"
        return f"{self.sudo}prlimit --pid $$ --{_short(name)}={value}:{value}"


NO_KERNEL = "wsl.exe --set-version DISTRIBUTION 2  # in Windows; `wsl.exe -l` names DISTRIBUTION"


def here() -> Place:
    """The place this process is in."""
    root = os.geteuid() == 0
    return Place(
        machine.container(),
        machine.wsl(),
        root,
        bound=root and not may_exceed_limits(),
        filtered=_status("Seccomp") == SECCOMP_FILTER,
    )


def may_exceed_limits() -> bool:
    """Whether the kernel lets this process go beyond its limits: CAP_SYS_RESOURCE.

    It counts only in the machine's first user namespace. capabilities(7), user_namespaces(7)
    """
    try:
        first = os.readlink("/proc/self/ns/user") == f"user:[{machine.FIRST_NAMESPACES['user']}]"
    except OSError:
        return False
    return first and bool(int(_status("CapEff") or "0", 16) >> CAP_SYS_RESOURCE & 1)


def _status(name: str) -> str | None:
    """A field of this process's /proc/self/status, proc_pid_status(5)."""
    lines = (kernel_text(Path("/proc/self/status")) or "").splitlines()
    return next((line.split()[1] for line in lines if line.startswith(f"{name}:")), None)


def _within_hard(name: str, value: int) -> bool:
    """Whether anybody may raise the soft limit so far; beyond the hard one it takes privilege."""
    _, hard = resource.getrlimit(getattr(resource, name))
    return hard == resource.RLIM_INFINITY or hard >= value


def _short(name: str) -> str:
    return name.removeprefix("RLIMIT_").lower()
