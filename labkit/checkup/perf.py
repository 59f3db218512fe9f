"""Whether the kernel counts instructions for us: perf_event_open(2), tried on this process.

labkit measures without these counters. They add detail to what it shows, where they are allowed.
"""

import ctypes
import errno
import os
import platform
import struct
from pathlib import Path

from labkit.checkup.check import Finding
from labkit.checkup.remedy import here
from labkit.kernel import libc, machine
from labkit.kernel.cpus import kernel_text

PERF_EVENT_OPEN = {"x86_64": 298}.get(platform.machine(), 241)  # the generic table's elsewhere
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")

# linux/perf_event.h
HARDWARE, SOFTWARE = 0, 1
INSTRUCTIONS, CONTEXT_SWITCHES = 1, 3
EXCLUDE_KERNEL = 1 << 5 | 1 << 6  # and the hypervisor
FLAG_CLOEXEC = 8
# struct perf_event_attr as it was first: type, size, config, sample period, sample type, read
# format, flags, wake-up, breakpoint type and address.
ATTRIBUTES = struct.Struct("IIQQQQQIIQ")


def perf_counters() -> Finding:
    """Count this process's own instructions, with and without those in the kernel."""
    level = kernel_text(PARANOID)
    told = f"perf_event_paranoid is {level}" if level is not None else f"there is no {PARANOID}"
    refused = 0
    for flags, what in ((0, "its own and the kernel's"), (EXCLUDE_KERNEL, "only its own")):
        refused = _count(HARDWARE, INSTRUCTIONS, flags)
        if refused == 0:
            return Finding(True, f"a process may count its instructions, {what}; {told}")
    name = errno.errorcode.get(refused, str(refused))
    soft = _count(SOFTWARE, CONTEXT_SWITCHES, EXCLUDE_KERNEL) in (0, errno.ENODATA)
    also = ", though context switches are counted" if soft else ""
    why = f"the processor's counters were refused ({name}){also}; {told}"
    return Finding(False, why, _remedy(refused))


def _count(kind: int, event: int, flags: int) -> int:
    """Open a counter, read it and close it: 0, or the errno; ENODATA where it stays at zero."""
    attributes = ctypes.create_string_buffer(
        ATTRIBUTES.pack(kind, ATTRIBUTES.size, event, 0, 0, 0, flags, 0, 0, 0)
    )
    me, any_cpu, no_group = 0, -1, -1
    descriptor = libc.syscall(
        PERF_EVENT_OPEN, ctypes.addressof(attributes), me, any_cpu, no_group, FLAG_CLOEXEC, 0
    )
    if descriptor < 0:
        return libc.errno()
    try:
        return 0 if any(os.read(descriptor, 8)) else errno.ENODATA
    finally:
        os.close(descriptor)


def _remedy(refused: int) -> str:
    place = here()
    if refused in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.ENODATA):
        if machine.virtual_machine():
            return "# give the virtual machine a PMU (QEMU: -cpu host,pmu=on), or do without"
        return "# this processor's counters have no driver here: do without"
    if place.container and refused in (errno.EPERM, errno.ENOSYS):
        return place.allow("PERFMON")
    if refused in (errno.EACCES, errno.EPERM):
        return place.change_of_host("kernel.perf_event_paranoid", 2)
    return place.unfiltered()
