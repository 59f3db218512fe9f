"""How busy others keep the CPUs, in a short look. proc_stat(5)"""

import time

from labkit.checkup.check import Finding
from labkit.kernel import machine
from labkit.units import format_time

QUIET = 0.25  # CPUs' worth of others' work; a clock tick is as much as 0.1 of a look of 100 ms
NOT_OURS = 0.05  # of the CPUs' time that the hypervisor gives to others


def other_load(look_s: float) -> Finding:
    """Watch all CPUs for `look_s` seconds, in which this process sleeps."""
    before, own = machine.snapshot(), time.process_time()
    time.sleep(look_s)
    told = machine.noise(before, machine.snapshot(), time.process_time() - own)
    others, stolen = told["other_load"], told["stolen"]
    if others is None:
        return Finding(
            False, "/proc/stat cannot be read, so who else is busy cannot be seen", "uptime"
        )
    why = (
        f"others used {others:.2f} CPUs' worth of time in {format_time(told['duration_s'] * 1e9)},"
        f" and the hypervisor gave {100 * stolen:.0f} % to other machines (/proc/stat)"
    )
    if others > QUIET:
        return Finding(False, why, "top  # shows who; wait for it or end it, then measure")
    if stolen > NOT_OURS:
        return Finding(False, why, "# measure when the machine's other guests are quiet")
    return Finding(True, why)
