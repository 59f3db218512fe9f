"""The handle of an actor: what a stage holds of another process, and tells it to do.

Each method sends one order and waits for the answer, or begins what may sleep and leaves the answer
for later. That an actor died of its order is an answer, too. The actor's own side is
`labkit.harness.actor`.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from labkit.errors import LabkitError
from labkit.harness.actor import Memory, sleeping_in

if TYPE_CHECKING:
    from labkit.harness.stage import Stage

PATIENCE_S = 10.0  # for one order
LOOK_S = 0.001


class Outcome(NamedTuple):
    """What a call of libc gave: its result, and errno's name ("EACCES"; "" if it went well)."""

    result: int
    error: str


class ActorDied(LabkitError):
    """An actor ended instead of answering.

    Attributes:
        how: "was killed by SIGSEGV" or "exited with status 3".
        signal: the signal's name; "" if there was none.
    """

    def __init__(self, name: str, status: int) -> None:
        self.signal = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else ""
        self.how = (
            f"was killed by {self.signal}"
            if self.signal
            else f"exited with status {os.waitstatus_to_exitcode(status)}"
        )
        super().__init__(f"{name} {self.how}.")


class Refused(LabkitError):
    """The kernel refused what an actor was told to do.

    Attributes:
        error: errno's name, such as "EACCES".
    """

    def __init__(self, error: str, why: str) -> None:
        self.error = error
        super().__init__(f"{error}: {why}")


