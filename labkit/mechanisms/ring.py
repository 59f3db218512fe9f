"""A ring of places in shared memory: how every shared-memory mechanism passes messages.

    | passed | items | room |  ready 0  ready 1 ... |  place 0 | place 1 | ...
      count   semaphores       one count a place       the payloads

The producer fills place k mod slots and announces k + 1 in that place's own `ready` word; the
consumer, done with it, announces k + 1 in `passed`, which the producer reads only when it has run
out of places it knows to be free. So a message costs one cache line's journey when it fits beside
its ready word (56 bytes), and each end otherwise works in its own cache.

Larger payloads lie on cache lines, from 4 KiB on pages, of their own: a copy whose two sides lie
differently in their pages can be many times slower. Nothing here knows which call made the memory.
"""

import os
from typing import Any

from labkit.kernel.compiler import measured
from labkit.mechanisms.contract import FLAGS, OWN, PAGE, End, Verbs
from labkit.mechanisms.waiting import (
    EVENTFD,
    FUTEX,
    NAMES,
    POSIX_SEM,
    SPIN,
    SYSV_SEM,
    eventfd,
    futex,
    posix_sem,
    spin,
    sysv_sem,
)
from labkit.mechanisms.waiting.count_word import reached

WAITING = OWN  # which strategy
SLOTS = OWN + 1  # places in the ring
SLOT = OWN + 2  # the place after the one this end is at
COUNT = OWN + 3  # the message this end is at, from 1
STRIDE = OWN + 4  # bytes from one place to the next
READY = OWN + 5  # address of the first ready word
READY_STRIDE = OWN + 6
PAYLOAD = OWN + 7  # address of the first payload
PASSED = OWN + 8  # address of the consumer's count
SEEN = OWN + 9  # what the producer last saw there
ITEMS = OWN + 10  # semaphore of messages: address, identifier or descriptor
ROOM = OWN + 11  # semaphore of free places
PLACE = OWN + 12  # address of the payload this end is at,
WORD = OWN + 13  # and of its ready word

LINE = 64
BESIDE_READY = 56  # a payload this small shares its ready word's cache line
ITEMS_OFFSET = LINE
ROOM_OFFSET = 2 * LINE

spin_wait, spin_announce = spin.wait, spin.announce
futex_wait, futex_announce = futex.wait, futex.announce
posix_wait, posix_announce = posix_sem.wait, posix_sem.announce
sysv_wait, sysv_announce = sysv_sem.wait, sysv_sem.announce
eventfd_wait, eventfd_announce = eventfd.wait, eventfd.announce


