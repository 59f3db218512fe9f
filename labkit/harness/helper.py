"""The clean helper process: small, single-threaded, and the only one that forks.

Started with `python -m labkit.harness.helper FD`, it reads one plan from the socket FD, measures,
and writes what it finds as lines of JSON: `{"event": "sample", ...}`. When the other side hangs
up, for whatever reason, it takes its ends down, removes its objects and leaves.
"""

import dataclasses
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from labkit.errors import LabkitError, RequestError
from labkit.harness import loop
from labkit.harness.ends import Engine
from labkit.harness.pair import HungUp
from labkit.harness.rehearsal import read as own_of
from labkit.harness.rehearsal import rehearse
from labkit.harness.request import Cell
from labkit.harness.rounds import Rounds
from labkit.kernel import cpus, ledger
from labkit.kernel.cleaning import clean
from labkit.kernel.compiler import Compiler
from labkit.mechanisms import mechanism
from labkit.mechanisms.contract import Mechanism, Verbs

LOOPS = ("ping", "pong", "source", "sink", "pour")
_VERBS_TAKEN = {"ping": 4, "pong": 4}  # the others take two


class Engines:
    """The loops and verbs of a mechanism, compiled or as they stand; each compiled once."""

    def __init__(self, compiler: Compiler | None = None) -> None:
        self._compiler = compiler
        self._loops: dict[str, Any] = {}

    def __call__(self, name: str, kind: Mechanism) -> Engine:
        """The engine of this name for this mechanism."""
        if name == "python":
            return Engine(name, {each: getattr(loop, each) for each in LOOPS}, kind.verbs)
        if self._compiler is None:
            self._compiler = Compiler()
        if not self._loops:
            for each in LOOPS:
                function = getattr(loop, each)
                verbs = _VERBS_TAKEN.get(each, 2)
                numbers = function.__code__.co_argcount - verbs
                signature = self._compiler.loop_signature(verbs, numbers)
                self._loops[each] = self._compiler.compile(function, signature)
        compiler = self._compiler
        verbs_of = kind.verbs
        compiled = [
            compiler.compile(verb, compiler.verb)
            for verb in (verbs_of.claim, verbs_of.publish, verbs_of.peek, verbs_of.release)
        ]
        return Engine(name, self._loops, Verbs(*compiled))


def serve(lifeline: socket.socket) -> None:
    """Read a plan, measure it, say what was found."""
    lines = lifeline.makefile("rw", encoding="utf-8", newline="\n")

    def emit(event: str, **what: Any) -> None:
        try:
            lines.write(json.dumps({"event": event, **what}) + "\n")
            lines.flush()
        except OSError as error:
            raise HungUp("nobody waits for the results any more.") from error

    plan = json.loads(lines.readline())
    _clean_up(emit)
    cells = [Cell(**cell) for cell in plan["cells"]]
    engines = Engines()
    rehearse(own_of(plan), cells, engines, emit)
    kinds = dict.fromkeys((cell.engine, cell.mechanism) for cell in cells)
    for number, (engine, name) in enumerate(kinds):
        emit("stage", stage="compiling", done=number, total=len(kinds), detail=name)
        engines(engine, mechanism(name))
    emit("stage", stage="compiling", done=len(kinds), total=len(kinds), detail="")
    if any(cell.engine == "python" for cell in cells):
        # The interpreted engine's atomics are compiled functions: load them before the ends fork.
        from labkit.kernel import memory

        memory.prepare()
    chosen = cpus.choose()
    emit("cpus", **dataclasses.asdict(chosen))
    gc.collect()
    gc.freeze()  # forked ends must not copy every page only to count references
    gc.disable()
    pair = (chosen.first, chosen.second)
    rounds = Rounds(cells, plan["reasons"], engines, pair, emit, lifeline, plan.get("stall_s"))
    emit("ready")
    lines.readline()  # until the one who asked has done what it had to do besides
    # Compiling for the first time must not eat up the time to measure in.
    deadline = max(plan["deadline"], time.monotonic() + plan["least_seconds"])
    rounds.run(deadline, plan["repeats"])
    rounds.trace()
    if ledger.ours().note:
        emit("note", text=ledger.ours().note)
    emit("done")


def _clean_up(emit: Callable[..., None]) -> None:
    """Remove what killed runs have left, and begin a ledger for this one."""
    done = clean()
    if done.removed:
        emit("note", text=f"objects that killed runs had left were removed: {len(done.removed)}.")
    ledger.ours().open()


def main() -> int:
    """Serve the socket whose descriptor is the only argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asked decides, by hanging up
    with socket.socket(fileno=int(sys.argv[1])) as lifeline:
        # Told to go, it leaves as if the other side had hung up: at the next place that looks, and
        # not between the making of an object and its entry among those to be removed.
        signal.signal(signal.SIGTERM, lambda *_: lifeline.shutdown(socket.SHUT_RDWR))
        try:
            serve(lifeline)
        except HungUp:
            return 1
        except LabkitError as error:
            told = {"event": "error", "reason": str(error)}
            if isinstance(error, RequestError):
                told["wrong"] = "request"
            lifeline.sendall(json.dumps(told).encode() + b"\n")
            return 1
    return 0


if __name__ == "__main__":
    status = main()
    ledger.ours().leave()
    sys.stdout.flush()
    os._exit(status)  # numba's own tidying takes longer than the whole of ours
