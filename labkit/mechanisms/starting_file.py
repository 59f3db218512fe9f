"""The file that somebody's own mechanism begins with: a whole one, to be changed."""

import os
from pathlib import Path

from labkit.errors import RequestError
from labkit.mechanisms.own import check_name
from labkit.whole_file import write_file

TEXT = '''\
"""A letterbox: one place in shared memory, and a word beside it that says whether it is full."""

from labkit.mechanisms.your_own import CALLS, EAGAIN, FLAGS, OWN, PAGE, OwnChannel
from labkit.mechanisms.your_own import address_of, shared_memory
from labkit.mechanisms.your_own import load_acquire, sched_yield, store_release

FAMILY = "shared-memory"  # or "kernel-copied": who moves the bytes
FULL, PLACE = OWN, OWN + 1  # words of an end's own: where the flag is, and where the message


class Letterbox(OwnChannel):
    def create(self):  # once, before the two ends are forked
        self.memory = shared_memory(PAGE + self.message_size)

    def open(self, end, state):  # in each end's own process
        state[FULL] = address_of(self.memory)
        state[PLACE] = state[FULL] + PAGE


def claim(ch, n):  # the producer: where is room for n bytes?
    while load_acquire(ch[FULL]) == 1:
        if ch[FLAGS] != 0:  # it is only being filled, to see how much it holds
            return -EAGAIN
        ch[CALLS] += 1
        sched_yield()
    return ch[PLACE]


def publish(ch, n):  # the producer: what I wrote there is a message
    return store_release(ch[FULL], 1)


def peek(ch, n):  # the consumer: where is the next message?
    while load_acquire(ch[FULL]) == 0:
        ch[CALLS] += 1
        sched_yield()
    return ch[PLACE]


def release(ch, n):  # the consumer: its room can be used again
    return store_release(ch[FULL], 0)
'''


def write(path: str | os.PathLike[str]) -> str:
    """Write the file; one that is there stays.

    Returns:
        Its path.

    Raises:
        RequestError: it exists, cannot be made there, or its name can be no mechanism's.
        LabkitError: it could not be written.
    """
    place = Path(path)
    check_name(place)
    if place.exists():
        raise RequestError(f"{place} is there already: name another file, or change that one.")
    return str(write_file(place, TEXT))
