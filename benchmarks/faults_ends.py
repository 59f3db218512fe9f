"""Ends and whole process trees, killed and stopped from outside at random moments."""

import contextlib
import ctypes
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import faults_worker
from faults_worker import Tally, cells

from labkit.errors import LabkitError
from labkit.harness.session import Session
from labkit.kernel.cleaning import clean

ENDS = ("producer", "consumer")
SLACK_S = 60.0  # beyond the deadline: a busy machine may need it until the word has come through
PR_SET_CHILD_SUBREAPER = 36  # sys/prctl.h

KILLED = r"the {end} was killed by SIGKILL at message \d+\."
STALLED = (
    r"the {end} \(at message \d+\), stopped by a signal, made no progress for \d+ s and was ended\."
)


def plan(chosen: list[dict[str, Any]], stall_s: float, seconds: float = 300.0) -> dict[str, Any]:
    """A session's plan that goes on for long, with short repeats."""
    return {
        "cells": chosen,
        "reasons": [None] * len(chosen),
        "deadline": time.monotonic() + seconds,
        "least_seconds": seconds,
        "repeats": 2000,
        "stall_s": stall_s,
    }


class Blows:
    """One session whose ends get signals at random moments; checks the verdict on each."""

    def __init__(self, job: dict[str, Any], chance: random.Random, tally: Tally) -> None:
        self.number = signal.Signals[job["signal"]]
        self.verdict = KILLED if self.number == signal.SIGKILL else STALLED
        self.end, self.stall_s = str(job["end"]), float(job["stall_s"])
        self.chance, self.tally = chance, tally
        self.cells = cells(chance)
        self.alive = len(self.cells)
        self.struck: tuple[str, int] | None = None  # the end that was hit, and its number
        self.samples = 0
        self.heard = threading.Condition()
        self.over = False

    def run(self, wanted: int) -> int:
        """Strike until `wanted` blows have been told of or few cells are left; how many were."""
        told = self.tally.counts["told"]
        with Session(plan(self.cells, self.stall_s)) as session:
            for event in session.events():
                if event["event"] == "ready":
                    session.go()
                    striker = threading.Thread(target=self._strike, args=(session.pid, wanted))
                    striker.start()
                with self.heard:
                    self._take(event)
                    self.heard.notify()
                    if self.over:
                        break
        striker.join()
        return self.tally.counts["told"] - told

    def _take(self, event: dict[str, Any]) -> None:
        if event["event"] == "sample":
            self.samples += 1
        if event["event"] != "outcome" or event["status"] == "ok":
            return
        self.alive -= 1
        cell = self.cells[event["cell"]]
        if event["status"] == "skipped":
            self.tally.counts[f"skipped: {event['reason'][:100]}"] += 1
        elif self.struck is None:
            self.tally.bad.append(f"a verdict on nothing: {cell}: {event['reason']}")
        elif re.fullmatch(self.verdict.format(end=self.struck[0]), event["reason"]):
            self.tally.counts["told"] += 1
            self.tally.counts[f"told of the {self.struck[0]}"] += 1
            self.tally.counts[f"at {cell['mechanism']} {cell['waiting']}"] += 1
            self.struck = None
        else:
            self.tally.bad.append(f"the {self.struck[0]} was hit, and {cell}: {event['reason']}")
            self.struck = None

    def _strike(self, helper: int, wanted: int) -> None:
        """Hit one end after the other, until there were enough."""
        hits = 0
        while True:
            # The least is nothing: the pair may just be beginning.
            time.sleep(self.chance.choice((0.0, 0.001, 0.01, 0.05)) * self.chance.random())
            end = self.end
            with self.heard:
                if hits >= wanted or self.alive <= len(self.cells) // 4:
                    self.over = True
                    return
                pid = self._hit(helper, end)
                if pid is None:
                    continue
                self.struck, before = (end, pid), self.samples
                deadline = time.monotonic() + self.stall_s + SLACK_S
                # A verdict comes; or the end had nothing more to do, and others are measured.
                while self.struck is not None and not (
                    self.samples >= before + 3 and pid not in children(helper)
                ):
                    if not self.heard.wait(0.5) and time.monotonic() > deadline:
                        self.tally.bad.append(f"no verdict on the {end} in time: a hang")
                        self.over = True
                        return
                if self.struck is None:
                    hits += 1
                else:
                    self.tally.counts["hit when its work was done"] += 1
                    self.struck = None

    def _hit(self, helper: int, end: str) -> int | None:
        """Send the signal to one end, if there is a pair: its process id."""
        pair = children(helper)
        if len(pair) != 2:
            return None
        pid = pair[ENDS.index(end)]
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            return None
        try:
            if children(helper) != pair:  # the number may be another's by now
                return None
            signal.pidfd_send_signal(descriptor, self.number)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return pid


def children(pid: int) -> list[int]:
    """The children of a process with one thread, the first forked first. proc_tid_children(5)"""
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def strike_ends(job: dict[str, Any], tally: Tally) -> None:
    """Signals to one end at a time; each has to be told of, by name and kind."""
    chance = random.Random(job["seed"])
    with Strangers() as strangers:
        left = int(job["count"])
        while left > 0 and not tally.bad:
            left -= Blows(job, chance, tally).run(left)
        strangers.check(tally)


