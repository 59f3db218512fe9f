"""An actor: a small process that does one thing after another as it is told, and tells the result.

Walkthroughs and tested claims need processes that attach, write, fork, exec and die on cue while
somebody looks at /proc. An actor reads one order at a time from its socket, as a line of JSON, and
answers each. It makes system calls through libc itself (ctypes), so that what is seen is the
kernel's behaviour and no library's. It never outlives the stage that it belongs to.

The side that tells it what to do is `labkit.harness.actor_handle`.
"""

import ctypes
import errno
import importlib
import json
import os
import signal
import socket
import sys
import time
from typing import Any

PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4  # prctl(2)
LARGEST_ORDER = 1 << 20
EXIT_LOST = 3  # nobody is there to take the answer

_libc = ctypes.CDLL(None, use_errno=True)

# What the orders of one actor remember for each other: descriptors, addresses, objects. A forked
# child starts with its parent's.
Memory = dict[str, Any]


def stay_bound() -> None:
    """Die when the parent dies, and stay readable under /proc. prctl(2)

    The kernel forgets both when a process changes its user, and the first in a forked child.
    """
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _libc.prctl(PR_SET_DUMPABLE, 1)


def become(user: int) -> None:
    """Give up all rights but those of this user, for good. setuid(2), credentials(7)"""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def call(name: str, arguments: list[int | str | list[int]]) -> dict[str, Any]:
    """Call a function of libc: its result, and errno's name where that is -1.

    Args:
        arguments: a number stands for itself or an address, a text for a C string, a list of
            numbers for an array of bytes.
    """
    function = getattr(_libc, name)
    function.restype = ctypes.c_long
    passed: list[Any] = []
    for each in arguments:
        if isinstance(each, str):
            passed.append(ctypes.c_char_p(each.encode()))
        elif isinstance(each, list):
            passed.append(ctypes.create_string_buffer(bytes(each), len(each)))
        else:
            passed.append(ctypes.c_long(each))
    ctypes.set_errno(0)
    result = int(function(*passed))
    number = ctypes.get_errno()
    # Functions that return int leave the upper half of the register to chance.
    if name not in _RETURN_LONG:
        result = ctypes.c_int(result & 0xFFFFFFFF).value
    error = errno.errorcode.get(number, str(number)) if result == -1 else ""
    return {"result": result, "error": error}


_RETURN_LONG = frozenset(
    (
        "shmat",
        "mmap",
        "read",
        "write",
        "send",
        "recv",
        "msgrcv",
        "mq_receive",
        "syscall",
        "sem_open",
    )
)


class Actor:
    """The actor's own side: it obeys until its socket hangs up.

    Args:
        orders: where orders come from and answers go to.
        memory: what earlier orders remember.
    """

    def __init__(self, orders: socket.socket, memory: Memory) -> None:
        self.orders = orders
        self.memory = memory

    def serve(self) -> None:
        """Obey, order by order."""
        stay_bound()
        while True:
            text, descriptors, _, _ = socket.recv_fds(self.orders, LARGEST_ORDER, 4)
            if not text:
                return
            order = json.loads(text)
            if order.get("announce"):  # from here on, who finds us asleep finds us asleep in it
                self._answer({"value": None})
            self._answer(self._obey(order, descriptors))

    def _answer(self, what: dict[str, Any]) -> None:
        try:
            self.orders.send(json.dumps(what).encode())
        except OSError:
            os._exit(EXIT_LOST)

    def _obey(self, order: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        try:
            return {"value": self._do(order, descriptors)}
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "")
            return {"refused": name, "why": error.strerror or str(error)}
        except Exception as error:
            return {"failed": f"{type(error).__name__}: {error}"}

    def _do(self, order: dict[str, Any], descriptors: list[int]) -> Any:
        what = order["do"]
        if what == "call":
            return call(order["name"], order["arguments"])
        if what == "read":
            return list(ctypes.string_at(order["address"], order["size"]))
        if what == "write":
            ctypes.memmove(order["address"], bytes(order["data"]), len(order["data"]))
            return None
        if what == "act":
            module, _, name = order["function"].partition(":")
            return getattr(importlib.import_module(module), name)(self.memory, *order["arguments"])
        if what == "take":
            return descriptors
        if what == "fork":
            return self._fork(descriptors[0])
        if what == "exec":
            self._exec(order["keep"])
        if what == "wait":
            return self._wait(order["pid"])
        if what == "exit":
            self._answer({"value": None})
            os._exit(order["status"])
        raise ValueError(f"an actor cannot {what!r}")

    def _fork(self, descriptor: int) -> int:
        """Fork a child that obeys over the descriptor given: its process id. fork(2)"""
        with socket.socket(fileno=descriptor) as theirs:
            pid = os.fork()
            if pid:
                return pid
            self.orders.close()
            try:
                Actor(theirs, self.memory).serve()
            finally:
                os._exit(0)

    def _exec(self, keep: Memory) -> None:
        """Become a new program in the same process, which goes on obeying. execve(2)"""
        os.set_inheritable(self.orders.fileno(), True)
        program = [sys.executable, "-m", __name__, str(self.orders.fileno()), json.dumps(keep)]
        os.execv(sys.executable, program)

    @staticmethod
    def _wait(pid: int) -> int:
        """Reap a child of this actor: its wait status. wait(2)"""
        return os.waitpid(pid, 0)[1]


def sleeping_in(pid: int) -> bool:
    """Whether a process sleeps in the kernel, proc_pid_stat(5)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def fork_actor(orders: socket.socket, also_close: list[socket.socket], user: int | None) -> int:
    """Fork an actor from the stage: its process id. The child never returns."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        for other in also_close:
            other.close()
        if user is not None:
            become(user)
        Actor(orders, {}).serve()
        status = 0
    finally:
        os._exit(status)  # nothing of the stage's is to be cleaned up here


def main() -> int:
    """Go on obeying after an exec: descriptor and memory are the arguments."""
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        orders.set_inheritable(False)
        actor = Actor(orders, json.loads(sys.argv[2]))
        actor._answer({"value": time.monotonic()})
        actor.serve()
    return 0


if __name__ == "__main__":
    os._exit(main())
