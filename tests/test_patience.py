"""How long ends may make no progress: only time in which they could have made some counts."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import World

from labkit.harness import patience
from labkit.harness.patience import Chances, Use, use_of


@pytest.mark.parametrize(
    ("before", "now", "usable"),
    [
        (Use("S", 1.0, 0.0), Use("S", 1.0, 0.0), 1.0),  # it slept, and could have been woken
        (Use("R", 1.0, 0.0), Use("R", 2.0, 0.0), 1.0),  # it ran
        (Use("R", 1.0, 0.0), Use("R", 1.1, 0.9), 0.1),  # it ran when its turn came
        (Use("R", 1.0, 0.0), Use("R", 1.0, 0.0), 0.0),  # its turn has not come yet,
        (Use("R", 1.0, 0.0), Use("S", 1.1, 2.9), -1.9),  # and when it has, the wait is taken back
        (Use("T", 1.0, 0.0), Use("T", 1.0, 0.0), 1.0),  # nobody will let it run
        (Use("R", 1.0, None), Use("R", 1.25, None), 0.25),  # a kernel that does not count waits
        (Use("S", 1.0, None), Use("S", 1.0, None), 1.0),
        (None, Use("S", 1.0, 0.0), 1.0),
        (Use("S", 1.0, 0.0), None, 1.0),
    ],
)
def test_what_counts(before: Use | None, now: Use | None, usable: float) -> None:
    assert patience._usable(1.0, before, now) == pytest.approx(usable)


def test_what_the_kernel_says_of_a_process() -> None:
    us = use_of(os.getpid())
    assert us is not None
    assert us.state == "R"
    assert us.run_s > 0
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert use_of(child.pid) is None


def test_a_process_that_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(100))
    monkeypatch.setattr("labkit.harness.patience.time.monotonic", lambda: float(next(moments)))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        child.send_signal(signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)  # until it has
        chances = Chances(child.pid, most_s=0.5)
        for looks in (1, 2, 3):
            chances.look()
            assert chances.stopped_s == 0.5 * looks  # a look adds no more than that
        child.send_signal(signal.SIGCONT)
        os.waitpid(child.pid, os.WCONTINUED)
        chances.look()
        assert chances.stopped_s == 0.0
    finally:
        child.kill()
        child.wait()


def test_a_comparison_beside_another_notes_it(world: World) -> None:
    world.passes("""
        import dataclasses, time
        import labkit
        from bench import cell
        from labkit.harness.neighbours import other_helpers
        from labkit.harness.session import Session

        plan = {"cells": [dataclasses.asdict(cell("pipe"))], "reasons": [None],
                "deadline": time.monotonic(), "least_seconds": 1.0, "repeats": 1}
        with Session(plan) as session:
            events = session.events()
            next(events)  # from here on it is there
            assert session.pid in other_helpers(0)
            assert session.pid not in other_helpers(session.pid)
            run = labkit.compare("pipe", sizes="64", placements="same-cpu", budget=2,
                                 progress=False)
            notes = run.machine["noise"]["notes"]
            assert any("under way on this machine at the same time." in note for note in notes)
    """)
