"""Put in, read, read again, read by another: what a message is to its readers."""

import os

from labkit.harness.actor_handle import ActorHandle
from labkit.walkthroughs.conveyors import Conveyor, Fifo
from labkit.walkthroughs.persistence_after_read.wall import Show, count, got, listed, titles
from labkit.walkthroughs.step import Evidence, Steps


def put(steps: Steps, show: Show, writer: ActorHandle, message: str) -> None:
    """One message into each."""

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


def read(steps: Steps, show: Show, reader: ActorHandle, second: ActorHandle) -> None:
    """Once, again, and by somebody else."""
    once = show.all(lambda each: got(each, reader))
    steps.add(
        "Read once",
        f"""The reader reads from each, and {count(once)} of {len(once)} give it the message. Look
        at what is left: what the kernel had copied in, it copied out and threw away. What lies in
        shared memory still lies there.""",
        show.picture(),
        "\n".join(dict.fromkeys(each.get_call for each in show.made)),
        show.evidence(),
    )
    again = show.all(lambda each: got(each, reader))
    steps.facts["second_read_answers"] = again
    steps.facts["second_read"] = {name: each.startswith('"') for name, each in again.items()}
    still = [each.title for each in show.made if again[each.name].startswith('"')]
    steps.add(
        "Read again",
        f"""The same reader reads a second time. Still there: {listed(still)}. The others are empty
        and would have made the reader wait; asked not to wait, they answer
        {listed(sorted({each for each in again.values() if each.startswith("E")}))}.""",
        show.picture(),
        "read(fd, buf, 64);   /* -1, errno EAGAIN */",
        [Evidence(each.title, "the second read", again[each.name]) for each in show.made],
    )
    other = show.all(lambda each: got(each, second))
    steps.facts["second_reader"] = other
    still = [each.title for each in show.made if other[each.name].startswith('"')]
    steps.add(
        "A second reader",
        f"""Another process tries. It finds the message in: {listed(still)}. A pipe hands each byte,
        a queue each message, to one reader; memory shows it to everybody who looks, as often as
        they like.""",
        show.picture(),
        "read(fd, buf, 64);   /* in another process */",
        [Evidence(each.title, "the second reader's read", other[each.name]) for each in show.made],
    )


def boundaries(steps: Steps, show: Show, writer: ActorHandle, reader: ActorHandle) -> None:
    """Two messages, one read."""

    def two(each: Conveyor) -> str:
        each.text = ""
        for word in ("one", "two"):
            each.put(writer, word)
            each.text = word if each.role == "memory" else each.text + word
        return got(each, reader)

    answers = show.all(two)
    steps.facts["two_in_one_read"] = answers
    steps.facts["message_bytes"] = 3
    steps.facts |= {
        f"{name}_first_read": len(answers.get(full, '""')) - 2  # without the quotes
        for name, full in (("pipe", "pipe"), ("queue", "sysv_mq"))
    }
    streams = titles(show, answers, '"onetwo"')
    whole, last = titles(show, answers, '"one"'), titles(show, answers, '"two"')
    steps.add(
        "Two messages, one read",
        f"""The writer puts "one" and then "two" into each; the reader reads once. A byte stream
        runs them together ({listed(streams)}). A queue keeps the boundary ({listed(whole)}). In
        memory the second has overwritten the first ({listed(last)}).""",
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
