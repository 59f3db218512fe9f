"""What it costs here to wake a sleeper on another CPU, against one on the same CPU.

Measured by a fresh process, in Python: both times include what the interpreter takes, the
difference is the kernel's and the hypervisor's.
"""

import subprocess
import sys
from pathlib import Path

from labkit.checkup.check import Finding
from labkit.kernel import cpus
from labkit.units import format_time

SCRIPT = Path(__file__).with_name("ping_pong.py")
DEAR = 4.0  # from this ratio on, a cross-CPU time is mostly that of waking
PATIENCE_S = 5.0
REMEDY = "labkit compare --placement same-cpu  # or spin: labkit compare --waiting spin"


def cross_cpu() -> Finding:
    """A ping-pong on one CPU, and on the two that a run would take."""
    pair = cpus.choose(settle=0.02)
    if pair.second is None:
        return Finding(
            False,
            "this process may use only one CPU (sched_getaffinity)",
            "labkit compare --placement same-cpu",
        )
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), str(pair.first), str(pair.second)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        return Finding(False, f"could not be measured: {said[0]}", "labkit doctor  # try again")
    same, cross = map(int, done.stdout.split())
    why = (
        f"round trip through pipes, the interpreter's time included: {format_time(same)} on CPU"
        f" {pair.first}, {format_time(cross)} between {pair.first} and {pair.second},"
        f" {cross / same:.1f} times as long"
    )
    return Finding(cross < DEAR * same, why, "" if cross < DEAR * same else REMEDY)
