"""What is left of a message: after it was read, after its writer, after everybody is gone.

pipe(7), fifo(7), unix(7), msgop(2), mq_overview(7), shmop(2), shm_overview(7); persistence in the
sense of Stevens, UNIX Network Programming, volume 2, section 1.3.
"""

import os
from collections.abc import Callable, Sequence

from labkit.errors import LabkitError, RequestError
from labkit.harness.stage import ActorDied, Player, Stage
from labkit.walkthroughs import conveyors, layout
from labkit.walkthroughs.conveyors import (
    Conveyor,
    Fifo,
    Pipe,
    PosixQueue,
    PosixSegment,
    Stream,
    SystemVQueue,
    SystemVSegment,
)
from labkit.walkthroughs.scene import HEIGHT, WIDTH, Role, Scene, State
from labkit.walkthroughs.step import Evidence, Steps

TITLE = "Persistence: what is left after reading"
QUESTION = "A message was read. Is it still there: for a second read, a second reader, tomorrow?"

LONGEST = 8  # characters of a message, so that each has its cell
MOST_MESSAGES = 100_000  # put into one channel to see where it is full
MESSAGE = 512  # bytes of each of them

# What waits for what in System V: msgctl(2), shmctl(2).
IPC_RMID = 0


def check(message: object) -> dict[str, str]:
    """What `observe` is given: a message that can be shown.

    Raises:
        RequestError: it cannot.
    """
    fits = isinstance(message, str) and message.isascii() and message.isprintable()
    if not fits or not 1 <= len(str(message)) <= LONGEST:
        raise RequestError(
            f"the message must be a text of 1 to {LONGEST} ASCII characters, such as 'hello'."
        )
    return {"message": str(message)}


class _Show:
    """The conveyors on the wall, and the processes above them."""

    def __init__(self, made: list[Conveyor], actors: list[Player]) -> None:
        self.made = made
        self.actors = actors
        self.answers: dict[str, str] = {}  # what each answered last

    def alive(self) -> list[Player]:
        return [actor for actor in self.actors if actor.alive]

    def evidence(self) -> list[Evidence]:
        """What each holds; where nothing of it is left, that."""
        told = []
        for each in self.made:
            held = each.held(self.alive())
            told.append(held or Evidence(each.title, "looked for", "nothing is left of it"))
        return told

    def all(self, what: Callable[[Conveyor], str]) -> dict[str, str]:
        """Do something with each; the answers, by name."""
        self.answers = {each.name: what(each) for each in self.made}
        return self.answers

    def picture(self) -> Scene:
        """Processes in a row, below them one card for each conveyor."""
        scene = Scene()
        width = (WIDTH - 60 - 40) / 3
        for number, actor in enumerate(self.actors):
            state: State = "" if actor.alive else "gone"
            place = (30 + number * (width + 20), 10, width, 84)
            scene.box(f"actor.{number}", place, "process", actor.name, (), state)
            words = f"PID {actor.pid}" if actor.alive else f"was PID {actor.pid}"
            scene.badge(f"actor.{number}.pid", (place[0] + width - 16, 52), words, "process", "end")
        scene.box("kernel", (EDGE, 118, WIDTH - 2 * EDGE, HEIGHT - 128), "kernel", "the kernel")
        for number, each in enumerate(self.made):
            self._card(scene, each, _place(number))
        return scene

    def _card(self, scene: Scene, each: Conveyor, place: layout.Place) -> None:
        x, y, width, _ = place
        held = each.held(self.alive())
        gone = held is None
        role: Role = "memory" if each.role == "memory" else "object"
        scene.box(each.name, place, role, each.title, (), "gone" if gone else "")
        text = each.text
        if not gone:
            cells = [*text[:10]] + [""] * (10 - len(text[:10]))
            scene.bytes(f"{each.name}.bytes", (x + 16, y + 62, width - 32, 60), role, cells)
        words = self.answers.get(each.name, "nothing is left" if gone else "")
        if words:
            scene.text(f"{each.name}.answer", (x + 18, y + 180), words, size=28, bold=True)


EDGE = 30.0


