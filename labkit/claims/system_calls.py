"""The system calls that a piece of work makes, seen from outside. ptrace(2)"""

import ctypes
import os
import signal
from collections.abc import Callable
from functools import cache

from labkit.claims.claim import NotHere
from labkit.errors import LabkitError
from labkit.kernel import trace
from labkit.kernel.trace import SystemCall, Tracer

PATIENCE_S = 30.0
PR_SET_PDEATHSIG = 1
MARK = "getppid"  # made before and after the work, and never by it


@cache
def _why_not() -> str | None:
    return trace.why_not()


def calls_of(
    work: Callable[[], object], on_entry: Callable[[SystemCall], None] | None = None
) -> list[str]:
    """The names of the system calls that some work makes in a child process, in order.

    The work is done twice, and what the second time took is returned: the first finds pages and
    libraries for it.

    Args:
        on_entry: is given each call of the second time at its entry.

    Raises:
        NotHere: system calls cannot be traced here.
    """
    if why := _why_not():
        raise NotHere(f"system calls cannot be watched here: {why.rstrip('.')}.")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(work, reading, writing)
    os.close(reading)
    seen: list[str] = []
    marks = 0

    def on_call(call: SystemCall) -> None:
        nonlocal marks
        if not call.entry:
            return
        if call.name == MARK:
            marks += 1
        elif marks == 1:
            seen.append(call.name)
            if on_entry is not None:
                on_entry(call)

    try:
        with Tracer() as tracer:
            tracer.attach(pid)
            os.write(writing, b"x")
            tracer.follow(on_call, until=lambda: marks == 2, timeout_s=PATIENCE_S)
    finally:
        os.close(writing)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if marks != 2:
        raise LabkitError("the process whose calls were to be counted did not get to the end.")
    return seen


def _child(work: Callable[[], object], reading: int, writing: int) -> None:
    """Do it once, wait for the tracer, do it again; never returns."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(writing)
        work()
        os.read(reading, 1)
        os.getppid()
        work()
        os.getppid()
    finally:
        os._exit(0)
