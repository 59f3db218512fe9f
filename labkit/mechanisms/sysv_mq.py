"""A System V message queue: whole messages, each with a type, in a list in the kernel. sysvipc(7)

Try it in a shell:  ipcmk -Q; ipcs -q; ipcrm -q ID

Found by a key, used by an identifier, and there until somebody removes it: it outlives both ends.
A message is `struct msgbuf`: a positive long, its type, and right behind it the text. The harness
keeps the text page-aligned, so the type sits in the eight bytes before the page.
"""

import os
from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.libc import errno, msgrcv, msgsnd
from labkit.kernel.limits import limits
from labkit.kernel.memory import set_word
from labkit.mechanisms import private_buffer
from labkit.mechanisms.contract import (
    BUFFER,
    CALLS,
    DESCRIPTOR,
    FLAGS,
    Channel,
    End,
    Mechanism,
    Verbs,
)

EINTR = 4
EBADMSG = 74
IPC_NOWAIT = 0o4000
MESSAGE_TYPE = 1


@measured
def publish(ch: Any, n: int) -> int:
    """msgsnd(2): the kernel copies the message and puts it at the end of the list."""
    set_word(ch[BUFFER] - 8, MESSAGE_TYPE)
    ch[CALLS] += 1
    while msgsnd(ch[DESCRIPTOR], ch[BUFFER] - 8, n, ch[FLAGS]) < 0:
        if errno() != EINTR:
            return -errno()
        ch[CALLS] += 1
    return 0


@measured
def peek(ch: Any, n: int) -> int:
    """msgrcv(2): the kernel takes the first message off the list and copies it out."""
    ch[CALLS] += 1
    size = msgrcv(ch[DESCRIPTOR], ch[BUFFER] - 8, n, 0, ch[FLAGS])
    while size < 0:
        if errno() != EINTR:
            return -errno()
        ch[CALLS] += 1
        size = msgrcv(ch[DESCRIPTOR], ch[BUFFER] - 8, n, 0, ch[FLAGS])
    if size != n:
        return -EBADMSG
    return ch[BUFFER]  # type: ignore[no-any-return]


class SysvQueueChannel(Channel):
    """A queue under a random key; the ends are told its identifier."""

    def create(self) -> None:
        largest = limits().get("msgmax")
        if largest is not None and self.message_size > largest:
            raise OSError(22, os.strerror(22))  # what msgsnd(2) would answer, EINVAL
        self.identifier = self.objects.sysv_queue(self.room, self.message_size)

    def open(self, end: End, state: Any) -> None:
        state[DESCRIPTOR] = self.identifier

    def close(self) -> None:
        """Nothing to close: an identifier is no descriptor."""

    def discard(self) -> None:
        self.objects.remove("sysv_mq", self.identifier)

    def refuse_to_wait(self, state: Any) -> None:
        state[FLAGS] = IPC_NOWAIT


MECHANISM = Mechanism(
    name="sysv_mq",
    title="System V message queue",
    family="kernel-copied",
    persistence="kernel",
    rendezvous="a key (agreed on, or made by ftok from a path)",
    verbs=Verbs(private_buffer.claim, publish, peek, private_buffer.release),
    channel=SysvQueueChannel,
    limits=lambda: {name: limits().get(name) for name in ("msgmax", "msgmnb", "msgmni")},
    remedies={
        "EINVAL": "a message may have at most kernel.msgmax bytes: raise it with "
        "`sysctl -w kernel.msgmax=N kernel.msgmnb=N`",
        "ENOSPC": "the machine has all the queues that kernel.msgmni allows: see `ipcs -q`",
        "ENOSYS": "this kernel or container has no System V message queues",
    },
)
