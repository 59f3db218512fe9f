"""Two processes, one counter: what is lost without a semaphore, and what a semaphore can lose.

sem_overview(7), sem_wait(3), semop(2), pthread_mutexattr_setrobust(3); Silberschatz, Galvin and
Gagne, Operating System Concepts, chapter 6; ISO C11, 7.17.3, for the order of loads and stores.
"""

import errno
import mmap
import os
import signal
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from labkit.errors import LabkitError, RequestError
from labkit.harness.ends import OpenCell, SharedRecords
from labkit.harness.helper import Engines
from labkit.harness.pair import Pair
from labkit.harness.refusal import is_wrong_message, refused, wrong_message
from labkit.harness.request import PLACEMENTS, nearest
from labkit.harness.stage import Player, Stage
from labkit.kernel import cpus
from labkit.kernel.mappings import mapping_at
from labkit.kernel.refusals import REFUSALS, error_number
from labkit.kernel.system_v import SEM_UNDO, set_semaphore
from labkit.kernel.sysv_status import semaphore_status
from labkit.mechanisms import mechanism
from labkit.mechanisms.contract import room_for
from labkit.mechanisms.segment import address_of
from labkit.mechanisms.waiting import posix_sem
from labkit.walkthroughs import layout, racing
from labkit.walkthroughs.one_message import channel
from labkit.walkthroughs.scene import Role, Scene, State
from labkit.walkthroughs.step import Evidence, Steps

TITLE = "Synchronisation: two processes, one counter"
QUESTION = "Two processes increment one counter in shared memory: do all increments count?"

ROUNDS = 3_000_000
RACES = 4  # runs at most until one loses an increment
GUARDED_ROUNDS = 2_000  # who finds the semaphore taken sleeps, and each sleep takes its time
STREAMED, STREAM_BYTES = 20_000, 64
PATIENCE_S = 60.0
PAGE = mmap.PAGESIZE

# In the shared page: the counter, a pair of words, the gate of the common start, a semaphore, and
# for each process the two words at which it stops.
COUNTER, FIRST, SECOND, GATE, SEMAPHORE, STOPS = 0, 64, 68, 128, 192, 256

COUNT = ("v = counter;", "v = v + 1;", "counter = v;")
WRITE = ("first = 2;", "second = 2;")


class _Word(NamedTuple):
    """A word as it is drawn."""

    name: str
    title: str
    value: str
    role: Role = "page"


@dataclass
class _Actor:
    """A process as it is drawn.

    Attributes:
        at: which line of its code it has done last; -1 for none.
        register: what it holds in its register; "" for nothing.
        doing: a few words.
    """

    player: Player
    code: Sequence[str] = COUNT
    at: int = -1
    register: str = ""
    doing: str = ""


@dataclass
class _Lab:
    """The two processes and the page they share."""

    one: Player
    two: Player
    page: mmap.mmap
    base: int
    where: str  # the CPUs, in words
    words: list[str] = field(default_factory=list)

    def look(self, offset: int) -> int:
        """A word of the shared page, which the stage has mapped, too."""
        return racing.word(self.base + offset)

    def put(self, offset: int, value: int) -> None:
        racing.set_word(self.base + offset, value)

    def stop(self, actor: Player) -> int:
        """The offset of the words at which this process stops."""
        return STOPS + 64 * (actor is self.two)

    def begin(self, actor: Player, loop: str, *numbers: int) -> None:
        """Have a process start one of the loops."""
        actor.begin_act(racing.run, loop, *numbers)

    def begin_and_stop(self, actor: Player, loop: str, first: int, second: int, last: int) -> int:
        """The same with one that stops in its middle: what it shows there."""
        stop = self.stop(actor)
        self.put(stop + racing.STOPPED, 0)
        self.put(stop + racing.GO, 0)
        self.begin(actor, loop, first, second, self.base + stop, last)
        return self.stopped(actor)

    def stopped(self, actor: Player) -> int:
        """Wait until a process stands where it stops: what it shows."""
        stop = self.stop(actor)
        deadline = time.monotonic() + PATIENCE_S
        while not (shown := self.look(stop + racing.STOPPED)):
            if actor.finished() or time.monotonic() > deadline:
                raise LabkitError(f"{actor.name} did not stop where it should.")
            time.sleep(0.0005)
        return shown

    def go_on(self, actor: Player) -> None:
        """Let a process go on from where it stopped, to its end."""
        racing.go_on(self.base + self.stop(actor))
        actor.finish_act(PATIENCE_S)

    def counter(self) -> _Word:
        return _Word("counter", "counter", f"{self.look(COUNTER)}")

    def evidence(self, what: str, offset: int) -> Evidence:
        """A word of the shared page, as read from it."""
        where = f"the shared page, {self.base + offset:#x}"
        return Evidence(what, where, str(self.look(offset)))


