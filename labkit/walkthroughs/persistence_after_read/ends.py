"""Where it ends: a conveyor that is full, one without a writer, one without a reader."""

from labkit.errors import LabkitError
from labkit.harness.actor_handle import ActorDied, ActorHandle
from labkit.harness.stage import Stage
from labkit.walkthroughs import conveyors
from labkit.walkthroughs.conveyors import IPC_RMID, Conveyor, Pipe, SystemVQueue
from labkit.walkthroughs.persistence_after_read.wall import Show, discard, got, listed, titles
from labkit.walkthroughs.step import Evidence, Steps

MOST_MESSAGES = 100_000  # put into one channel to see where it is full
MESSAGE = 512  # bytes of each of them


def _fresh(stage: Stage) -> tuple[Show, ActorHandle, ActorHandle]:
    """Conveyors of their own, new and empty, with the writer and the reader who hold them."""
    writer, reader = stage.actor("the writer"), stage.actor("the reader")
    idle = stage.actor("a second reader")
    made = conveyors.set_up_all(stage, writer, [reader, idle])
    return Show(made, [writer, reader, idle]), writer, reader


def _end(stage: Stage, show: Show) -> None:
    for actor in show.alive():
        actor.exit()
    discard(stage, show)


def full(stage: Stage, steps: Steps) -> None:
    """How much goes in before the writer would have to wait."""
    show, writer, _ = _fresh(stage)
    taken: dict[str, int] = {}

    def fill(each: Conveyor) -> str:
        if each.role == "memory":
            return "never full"
        count, error = 0, ""
        while not error and count < MOST_MESSAGES:
            error = each.put(writer, "x" * MESSAGE)
            count += not error
        each.text = "x" * 10
        taken[each.name] = count
        return f"{count}, then {error or 'no end'}"

    answers = show.all(fill)
    steps.facts["until_full"] = taken
    steps.add(
        "Full",
        f"""Now the writer puts in messages of {MESSAGE} bytes until it is refused. Each kernel
        buffer has its own limit, and a writer that may wait would now sleep until somebody reads.
        Shared memory is never full: it is only overwritten.""",
        show.picture(),
        "while (write(fd, buf, 512) == 512) n++;   /* then -1, errno EAGAIN */",
        [Evidence(each.title, "messages taken", answers[each.name]) for each in show.made],
    )
    _end(stage, show)


def without_writer(stage: Stage, steps: Steps) -> None:
    """Who can tell that there is no writer any more."""
    show, writer, reader = _fresh(stage)
    writer.exit()
    answers = show.all(lambda each: got(each, reader))
    steps.facts["without_writer"] = answers
    ended = titles(show, answers, "end of file")
    steps.add(
        "Ended: no writer is left",
        f"""The only writer has exited before it wrote anything, and the reader reads. End of file
        is seen on: {listed(ended)}. There the kernel knows who holds a writing end. A queue knows
        of no writers and answers as if it were merely empty.""",
        show.picture(),
        "n = read(fd, buf, 64);   /* 0: end of file */",
        [Evidence(each.title, "a read", answers[each.name]) for each in show.made],
    )
    _end(stage, show)


def without_reader(stage: Stage, steps: Steps, message: str) -> None:
    """No reader any more, and no queue any more: what the writer and a receiver are told."""
    writer, reader = stage.actor("the writer"), stage.actor("the reader")
    pipe, queue = Pipe(), SystemVQueue()
    pipe.set_up(stage, writer, [reader])
    told: dict[str, str] = {}
    waiting = stage.actor("a receiver")
    show = Show([pipe], [writer, reader, waiting])
    try:
        queue.set_up(stage, writer, [reader])
    except LabkitError:
        pass
    else:
        show.made.append(queue)
        waiting.begin("msgrcv", queue.identifier, bytes(64), 56, 0, 0)
        waiting.falls_asleep()
        writer.call("msgctl", queue.identifier, IPC_RMID, 0)
        told["sysv_mq"] = waiting.finish().error or "nothing"
        steps.facts["receiver_of_removed_queue"] = told["sysv_mq"]
    reader.exit()
    told["pipe"] = pipe.put(writer, message)
    steps.facts["write_without_readers"] = told["pipe"]
    writer.act(conveyors.die_of_sigpipe)
    how = "survived"
    try:
        pipe.put(writer, message)
    except ActorDied as died:
        how = died.signal or died.how
    steps.facts["killed_by"] = how
    show.answers = {"pipe": f"{told['pipe']}, {how}", "sysv_mq": told.get("sysv_mq", "")}
    said = "SIGPIPE, which it survived" if how == "survived" else f"death by {how}"
    queue_said = (
        f"A receiver slept on a queue while it was removed: its msgrcv gave {told['sysv_mq']}."
        if "sysv_mq" in told
        else ""
    )
    steps.add(
        "Ended: no reader is left, or no queue",
        f"""A write to a pipe that nobody can read any more is an error: {told["pipe"]} where
        SIGPIPE is ignored, and {said} where it is not. {queue_said}""",
        show.picture(),
        "write(fd, buf, n);   /* SIGPIPE, or -1 and errno EPIPE */",
        [
            Evidence("SIGPIPE ignored", "write's errno", told["pipe"]),
            Evidence("SIGPIPE as by default", f"wait status of PID {writer.pid}", how),
            Evidence("the queue was removed", "msgrcv's errno", told.get("sysv_mq", "not tried")),
        ],
    )
    for actor in show.alive():
        actor.exit()
