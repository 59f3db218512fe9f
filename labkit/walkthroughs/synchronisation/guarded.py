"""With a semaphore: the same stop, and the same race."""

from labkit.mechanisms.waiting import posix_sem
from labkit.walkthroughs.step import Evidence, Steps
from labkit.walkthroughs.synchronisation import racing
from labkit.walkthroughs.synchronisation.lab import (
    COUNTER,
    PATIENCE_S,
    SEMAPHORE,
    Lab,
    asleep,
    count,
)
from labkit.walkthroughs.synchronisation.picture import Drawn, Word, picture


def guarded(steps: Steps, lab: Lab, rounds: int) -> None:
    """The same stop, and the same race, with a semaphore around them."""
    counter, semaphore, one, two = lab.base + COUNTER, lab.base + SEMAPHORE, lab.one, lab.two
    posix_sem.create(semaphore, 1)
    lab.put(COUNTER, 0)

    def words() -> list[Word]:
        return [lab.counter(), Word("sem", "semaphore", str(lab.look(SEMAPHORE)), "memory")]

    held = lab.begin_and_stop(one, "count_with_a_stop", counter, semaphore, 0)
    lab.put(lab.stop(two) + racing.STOPPED, 0)
    lab.put(lab.stop(two) + racing.GO, 1)  # B need not stop
    stop = lab.base + lab.stop(two)
    lab.begin(two, "count_with_a_stop", counter, semaphore, stop, 0)
    two.falls_asleep()
    steps.facts["B sleeps while A holds the semaphore"] = True
    steps.add(
        "The same stop, with a semaphore",
        f"""A has taken the semaphore first, which is {lab.look(SEMAPHORE)} now, and stands between
        load and store again. B wants it, too: sem_wait finds nothing to take and puts B to sleep
        in the kernel. B cannot come between.""",
        picture(
            Drawn(one, at=1, register=str(held), doing="stopped, holds the semaphore"),
            Drawn(two, doing="asleep in sem_wait"),
            words(),
        ),
        "sem_wait(&s); counter++; sem_post(&s);",
        [asleep(two), lab.evidence("the semaphore's value", SEMAPHORE)],
    )
    lab.go_on(one)
    two.finish_act(PATIENCE_S)
    final = lab.look(COUNTER)
    steps.facts["counter after two guarded increments"] = final
    outcome = "nothing is lost" if final == 2 else f"{2 - final} is lost"
    steps.add(
        "Nothing came between" if final == 2 else "The counter after both",
        f"""A stores {held} and gives the semaphore back, which wakes B. B loads {held} and stores
        {final}: {outcome}. The stop cost time, not an increment.""",
        picture(
            Drawn(one, at=2, register=str(held), doing="done"),
            Drawn(two, at=2, register=str(final), doing="done"),
            words(),
            [("two", "store", str(final))],
        ),
        "sem_post(&s);",
        [lab.evidence("the counter", COUNTER), lab.evidence("the semaphore's value", SEMAPHORE)],
    )
    total = count(lab, "count_guarded", semaphore, rounds)
    lost = 2 * rounds - total
    steps.facts |= {"increments, guarded": 2 * rounds, "lost, guarded": lost}
    steps.add(
        "The race again, guarded",
        f"""Both increment the counter {rounds} times, each time between sem_wait and sem_post. It
        should be {2 * rounds}, and is {total}: lost {lost}. That one run loses nothing would prove
        nothing here either; what proves it is that nobody can pass a semaphore at 0.""",
        picture(
            Drawn(one, doing=f"{rounds} times, done"),
            Drawn(two, doing=f"{rounds} times, done"),
            [*words(), Word("wanted", "should be", str(2 * rounds), "note")],
        ),
        f"for (i = 0; i < {rounds}; i++) {{ sem_wait(&s); counter++; sem_post(&s); }}",
        [lab.evidence("the counter", COUNTER), Evidence("CPUs", "sched_setaffinity(2)", lab.where)],
        {"increments": 2 * rounds, "counter": total, "lost": lost},
    )