def _place(number: int) -> layout.Place:
    """Four cards in the first row, three in the second."""
    width = (WIDTH - 2 * EDGE - 40 - 3 * 20) / 4
    line, column = divmod(number, 4)
    return (EDGE + 20 + column * (width + 20), 168 + line * 284, width, 264)


def observe(stage: Stage, steps: Steps, message: str = "hello") -> None:
    """Put one message into seven conveyors and watch what becomes of it.

    Args:
        message: ASCII, 1 to 8 characters.
    """
    writer, reader = stage.actor("the writer"), stage.actor("the reader")
    second = stage.actor("a second reader")
    made = conveyors.set_up_all(stage, writer, [reader, second])
    if not made:
        raise LabkitError("nothing can carry a message here; labkit doctor says why.")
    show = _Show(made, [writer, reader, second])
    _put(steps, show, writer, message)
    _read(steps, show, reader, second)
    _boundaries(steps, show, writer, reader)
    _full(stage, steps, message)
    _ended(stage, steps, message)
    _writer_gone(steps, show, writer, reader, message)
    _all_gone(stage, steps, show, reader, second, message)


def _remove_text(each: Conveyor, got: str) -> None:
    """Take note of what was read: memory keeps it."""
    if each.role != "memory":
        each.text = each.text[len(got) :]


def _got(each: Conveyor, actor: Player) -> str:
    """Read: the text in quotes, errno's name, or what an empty answer means."""
    text, error = each.get(actor)
    _remove_text(each, text)
    if error:
        return error
    empty = "only zeroes" if each.role == "memory" else "end of file"
    return f'"{text}"' if text else empty


def _list(names: Sequence[str]) -> str:
    """Titles in a row, as a sentence has them."""
    if not names:
        return "none"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _count(answers: dict[str, str]) -> int:
    """How many answered with a message."""
    return sum(answer.startswith('"') for answer in answers.values())


def _titles(show: _Show, answers: dict[str, str], wanted: str) -> list[str]:
    return [each.title for each in show.made if answers[each.name] == wanted]


def _put(steps: Steps, show: _Show, writer: Player, message: str) -> None:
    def put(each: Conveyor) -> str:
        error = each.put(writer, message)
        each.text = "" if error else message
        return error or f'put: "{message}"'

    answers = show.all(put)
    for each in show.made:
        if isinstance(each, Fifo):
            waiting = each.held(show.alive())
            steps.facts["fifo_file_bytes"] = os.stat(each.path).st_size
            steps.facts["fifo_waiting_bytes"] = int(waiting.value) if waiting is not None else 0
    count = sum(answer.startswith("put") for answer in answers.values())
    steps.add(
        f"The same message, {len(show.made)} times",
        f"""The writer has put "{message}" into {count} conveyors. Pipes, sockets and queues keep a
        copy in the kernel; a segment is memory that reader and writer have in common. Nobody has
        read anything yet.""",
        show.picture(),
        "\n".join(dict.fromkeys(each.put_call for each in show.made)),
        show.evidence(),
    )


def _read(steps: Steps, show: _Show, reader: Player, second: Player) -> None:
    """Once, again, and by somebody else."""
    once = show.all(lambda each: _got(each, reader))
    steps.add(
        "Read once",
        f"""The reader reads from each, and {_count(once)} of {len(once)} give it the message. Look
        at what is left: what the kernel had copied in, it copied out and threw away. What lies in
        shared memory still lies there.""",
        show.picture(),
        "\n".join(dict.fromkeys(each.get_call for each in show.made)),
        show.evidence(),
    )
    again = show.all(lambda each: _got(each, reader))
    steps.facts["second_read_answers"] = again
    steps.facts["second_read"] = {name: each.startswith('"') for name, each in again.items()}
    still = [each.title for each in show.made if again[each.name].startswith('"')]
    steps.add(
        "Read again",
        f"""The same reader reads a second time. Still there: {_list(still)}. The others are empty
        and would have made the reader wait; asked not to wait, they answer
        {_list(sorted({each for each in again.values() if each.startswith("E")}))}.""",
        show.picture(),
        "read(fd, buf, 64);   /* -1, errno EAGAIN */",
        [Evidence(each.title, "the second read", again[each.name]) for each in show.made],
    )
    other = show.all(lambda each: _got(each, second))
    steps.facts["second_reader"] = other
    still = [each.title for each in show.made if other[each.name].startswith('"')]
    steps.add(
        "A second reader",
        f"""Another process tries. It finds the message in: {_list(still)}. A pipe hands each byte,
        a queue each message, to one reader; memory shows it to everybody who looks, as often as
        they like.""",
        show.picture(),
        "read(fd, buf, 64);   /* in another process */",
        [Evidence(each.title, "the second reader's read", other[each.name]) for each in show.made],
    )


