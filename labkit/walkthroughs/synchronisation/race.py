"""Without a semaphore: what a race loses by chance, and a stop in the middle for certain."""

import struct

from labkit.kernel.mappings import mapping_at
from labkit.walkthroughs.step import Evidence, Steps
from labkit.walkthroughs.synchronisation.lab import (
    COUNTER,
    FIRST,
    GATE,
    PATIENCE_S,
    SECOND,
    Lab,
    count,
)
from labkit.walkthroughs.synchronisation.picture import WRITE, Drawn, Word, picture

RACES = 4  # runs at most until one loses an increment


def before(steps: Steps, lab: Lab) -> None:
    """The two processes and the counter, before anything happens."""
    lines = [mapping_at(actor.pid, lab.base) for actor in (lab.one, lab.two)]
    steps.add(
        "One counter in shared memory",
        f"""Two processes have mapped the same page; in it lies a counter, {lab.look(COUNTER)}. They
        run {lab.where}. To increment it, each has to load it into a register, add one, and store
        it: three steps, and the register is its own.""",
        picture(Drawn(lab.one), Drawn(lab.two), [lab.counter()]),
        "counter++;   /* v = counter; v = v + 1; counter = v; */",
        [
            *(Evidence("the page", each.where, each.line) for each in lines if each is not None),
            Evidence("CPUs", "sched_setaffinity(2)", lab.where),
        ],
    )


def race(steps: Steps, lab: Lab, rounds: int) -> None:
    """Both at once; once more, a few times, if by chance nothing is lost."""
    runs, found = 1, count(lab, "count_plainly", 0, rounds)
    while found == 2 * rounds and runs < RACES:  # they did not meet: again, and that is told
        runs, found = runs + 1, count(lab, "count_plainly", 0, rounds)
    lost = 2 * rounds - found
    steps.facts |= {"increments, unguarded": 2 * rounds, "counter, unguarded": found, "lost": lost}
    if lost:
        said = f"""{lost} increments are lost: whenever one process stored between the other's load
            and store, the other overwrote it with a number that was out of date. The next run
            loses another number of them."""
        if runs > 1:
            said += f" This was run {runs}; those before it lost none, by chance."
    else:
        said = f"""None was lost in {runs} runs. That proves nothing: the two may not have met
            between load and store so far, and may in the next run."""
    steps.add(
        f"A race: {lost} increments lost" if lost else "A race: nothing lost, this time",
        f"""From a common start, both increment the counter {rounds} times, {lab.where}. It should
        be {2 * rounds}, and is {found}. {said}""",
        picture(
            Drawn(lab.one, doing=f"{rounds} times, done"),
            Drawn(lab.two, doing=f"{rounds} times, done"),
            [lab.counter(), Word("wanted", "should be", str(2 * rounds), "note")],
        ),
        f"for (i = 0; i < {rounds}; i++) counter++;",
        [
            lab.evidence("the counter", COUNTER),
            Evidence("increments", "both loops", f"2 x {rounds}, run {runs}"),
            Evidence("CPUs", "sched_setaffinity(2)", lab.where),
        ],
        {"increments": 2 * rounds, "counter": found, "lost": lost},
    )


def forced(steps: Steps, lab: Lab) -> None:
    """One loss made certain: A is stopped between its load and its store."""
    counter, one, two = lab.base + COUNTER, lab.one, lab.two
    lab.put(COUNTER, 0)
    held = lab.begin_and_stop(one, "count_with_a_stop", counter, 0, 0)
    stands = Drawn(one, at=1, register=str(held), doing="stopped before its store")
    steps.add(
        "Stopped between load and store",
        f"""Now by force. A has loaded {held - 1} and added one: its register holds {held}, and the
        counter still {lab.look(COUNTER)}. Here A is stopped, as an interrupt or the end of its time
        slice may stop it anywhere.""",
        picture(stands, Drawn(two), [lab.counter()], [("one", "load", str(held - 1))]),
        "v = counter; v = v + 1;   /* ... */",
        [
            lab.evidence("copy of A's register, left in the page", lab.stop(one)),
            lab.evidence("the counter", COUNTER),
        ],
    )
    before = lab.look(COUNTER)
    lab.put(GATE, 1)  # B is the second at the gate, so that it need not wait
    lab.begin(two, "count_plainly", counter, 0, 1, lab.base + GATE)
    two.finish_act(PATIENCE_S)
    after = lab.look(COUNTER)
    done = Drawn(two, at=2, register=str(after), doing="done")
    steps.add(
        "Meanwhile the other increments",
        f"""B loads {before}, adds one and stores {after}, all of it while A stands still. Nothing
        keeps B from it, and nothing tells A.""",
        picture(stands, done, [lab.counter()], [("two", "store", str(after))]),
        "counter++;   /* in B */",
        [lab.evidence("the counter", COUNTER)],
    )
    lab.go_on(one)
    final = lab.look(COUNTER)
    lost = 2 - final
    steps.facts["counter after two increments, A stopped between"] = final
    wrong = f"one of two increments is lost: {lost}" if lost else "none is lost"
    steps.add(
        "One increment is lost" if lost == 1 else "The counter after both",
        f"""A goes on and stores what it has in its register, {held}. Both have incremented the
        counter, and it is {final}: {wrong}. This happens each time, as the stop leaves nothing to
        chance.""",
        picture(
            Drawn(one, at=2, register=str(held), doing="done"),
            done,
            [lab.counter(), Word("wanted", "should be", "2", "note")],
            [("one", "store", str(held))],
        ),
        "counter = v;   /* in A */",
        [lab.evidence("the counter", COUNTER)],
        {"increments": 2, "counter": final, "lost": lost},
    )


def torn(steps: Steps, lab: Lab) -> None:
    """A reader between two stores."""
    one, two = lab.one, lab.two
    for offset in (FIRST, SECOND):
        lab.put(offset, 1)
    lab.begin_and_stop(one, "write_two", lab.base + FIRST, lab.base + SECOND, 2)
    seen = struct.unpack("ii", two.read(lab.base + FIRST, 8))
    torn = seen[0] != seen[1]
    steps.facts["torn read"] = list(seen)
    words = [
        Word("first", "first", str(lab.look(FIRST))),
        Word("second", "second", str(lab.look(SECOND))),
    ]
    what = "a pair that nobody ever meant" if torn else "a pair that belongs together"
    lab_seen = f"{seen[0]} and {seen[1]}"
    steps.add(
        "A torn read",
        f"""Two words belong together: A changes both from 1 to 2, and is stopped after the first. B
        reads {lab_seen}: {what}. Losing increments is not the only harm: whatever takes more than
        one store can be seen half done.""",
        picture(
            Drawn(one, WRITE, 0, "", "stopped after its first store"),
            Drawn(two, ("a = first;", "b = second;"), 1, lab_seen, "has read both"),
            words,
            [("one", "store", "2")],
        ),
        "first = 2; /* ... */ second = 2;",
        [
            Evidence("B reads", f"{lab.base + FIRST:#x}, 8 bytes", lab_seen),
            lab.evidence("the first word", FIRST),
            lab.evidence("the second word", SECOND),
        ],
    )
    lab.go_on(one)
