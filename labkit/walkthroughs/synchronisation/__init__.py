"""Two processes, one counter: what is lost without a semaphore, and what a semaphore can lose.

sem_overview(7), sem_wait(3), semop(2), pthread_mutexattr_setrobust(3); Silberschatz, Galvin and
Gagne, Operating System Concepts, chapter 6; ISO C11, 7.17.3, for the order of loads and stores.
"""

import mmap
from typing import Any

from labkit.errors import RequestError
from labkit.harness.request import PLACEMENTS
from labkit.harness.stage import Stage
from labkit.walkthroughs.options import known
from labkit.walkthroughs.step import Steps
from labkit.walkthroughs.synchronisation import race
from labkit.walkthroughs.synchronisation.guarded import guarded
from labkit.walkthroughs.synchronisation.killed_holder import killed_holders
from labkit.walkthroughs.synchronisation.lab import set_up
from labkit.walkthroughs.synchronisation.ring import ring

TITLE = "Synchronisation: two processes, one counter"
QUESTION = "Two processes increment one counter in shared memory: do all increments count?"

ROUNDS = 3_000_000
GUARDED_ROUNDS = 2_000  # who finds the semaphore taken sleeps, and each sleep takes its time
PAGE = mmap.PAGESIZE


def check(placement: str, rounds: int) -> dict[str, Any]:
    """The options in good order.

    Raises:
        RequestError: one of them is not allowed.
    """
    known("placement", placement, PLACEMENTS)
    if isinstance(rounds, str) and rounds.isascii() and rounds.isdigit():
        rounds = int(rounds[:9])
    if isinstance(rounds, bool) or not isinstance(rounds, int) or not 1 <= rounds <= 10_000_000:
        raise RequestError("rounds is a whole number from 1 to 10000000: increments by each.")
    return {"placement": placement, "rounds": rounds}


def observe(stage: Stage, steps: Steps, placement: str = "cross-cpu", rounds: int = ROUNDS) -> None:
    """Watch two processes count.

    Args:
        placement: "cross-cpu", "same-cpu" or "free".
        rounds: how often each increments the counter in the race, at most 10 million.
    """
    with mmap.mmap(-1, PAGE) as page:
        lab = set_up(stage, page, placement)
        race.before(steps, lab)
        race.race(steps, lab, rounds)
        race.forced(steps, lab)
        guarded(steps, lab, min(rounds, GUARDED_ROUNDS))
        race.torn(steps, lab)
        killed_holders(stage, steps, lab)
    ring(stage, steps)
