"""What shared memory alone does not do: keep order, and tell anybody anything."""

import ctypes
import os
import signal

from labkit.claims.claim import Claim, Evidence, Found
from labkit.claims.lab import Lab, answer
from labkit.kernel import system_v
from labkit.kernel.system_v import IPC_NOWAIT, SEM_UNDO
from labkit.kernel.sysv_status import semaphore_status

TOPIC = "synchronisation"


def _lost_update(lab: Lab) -> Found:
    segment = lab.segment()
    actors = [lab.actor(f"process {name}") for name in "AB"]
    places = [actor.call("shmat", segment.id, 0, 0).result for actor in actors]
    order = []

    def load(number: int) -> int:
        value = actors[number].read(places[number], 1)[0]
        order.append(f"{'AB'[number]} loads {value}")
        return value

    def store(number: int, value: int) -> None:
        actors[number].write(places[number], bytes([value]))
        order.append(f"{'AB'[number]} stores {value}")

    start = 5
    actors[0].write(places[0], bytes([start]))
    first = load(0)  # A is interrupted here, between its load and its store
    store(1, load(1) + 1)
    store(0, first + 1)
    end = actors[1].read(places[1], 1)[0]
    return Found(
        {"start": start, "increments": 2, "end": end, "order": order},
        [Evidence("the order of loads and stores", ", ".join(order))],
    )


def _killed_holder(lab: Lab) -> Found:
    values, tries, evidence = {}, {}, []
    given_back = ""
    for name, flags in (("plain", 0), ("undo", SEM_UNDO)):
        semaphore = lab.semaphore(1)

        def hold(semaphore: int = semaphore, flags: int = flags) -> None:
            system_v.semop(semaphore, -1, flags)
            os.kill(os.getpid(), signal.SIGKILL)

        killed = lab.child(hold).signal
        status = semaphore_status(semaphore)
        values[name] = status.semaphores[0].value
        tries[name] = answer(system_v.semop, semaphore, -1, IPC_NOWAIT)
        evidence.append(Evidence(f"{status.where}, {name}", status.line))
        if not flags:
            system_v.set_semaphore(semaphore, 1)
            given_back = answer(system_v.semop, semaphore, -1, IPC_NOWAIT)
    return Found(
        {
            "killed": killed,
            "plain": values["plain"],
            "plain_next": tries["plain"],
            "given_back": given_back,
            "undo": values["undo"],
            "undo_next": tries["undo"],
        },
        evidence,
    )


def _unnoticed(lab: Lab) -> Found:
    segment = lab.segment()
    reader = lab.actor("the reader")
    place = reader.call("shmat", segment.id, 0, 0).result
    first = lab.queue()
    reader.begin("msgrcv", first, bytes(64), 8, 0, 0)
    reader.falls_asleep()  # it waits for a message, the only thing that can wake it

    def write() -> None:
        ctypes.memset(system_v.shmat(segment.id), 1, 1)

    lab.child(write)
    written = reader.finished()
    system_v.msgsnd(first, b"x")
    woken = reader.finish().result
    return Found(
        {
            "after_write": written,
            "after_message": woken,
            "found": reader.read(place, 1)[0],
        },
        [Evidence("the sleeping reader came back after the write", str(written))],
    )


CLAIMS = [
    Claim(
        id="lost-update",
        topic=TOPIC,
        claim="Shared memory keeps no order by itself: of two increments of one counter, one is"
        " lost when a process is interrupted between its load and its store.",
        source="Arpaci-Dusseau, Operating Systems: Three Easy Pieces, chapter 26",
        experiment=_lost_update,
        holds=lambda f: f["end"] < f["start"] + f["increments"],
        observed="From {start}, {increments} increments led to {end}: {order}.",
    ),
    Claim(
        id="nobody-is-told",
        topic=TOPIC,
        claim="Shared memory wakes nobody: a process that sleeps isn't told that something was"
        " written, and needs a semaphore, a futex or a message for that.",
        source="shmop(2), sem_overview(7), futex(7)",
        experiment=_unnoticed,
        holds=lambda f: not f["after_write"] and f["after_message"] >= 0 and f["found"] == 1,
        observed="The sleeping reader came back after a write to the segment: {after_write}; after"
        " a message: msgrcv returned {after_message}, and it then found {found} in the segment.",
    ),
    Claim(
        id="killed-holder",
        topic=TOPIC,
        claim="A process that is killed while it holds a System V semaphore leaves it taken until"
        " somebody else gives it back, unless it took it with SEM_UNDO.",
        source="semop(2), SEM_UNDO, semctl(2), SETVAL",
        experiment=_killed_holder,
        holds=lambda f: (
            f["plain"] == 0
            and f["plain_next"] == "EAGAIN"
            and f["undo"] == 1
            and f["given_back"] == "accepted"
            and f["undo_next"] == "accepted"
        ),
        observed="After its holder had died of {killed}, the semaphore was {plain} and the next one"
        " got {plain_next}, after SETVAL {given_back}; taken with SEM_UNDO it was"
        " {undo}, and the next one was {undo_next}.",
    ),
]