def _boundaries(steps: Steps, show: _Show, writer: Player, reader: Player) -> None:
    """Two messages, one read."""

    def two(each: Conveyor) -> str:
        each.text = ""
        for word in ("one", "two"):
            each.put(writer, word)
            each.text = word if each.role == "memory" else each.text + word
        return _got(each, reader)

    answers = show.all(two)
    steps.facts["two_in_one_read"] = answers
    steps.facts["message_bytes"] = 3
    steps.facts |= {
        f"{name}_first_read": len(answers.get(full, '""')) - 2  # without the quotes
        for name, full in (("pipe", "pipe"), ("queue", "sysv_mq"))
    }
    streams = _titles(show, answers, '"onetwo"')
    whole, last = _titles(show, answers, '"one"'), _titles(show, answers, '"two"')
    steps.add(
        "Two messages, one read",
        f"""The writer puts "one" and then "two" into each; the reader reads once. A byte stream
        runs them together ({_list(streams)}). A queue keeps the boundary ({_list(whole)}). In
        memory the second has overwritten the first ({_list(last)}).""",
        show.picture(),
        'write(fd, "one", 3);  write(fd, "two", 3);',
        [Evidence(each.title, "one read", answers[each.name]) for each in show.made],
    )
    for each in show.made:  # back to empty, for what follows
        for _ in range(4):
            if each.role != "memory" and each.get(reader)[1]:
                break
        if each.role != "memory":
            each.text = ""


def _full(stage: Stage, steps: Steps, message: str) -> None:
    """How much goes in before the writer would have to wait."""
    writer, reader = stage.actor("the writer"), stage.actor("the reader")
    idle = stage.actor("a second reader")
    show = _Show(conveyors.set_up_all(stage, writer, [reader, idle]), [writer, reader, idle])
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
    for actor in show.actors:
        actor.exit()
    _discard(stage, show)


def _ended(stage: Stage, steps: Steps, message: str) -> None:
    """No writer any more, no reader any more, no queue any more."""
    writer, reader = stage.actor("the writer"), stage.actor("the reader")
    idle = stage.actor("a second reader")
    show = _Show(conveyors.set_up_all(stage, writer, [reader, idle]), [writer, reader, idle])
    writer.exit()
    answers = show.all(lambda each: _got(each, reader))
    steps.facts["without_writer"] = answers
    ended = _titles(show, answers, "end of file")
    steps.add(
        "Ended: no writer is left",
        f"""The only writer has exited before it wrote anything, and the reader reads. End of file
        is seen on: {_list(ended)}. There the kernel knows who holds a writing end. A queue knows of
        no writers and answers as if it were merely empty.""",
        show.picture(),
        "n = read(fd, buf, 64);   /* 0: end of file */",
        [Evidence(each.title, "a read", answers[each.name]) for each in show.made],
    )
    for actor in (reader, idle):
        actor.exit()
    _discard(stage, show)

    writer, reader = stage.actor("the writer"), stage.actor("the reader")
    pipe, queue = Pipe(), SystemVQueue()
    pipe.set_up(stage, writer, [reader])
    told: dict[str, str] = {}
    waiting = stage.actor("a receiver")
    show = _Show([pipe], [writer, reader, waiting])
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