def check(placement: str, rounds: int) -> dict[str, Any]:
    """The options in good order.

    Raises:
        RequestError: one of them is not allowed.
    """
    if not isinstance(placement, str) or placement not in PLACEMENTS:
        near = nearest(placement, PLACEMENTS) if isinstance(placement, str) else None
        meant = f" (did you mean '{near}'?)" if near else ""
        raise RequestError(
            f"there is no placement {placement!r:.60}{meant}; it is one of {', '.join(PLACEMENTS)}."
        )
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
        lab = _set_up(stage, page, placement)
        _before(steps, lab)
        _race(steps, lab, rounds)
        _forced(steps, lab)
        _guarded(steps, lab, min(rounds, GUARDED_ROUNDS))
        _torn(steps, lab)
        _killed_holders(stage, steps, lab)
    _ring(stage, steps)


def _set_up(stage: Stage, page: mmap.mmap, placement: str) -> _Lab:
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
    return _Lab(one, two, page, address_of(page), where)


# The steps.


def _before(steps: Steps, lab: _Lab) -> None:
    lines = [mapping_at(player.pid, lab.base) for player in (lab.one, lab.two)]
    steps.add(
        "One counter in shared memory",
        f"""Two processes have mapped the same page; in it lies a counter, {lab.look(COUNTER)}. They
        run {lab.where}. To increment it, each has to load it into a register, add one, and store
        it: three steps, and the register is its own.""",
        _picture(_Actor(lab.one), _Actor(lab.two), [lab.counter()]),
        "counter++;   /* v = counter; v = v + 1; counter = v; */",
        [
            *(Evidence("the page", each.where, each.line) for each in lines if each is not None),
            Evidence("CPUs", "sched_setaffinity(2)", lab.where),
        ],
    )


def _race(steps: Steps, lab: _Lab, rounds: int) -> None:
    runs, found = 1, _count(lab, "count_plainly", 0, rounds)
    while found == 2 * rounds and runs < RACES:  # they did not meet: again, and that is told
        runs, found = runs + 1, _count(lab, "count_plainly", 0, rounds)
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
        _picture(
            _Actor(lab.one, doing=f"{rounds} times, done"),
            _Actor(lab.two, doing=f"{rounds} times, done"),
            [lab.counter(), _Word("wanted", "should be", str(2 * rounds), "note")],
        ),
        f"for (i = 0; i < {rounds}; i++) counter++;",
        [
            lab.evidence("the counter", COUNTER),
            Evidence("increments", "both loops", f"2 x {rounds}, run {runs}"),
            Evidence("CPUs", "sched_setaffinity(2)", lab.where),
        ],
        {"increments": 2 * rounds, "counter": found, "lost": lost},
    )


def _count(lab: _Lab, loop: str, semaphore: int, rounds: int) -> int:
    """Both processes run a loop at once: the counter after it."""
    lab.put(COUNTER, 0)
    lab.put(GATE, 0)
    for player in (lab.one, lab.two):
        lab.begin(player, loop, lab.base + COUNTER, semaphore, rounds, lab.base + GATE)
    for player in (lab.one, lab.two):
        player.finish_act(PATIENCE_S)
    return lab.look(COUNTER)


