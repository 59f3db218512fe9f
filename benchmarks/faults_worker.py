"""What the parts of faults.py have in common: jobs in worlds of their own, and what they count.

A job is a script in namespaces of its own (tests/world.py), with its own ledger, /dev/shm and
temporary folder. It prints one line of JSON: what it counted, and a sentence for whatever should
not have been. What it leaves behind counts as such, too.
"""

import json
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT / "tests", ROOT / "benchmarks"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@dataclass
class Tally:
    """What was counted, and a sentence for whatever should not have been."""

    counts: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Take in what another counted."""
        self.counts.update(other.counts)
        self.bad += other.bad


def report(job: Callable[[dict[str, Any], Tally], None]) -> None:
    """Run a job in this process, with the arguments from the command line, and print its tally."""
    tally = Tally()
    try:
        job(json.loads(sys.argv[1]), tally)
    except Exception:
        tally.bad.append(traceback.format_exc())
    print(json.dumps({"counts": tally.counts, "bad": tally.bad}))


def in_worlds(
    module: str, function: str, jobs: Iterable[dict[str, Any]], at_once: int, **how: Any
) -> Tally:
    """Run a function of a module here once for each job, several at once, and add up.

    Args:
        how: more for `World.run`: a user, a limit, a time.
    """

    def run(job: dict[str, Any]) -> Tally:
        folder = Path(tempfile.mkdtemp(prefix="faults-"))
        folder.chmod(0o755)
        try:
            return _in_world(folder, module, function, job, how)
        finally:
            shutil.rmtree(folder)

    total = Tally()
    with ThreadPoolExecutor(at_once) as pool:
        for tally in pool.map(run, list(jobs)):
            total.add(tally)
    return total


def _in_world(
    folder: Path, module: str, function: str, job: dict[str, Any], how: dict[str, Any]
) -> Tally:
    from conftest import World

    script = (
        f"import sys; sys.argv[1:] = [{json.dumps(job)!r}]; sys.path.insert(0, "
        f"{str(ROOT / 'benchmarks')!r}); import {module}, faults_worker;"
        f" faults_worker.report({module}.{function})"
    )
    try:
        done = World(folder).run(script, **({"timeout_s": 3600.0, "grace_s": 20.0} | how))
    except subprocess.TimeoutExpired as late:
        return Tally(bad=[f"{function} hung: {late}"])
    try:
        said = json.loads(done.out.splitlines()[-1])
    except (IndexError, ValueError):
        return Tally(bad=[f"{function} ended with status {done.status}: {done.err[-2000:]}"])
    tally = Tally(Counter(said["counts"]), said["bad"])
    tally.bad += [f"left behind: {each}" for each in done.left]
    return tally


def shares(total: int, jobs: int) -> list[int]:
    """`total` in as many parts as there are jobs, none of them empty."""
    jobs = max(1, min(jobs, total))
    return [total // jobs + (i < total % jobs) for i in range(jobs)]


def channels() -> list[tuple[str, str]]:
    """Every mechanism with every waiting strategy that these CPUs can measure."""
    import bench

    return bench.channels()


def cells(chance: random.Random, count: int | None = None) -> list[dict[str, Any]]:
    """Cells of the plan of a session: all mechanisms and waitings, or `count` of them by chance."""
    import dataclasses

    import bench

    combinations = [
        (name, waiting, pattern)
        for name, waiting in channels()
        for pattern in ("latency", "throughput")
    ]
    chosen = combinations if count is None else chance.sample(combinations, count)
    found = []
    for name, waiting, pattern in chosen:
        places = ["cross-cpu", "free"] if bench.SECOND is not None else ["free"]
        if waiting != "spin":
            places.append("same-cpu")
        cell = bench.cell(
            name,
            chance.choice([8, 64, 4096]),
            pattern,
            waiting=waiting,
            placement=chance.choice(places),
        )
        found.append(dataclasses.asdict(cell))
    return found