def _writer_gone(steps: Steps, show: _Show, writer: Player, reader: Player, message: str) -> None:
    """Unread messages do not die with their writer."""

    def put(each: Conveyor) -> str:
        each.put(writer, message)
        each.text = message
        return f'put: "{message}"'

    show.all(put)
    writer.exit()
    answers = show.all(lambda each: _got(each, reader))
    steps.facts["after_writer"] = answers
    steps.facts["pipe_after_exit"] = answers.get("pipe") == f'"{message}"'
    steps.facts["queue_after_exit"] = answers.get("sysv_mq") == f'"{message}"'
    there = [each.title for each in show.made if answers[each.name] == f'"{message}"']
    steps.add(
        "The writer is gone",
        f"""The writer put "{message}" into each and exited; only then the reader read. The message
        was there in {_list(there)}: {len(there)} of {len(show.made)}. Unread data doesn't die with
        its writer. A pipe's would have died with its last descriptor.""",
        show.picture(),
        "write(fd, buf, n);  _exit(0);",
        show.evidence(),
    )
    steps.facts["outlived_writer"] = len(there)


def _all_gone(
    stage: Stage, steps: Steps, show: _Show, reader: Player, second: Player, message: str
) -> None:
    """Everybody has exited: what is left where, and until what removes it."""
    unread = message.upper() if message.upper() != message else message[::-1]
    for each in show.made:
        if isinstance(each, SystemVQueue | SystemVSegment | PosixSegment | PosixQueue):
            each.put(reader, unread)
            each.text = unread
    reader.exit()
    second.exit()
    late = stage.actor("a late process")
    show.actors = [*show.actors[:2], late]
    for each in show.made:
        if isinstance(each, Fifo):
            each.open(late, 0)
            each.text = ""
        elif isinstance(each, PosixQueue | SystemVSegment | PosixSegment):
            each.open(late)
    evidence = show.evidence()
    left = [each for each in show.made if each.held(show.alive()) is not None]

    def look(each: Conveyor) -> str:
        return _got(each, late) if each in left else "nothing is left"

    answers = show.all(look)
    steps.facts["after_everybody"] = answers
    kept = [each.title for each in show.made if answers[each.name].startswith('"')]
    steps.add(
        "Everybody is gone",
        f"""All three have exited, and a process that had nothing to do with them looks. It still
        finds a message in: {_list(kept)}. Pipe and socket are gone with their last descriptor; of
        the FIFO the name is left, and nothing in it: its data was never on the disk.""",
        show.picture(),
        "fd = open(path, O_RDONLY | O_NONBLOCK);   /* in a new process */",
        evidence,
    )
    for each in left:
        _remove(late, each)
        if each.role == "memory" or not isinstance(each, Pipe | Stream):
            each.text = ""
    late.exit()
    gone = [each.title for each in show.made if each.held([]) is None]
    show.answers = {}
    steps.facts["gone_after_removal"] = len(gone) == len(show.made)
    steps.add(
        "Until somebody removes them",
        f"""Now {len(gone)} of {len(show.made)} are gone. Process persistence, until the last
        descriptor is closed: pipe, FIFO's data, socket. Kernel persistence, until removal or a
        restart of the machine: queues and segments. Only a file lasts longer.""",
        show.picture(),
        "msgctl(id, IPC_RMID, NULL);  mq_unlink(name);  shm_unlink(name);",
        show.evidence(),
    )


def _remove(actor: Player, each: Conveyor) -> None:
    """Remove what has a name or an id of its own."""
    if isinstance(each, Fifo):
        actor.call("unlink", each.path)
    elif isinstance(each, SystemVQueue):
        actor.call("msgctl", each.identifier, IPC_RMID, 0)
    elif isinstance(each, PosixQueue):
        actor.call("mq_unlink", each.path)
    elif isinstance(each, SystemVSegment):
        actor.call("shmctl", each.identifier, IPC_RMID, 0)
        actor.call("shmdt", each.opened[actor.pid])
    elif isinstance(each, PosixSegment):
        actor.call("shm_unlink", each.path)


def _discard(stage: Stage, show: _Show) -> None:
    """Remove what a side show has made: limits on queues are narrow."""
    cleaner = stage.actor("a cleaner")
    for each in show.made:
        if isinstance(each, SystemVSegment):
            cleaner.call("shmctl", each.identifier, IPC_RMID, 0)
        else:
            _remove(cleaner, each)
    cleaner.exit()
