"""A semaphore whose holder is killed: without SEM_UNDO, and with it. semop(2)"""

import errno
import os
import signal
import struct

from labkit.errors import LabkitError
from labkit.harness.actor_handle import ActorHandle
from labkit.harness.stage import Stage
from labkit.kernel.refusals import REFUSALS, error_number
from labkit.kernel.system_v import SEM_UNDO, set_semaphore
from labkit.kernel.sysv_status import semaphore_status
from labkit.walkthroughs.step import Evidence, Steps
from labkit.walkthroughs.synchronisation.lab import PATIENCE_S, Lab, asleep
from labkit.walkthroughs.synchronisation.picture import Drawn, Word, picture


def killed_holders(stage: Stage, steps: Steps, lab: Lab) -> None:
    """A semaphore whose holder is killed: without SEM_UNDO, and with it."""
    try:
        identifier = stage.objects.sysv_semaphore(1)
    except REFUSALS as error:
        stage.notes.append(
            f"System V semaphores are refused here ({_why(error)}), so no holder of one was killed;"
            " labkit doctor helps."
        )
        return
    for undo in (False, True):
        _killed_holder(stage, steps, lab, identifier, undo)
    stage.objects.remove("sysv_sem", identifier)


def _why(error: BaseException) -> str:
    """A refusal's reason in words."""
    if error_number(error) == errno.EINVAL:  # semget(2)
        return "EINVAL: SEMMSL, the first number of kernel.sem, allows no set of one"
    return str(error)


def _killed_holder(stage: Stage, steps: Steps, lab: Lab, identifier: int, undo: bool) -> None:
    set_semaphore(identifier, 1)
    flags, said = (SEM_UNDO, "SEM_UNDO") if undo else (0, "0")
    holder, other = stage.actor("process C"), lab.two

    def words() -> list[Word]:
        status = semaphore_status(identifier).semaphores[0]
        return [
            Word("semval", "semaphore", str(status.value), "object"),
            Word("semncnt", "who wait for it", str(status.waiting_for_increase), "object"),
        ]

    def evidence() -> Evidence:
        status = semaphore_status(identifier)
        return Evidence("the semaphore", status.where, status.line)

    code = (f"semop(id, {{0, -1, {said}}});", "/* ... */", f"semop(id, {{0, +1, {said}}});")
    taken = holder.call("semop", identifier, struct.pack("Hhh", 0, -1, flags), 1)
    if taken.error:
        raise LabkitError(f"semop was refused ({taken.error}).")
    line = code[0].replace("{0", "&(struct sembuf){0").replace("})", "}, 1)")
    if not undo:
        value = semaphore_status(identifier).semaphores[0].value
        steps.add(
            "A holder that is about to die",
            f"""Another kind of semaphore, System V's, lives in the kernel. Process C has taken it
            with semop, and the value is {value}. C means to give it back, but it will be killed
            first.""",
            picture(
                Drawn(holder, code, 0, "", "holds the semaphore"), Drawn(other, code), words(),
                band="kernel",
            ),
            line,
            [evidence()],
        )  # fmt: skip
    holder.kill()
    ended = _killed(holder)
    dead = semaphore_status(identifier)
    value = dead.semaphores[0].value
    left = Evidence("the semaphore after C's death", dead.where, dead.line)
    steps.facts[f"value after the holder's death, {'with' if undo else 'without'} SEM_UNDO"] = value
    other.begin("semop", identifier, struct.pack("Hhh", 0, -1, flags), 1)
    gone = Drawn(holder, code, 0, "", "killed by SIGKILL")
    if undo:
        outcome = other.finish(PATIENCE_S)
        given = outcome.result == 0
        steps.facts["with SEM_UNDO, the next one gets the semaphore"] = given
        undone = "has undone C's operation" if value == 1 else "has not undone C's operation"
        how = "B takes it at once" if given else f"B is refused it ({outcome.error})"
        steps.add(
            "With SEM_UNDO: the kernel gives it back",
            f"""Another C had taken it with SEM_UNDO and was killed. The kernel {undone} at its
            end: the value was {value}, and {how}. What C was changing may be half done all the
            same.""",
            picture(gone, Drawn(other, code, 0, "", "has the semaphore"), words(), band="kernel"),
            line,
            [ended, left, Evidence("B's semop", "its result", str(outcome.result)), evidence()],
        )
        return
    other.falls_asleep()
    steps.facts["without SEM_UNDO, the next one sleeps"] = True
    steps.add(
        "Without SEM_UNDO: the other sleeps on",
        f"""C was killed while it held the semaphore. The value is still {value}, and B
        sleeps in semop: nobody is left to give it back. A POSIX semaphore is no better: it has no
        owner. A robust mutex has one (pthread_mutexattr_setrobust).""",
        picture(gone, Drawn(other, code, -1, "", "asleep in semop"), words(), band="kernel"),
        "semop(id, &(struct sembuf){0, -1, 0}, 1);   /* in B */",
        [ended, left, asleep(other), evidence()],
    )
    set_semaphore(identifier, 1)
    outcome = other.finish(PATIENCE_S)
    steps.facts["freed by SETVAL"] = outcome.result == 0
    steps.add(
        "Freed from outside",
        f"""Somebody with the right to do so has set the value to 1 with semctl. B wakes up and has
        the semaphore (semop returned {outcome.result}), not knowing what C left half done.""",
        picture(gone, Drawn(other, code, 0, "", "has the semaphore"), words(), band="kernel"),
        "semctl(id, 0, SETVAL, 1);",
        [ended, Evidence("B's semop", "its result", str(outcome.result)), evidence()],
    )


def _killed(actor: ActorHandle) -> Evidence:
    """What wait(2) told of a process that a signal ended."""
    status = actor.end()
    name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "no signal"
    return Evidence(f"the end of {actor.name}", "waitpid(2)", f"wait status {status}: {name}")
