"""The list of all checks, in the order of the table."""

from functools import partial

from labkit.checkup import (
    load,
    perf,
    posix,
    process_limits,
    processors,
    remove_ipc,
    surroundings,
    system_v,
    tracing,
    tried,
    waiting,
    wakeup,
)
from labkit.checkup.check import Check
from labkit.mechanisms import names

LOOK_S = 0.2
QUICK_LOOK_S = 0.1


def checks(quick: bool) -> list[Check]:
    """All checks; `quick` leaves out the one that measures, and looks at the load more briefly."""
    found = [Check(name, partial(tried.try_mechanism, name)) for name in names(extra=True)]
    found += [
        Check("waiting: spin", waiting.spin),
        Check("waiting: futex", waiting.futex),
        Check("waiting: posix_sem", waiting.posix_sem),
        Check("waiting: sysv_sem", waiting.sysv_sem),
        Check("waiting: eventfd", waiting.eventfd),
        Check("watching processes", tracing.watching),
        Check("tracing", tracing.tracing),
        Check("perf counters", perf.perf_counters),
        Check("pinning", processors.pinning),
        Check("more than one CPU", processors.more_than_one),
        Check("/dev/shm size", posix.shared_memory_folder),
        Check("msgmax", system_v.msgmax),
        Check("msgmnb", system_v.msgmnb),
        Check("mqueue msg_max", posix.msg_max),
        Check("mqueue msgsize_max", posix.msgsize_max),
        Check("mqueue queues_max", posix.queues_max),
        Check("shmmax", system_v.shmmax),
        Check("shmmni", system_v.shmmni),
        Check("RLIMIT_MSGQUEUE", posix.rlimit_msgqueue),
        Check("RLIMIT_NOFILE", process_limits.rlimit_nofile),
        Check("RLIMIT_NPROC", process_limits.rlimit_nproc),
        Check("outside a container", surroundings.container),
        Check("outside a virtual machine", surroundings.virtual_machine),
        Check("outside WSL", surroundings.wsl),
        Check("without CPU frequency scaling", processors.frequency),
        Check("without CPU quota", processors.time_quota),
        Check("without RemoveIPC", remove_ipc.remove_ipc),
        Check("without other load", partial(load.other_load, QUICK_LOOK_S if quick else LOOK_S)),
    ]
    if not quick:
        found.append(Check("cheap cross-CPU wake-up", wakeup.cross_cpu))
    return found
