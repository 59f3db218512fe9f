"""Whether processes can be watched and traced: tried on a process. pidfd_open(2), ptrace(2)"""

from labkit.checkup.check import Finding
from labkit.checkup.remedy import here
from labkit.kernel import process_descriptor
from labkit.kernel.trace import why_not


def watching() -> Finding:
    """Open a descriptor of this process, as the harness does of its ends."""
    reason = process_descriptor.why_not()
    if reason is None:
        return Finding(True, "opened a descriptor of this process")
    why, _, advice = reason.partition(": ")
    return Finding(False, why, f"# {advice}")


def tracing() -> Finding:
    """Trace a process's first calls."""
    reason = why_not()
    if reason is None:
        return Finding(True, "traced a process that was started for it")
    why, _, advice = reason.partition("; ")  # reason and remedy come as one sentence
    if "ptrace_scope is 2" in why:
        return Finding(False, why, here().change_of_host("kernel.yama.ptrace_scope", 1))
    if "SYS_PTRACE" in advice:
        return Finding(False, why, here().allow("SYS_PTRACE"))
    if not advice or "labkit doctor" in advice:
        advice = "run labkit outside of whatever guards its processes"
    return Finding(False, why, f"# {advice}")