class ActorHandle:
    """An actor as the stage holds it: what it is to do goes to its process, the answer comes back.

    Attributes:
        name: what narration calls it, "the parent".
        pid: its process id.
        alive: whether it was not yet seen to end.
        status: its wait status once it was reaped, None before. wait(2)
    """

    def __init__(self, stage: "Stage", name: str, pid: int, orders: socket.socket) -> None:
        self.name = name
        self.pid = pid
        self.alive = True
        self.status: int | None = None
        self._stage = stage
        self._orders = orders
        self._parent: ActorHandle | None = None

    def call(self, function: str, *arguments: int | str | bytes) -> Outcome:
        """Have it call a function of libc, and wait for the outcome.

        Args:
            arguments: a number stands for itself or an address, a text for a C string, bytes for
                an array.

        Raises:
            ActorDied: it did not survive that.
        """
        self._tell(self._call(function, arguments))
        return self.finish()

    def begin(self, function: str, *arguments: int | str | bytes) -> None:
        """Have it make a call that may sleep; `finish` takes the outcome."""
        self._tell(self._call(function, arguments) | {"announce": True})
        self._answer()

    @staticmethod
    def _call(function: str, arguments: tuple[int | str | bytes, ...]) -> dict[str, Any]:
        passed = [list(each) if isinstance(each, bytes) else each for each in arguments]
        return {"do": "call", "name": function, "arguments": passed}

    def finish(self, patience_s: float = PATIENCE_S) -> Outcome:
        """The outcome of the call that was begun."""
        answer = self._answer(patience_s)
        return Outcome(answer["result"], answer["error"])

    def finished(self) -> bool:
        """Whether the call that was begun has an outcome already.

        Raises:
            ActorDied: it never will.
            HungUp: nobody waits for the results any more.
        """
        self._stage.listened_to()
        try:
            return bool(self._orders.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)) or self._dies()
        except BlockingIOError:
            return False
        except OSError:
            return self._dies()

    def _dies(self) -> NoReturn:
        raise ActorDied(self.name, self.end())

    def falls_asleep(self) -> None:
        """Wait until the kernel has put it to sleep in the call that was begun.

        Raises:
            LabkitError: it came back instead, or runs and runs.
        """
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            asleep = self.status is None and sleeping_in(self.pid)
            if self.finished():  # else it sleeps only because it waits for orders
                raise LabkitError(f"{self.name} did not have to wait.")
            if asleep:
                return
            time.sleep(LOOK_S)
        raise LabkitError(f"{self.name} did not go to sleep within {PATIENCE_S:g} s.")

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of its memory, read by itself: a bad address is its SIGSEGV."""
        self._tell({"do": "read", "address": address, "size": size})
        return bytes(self._answer())

    def write(self, address: int, data: bytes) -> None:
        """Have it store bytes at an address of its own."""
        self._tell({"do": "write", "address": address, "data": list(data)})
        self._answer()

    def act(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Have it run a function of some module, which is given its memory first.

        Raises:
            Refused: the kernel refused it with an OSError.
            ActorDied: it did not survive that.
        """
        self._tell(self._act(function, arguments))
        return self.finish_act()

    def begin_act(self, function: Callable[..., Any], *arguments: Any) -> None:
        """The same, without waiting for the answer."""
        self._tell(self._act(function, arguments) | {"announce": True})
        self._answer()

    @staticmethod
    def _act(function: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
        name = f"{function.__module__}:{function.__qualname__}"
        return {"do": "act", "function": name, "arguments": arguments}

    def finish_act(self, patience_s: float = PATIENCE_S) -> Any:
        """What the function that was begun returned."""
        return self._answer(patience_s)

    def take(self, *descriptors: int) -> list[int]:
        """Pass it descriptors of the stage's: their numbers there. SCM_RIGHTS, unix(7)"""
        self._tell({"do": "take"}, list(descriptors))
        taken: list[int] = self._answer()
        return taken

    def fork(self, name: str) -> "ActorHandle":
        """Have it fork: the child, which remembers all that the parent did. fork(2)"""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._tell({"do": "fork"}, [theirs.fileno()])
            child = ActorHandle(self._stage, name, int(self._answer()), ours)
        child._parent = self
        return self._stage.enter(child)

    def exec(self, keep: Memory | None = None) -> None:
        """Have it exec a new program that goes on obeying. execve(2)

        Args:
            keep: what the new program is told on its command line; all else it forgets.
        """
        self._tell({"do": "exec", "keep": keep or {}})
        self._answer()

    def wait(self, child: "ActorHandle") -> int:
        """Have it reap a child: the wait status. wait(2)"""
        self._tell({"do": "wait", "pid": child.pid})
        child.status = int(self._answer())
        child.gone()
        return child.status

    def exit(self, status: int = 0) -> None:
        """Have it end, and be reaped."""
        self._tell({"do": "exit", "status": status})
        self._answer()
        self.end()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal that ends it, and reap it."""
        if self.status is None:
            os.kill(self.pid, number)
        self.end()

    def end(self) -> int:
        """Wait until it has ended and reap it: the wait status, also when asked again."""
        if self.status is not None:  # a process is reaped once, wait(2)
            return self.status
        parent = self._parent
        if parent is not None and parent.alive:
            return parent.wait(self)
        # A child of a parent that is gone has become ours: the stage is a subreaper.
        self.status = os.waitpid(self.pid, 0)[1]
        self.gone()
        return self.status

    def gone(self) -> None:
        """Take note that it has ended."""
        self.alive = False
        self._orders.close()

    @property
    def orders(self) -> socket.socket:
        """Its socket, for those who have to close it."""
        return self._orders

    def _tell(self, order: dict[str, Any], descriptors: list[int] | None = None) -> None:
        self._stage.listened_to()
        text = json.dumps(order).encode()
        try:
            socket.send_fds(self._orders, [text], descriptors or [])
        except OSError:
            self._dies()

    def _answer(self, patience_s: float = PATIENCE_S) -> Any:
        if not self.alive:
            self._dies()
        self._stage.await_readable(self._orders, patience_s, self.name)
        try:
            text = self._orders.recv(1 << 20)
        except OSError:
            text = b""
        if not text:
            self._dies()
        answer = json.loads(text)
        if "refused" in answer:
            raise Refused(answer["refused"], answer["why"])
        if "failed" in answer:
            raise LabkitError(f"{self.name} could not do it: {answer['failed']}.")
        return answer["value"]
