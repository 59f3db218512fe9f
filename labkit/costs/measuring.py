"""The clean process that measures this machine's constants: one thread, and the one that forks.

Started with `python -m labkit.costs.measuring FD` (`labkit.harness.session`), it reads one plan,
measures every cost once, then every cost again, and writes what it finds as lines of JSON. When
the other side hangs up it removes its objects and leaves.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from labkit.costs.probes import Probes
from labkit.errors import LabkitError
from labkit.harness.pair import HungUp
from labkit.kernel import cpus, ledger
from labkit.kernel.cleaning import clean

MOST = 2  # times the seconds of a plan, and the measuring ends wherever it is


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
    clean()
    ledger.ours().open()
    pair = plan["cpus"] or _chosen()
    first, second = pair
    cpus.pin(first)
    probes = Probes(first, second, plan)
    probes.prepare()
    gc.collect()
    gc.freeze()  # forked processes must not copy every page only to count references
    gc.disable()
    emit("cpus", first=first, second=second)
    try:
        _rounds(probes, plan, lifeline, emit)
    finally:
        probes.close()
    for note in dict.fromkeys(probes.notes):
        emit("note", text=note)
    emit("done")


def _rounds(
    probes: Probes, plan: dict[str, Any], lifeline: socket.socket, emit: Callable[..., None]
) -> None:
    """Every cost once, then every cost again, for as long as the plan has time."""
    began = time.monotonic()
    last = 0.0
    for number in range(plan["rounds"]):
        if number >= plan["least_rounds"]:
            left = began + plan["seconds"] - time.monotonic()
            if left < last:
                return
        started = time.monotonic()
        values: dict[str, float] = {}
        steps = list(probes.steps())
        for done, step in enumerate(steps):
            if select.select([lifeline], [], [], 0)[0]:
                raise HungUp("nobody waits for the results any more.")
            if time.monotonic() - began > MOST * plan["seconds"]:
                # On a machine that busy even the least takes too long. Half a round is no round,
                # but better than none.
                if number == 0:
                    emit("values", values=values)
                return
            values |= step()
            emit("step", round=number, done=done, total=len(steps))
        emit("values", values=values)
        last = time.monotonic() - started  # the first round also finds out how long to turn


def _chosen() -> tuple[int, int | None]:
    pair = cpus.choose()
    return pair.first, pair.second


def main() -> int:
    """Serve the socket whose descriptor is the only argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asked decides, by hanging up
    with socket.socket(fileno=int(sys.argv[1])) as lifeline:
        signal.signal(signal.SIGTERM, lambda *_: lifeline.shutdown(socket.SHUT_RDWR))
        try:
            serve(lifeline)
        except HungUp:
            return 1
        except (LabkitError, OSError) as error:
            lifeline.sendall(json.dumps({"event": "error", "reason": str(error)}).encode() + b"\n")
            return 1
    return 0


if __name__ == "__main__":
    status = main()
    ledger.ours().leave()
    sys.stdout.flush()
    os._exit(status)  # numba's own tidying takes longer than the whole of ours
