"""What the file of a mechanism of your own imports: the contract, and the words its verbs use.

    FAMILY = "shared-memory"          who moves the bytes: this, or "kernel-copied"

    def claim(ch, n):                 the four verbs, see `labkit.mechanisms.contract`
    def publish(ch, n):
    def peek(ch, n):
    def release(ch, n):

    class Mailbox(OwnChannel):        what the two ends share
        def create(self):
        def open(self, end, state):

`docs/engineer.md` has a whole one. Verbs know 64-bit integers, the functions below and each other.
They count their system calls in `ch[CALLS]`; where they do not, a trace does.
"""

import errno as _numbers
import mmap
import os
from typing import Any

from labkit.kernel.libc import (
    LibcFunction,
    errno,
    memcpy,
    mq_receive,
    mq_send,
    msgrcv,
    msgsnd,
    read,
    recv,
    sched_yield,
    sem_post,
    sem_wait,
    semop,
    send,
    syscall,
    write,
)
from labkit.kernel.memory import (
    compare_exchange,
    exchange,
    fetch_add,
    get_byte,
    get_int,
    get_word,
    load_acquire,
    pause,
    set_byte,
    set_word,
    store_release,
)
from labkit.kernel.numbers import FUTEX
from labkit.mechanisms.contract import (
    BUFFER,
    CALLS,
    DESCRIPTOR,
    FLAGS,
    OWN,
    PAGE,
    SELF,
    SEQUENCE,
    TAKEN,
    Channel,
    End,
)
from labkit.mechanisms.segment import address_of

EAGAIN, EINTR, EPIPE = _numbers.EAGAIN, _numbers.EINTR, _numbers.EPIPE

__all__ = [
    "BUFFER",
    "CALLS",
    "DESCRIPTOR",
    "EAGAIN",
    "EINTR",
    "EPIPE",
    "FLAGS",
    "FUTEX",
    "OWN",
    "PAGE",
    "SELF",
    "SEQUENCE",
    "TAKEN",
    "End",
    "LibcFunction",
    "OwnChannel",
    "address_of",
    "compare_exchange",
    "errno",
    "exchange",
    "fetch_add",
    "get_byte",
    "get_int",
    "get_word",
    "load_acquire",
    "memcpy",
    "mq_receive",
    "mq_send",
    "msgrcv",
    "msgsnd",
    "pause",
    "read",
    "recv",
    "sched_yield",
    "sem_post",
    "sem_wait",
    "semop",
    "send",
    "set_byte",
    "set_word",
    "shared_memory",
    "store_release",
    "syscall",
    "write",
]


def shared_memory(size: int) -> mmap.mmap:
    """`size` zero bytes that both ends will have at the same address. mmap(2), MAP_ANONYMOUS

    Made in `create`, before the ends are forked, it is inherited by them. It ends with whoever
    holds it, so there is nothing to remove.
    """
    return mmap.mmap(-1, size)


class OwnChannel(Channel):
    """A channel of which only `create` and `open` have to be written.

    Objects that outlive their makers are made by `self.objects` (`labkit.kernel.objects`), which
    removes them whatever happens; a descriptor that an end reads or writes goes to
    `state[DESCRIPTOR]`.
    """

    def close(self) -> None:
        """Close or detach this end. What the end has only inherited goes when it ends."""

    def discard(self) -> None:
        """Drop what the helper itself holds: its descriptors, if `create` opened any."""

    def refuse_to_wait(self, state: Any) -> None:
        """Have this end answer -EAGAIN where it would wait: see `if ch[FLAGS]` in a verb.

        A descriptor does so by itself. open(2), O_NONBLOCK
        """
        state[FLAGS] = 1
        if state[DESCRIPTOR] > 0:
            os.set_blocking(int(state[DESCRIPTOR]), False)