def _forced(steps: Steps, lab: _Lab) -> None:
    """One loss made certain: A is stopped between its load and its store."""
    counter, one, two = lab.base + COUNTER, lab.one, lab.two
    lab.put(COUNTER, 0)
    held = lab.begin_and_stop(one, "count_with_a_stop", counter, 0, 0)
    stands = _Actor(one, at=1, register=str(held), doing="stopped before its store")
    steps.add(
        "Stopped between load and store",
        f"""Now by force. A has loaded {held - 1} and added one: its register holds {held}, and the
        counter still {lab.look(COUNTER)}. Here A is stopped, as an interrupt or the end of its time
        slice may stop it anywhere.""",
        _picture(stands, _Actor(two), [lab.counter()], [("one", "load", str(held - 1))]),
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
    done = _Actor(two, at=2, register=str(after), doing="done")
    steps.add(
        "Meanwhile the other increments",
        f"""B loads {before}, adds one and stores {after}, all of it while A stands still. Nothing
        keeps B from it, and nothing tells A.""",
        _picture(stands, done, [lab.counter()], [("two", "store", str(after))]),
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
        _picture(
            _Actor(one, at=2, register=str(held), doing="done"),
            done,
            [lab.counter(), _Word("wanted", "should be", "2", "note")],
            [("one", "store", str(held))],
        ),
        "counter = v;   /* in A */",
        [lab.evidence("the counter", COUNTER)],
        {"increments": 2, "counter": final, "lost": lost},
    )


def _guarded(steps: Steps, lab: _Lab, rounds: int) -> None:
    """The same stop, and the same race, with a semaphore around them."""
    counter, semaphore, one, two = lab.base + COUNTER, lab.base + SEMAPHORE, lab.one, lab.two
    posix_sem.create(semaphore, 1)
    lab.put(COUNTER, 0)

    def words() -> list[_Word]:
        return [lab.counter(), _Word("sem", "semaphore", str(lab.look(SEMAPHORE)), "memory")]

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
        _picture(
            _Actor(one, at=1, register=str(held), doing="stopped, holds the semaphore"),
            _Actor(two, doing="asleep in sem_wait"),
            words(),
        ),
        "sem_wait(&s); counter++; sem_post(&s);",
        [_asleep(two), lab.evidence("the semaphore's value", SEMAPHORE)],
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
        _picture(
            _Actor(one, at=2, register=str(held), doing="done"),
            _Actor(two, at=2, register=str(final), doing="done"),
            words(),
            [("two", "store", str(final))],
        ),
        "sem_post(&s);",
        [lab.evidence("the counter", COUNTER), lab.evidence("the semaphore's value", SEMAPHORE)],
    )
    total = _count(lab, "count_guarded", semaphore, rounds)
    lost = 2 * rounds - total
    steps.facts |= {"increments, guarded": 2 * rounds, "lost, guarded": lost}
    steps.add(
        "The race again, guarded",
        f"""Both increment the counter {rounds} times, each time between sem_wait and sem_post. It
        should be {2 * rounds}, and is {total}: lost {lost}. That one run loses nothing would prove
        nothing here either; what proves it is that nobody can pass a semaphore at 0.""",
        _picture(
            _Actor(one, doing=f"{rounds} times, done"),
            _Actor(two, doing=f"{rounds} times, done"),
            [*words(), _Word("wanted", "should be", str(2 * rounds), "note")],
        ),
        f"for (i = 0; i < {rounds}; i++) {{ sem_wait(&s); counter++; sem_post(&s); }}",
        [lab.evidence("the counter", COUNTER), Evidence("CPUs", "sched_setaffinity(2)", lab.where)],
        {"increments": 2 * rounds, "counter": total, "lost": lost},
    )


