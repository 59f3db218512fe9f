"""Which CPUs this process may use, which two of them are quiet, and how much of them it may have.

sched_setaffinity(2), proc_stat(5), cgroups(7); admin-guide/cputopology of the kernel's own manual.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import RequestError

CPU_FOLDERS = Path("/sys/devices/system/cpu")
PROC = Path("/proc")

BUSY = 0.5  # from this share of its time on, a CPU counts as taken by somebody else


def kernel_text(path: Path) -> str | None:
    """A file of /proc or /sys without the space around it; None where it cannot be read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


@dataclass(frozen=True)
class Times:
    """What one CPU did since the machine started, in clock ticks (sysconf _SC_CLK_TCK a second)."""

    busy: int  # user, nice, system, interrupts; a guest's time is part of user
    idle: int  # idle, or idle while something waits for a disk
    stolen: int  # wanted to run, but the hypervisor ran somebody else


@dataclass(frozen=True)
class CpuPair:
    """The two CPUs of a run, and what they have to do with each other.

    Attributes:
        first: where both ends of a same-CPU cell run.
        second: where the other end of a cross-CPU cell runs; None where one CPU is all there is.
        same_core: whether the two are threads of one physical core.
        shared_caches: the caches they share, nearest first, such as ("L2", "L3").
        busy: the share of its time (0 to 1) that each allowed CPU was busy just before.
    """

    first: int
    second: int | None
    same_core: bool
    shared_caches: tuple[str, ...]
    busy: dict[int, float]


def allowed() -> tuple[int, ...]:
    """The CPUs the calling thread may run on, ascending. sched_getaffinity(2)"""
    return tuple(sorted(os.sched_getaffinity(0)))


def parse_list(text: str) -> tuple[int, ...]:
    """The numbers in a list as the kernel writes it: "0-2,8" is (0, 1, 2, 8). cpuset(7), Formats"""
    numbers: list[int] = []
    for part in text.strip().split(","):
        low, _, high = part.partition("-")
        if low:
            numbers.extend(range(int(low), int(high or low) + 1))
    return tuple(numbers)


def times() -> dict[int, Times]:
    """What each online CPU did so far; empty where /proc/stat cannot be read. proc_stat(5)"""
    result: dict[int, Times] = {}
    for line in (kernel_text(PROC / "stat") or "").splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, idle, iowait, irq, softirq, stolen = map(int, fields[:8])
            busy = user + nice + system + irq + softirq
            result[int(name[3:])] = Times(busy, idle + iowait, stolen)
    return result


def busy_shares(before: dict[int, Times], after: dict[int, Times]) -> dict[int, float]:
    """The share of its time, 0 to 1, that each CPU was not idle; stolen time is not idle either."""
    shares: dict[int, float] = {}
    for cpu in before.keys() & after.keys():
        start, end = before[cpu], after[cpu]
        used = max(0, end.busy + end.stolen - start.busy - start.stolen)
        total = used + max(0, end.idle - start.idle)
        shares[cpu] = used / total if total else 0.0
    return shares


def threads_of_core(cpu: int) -> tuple[int, ...]:
    """The CPUs that are threads of the same physical core, this one among them.

    Where the kernel doesn't say (some sandboxes have no sysfs), each CPU is its own core.
    """
    # The kernel makes this list of core_id and physical_package_id; core_id alone repeats.
    folder = CPU_FOLDERS / f"cpu{cpu}" / "topology"
    for name in ("core_cpus_list", "thread_siblings_list"):  # since Linux 5.3, and before
        if text := kernel_text(folder / name):
            return parse_list(text)
    return (cpu,)


def caches_of(cpu: int) -> dict[str, tuple[int, ...]]:
    """Each cache of a CPU, nearest first, and the CPUs that share it: {"L1d": (0,), "L3": (0, 1)}.

    L1d and L1i hold data and instructions; a cache without a letter holds both. Empty where the
    kernel doesn't say. sysfs, Documentation/ABI/testing/sysfs-devices-system-cpu
    """
    found: dict[str, tuple[int, ...]] = {}
    for folder in sorted((CPU_FOLDERS / f"cpu{cpu}" / "cache").glob("index*")):
        level, kind = kernel_text(folder / "level"), kernel_text(folder / "type")
        shared = kernel_text(folder / "shared_cpu_list")
        if level and kind and shared:
            letter = {"Data": "d", "Instruction": "i"}.get(kind, "")
            found[f"L{level}{letter}"] = parse_list(shared)
    return dict(sorted(found.items()))


