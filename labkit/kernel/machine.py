"""What machine this is, and how quiet it was: the facts without which a number means nothing.

Every fact is read from a file that the kernel shows to everybody, so that nothing is run and no
privilege is needed; a file that isn't there gives None. Students hand these facts in: there is no
host name, no user name and no path among them.
"""

import os
import platform
import re
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.kernel import cpus
from labkit.kernel.cpus import kernel_text
from labkit.kernel.limits import limits

ROOT = Path("/")  # of the files below; tests show other machines' files

LIBRARIES = ("labkit", "numba", "numpy", "pandas", "matplotlib", "sysv_ipc", "posix_ipc")

# The namespaces a machine starts with have these numbers: PROC_*_INIT_INO, linux/proc_ns.h.
FIRST_NAMESPACES = {
    "ipc": 0xEFFFFFFF,
    "uts": 0xEFFFFFFE,
    "user": 0xEFFFFFFD,
    "pid": 0xEFFFFFFC,
    "cgroup": 0xEFFFFFFB,
}

# What the firmware (SMBIOS) of a virtual machine calls its maker or its product, and who that is.
MAKERS = {
    "qemu": "QEMU",
    "kvm": "KVM",
    "amazon ec2": "Amazon EC2",
    "google compute engine": "Google Compute Engine",
    "microsoft corporation virtual machine": "Hyper-V",
    "vmware": "VMware",
    "virtualbox": "VirtualBox",
    "innotek": "VirtualBox",
    "parallels": "Parallels",
    "apple virtualization": "Apple Virtualization",
    "openstack": "OpenStack",
    "droplet": "DigitalOcean",
    "bochs": "Bochs",
    "xen": "Xen",
    "bhyve": "bhyve",
}

# Clocks that only the guests of one hypervisor are offered.
GUEST_CLOCKS = {"kvm-clock": "KVM", "hyperv": "Hyper-V", "xen": "Xen"}


def describe() -> dict[str, Any]:
    """This machine's facts, for machine.json: strings, numbers, lists, dicts and None only.

    Sizes are bytes, `cpu_quota` is in CPUs' worth (None: no quota), `load_average` is that of the
    last 1, 5 and 15 minutes. `virtual_machine`, `container` and `wsl` (1 or 2) say what kind, or
    None; both of the first two are judged by evidence and can be wrong where it is hidden.
    """
    return {
        "kernel": os.uname().release,
        "preemption": preemption(os.uname().version),
        "architecture": os.uname().machine,
        "distribution": distribution(),
        "cpu_model": cpu_model(),
        "cpus_online": list(cpus.parse_list(_sys("devices/system/cpu/online") or "")),
        "cpus_allowed": list(cpus.allowed()),
        "cpu_quota": cpus.quota(),
        "caches": caches(),
        "memory_bytes": _memory_bytes(),
        "page_size": os.sysconf("SC_PAGE_SIZE"),
        "transparent_huge_pages": _chosen("kernel/mm/transparent_hugepage/enabled"),
        "shared_memory_huge_pages": _chosen("kernel/mm/transparent_hugepage/shmem_enabled"),
        "mitigations": mitigations(),
        "frequency_governor": frequency_governor(),
        "clock_source": _sys("devices/system/clocksource/clocksource0/current_clocksource"),
        "virtual_machine": virtual_machine(),
        "container": container(),
        "wsl": wsl(),
        "limits": limits(),
        "libraries": library_versions(),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
        },
        "libc": libc_version(),
        "load_average": load_average(),
    }


def preemption(build: str) -> str | None:
    """When this kernel takes a CPU from a thread inside the kernel, as its build says. uname(2)"""
    for word in ("PREEMPT_RT", "PREEMPT_DYNAMIC", "PREEMPT"):
        if word in build.split():
            return word
    return None


def distribution() -> str | None:
    """The distribution's own name for itself. os-release(5)"""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def cpu_model() -> str | None:
    """The processor's name; on arm64, where it has none, its numbers. proc_cpuinfo(5)"""
    told = _cpuinfo()
    if name := told.get("model name") or told.get("uarch"):
        return name
    if "CPU part" in told:
        return f"implementer {told.get('CPU implementer')}, part {told['CPU part']}"
    return None


