"""What is left of a message: after it was read, after its writer, after everybody is gone.

pipe(7), fifo(7), unix(7), msgop(2), mq_overview(7), shmop(2), shm_overview(7); persistence in the
sense of Stevens, UNIX Network Programming, volume 2, section 1.3.
"""

from labkit.errors import LabkitError
from labkit.harness.stage import Stage
from labkit.walkthroughs import conveyors
from labkit.walkthroughs.options import showable
from labkit.walkthroughs.persistence_after_read import ends, lasting, reading
from labkit.walkthroughs.persistence_after_read.wall import Show
from labkit.walkthroughs.step import Steps

TITLE = "Persistence: what is left after reading"
QUESTION = "A message was read. Is it still there: for a second read, a second reader, tomorrow?"

LONGEST = 8  # characters of a message, so that each has its cell


def check(message: object) -> dict[str, str]:
    """What `observe` is given: a message that can be shown.

    Raises:
        RequestError: it cannot.
    """
    return {"message": showable(message, LONGEST)}


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
    show = Show(made, [writer, reader, second])
    reading.put(steps, show, writer, message)
    reading.read(steps, show, reader, second)
    reading.boundaries(steps, show, writer, reader)
    ends.full(stage, steps)
    ends.without_writer(stage, steps)
    ends.without_reader(stage, steps, message)
    lasting.writer_gone(steps, show, writer, reader, message)
    lasting.all_gone(stage, steps, show, reader, second, message)
