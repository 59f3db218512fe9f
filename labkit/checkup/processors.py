"""The CPUs: how many there are, whether ends can be kept on them, and what holds them back."""

import os
from pathlib import Path

from labkit.checkup.check import Finding
from labkit.checkup.remedy import STARTERS, Place, here
from labkit.kernel import machine
from labkit.kernel.cpus import CPU_FOLDERS, allowed, kernel_text, parse_list, quota

BUSY_AT_ONCE = 3  # two ends that spin, and whatever looks after them
STEADY = "performance"


def pinning() -> Finding:
    """Keep this thread on one CPU for a moment. sched_setaffinity(2)"""
    before = allowed()
    cpu = before[-1]
    try:
        os.sched_setaffinity(0, {cpu})
        kept = allowed()
    except OSError as error:
        return Finding(
            False, f"sched_setaffinity was refused: {error.strerror}", here().unfiltered()
        )
    finally:
        os.sched_setaffinity(0, before)
    if kept != (cpu,):
        return Finding(
            False,
            f"kept on CPU {cpu}, this thread may still run on {_listed(kept)}",
            "labkit compare --placement free  # the scheduler decides",
        )
    return Finding(True, f"kept this thread on CPU {cpu} and let it go again (sched_setaffinity)")


def more_than_one() -> Finding:
    """Two ends on two CPUs need two that this process may use. sched_getaffinity(2)"""
    mine = allowed()
    online = parse_list(kernel_text(CPU_FOLDERS / "online") or "") or mine
    why = f"this process may use CPU {_listed(mine)} (sched_getaffinity)"
    why += f", {len(online)} are online" if len(online) > 1 else ""
    if len(mine) > 1:
        return Finding(True, why)
    return Finding(False, f"{why}: only same-cpu and free are measured", _allow_more(online))


def _allow_more(online: tuple[int, ...]) -> str:
    place = here()
    if len(online) < 2:
        if place.wsl:
            return "# in %UserProfile%\\.wslconfig, under [wsl2]: processors=2; wsl.exe --shutdown"
        if machine.virtual_machine():
            return "# give the virtual machine a second CPU"
        return "labkit compare --placement same-cpu  # the machine has one CPU"
    listed = ",".join(map(str, online[:4]))
    if place.container in STARTERS:
        return f"{STARTERS[place.container]} run --cpuset-cpus={listed}  # the container anew"
    if place.container == "kubernetes":
        return "# ask whoever runs the cluster for more than one CPU"
    return f"taskset -cp {listed} $$  # in the shell that then starts labkit or Jupyter"


def frequency() -> Finding:
    """Whether something changes the CPUs' clock rate under a measurement."""
    governor = machine.frequency_governor()
    if governor is None:
        return Finding(
            True, f"no governor here ({CPU_FOLDERS}/cpufreq); a hypervisor or the firmware decides"
        )
    why = f"the governor is {governor} ({CPU_FOLDERS}/cpufreq/policy*/scaling_governor)"
    if governor == STEADY:
        return Finding(True, f"{why}, which keeps the clock rate up")
    place = here()
    command = f"echo {STEADY} | {place.sudo}tee {CPU_FOLDERS}/cpufreq/policy*/scaling_governor"
    return Finding(
        False,
        f"{why}: the clock rate follows the load, and so do times",
        command + ("  # on the host" if place.container else ""),
    )


def time_quota() -> Finding:
    """Whether a control group stops our processes for a part of each period. cgroups(7)"""
    limit = quota()
    if limit is None:
        return Finding(True, "none (cpu.max or cpu.cfs_quota_us of this control group)")
    why = f"{limit:g} CPUs' worth of time (cpu.max or cpu.cfs_quota_us of the control group)"
    enough = min(BUSY_AT_ONCE, len(allowed()))
    if limit >= enough:
        return Finding(True, f"{why}, as much as the lab can use")
    return Finding(
        False,
        f"{why}, and two busy ends with whoever watches take {enough}: they are stopped at times",
        _without_quota(here()),
    )


def _without_quota(place: Place) -> str:
    if place.container in STARTERS:
        name = os.uname().nodename
        return f"{STARTERS[place.container]} update --cpus={BUSY_AT_ONCE} {name}  # on the host"
    if place.container == "kubernetes":
        return f"# ask whoever runs the cluster for resources.limits.cpu of {BUSY_AT_ONCE}"
    unit = _own_unit()
    return f"{place.sudo}systemctl set-property --runtime {unit} CPUQuota="


def _own_unit() -> str:
    """The systemd unit that this process belongs to, or its user's. systemd.slice(5)"""
    group = (kernel_text(Path("/proc/self/cgroup")) or "").rpartition("/")[2]
    return group if group.endswith((".service", ".scope")) else f"user-{os.getuid()}.slice"


def _listed(cpus: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, cpus[:8]))
    return shown if len(cpus) <= 8 else f"{shown} and {len(cpus) - 8} more"
