"""Who outlives whom: a message without its writer, an object without anybody, and its removal."""

from labkit.harness.actor_handle import ActorHandle
from labkit.harness.stage import Stage
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
from labkit.walkthroughs.persistence_after_read.wall import Show, got, listed
from labkit.walkthroughs.step import Steps


def writer_gone(
    steps: Steps, show: Show, writer: ActorHandle, reader: ActorHandle, message: str
) -> None:
    """Unread messages do not die with their writer."""

    def put(each: Conveyor) -> str:
        each.put(writer, message)
        each.text = message
        return f'put: "{message}"'

    show.all(put)
    writer.exit()
    answers = show.all(lambda each: got(each, reader))
    steps.facts["after_writer"] = answers
    steps.facts["pipe_after_exit"] = answers.get("pipe") == f'"{message}"'
    steps.facts["queue_after_exit"] = answers.get("sysv_mq") == f'"{message}"'
    there = [each.title for each in show.made if answers[each.name] == f'"{message}"']
    steps.add(
        "The writer is gone",
        f"""The writer put "{message}" into each and exited; only then the reader read. The message
        was there in {listed(there)}: {len(there)} of {len(show.made)}. Unread data doesn't die with
        its writer. A pipe's would have died with its last descriptor.""",
        show.picture(),
        "write(fd, buf, n);  _exit(0);",
        show.evidence(),
    )
    steps.facts["outlived_writer"] = len(there)


def all_gone(
    stage: Stage, steps: Steps, show: Show, reader: ActorHandle, second: ActorHandle, message: str
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
        return got(each, late) if each in left else "nothing is left"

    answers = show.all(look)
    steps.facts["after_everybody"] = answers
    kept = [each.title for each in show.made if answers[each.name].startswith('"')]
    steps.add(
        "Everybody is gone",
        f"""All three have exited, and a process that had nothing to do with them looks. It still
        finds a message in: {listed(kept)}. Pipe and socket are gone with their last descriptor; of
        the FIFO the name is left, and nothing in it: its data was never on the disk.""",
        show.picture(),
        "fd = open(path, O_RDONLY | O_NONBLOCK);   /* in a new process */",
        evidence,
    )
    for each in left:
        each.remove(late)
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
