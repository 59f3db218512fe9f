"""A POSIX message queue: whole messages with priorities, behind a name. mq_overview(7)

Try it in a shell:  mkdir /tmp/mq; mount -t mqueue none /tmp/mq; ls /tmp/mq   (as root)

Opened by a name with one slash, used through a descriptor, and there until it is unlinked. How
many messages it holds and how large each may be is fixed when it is created, and all of a user's
queues together may take RLIMIT_MSGQUEUE bytes.
"""

import errno as error_numbers
import os
from typing import Any

import posix_ipc

from labkit.kernel.compiler import measured
from labkit.kernel.libc import errno, mq_receive, mq_send
from labkit.kernel.limits import limits
from labkit.mechanisms import private_buffer
from labkit.mechanisms.contract import (
    BUFFER,
    CALLS,
    DESCRIPTOR,
    Channel,
    End,
    Mechanism,
    Verbs,
)

EINTR = 4
EBADMSG = 74


@measured
def publish(ch: Any, n: int) -> int:
    """mq_send(3), which is mq_timedsend(2): the kernel copies the message into the queue."""
    ch[CALLS] += 1
    while mq_send(ch[DESCRIPTOR], ch[BUFFER], n, 0) < 0:
        if errno() != EINTR:
            return -errno()
        ch[CALLS] += 1
    return 0


@measured
def peek(ch: Any, n: int) -> int:
    """mq_receive(3): the oldest message of the highest priority is copied out and is gone."""
    ch[CALLS] += 1
    size = mq_receive(ch[DESCRIPTOR], ch[BUFFER], n, 0)
    while size < 0:
        if errno() != EINTR:
            return -errno()
        ch[CALLS] += 1
        size = mq_receive(ch[DESCRIPTOR], ch[BUFFER], n, 0)
    if size != n:
        return -EBADMSG
    return ch[BUFFER]  # type: ignore[no-any-return]


class PosixQueueChannel(Channel):
    """A queue under a random name that both ends open."""

    def create(self) -> None:
        largest = limits().get("msgsize_max") or 8192
        if self.message_size > largest:
            # A privileged process may exceed the limit; a class would not see the same lab then.
            raise OSError(error_numbers.EMSGSIZE, os.strerror(error_numbers.EMSGSIZE))
        most = limits().get("msg_max") or 10
        messages = max(1, min(most, self.room // self.message_size))
        self.name = self.objects.posix_queue(messages, self.message_size)

    def open(self, end: End, state: Any) -> None:
        self.queue = posix_ipc.MessageQueue(self.name)
        state[DESCRIPTOR] = self.queue.mqd

    def close(self) -> None:
        self.queue.close()

    def discard(self) -> None:
        self.objects.remove("posix_mq", self.name)

    def refuse_to_wait(self, state: Any) -> None:
        self.queue.block = False


MECHANISM = Mechanism(
    name="posix_mq",
    title="POSIX message queue",
    family="kernel-copied",
    persistence="kernel",
    rendezvous="a name such as /lab",
    verbs=Verbs(private_buffer.claim, publish, peek, private_buffer.release),
    channel=PosixQueueChannel,
    limits=lambda: {
        name: limits().get(name)
        for name in ("msg_max", "msgsize_max", "queues_max", "RLIMIT_MSGQUEUE")
    },
    remedies={
        "EMSGSIZE": "a message may have at most fs.mqueue.msgsize_max bytes: raise it with "
        "`sysctl -w fs.mqueue.msgsize_max=N`",
        "EMFILE": "this user's queues fill RLIMIT_MSGQUEUE: raise `ulimit -q`, or wait for others",
        "ENOSPC": "the machine has all the queues that fs.mqueue.queues_max allows",
        "EINVAL": "fs.mqueue.msg_max or msgsize_max is too low for this queue",
        "ENOSYS": "this kernel or container has no POSIX message queues",
    },
    channels_at_once=4,
)
