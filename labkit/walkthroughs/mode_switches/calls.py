"""System calls as a textbook prints them, as a trace shows them, and what they move.

A trace sees calls, no copies: that the kernel copied a message is inferred from the bytes that a
call says it took or gave.
"""

import errno
from typing import Literal

from labkit.kernel.trace import SystemCall

# How many arguments each call takes; the six registers of a call hold old values beyond them.
_TAKES = {
    "read": 3, "write": 3, "sendto": 6, "recvfrom": 6, "msgsnd": 4, "msgrcv": 5,
    "mq_timedsend": 5, "mq_timedreceive": 5, "futex": 4, "semop": 3, "semtimedop": 4,
    "vmsplice": 4, "process_vm_readv": 6, "sched_yield": 0,
}  # fmt: skip
_SMALL = 1 << 24  # above it, a number is shown as an address
_FUTEX = {0: "FUTEX_WAIT", 1: "FUTEX_WAKE", 9: "FUTEX_WAIT_BITSET"}

Way = Literal["in", "out", "across", "lent", ""]


def in_trace(call: SystemCall) -> str:
    """A call as strace(1) would print it: with its result at the exit, without at the entry."""
    shown = []
    for number, value in enumerate(call.args[: _TAKES.get(call.name, 6)]):
        if call.name == "futex" and number == 1:
            shown.append(_FUTEX.get(value & 0x7F, str(value)))
        else:
            shown.append(str(value) if value < _SMALL else f"{value:#x}")
    line = f"{call.name}({', '.join(shown)})"
    if call.entry or call.result is None:
        return line
    if call.result < 0:
        return f"{line} = -1 {errno.errorcode.get(-call.result, str(-call.result))}"
    return f"{line} = {call.result}"


def in_c(call: SystemCall, waiting: str) -> str:
    """The line of C that makes this call.

    Args:
        waiting: what the ends wait with; "kernel" where the mechanism's own call waits.
    """
    name, (first, _, third, *_) = call.name, call.args
    if waiting == "eventfd" and name in ("read", "write"):
        return f"{name}({first}, &one, 8);   /* an eventfd */"
    if name == "futex":
        wakes = call.args[1] & 0x7F == 1
        if waiting == "posix_sem":
            return "sem_post(&items);" if wakes else "sem_wait(&items);"
        if wakes:
            return "syscall(SYS_futex, &ready, FUTEX_WAKE, 1);"
        return f"syscall(SYS_futex, &ready, FUTEX_WAIT, {third}, NULL);"
    return {
        "read": f"read({first}, buf, {third});",
        "write": f"write({first}, buf, {third});",
        "sendto": f"send({first}, buf, {third}, MSG_NOSIGNAL);",
        "recvfrom": f"recv({first}, buf, {third}, 0);",
        "msgsnd": f"msgsnd({first}, &msg, {third}, 0);",
        "msgrcv": f"msgrcv({first}, &msg, {third}, 0, 0);",
        "mq_timedsend": f"mq_send({first}, buf, {third}, 0);",
        "mq_timedreceive": f"mq_receive({first}, buf, {third}, NULL);",
        "semop": f"semop({first}, &operation, 1);",
        "semtimedop": f"semop({first}, &operation, 1);",
        "sched_yield": "sched_yield();",
        "vmsplice": f"vmsplice({first}, &iov, 1, 0);",
        "process_vm_readv": f"process_vm_readv({first}, &here, 1, &there, 1, 0);",
    }.get(name, f"{name}(...);")


def by_name(call: SystemCall, waiting: str) -> str:
    """What a program's author calls it: msgsnd, mq_send, send, sem_post."""
    return in_c(call, waiting).removeprefix("syscall(SYS_").split("(")[0].split(",")[0]


def moved(call: SystemCall, shares: bool) -> tuple[Way, int]:
    """How and how many bytes of the message a call moved, by its exit.

    Args:
        shares: whether the message lies in shared memory, and its calls move none of it.

    Returns:
        "in" or "out" of the kernel's memory, "across" from one process's to the other's, or "lent":
        only referred to; ("", 0) for calls that moved nothing.
    """
    if shares or call.entry or call.result is None or call.result < 0:
        return "", 0
    if call.name in ("write", "sendto"):
        return "in", call.result
    if call.name in ("msgsnd", "mq_timedsend"):  # whole or not at all, so they return 0
        return "in", call.args[2]
    if call.name in ("read", "recvfrom", "msgrcv", "mq_timedreceive"):
        return "out", call.result
    if call.name == "process_vm_readv":
        return "across", call.result
    return ("lent", call.result) if call.name == "vmsplice" else ("", 0)