def caches() -> list[dict[str, Any]]:
    """Each cache of the machine once: level, type, size in bytes, and the CPUs that share it."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for folder in (ROOT / "sys/devices/system/cpu").glob("cpu[0-9]*/cache/index*"):
        level, kind, shared, size = (
            kernel_text(folder / name) for name in ("level", "type", "shared_cpu_list", "size")
        )
        if level and kind and shared:
            found[level, kind, shared] = {
                "level": int(level),
                "type": kind,
                "size": int(size.removesuffix("K")) * 1024 if size else None,
                "shared_cpu_list": shared,
            }
    return sorted(
        found.values(),
        key=lambda each: (each["level"], each["type"], cpus.parse_list(each["shared_cpu_list"])),
    )


def mitigations() -> dict[str, str]:
    """What the kernel does about each flaw of the processor; much of it makes system calls slower.

    admin-guide/hw-vuln in the kernel's documentation.
    """
    folder = ROOT / "sys/devices/system/cpu/vulnerabilities"
    return {path.name: kernel_text(path) or "" for path in sorted(folder.glob("*"))}


def frequency_governor() -> str | None:
    """Who sets the clock rate: "performance" is steady; None where the machine doesn't say."""
    policies = (ROOT / "sys/devices/system/cpu/cpufreq").glob("policy*/scaling_governor")
    return ", ".join(sorted({kernel_text(each) or "" for each in policies})) or None


def virtual_machine() -> str | None:
    """Whose virtual machine this is, "unnamed" where only its traces show, None on bare metal."""
    if wsl() == 2:
        return "Hyper-V"
    if _sys("hypervisor/type") == "xen":
        # Xen's first guest, which drives the hardware, is as good as bare metal.
        return None if "control_d" in (_sys("hypervisor/capabilities") or "") else "Xen"
    maker, product = (_sys(f"class/dmi/id/{name}") or "" for name in ("sys_vendor", "product_name"))
    firmware = f"{maker} {product}".lower()
    named = next((name for word, name in MAKERS.items() if word in firmware), None)
    if (flags := _cpuinfo().get("flags")) is not None:
        # x86 tells a guest that it is one. The firmware alone doesn't: a cloud's machines without
        # a hypervisor carry the cloud's name too.
        guest = "hypervisor" in flags.split()
    else:
        virtio = any((ROOT / "sys/bus/virtio/devices").glob("*"))
        guest = virtio or (named is not None and not product.endswith(".metal"))
    if not guest:
        return None
    if named:
        return named
    clocks = _sys("devices/system/clocksource/clocksource0/available_clocksource") or ""
    return next((name for word, name in GUEST_CLOCKS.items() if word in clocks), "unnamed")


def container() -> str | None:
    """What container this process is in, "unnamed" where only its namespaces show, or None.

    A marker alone is no proof: a machine whose files were unpacked from a container's image has
    one too. So one of the namespaces must be another than those the machine started with.
    namespaces(7)
    """
    if not _own_namespaces():
        return None
    if (engine := kernel_text(ROOT / "run/.containerenv")) is not None:
        return engine.partition('engine="')[2].partition("-")[0] or "podman"
    groups = kernel_text(ROOT / "proc/self/cgroup") or ""
    if "KUBERNETES_SERVICE_HOST" in os.environ or "kubepods" in groups:
        return "kubernetes"
    if (ROOT / ".dockerenv").exists():
        return "docker"
    if {"APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"} & os.environ.keys():
        return "apptainer"
    variable = "container"  # systemd-nspawn, LXC and others set it in small letters
    for told in (kernel_text(ROOT / "run/systemd/container"), os.environ.get(variable)):
        if told and re.fullmatch(r"[a-z-]+", told):
            return told
    for name in ("docker", "libpod", "lxc", "containerd"):
        if name in groups:
            return {"libpod": "podman"}.get(name, name)
    # WSL gives each distribution namespaces of its own; that alone is not what people call one.
    return None if wsl() else "unnamed"


