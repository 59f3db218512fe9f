"""Whether system calls can be traced: tried on a small process that is started for it. ptrace(2)"""

from labkit.checkup.check import Finding
from labkit.checkup.remedy import here
from labkit.kernel.trace import why_not


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