def choose(settle: float = 0.05) -> CpuPair:
    """Choose two quiet CPUs among those allowed, watching all of them for `settle` seconds.

    The first is the least busy; a busy thread on the same core counts half. For the second these
    count, in this order: another physical core, not busy (for less than half of the time), a
    shared cache, the same package, the least load. Equals are drawn by lot, so that thirty students
    who start together don't all sit on CPUs 0 and 1.
    """
    before = times()
    time.sleep(settle)
    return pair(allowed(), busy_shares(before, times()))


def pair(among: tuple[int, ...], busy: dict[int, float]) -> CpuPair:
    """The two CPUs that `choose` takes among some, given how busy every CPU of the machine is."""

    def load(cpu: int) -> float:
        others = sum(busy.get(thread, 0.0) for thread in threads_of_core(cpu) if thread != cpu)
        return busy.get(cpu, 0.0) + others / 2

    def lot() -> bytes:
        # Not from `random`: a forked process would draw the same lots as its siblings.
        return os.urandom(8)

    first = min(among, key=lambda cpu: (load(cpu), lot()))
    core, caches, package = threads_of_core(first), caches_of(first), _package(first)

    def shared_with(cpu: int) -> tuple[str, ...]:
        return tuple(name for name, cpus in caches.items() if cpu in cpus)

    second = min(
        (cpu for cpu in among if cpu != first),
        key=lambda cpu: (
            cpu in core,
            busy.get(cpu, 0.0) >= BUSY,
            not shared_with(cpu),
            _package(cpu) != package,
            load(cpu),
            lot(),
        ),
        default=None,
    )
    return CpuPair(
        first=first,
        second=second,
        same_core=second in core,
        shared_caches=() if second is None else shared_with(second),
        busy={cpu: round(busy.get(cpu, 0.0), 3) for cpu in among},
    )


def pin(cpu: int) -> None:
    """Keep the calling thread on one CPU from now on. sched_setaffinity(2)

    Raises:
        RequestError: the machine has no such CPU, or this process may not use it.
    """
    try:
        os.sched_setaffinity(0, {cpu})
    except (OSError, ValueError, OverflowError) as error:
        raise RequestError(
            f"CPU {cpu} cannot be used here ({getattr(error, 'strerror', None) or error}); choose "
            f"one that is online and in this process's cpuset, such as {allowed()[0]}"
        ) from error


def quota() -> float | None:
    """How many CPUs' worth of time this process's control groups allow; None where all there is.

    The least that the process's own group and those above it allow, as far as they can be seen
    from here: cpu.max (cgroups(7) version 2) or cpu.cfs_quota_us (version 1). A process that has
    used its quota stands still until the period, mostly 100 ms, is over.
    """
    found: list[float] = []
    for folder, top in _cgroup_folders():
        for each in (folder, *folder.parents):
            if each.is_relative_to(top) and (here := _quota_in(each)) is not None:
                found.append(here)
    return min(found, default=None)


def _quota_in(folder: Path) -> float | None:
    if version_2 := kernel_text(folder / "cpu.max"):
        allowance, _, period = version_2.partition(" ")
    else:
        allowance = kernel_text(folder / "cpu.cfs_quota_us") or ""
        period = kernel_text(folder / "cpu.cfs_period_us") or ""
    # No limit is the word "max" in version 2, and -1 in version 1.
    if not (allowance.isdigit() and period.isdigit() and int(period)):
        return None
    return int(allowance) / int(period)


def _cgroup_folders() -> list[tuple[Path, Path]]:
    """This process's own folder in each hierarchy that can limit CPU time, and its mount point."""
    own: dict[str, str] = {}  # by controller; version 2 has none in its line
    for line in (kernel_text(PROC / "self" / "cgroup") or "").splitlines():
        _, controllers, group = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), group))
    folders: list[tuple[Path, Path]] = []
    for line in (kernel_text(PROC / "self" / "mountinfo") or "").splitlines():
        mount, _, rest = line.partition(" - ")  # proc_pid_mountinfo(5)
        root, point = mount.split()[3:5]
        kind, options = rest.split()[0], rest.split()[-1]
        path = None
        if kind == "cgroup2":
            path = own.get("")
        elif kind == "cgroup" and "cpu" in options.split(","):
            path = own.get("cpu")
        if path is None:
            continue
        top = Path(point)
        # A container may see its group's path from outside, its mount from inside, or "/..".
        inside = Path(path).is_relative_to(root) and ".." not in path
        folders.append((top / Path(path).relative_to(root) if inside else top, top))
    return folders


def _package(cpu: int) -> str | None:
    return kernel_text(CPU_FOLDERS / f"cpu{cpu}" / "topology" / "physical_package_id")