def _torn(steps: Steps, lab: _Lab) -> None:
    """A reader between two stores."""
    one, two = lab.one, lab.two
    for offset in (FIRST, SECOND):
        lab.put(offset, 1)
    lab.begin_and_stop(one, "write_two", lab.base + FIRST, lab.base + SECOND, 2)
    seen = struct.unpack("ii", two.read(lab.base + FIRST, 8))
    torn = seen[0] != seen[1]
    steps.facts["torn read"] = list(seen)
    words = [
        _Word("first", "first", str(lab.look(FIRST))),
        _Word("second", "second", str(lab.look(SECOND))),
    ]
    what = "a pair that nobody ever meant" if torn else "a pair that belongs together"
    lab_seen = f"{seen[0]} and {seen[1]}"
    steps.add(
        "A torn read",
        f"""Two words belong together: A changes both from 1 to 2, and is stopped after the first. B
        reads {lab_seen}: {what}. Losing increments is not the only harm: whatever takes more than
        one store can be seen half done.""",
        _picture(
            _Actor(one, WRITE, 0, "", "stopped after its first store"),
            _Actor(two, ("a = first;", "b = second;"), 1, lab_seen, "has read both"),
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


def _killed_holders(stage: Stage, steps: Steps, lab: _Lab) -> None:
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


def _killed_holder(stage: Stage, steps: Steps, lab: _Lab, identifier: int, undo: bool) -> None:
    set_semaphore(identifier, 1)
    flags, said = (SEM_UNDO, "SEM_UNDO") if undo else (0, "0")
    holder, other = stage.actor("process C"), lab.two

    def words() -> list[_Word]:
        status = semaphore_status(identifier).semaphores[0]
        return [
            _Word("semval", "semaphore", str(status.value), "object"),
            _Word("semncnt", "who wait for it", str(status.waiting_for_increase), "object"),
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
            _picture(
                _Actor(holder, code, 0, "", "holds the semaphore"), _Actor(other, code), words(),
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
    gone = _Actor(holder, code, 0, "", "killed by SIGKILL")
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
            _picture(gone, _Actor(other, code, 0, "", "has the semaphore"), words(), band="kernel"),
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
        _picture(gone, _Actor(other, code, -1, "", "asleep in semop"), words(), band="kernel"),
        "semop(id, &(struct sembuf){0, -1, 0}, 1);   /* in B */",
        [ended, left, _asleep(other), evidence()],
    )
    set_semaphore(identifier, 1)
    outcome = other.finish(PATIENCE_S)
    steps.facts["freed by SETVAL"] = outcome.result == 0
    steps.add(
        "Freed from outside",
        f"""Somebody with the right to do so has set the value to 1 with semctl. B wakes up and has
        the semaphore (semop returned {outcome.result}), not knowing what C left half done.""",
        _picture(gone, _Actor(other, code, 0, "", "has the semaphore"), words(), band="kernel"),
        "semctl(id, 0, SETVAL, 1);",
        [ended, Evidence("B's semop", "its result", str(outcome.result)), evidence()],
    )


def _ring(stage: Stage, steps: Steps) -> None:
    """How the comparison's own ring does with no counter that two processes write."""
    allowed = cpus.allowed()
    streamed = _stream(stage, (allowed[0], allowed[-1]))
    steps.facts["messages through the ring, each byte checked"] = streamed
    with channel(stage, "mmap_anon", "futex", 8, (allowed[0], allowed[-1])) as way:
        passage = way.pass_on(b"a ticket", "producer")
        ready, passed = way.ring_words()
        pids = way.pids
    steps.facts["the ring passed the message whole"] = passage.arrived == b"a ticket"
    last = max(ready)
    scene = Scene()
    names = (("producer", "writes places, then ready words"), ("consumer", "writes only passed"))
    for (name, does), column in zip(names, layout.columns(2), strict=True):
        layout.process(scene, name, name, pids["producer" if name == "producer" else "consumer"],
                       column, 200)  # fmt: skip
        scene.text(f"{name}.does", (column[0] + 24, 110), does)
    words = [
        *(
            _Word(f"place {number}", f"place {number}", f"ready {value}", "memory")
            for number, value in enumerate(ready)
        ),
        _Word("passed", "passed", str(passed)),
    ]
    _words(scene, words, "memory", "the segment: a ring of places", 250)
    steps.add(
        "The ring that the comparison uses",
        f"""Here no word has two writers. The producer fills a place, then stores the message's
        number in its ready word ({last} is the last); the consumer looks for that number, then
        reads, and counts what it has passed ({passed}). Release and acquire keep that order:
        {streamed} messages went through such a ring, each byte was checked, and all were whole.""",
        scene,
        "place[k % n] = message;  atomic_store_explicit(&ready[k % n], k, memory_order_release);",
        [
            Evidence("ready words", f"/proc/{pids['producer']}/mem", str(ready)),
            Evidence("passed", f"/proc/{pids['producer']}/mem", str(passed)),
            Evidence("the consumer read", "its buffer", passage.arrived.decode()),
            Evidence(
                "messages whole",
                f"{STREAM_BYTES} bytes each, checked by the consumer",
                f"{streamed}",
            ),
        ],
    )


def _stream(stage: Stage, pinned: tuple[int, int]) -> int:
    """Messages through the comparison's ring, every byte written anew and checked: how many.

    Raises:
        LabkitError: one was torn, lost or out of order.
    """
    stage.listened_to()  # compiling takes its time
    kind, shared = mechanism("mmap_anon"), SharedRecords()
    way = kind.channel(stage.objects, STREAM_BYTES, room_for("throughput", STREAM_BYTES), "futex")
    cell = OpenCell("throughput", STREAM_BYTES, "all", False, [way], None)
    try:
        pair = Pair(shared, [cell], Engines()("compiled", kind), pinned, stage.lifeline)
        try:
            what = {"do": "measure", "cell": 0, "warm": 0, "count": STREAMED, "singles": 0}
            for order in ({"do": "open", "cell": 0}, what):
                for end, reply in pair.order(order).items():
                    if is_wrong_message(reply["status"]):
                        raise LabkitError(wrong_message(end, shared.state(end, 0)))
                    if reply["status"] < 0:
                        raise LabkitError(refused(kind, STREAM_BYTES, -reply["status"]))
            return pair.progress("consumer")
        finally:
            pair.take_down()
    finally:
        way.discard()


def _killed(player: Player) -> Evidence:
    """What wait(2) told of a process that a signal ended."""
    status = player.end()
    name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "no signal"
    return Evidence(f"the end of {player.name}", "waitpid(2)", f"wait status {status}: {name}")


def _asleep(player: Player) -> Evidence:
    """The kernel's own line about a process that sleeps."""
    where = f"/proc/{player.pid}/stat"
    with open(where, encoding="utf-8") as file:
        state = " ".join(file.read().split()[:3])
    return Evidence(f"{player.name} sleeps", where, state)


# The picture.


def _picture(
    one: _Actor,
    two: _Actor,
    words: Sequence[_Word],
    moves: Sequence[tuple[str, str, str]] = (),
    band: Role = "memory",
) -> Scene:
    """Two processes with their code and their register, and the words that both can reach."""
    scene = Scene()
    title = {"memory": "shared memory, mapped by both", "kernel": "the kernel"}[band]
    columns = layout.columns(2)
    _words(scene, words, band, title, 420)
    for side, (name, actor) in enumerate((("one", one), ("two", two))):
        _process(scene, name, actor, columns[side])
    for name, what, value in moves:
        left = name == "one"
        high, low = (660.0 if left else 940.0, 190.0), (770.0 if left else 830.0, 530.0)
        points = [high, low] if what == "store" else [low, high]
        scene.arrow(f"{name}.{what}", points, "copy", f"{what} {value}")
    return scene


def _process(scene: Scene, name: str, actor: _Actor, column: tuple[float, float]) -> None:
    player = actor.player
    state: State = "" if player.alive else "gone"
    layout.process(scene, name, player.name, player.pid, column, 370, state)
    x, width = column
    left = name == "one"  # the registers stand on the inner sides, near the words
    code, register = (x + 20, x + width - 220) if left else (x + 240, x + 20)
    if actor.doing:
        scene.text(f"{name}.doing", (code + 4, 296), actor.doing, 26, bold=True)
    if not player.alive:
        return
    marks = [">" if number == actor.at else " " for number in range(len(actor.code))]
    lines = [f"{mark} {line}" for mark, line in zip(marks, actor.code, strict=True)]
    scene.box(f"{name}.code", (code, 76, width - 260, 170), "user", "its code", lines, "", True)
    if actor.code is COUNT or actor.register:
        title = "register v" if actor.code is COUNT else "registers"
        held = [actor.register or "-"]
        scene.box(f"{name}.register", (register, 76, 200, 110), "private", title, held)


def _words(scene: Scene, words: Sequence[_Word], band: Role, title: str, top: float) -> None:
    """The words in a band across the canvas: the first in its middle, or all in a row."""
    scene.box("band", (30, top, 1540, 750 - top), band, title)
    each = min(320.0, 1460 / len(words) - 20)
    y = top + (750 - top) / 2 - 50
    for number, word in enumerate(words):
        few = (0.0, 1.0, -1.0)  # so that the first stays where it is when others come
        at = few[number] if len(words) <= 3 else number - (len(words) - 1) / 2
        middle = 800 + at * (each + 20)
        place = (middle - each / 2, y, each, 140)
        scene.box(f"word.{word.name}", place, word.role, word.title, [""])
        scene.text(f"value.{word.name}", (middle, y + 108), word.value, 36, "middle", True)
