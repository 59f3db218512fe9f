"""The stage: the clean process in which one experiment runs, with its actors and its objects.

Started by `labkit.harness.experiment` with `python -m labkit.harness.stage FD`. It is small and has
one thread, so it may fork; whatever crashes here crashes an actor, which is a result to show. The
experiment is a function that is given this stage and returns what JSON can carry.

Nothing stays: actors die with the stage, objects are made through the one door and removed at the
end, and what a killed stage leaves stands in the ledger.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from labkit.errors import LabkitError
from labkit.harness.actor import Memory, fork_actor, sleeping_in
from labkit.harness.pair import HungUp
from labkit.kernel import ledger
from labkit.kernel.cleaning import clean
from labkit.kernel.objects import Objects

PATIENCE_S = 10.0  # for one order
NOBODY = 65534  # the user without rights, as every Linux has it
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


class Player:
    """An actor as the stage sees it.

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
        self._parent: Player | None = None

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

    def fork(self, name: str) -> "Player":
        """Have it fork: the child, which remembers all that the parent did. fork(2)"""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._tell({"do": "fork"}, [theirs.fileno()])
            child = Player(self._stage, name, int(self._answer()), ours)
        child._parent = self
        return self._stage.enter(child)

    def exec(self, keep: Memory | None = None) -> None:
        """Have it exec a new program that goes on obeying. execve(2)

        Args:
            keep: what the new program is told on its command line; all else it forgets.
        """
        self._tell({"do": "exec", "keep": keep or {}})
        self._answer()

    def wait(self, child: "Player") -> int:
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


class Stage:
    """Where an experiment makes its actors and objects.

    Attributes:
        objects: the one door to kernel objects.
        notes: what could not be shown here and why, for the reader.
    """

    def __init__(self, lifeline: socket.socket) -> None:
        self.objects = Objects()
        self.notes: list[str] = []
        self._lifeline = lifeline
        self._players: list[Player] = []
        self._lines = lifeline.makefile("w", encoding="utf-8", newline="\n")

    def actor(self, name: str, user: int | None = None) -> Player:
        """A new process, forked from the stage.

        Args:
            user: whose rights it has, by number; only a privileged stage can give others.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            alive = [player.orders for player in self._players if player.alive]
            pid = fork_actor(theirs, [ours, self._lifeline, *alive], user)
        return self.enter(Player(self, name, pid, ours))

    def enter(self, player: Player) -> Player:
        """Watch over an actor from now on."""
        self._players.append(player)
        return player

    def another_user(self) -> int | None:
        """A user without rights that an actor of ours can become; None if there is none."""
        return NOBODY if os.geteuid() == 0 else None

    @property
    def lifeline(self) -> socket.socket:
        """Hangs up when nobody waits for the results any more: for those who wait themselves."""
        return self._lifeline

    def tell(self, event: str, **what: Any) -> None:
        """Tell whoever waits for the experiment how far it is."""
        try:
            self._lines.write(json.dumps({"event": event, **what}) + "\n")
            self._lines.flush()
        except OSError as error:
            raise HungUp("nobody waits for the results any more.") from error

    def await_readable(self, orders: socket.socket, patience_s: float, name: str) -> None:
        """Wait for an actor's answer, or for the end of interest in it.

        Raises:
            HungUp: nobody waits for the results any more.
            LabkitError: it takes too long.
        """
        ready, _, _ = select.select([orders, self._lifeline], [], [], patience_s)
        if self._lifeline in ready and orders not in ready:
            raise HungUp("nobody waits for the results any more.")
        if not ready:
            raise LabkitError(f"{name} gave no answer for {patience_s:g} s.")

    def listened_to(self) -> None:
        """Make sure that somebody waits for the results: cheap, for loops and between steps.

        Raises:
            HungUp: nobody does any more.
        """
        # Nothing is sent to us after the plan, so that it can be read means that it hung up.
        if select.select([self._lifeline], [], [], 0)[0]:
            raise HungUp("nobody waits for the results any more.")

    def leave(self) -> None:
        """End all actors, youngest first, and remove all objects."""
        for player in reversed(self._players):
            if player.alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(player.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:  # orphans among them have become ours
                os.waitpid(-1, 0)
        self.objects.remove_all()


def serve(lifeline: socket.socket) -> None:
    """Run the one experiment that is asked for."""
    with lifeline.makefile("r", encoding="utf-8", newline="\n") as lines:
        plan = json.loads(lines.readline())
    module, _, name = plan["function"].partition(":")
    clean()
    ledger.ours().open()
    stage = Stage(lifeline)
    try:
        function = getattr(importlib.import_module(module), name)
        value = function(stage, **plan["arguments"])
        stage.tell("value", value=value, notes=stage.notes)
    finally:
        stage.leave()
    if ledger.ours().note:
        stage.tell("note", text=ledger.ours().note)
    stage.tell("done")


def main() -> int:
    """Serve the socket whose descriptor is the only argument."""
    import ctypes

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asked decides, by hanging up
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, prctl(2)
    with socket.socket(fileno=int(sys.argv[1])) as lifeline:
        lifeline.set_inheritable(False)  # no actor's exec is to keep it
        signal.signal(signal.SIGTERM, lambda *_: lifeline.shutdown(socket.SHUT_RDWR))
        try:
            serve(lifeline)
        except HungUp:
            return 1
        except LabkitError as error:
            with contextlib.suppress(OSError):
                text = json.dumps({"event": "error", "reason": str(error)})
                lifeline.sendall(text.encode() + b"\n")
            return 1
    return 0


if __name__ == "__main__":
    # Experiments import this module by its name: what they catch must be what is raised here.
    from labkit.harness import stage as by_name

    status = by_name.main()
    ledger.ours().leave()
    sys.stdout.flush()
    os._exit(status)