def wsl() -> int | None:
    """Which Windows Subsystem for Linux this is: 1 (no Linux kernel), 2 (a virtual machine)."""
    release = kernel_text(ROOT / "proc/sys/kernel/osrelease") or ""
    if "microsoft" not in release.lower():
        return None
    return 1 if release.endswith("-Microsoft") else 2


def library_versions() -> dict[str, str | None]:
    """The installed version of each package that has a part in a result; None: not installed."""
    from importlib import metadata  # takes longer than the rest of this file together

    versions: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def libc_version() -> str | None:
    """The C library, such as "glibc 2.36", whose functions are what is measured. confstr(3)"""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):
        return "musl" if "musl" in str(sysconfig.get_config_var("SOABI")) else None


def load_average() -> list[float]:
    """How many processes ran or waited to, over the last 1, 5 and 15 minutes. proc_loadavg(5)"""
    return [round(each, 2) for each in os.getloadavg()]


@dataclass(frozen=True)
class Snapshot:
    """What all CPUs had done by one moment."""

    at: float  # seconds of the monotonic clock
    times: dict[int, cpus.Times]
    load: float  # of the last minute


def snapshot() -> Snapshot:
    """Take one before a run and one after, for `noise`."""
    return Snapshot(time.monotonic(), cpus.times(), os.getloadavg()[0])


def noise(before: Snapshot, after: Snapshot, own_cpu_seconds: float = 0.0) -> dict[str, Any]:
    """What else went on between two snapshots.

    `own_cpu_seconds` is the CPU time that the run itself used in between, all its processes
    together, in user and system mode; what the CPUs did beyond that was somebody else's (or the
    kernel's, on behalf of interrupts).

    Returns:
        duration_s: seconds between the two.
        other_load: CPUs' worth of work that was not the run's, on average; 0.0 on a quiet machine,
            1.0 where somebody else kept one CPU busy. Good to about a clock tick (10 ms) per CPU.
        stolen: share (0 to 1) of the CPUs' time for which the hypervisor ran somebody else.
        load_average_before, load_average_after: over the minute before each; this run counts too.

    In a container /proc/stat is mostly the whole machine's, and so are these numbers. Where it
    cannot be read, other_load and stolen are None.
    """
    tick = os.sysconf("SC_CLK_TCK")
    duration = after.at - before.at
    both = before.times.keys() & after.times.keys()
    other = share = None
    if both and duration > 0:
        busy = sum(after.times[cpu].busy - before.times[cpu].busy for cpu in both) / tick
        stolen = sum(after.times[cpu].stolen - before.times[cpu].stolen for cpu in both) / tick
        other = round(max(0.0, busy - own_cpu_seconds) / duration, 3)
        share = round(min(1.0, max(0.0, stolen / (duration * len(both)))), 4)
    return {
        "duration_s": round(duration, 3),
        "other_load": other,
        "stolen": share,
        "load_average_before": round(before.load, 2),
        "load_average_after": round(after.load, 2),
    }


def _sys(name: str) -> str | None:
    return kernel_text(ROOT / "sys" / name) or None


def _cpuinfo() -> dict[str, str]:
    """The first processor's entry of /proc/cpuinfo; the others are alike, or nearly."""
    first = (kernel_text(ROOT / "proc/cpuinfo") or "").partition("\n\n")[0]
    fields = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in fields}


def _memory_bytes() -> int | None:
    for line in (kernel_text(ROOT / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _chosen(setting: str) -> str | None:
    """The word in brackets of a sysfs file that lists what there is to choose from."""
    _, _, rest = (_sys(setting) or "").partition("[")
    return rest.partition("]")[0] or None


def _own_namespaces() -> list[str]:
    """The namespaces of this process that are not the machine's first ones."""
    own: list[str] = []
    for name, first in FIRST_NAMESPACES.items():
        try:
            link = os.readlink(ROOT / "proc/self/ns" / name)
        except OSError:
            continue
        if link != f"{name}:[{first}]":
            own.append(name)
    return own