@measured
def wait(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Wait with this channel's strategy."""
    strategy = ch[WAITING]
    if strategy == SPIN:
        return spin_wait(ch, word, semaphore, count)
    if strategy == FUTEX:
        return futex_wait(ch, word, semaphore, count)
    if strategy == POSIX_SEM:
        return posix_wait(ch, word, semaphore, count)
    if strategy == SYSV_SEM:
        return sysv_wait(ch, word, semaphore, count)
    return eventfd_wait(ch, word, semaphore, count)


@measured
def announce(ch: Any, word: int, semaphore: int, count: int) -> int:
    """Announce with this channel's strategy."""
    strategy = ch[WAITING]
    if strategy == SPIN:
        return spin_announce(ch, word, semaphore, count)
    if strategy == FUTEX:
        return futex_announce(ch, word, semaphore, count)
    if strategy == POSIX_SEM:
        return posix_announce(ch, word, semaphore, count)
    if strategy == SYSV_SEM:
        return sysv_announce(ch, word, semaphore, count)
    return eventfd_announce(ch, word, semaphore, count)


@measured
def aim(ch: Any) -> int:
    """Work out where the next message lies, so that nobody has to when it is urgent."""
    slot = ch[SLOT]
    ch[PLACE] = ch[PAYLOAD] + slot * ch[STRIDE]
    ch[WORD] = ch[READY] + slot * ch[READY_STRIDE]
    slot += 1
    ch[SLOT] = 0 if slot == ch[SLOTS] else slot
    return 0


@measured
def claim(ch: Any, n: int) -> int:
    """The address of the next place, once the consumer has passed it."""
    needed = ch[COUNT] - ch[SLOTS]
    if ch[WAITING] > FUTEX or not reached(ch[SEEN], needed):
        seen = wait(ch, ch[PASSED], ch[ROOM], needed)
        if seen < 0:
            return seen
        ch[SEEN] = seen
    return ch[PLACE]  # type: ignore[no-any-return]


@measured
def publish(ch: Any, n: int) -> int:
    """Announce the place: nothing is copied, the message lies where it was produced."""
    status = announce(ch, ch[WORD], ch[ITEMS], ch[COUNT])
    ch[COUNT] += 1
    aim(ch)
    return status


@measured
def peek(ch: Any, n: int) -> int:
    """The address of the next message, once it is announced; reading it changes nothing there."""
    if ch[WORD] == 0:
        aim(ch)
    status = wait(ch, ch[WORD], ch[ITEMS], ch[COUNT])
    if status < 0:
        return status
    return ch[PLACE]  # type: ignore[no-any-return]


@measured
def release(ch: Any, n: int) -> int:
    """Say that the place may be used again."""
    count = ch[COUNT]
    ch[COUNT] = count + 1
    ch[WORD] = 0  # aimed anew when there is time for it: on the next peek, before it waits
    return announce(ch, ch[PASSED], ch[ROOM], count)


VERBS = Verbs(claim, publish, peek, release)


def _up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


class Layout:
    """Where everything lies in a segment for messages of one size.

    Args:
        message_size: payload, bytes.
        room: bytes of payload the ring holds.
    """

    def __init__(self, message_size: int, room: int) -> None:
        self.slots = max(2, room // message_size)
        self.ready = PAGE
        self.ready_stride = LINE
        if message_size <= BESIDE_READY:
            self.payload = PAGE + 8
            self.stride = LINE
            self.size = _up(PAGE + self.slots * LINE, PAGE)
        else:
            self.payload = _up(PAGE + self.slots * LINE, PAGE)
            self.stride = _up(message_size, LINE if message_size < PAGE else PAGE)
            self.size = _up(self.payload + self.slots * self.stride, PAGE)

    def describe_to(self, state: Any, base: int, waiting: str) -> None:
        """Fill in the state words of an end that has the segment at address `base`."""
        state[WAITING] = NAMES.index(waiting)
        state[SLOTS] = self.slots
        state[STRIDE] = self.stride
        state[READY] = base + self.ready
        state[READY_STRIDE] = self.ready_stride
        state[PAYLOAD] = base + self.payload
        state[PASSED] = base
        state[ITEMS] = base + ITEMS_OFFSET
        state[ROOM] = base + ROOM_OFFSET
        state[COUNT] = 1
        aim(state)
        state[sysv_sem.DOWN_WORD] = sysv_sem.DOWN
        state[sysv_sem.UP_WORD] = sysv_sem.UP
        state[eventfd.ONE_WORD] = 1


def start_semaphores(state: Any, end: End, ids: tuple[int, int] | None) -> None:
    """Make a channel's semaphores ready: POSIX ones by the producer, before the ends start.

    Args:
        ids: of the System V semaphores or the eventfds (items, room), where these are used.

    Raises:
        OSError: sem_init(3) was refused.
    """
    if ids is not None:
        state[ITEMS], state[ROOM] = ids
    elif state[WAITING] == POSIX_SEM and end == "producer":
        for word, value in ((ITEMS, 0), (ROOM, state[SLOTS])):
            posix_sem.create(state[word], value)


def refuse_to_wait(state: Any) -> None:
    """Make every strategy answer EAGAIN where it would wait."""
    state[FLAGS] = 1
    state[sysv_sem.DOWN_WORD] = sysv_sem.DOWN_OR_REFUSE
    if state[WAITING] == EVENTFD:
        for counter in (state[ITEMS], state[ROOM]):
            os.set_blocking(int(counter), False)