DRIVER = """
import json, sys
from labkit.harness.session import Session
with Session(json.loads(sys.argv[1])) as session:
    for event in session.events():
        print(event["event"], flush=True)
        if event["event"] == "ready":
            session.go()
"""


def kill_trees(job: dict[str, Any], tally: Tally) -> None:
    """Kill whoever asked, the helper and its ends, all of them; then clean up what they left."""
    chance = random.Random(job["seed"])
    # What is orphaned below becomes this process's, so that it can be seen to be gone; prctl(2).
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with Strangers() as strangers:
        before = strangers.look()
        for _ in range(job["count"]):
            # By mechanism, so that each gets its share.
            chosen = cells(chance, chance.randint(2, 4))
            process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, json.dumps(plan(chosen, job["stall_s"]))],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            _wait_a_while(process, chance)
            killed = _kill_tree(process.pid, chance)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            deadline = time.monotonic() + job["stall_s"] + SLACK_S
            while any(_lives(pid) for pid in killed) or children(os.getpid()):
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(-1, os.WNOHANG)
                if time.monotonic() > deadline:
                    tally.bad.append("a process outlived its tree: a hang")
                    break
                time.sleep(0.002)
            tally.counts["told"] += 1
            for cell in chosen:
                tally.counts[f"at {cell['mechanism']} {cell['waiting']}"] += 1
            left = strangers.look() - before
            done = clean()
            tally.counts["trees with objects left"] += bool(left)
            tally.counts["objects removed by the next clean"] += len(done.removed)
            tally.bad += [
                f"after clean there is still {each}" for each in strangers.look() - before
            ]
            tally.bad += done.notes
        strangers.check(tally)


def _wait_a_while(process: "subprocess.Popen[str]", chance: random.Random) -> None:
    """Any moment since the start, or (more often) any moment of the measuring."""
    if chance.random() < 0.25:
        time.sleep(2.5 * chance.random())
        return
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "ready":
            break
    time.sleep(0.15 * chance.random())


def _kill_tree(root: int, chance: random.Random) -> list[int]:
    """Kill a process and all that come from it, in no particular order; those that were."""
    found = [root]
    for pid in found:
        found += children(pid)
    chance.shuffle(found)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def _lives(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] != "Z"


class Strangers:
    """Objects that are nobody's business: they look like labkit's, and none of them may go."""

    def __enter__(self) -> "Strangers":
        import posix_ipc
        import sysv_ipc

        self._removals = []
        for kind in (sysv_ipc.SharedMemory, sysv_ipc.MessageQueue, sysv_ipc.Semaphore):
            more = {"size": 4096} if kind is sysv_ipc.SharedMemory else {}
            made = kind(None, sysv_ipc.IPC_CREX, mode=0o600, **more)
            self._removals.append(made.remove)
            if kind is sysv_ipc.SharedMemory:
                made.detach()
        name = f"/labkit-{os.urandom(12).hex()}"
        segment = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o600, size=4096)
        segment.close_fd()
        queue = posix_ipc.MessageQueue(name, posix_ipc.O_CREX, mode=0o600, max_messages=1)
        queue.close()
        self._removals += [segment.unlink, queue.unlink]
        folder = Path(os.environ["TMPDIR"], f"labkit-{os.urandom(8).hex()}")
        folder.mkdir(0o700)
        file = folder / os.urandom(8).hex()
        file.touch(0o600)
        self._removals += [file.unlink, folder.rmdir]
        self._first = self.look()
        return self

    def __exit__(self, *_: object) -> None:
        for remove in self._removals:
            remove()

    @staticmethod
    def look() -> set[str]:
        """Everything that is there."""
        import world

        return world.look({"queues": os.environ["QUEUES"], "temporary": os.environ["TMPDIR"]})

    def check(self, tally: Tally) -> None:
        """None has gone, and nothing is there besides."""
        now = self.look()
        tally.counts["objects of others"] += len(self._first)
        tally.bad += [f"an object of others was removed: {each}" for each in self._first - now]
        tally.bad += [f"an object is left: {each}" for each in now - self._first]


def spin_together(job: dict[str, Any], tally: Tally) -> None:
    """One pair that spins, beside many like it: slow, but not stalled."""
    import dataclasses

    import bench

    names = ["posix_shm", "sysv_shm", "mmap_file", "mmap_anon", "memfd"]
    cell = bench.cell(names[job["number"] % 5], 64, "throughput", waiting="spin", placement="free")
    what = plan([dataclasses.asdict(cell)], job["stall_s"]) | {"repeats": job["repeats"]}
    repeats = 0
    try:
        with Session(what) as session:
            for event in session.events():
                if event["event"] == "ready":
                    session.go()
                repeats += event["event"] == "sample"
                if event["event"] == "outcome" and event["status"] != "ok":
                    tally.bad.append(f"{event['status']}: {event['reason']}")
    except LabkitError as error:
        tally.bad.append(str(error))
    tally.counts["pairs"] += 1
    tally.counts["repeats"] += repeats


__all__ = ["faults_worker", "kill_trees", "spin_together", "strike_ends"]
