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
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError, RequestError
from labkit.harness.actor import fork_actor
from labkit.harness.actor_handle import ActorHandle
from labkit.harness.pair import HungUp
from labkit.kernel import ledger
from labkit.kernel.cleaning import clean
from labkit.kernel.objects import Objects

NOBODY = 65534  # the user without rights, as every Linux has it


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
        self._actors: list[ActorHandle] = []
        self._lines = lifeline.makefile("w", encoding="utf-8", newline="\n")

    def actor(self, name: str, user: int | None = None) -> ActorHandle:
        """A new process, forked from the stage.

        Args:
            user: whose rights it has, by number; only a privileged stage can give others.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            alive = [actor.orders for actor in self._actors if actor.alive]
            pid = fork_actor(theirs, [ours, self._lifeline, *alive], user)
        return self.enter(ActorHandle(self, name, pid, ours))

    def enter(self, actor: ActorHandle) -> ActorHandle:
        """Watch over an actor from now on."""
        self._actors.append(actor)
        return actor

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
        for actor in reversed(self._actors):
            if actor.alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(actor.pid, signal.SIGKILL)
        _end_children()
        self.objects.remove_all()


def _end_children() -> None:
    """End and reap all our children; orphans among their children have become ours, and go too."""
    with contextlib.suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    """The processes whose parent we are. proc_pid_stat(5)"""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            # After the name, which may hold anything, stand the state and the parent.
            told = Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(told[1]) == os.getpid():
                found.append(int(name))
    return found


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
                told = {"event": "error", "reason": str(error)}
                if isinstance(error, RequestError):
                    told["wrong"] = "request"
                lifeline.sendall(json.dumps(told).encode() + b"\n")
            return 1
    return 0


if __name__ == "__main__":
    # Experiments import this module by its name: what they catch must be what is raised here.
    from labkit.harness import stage as by_name

    status = by_name.main()
    ledger.ours().leave()
    sys.stdout.flush()
    os._exit(status)
