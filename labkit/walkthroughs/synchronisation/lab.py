"""The two processes, and the page they share: a counter, a pair of words, a semaphore."""

import mmap
import time
from dataclasses import dataclass

from labkit.errors import LabkitError
from labkit.harness.actor_handle import ActorHandle
from labkit.harness.stage import Stage
from labkit.kernel import cpus
from labkit.mechanisms.segment import address_of
from labkit.walkthroughs.step import Evidence
from labkit.walkthroughs.synchronisation import racing
from labkit.walkthroughs.synchronisation.picture import Word

PATIENCE_S = 60.0

# In the shared page: the counter, a pair of words, the gate of the common start, a semaphore, and
# for each process the two words at which it stops.
COUNTER, FIRST, SECOND, GATE, SEMAPHORE, STOPS = 0, 64, 68, 128, 192, 256


@dataclass
class Lab:
    """The two processes and the page they share."""

    one: ActorHandle
    two: ActorHandle
    page: mmap.mmap
    base: int
    where: str  # the CPUs, in words

    def look(self, offset: int) -> int:
        """A word of the shared page, which the stage has mapped, too."""
        return racing.word(self.base + offset)

    def put(self, offset: int, value: int) -> None:
        racing.set_word(self.base + offset, value)

    def stop(self, actor: ActorHandle) -> int:
        """The offset of the words at which this process stops."""
        return STOPS + 64 * (actor is self.two)

    def begin(self, actor: ActorHandle, loop: str, *numbers: int) -> None:
        """Have a process start one of the loops."""
        actor.begin_act(racing.run, loop, *numbers)

    def begin_and_stop(
        self, actor: ActorHandle, loop: str, first: int, second: int, last: int
    ) -> int:
        """The same with one that stops in its middle: what it shows there."""
        stop = self.stop(actor)
        self.put(stop + racing.STOPPED, 0)
        self.put(stop + racing.GO, 0)
        self.begin(actor, loop, first, second, self.base + stop, last)
        return self.stopped(actor)

    def stopped(self, actor: ActorHandle) -> int:
        """Wait until a process stands where it stops: what it shows."""
        stop = self.stop(actor)
        deadline = time.monotonic() + PATIENCE_S
        while not (shown := self.look(stop + racing.STOPPED)):
            if actor.finished() or time.monotonic() > deadline:
                raise LabkitError(f"{actor.name} did not stop where it should.")
            time.sleep(0.0005)
        return shown

    def go_on(self, actor: ActorHandle) -> None:
        """Let a process go on from where it stopped, to its end."""
        racing.go_on(self.base + self.stop(actor))
        actor.finish_act(PATIENCE_S)

    def counter(self) -> Word:
        return Word("counter", "counter", f"{self.look(COUNTER)}")

    def evidence(self, what: str, offset: int) -> Evidence:
        """A word of the shared page, as read from it."""
        where = f"the shared page, {self.base + offset:#x}"
        return Evidence(what, where, str(self.look(offset)))


def set_up(stage: Stage, page: mmap.mmap, placement: str) -> Lab:
    """Two processes on the CPUs that a placement names, which share this page."""
    racing.prepare(stage.listened_to)
    allowed = cpus.allowed()
    if placement == "cross-cpu" and len(allowed) < 2:
        stage.notes.append(
            "This process may use only one CPU, so both processes run on it, in turns; a machine"
            " with two shows more lost updates."
        )
        placement = "same-cpu"
    one, two = stage.actor("process A"), stage.actor("process B")
    first, second = allowed[0], allowed[-1] if placement == "cross-cpu" else allowed[0]
    if placement != "free":
        one.act(racing.pin_to, first)
        two.act(racing.pin_to, second)
    where = {
        "cross-cpu": f"A on CPU {first}, B on CPU {second}",
        "same-cpu": f"both on CPU {first}, in turns",
        "free": "wherever the scheduler puts them",
    }[placement]
    return Lab(one, two, page, address_of(page), where)


def count(lab: Lab, loop: str, semaphore: int, rounds: int) -> int:
    """Both processes run a loop at once: the counter after it."""
    lab.put(COUNTER, 0)
    lab.put(GATE, 0)
    for actor in (lab.one, lab.two):
        lab.begin(actor, loop, lab.base + COUNTER, semaphore, rounds, lab.base + GATE)
    for actor in (lab.one, lab.two):
        actor.finish_act(PATIENCE_S)
    return lab.look(COUNTER)


def asleep(actor: ActorHandle) -> Evidence:
    """The kernel's own line about a process that sleeps."""
    where = f"/proc/{actor.pid}/stat"
    with open(where, encoding="utf-8") as file:
        state = " ".join(file.read().split()[:3])
    return Evidence(f"{actor.name} sleeps", where, state)
