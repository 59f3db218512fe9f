"""Experiments for tests of the stage: they run in its clean process, and kill it there."""

import os
import signal
from typing import Any

from labkit.harness.actor_handle import ActorDied
from labkit.harness.stage import Stage
from labkit.walkthroughs import recording
from labkit.walkthroughs.step import Steps


def made_then_killed(stage: Stage) -> None:
    """Objects and actors, one of them asleep, and then the end."""
    actor = stage.actor("an actor")
    key = int(stage.objects.expected("sysv_shm", actor.pid))
    assert not actor.call("shmget", key, 4096, 0o3600).error
    queue = stage.objects.sysv_queue(4096)
    other = actor.fork("a child")
    other.begin("msgrcv", queue, bytes(64), 56, 0, 0)
    other.falls_asleep()
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at_step(stage: Stage, name: str, step: int) -> Any:
    """A walkthrough whose stage is killed when it would add its n-th step."""
    add = Steps.add

    def add_or_die(self: Steps, *what: Any, **how: Any) -> None:
        if len(self.steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        add(self, *what, **how)

    Steps.add = add_or_die  # type: ignore[method-assign]
    return recording.record(stage, name, {"message": "hello"})


def told_after_its_death(stage: Stage) -> list[str]:
    """An actor that is killed from outside, and is told to do something three times after."""
    actor = stage.actor("the reader")
    os.kill(actor.pid, signal.SIGKILL)
    said = []
    for _ in range(3):
        try:
            actor.call("getpid")
        except ActorDied as error:
            said.append(str(error))
    return said
