"""A pipe that is given the producer's own pages instead of a copy of them. vmsplice(2)

write(2) copies a message into pages of the kernel's; vmsplice(2) puts references to the pages
where it lies already into the pipe. So nothing is copied on the way in, and what the pipe holds is
still the producer's memory: written to before it was read, the message changes under the reader's
eyes. read(2) at the other end copies it out, once, straight from those pages. (vmsplice(2) on the
reading end would copy as well; only splice(2) to a file or a socket would not, and there nobody
could look at the message.) Pages are lent here, without SPLICE_F_GIFT, as they are used again.

The producer therefore writes its messages to buffers in turn, so many that none comes round before
it was read. A pipe is a ring of S slots, one for each page or part of one; a message takes P of
them, and a slot is free only when its bytes have been copied out. Once a message is in the pipe,
at most S slots hold it and those before it; so with B buffers, where (B - 1) P >= S, the buffer
that comes next has been read. No word has to come back from the reader.

The price is one slot for each message, however small, and a page's worth of bookkeeping.
"""

import fcntl
import mmap
import os
from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.libc import errno, vmsplice
from labkit.mechanisms import pipe, private_buffer
from labkit.mechanisms.contract import (
    CALLS,
    DESCRIPTOR,
    FLAGS,
    OWN,
    PAGE,
    SELF,
    TAKEN,
    Channel,
    End,
    Mechanism,
    Verbs,
)
from labkit.mechanisms.segment import address_of

EINTR = 4
SPLICE_F_NONBLOCK = 2
LINE = 64

PAGES = OWN  # address of the first buffer
STRIDE = OWN + 1  # bytes from one buffer to the next
BUFFERS = OWN + 2
AT = OWN + 3  # the buffer of the next message
VECTOR = OWN + 4  # a struct iovec: address and length


@measured
def claim(ch: Any, n: int) -> int:
    """The next buffer: by their number, whatever was in it has been read."""
    return ch[PAGES] + ch[AT] * ch[STRIDE]  # type: ignore[no-any-return]


@measured
def publish(ch: Any, n: int) -> int:
    """Put the pages of the message into the pipe, as many at a time as there are free slots."""
    place = ch[PAGES] + ch[AT] * ch[STRIDE]
    done = 0
    while done < n:
        ch[VECTOR] = place + done
        ch[VECTOR + 1] = n - done
        ch[CALLS] += 1
        taken = vmsplice(ch[DESCRIPTOR], ch[SELF] + 8 * VECTOR, 1, ch[FLAGS])
        if taken > 0:
            done += taken
        elif errno() != EINTR:
            ch[TAKEN] = done
            return -errno()
    following = ch[AT] + 1
    ch[AT] = 0 if following == ch[BUFFERS] else following
    return 0


def stride_for(message_size: int) -> int:
    """From one buffer to the next: none straddles a page that it could lie in whole."""
    if message_size > PAGE:
        return -(-message_size // PAGE) * PAGE
    return max(LINE, 1 << (message_size - 1).bit_length())


class LentPagesChannel(Channel):
    """A pipe with a slot for each message's pages, and the producer's buffers."""

    def create(self) -> None:
        self.buffers: mmap.mmap | None = None  # the producer's
        self.pages_each = -(-self.message_size // PAGE)
        self.maker = os.getpid()
        self.reading, self.writing = os.pipe()
        messages = max(1, self.room // self.message_size)
        pipe.set_pipe_room(self.writing, messages * self.pages_each * PAGE)

    def open(self, end: End, state: Any) -> None:
        self.descriptor = os.dup(self.writing if end == "producer" else self.reading)
        state[DESCRIPTOR] = self.descriptor
        if os.getpid() != self.maker:
            self.discard()  # inherited; a forgotten write end would keep the pipe from ending
        if end == "consumer":
            return
        slots = fcntl.fcntl(self.descriptor, fcntl.F_GETPIPE_SZ) // PAGE
        state[BUFFERS] = -(-slots // self.pages_each) + 1
        state[STRIDE] = stride_for(self.message_size)
        # Each page is there from the start: one that nobody wrote to yet would be lent as the
        # kernel's page of zeroes, which is always in the cache.
        self.buffers = mmap.mmap(
            -1,
            int(state[BUFFERS] * state[STRIDE]),
            mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE,
        )
        state[PAGES] = address_of(self.buffers)

    def close(self) -> None:
        os.close(self.descriptor)
        if self.buffers is not None:
            self.buffers.close()

    def discard(self) -> None:
        os.close(self.reading)
        os.close(self.writing)

    def refuse_to_wait(self, state: Any) -> None:
        state[FLAGS] = SPLICE_F_NONBLOCK


MECHANISM = Mechanism(
    name="pipe_vmsplice",
    title="Pipe of lent pages (vmsplice)",
    family="kernel-copied",
    persistence="process",
    rendezvous="inherited over fork, or its descriptor passed over a Unix socket",
    verbs=Verbs(claim, publish, pipe.peek, private_buffer.release),
    channel=LentPagesChannel,
    limits=pipe.MECHANISM.limits,
    remedies=pipe.MECHANISM.remedies
    | {
        "ENOMEM": "the machine, or the container's limit, is out of memory: free some",
        "ENOSYS": "this kernel or container refuses vmsplice: use the mechanism pipe",
    },
    channels_at_once=24,  # a pipe of many slots counts against its user's pages, pipe(7)
)
