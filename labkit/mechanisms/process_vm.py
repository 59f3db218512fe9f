"""One copy, straight from the other process's memory. process_vm_readv(2)

The message stays where the producer made it, in private memory that no one else maps. The consumer
asks the kernel to copy it from there into a buffer of its own: one copy, where a pipe makes two and
a shared ring none. The call moves bytes and tells nobody anything, so who is ready, and where to
read, stands in a small shared page (a ring's words, see `ring.py`), and who has to wait sleeps in
the kernel on one of them, futex(2). MPI libraries pass large messages between processes of one
machine like this.

Whoever may read a process's memory may as well trace it, so the kernel asks the same of both,
ptrace(2): the same user, and under the Yama security module that the reader be an ancestor or have
been named by the process that is read. The producer names its parent, and with it its sibling, by
prctl(2), PR_SET_PTRACER.
"""

import ctypes
import mmap
import os
from pathlib import Path
from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.libc import errno, process_vm_readv
from labkit.kernel.memory import get_word, set_word
from labkit.kernel.objects import map_shared
from labkit.mechanisms import ring
from labkit.mechanisms.contract import BUFFER, CALLS, PAGE, SELF, Channel, End, Mechanism, Verbs
from labkit.mechanisms.segment import address_of

EINTR, ESRCH, EPIPE = 4, 3, 32
PR_SET_PTRACER = 0x59616D61
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")

LOCAL = 48  # state words of a struct iovec of this process,
REMOTE = 50  # and of one of the other
PID_OFFSET = 3 * ring.LINE  # in the shared page: whose memory to read,
BASE_OFFSET = PID_OFFSET + 8  # and where its messages begin

ring_peek, PASSED = ring.peek, ring.PASSED


@measured
def peek(ch: Any, n: int) -> int:
    """Wait for the next message, then have the kernel copy it here."""
    offset = ring_peek(ch, n)
    if offset < 0:
        return offset
    page = ch[PASSED]
    owner = get_word(page + PID_OFFSET)
    place = get_word(page + BASE_OFFSET) + offset
    done = 0
    while done < n:
        ch[LOCAL] = ch[BUFFER] + done
        ch[LOCAL + 1] = n - done
        ch[REMOTE] = place + done
        ch[REMOTE + 1] = n - done
        ch[CALLS] += 1
        taken = process_vm_readv(owner, ch[SELF] + 8 * LOCAL, 1, ch[SELF] + 8 * REMOTE, 1, 0)
        if taken > 0:
            done += taken
        elif errno() == ESRCH:
            return -EPIPE  # the producer is gone, and its memory with it
        elif errno() != EINTR:
            return -errno()
    return ch[BUFFER]  # type: ignore[no-any-return]


class OtherMemoryChannel(Channel):
    """A shared page that says what is ready, and the producer's private memory to read it from."""

    def create(self) -> None:
        self.messages: mmap.mmap | None = None  # the producer's
        self.layout = ring.Layout(self.message_size, self.room)
        words = PAGE + self.layout.slots * ring.LINE
        self.page: mmap.mmap = map_shared(-1, -(-words // PAGE) * PAGE)

    def open(self, end: End, state: Any) -> None:
        base = address_of(self.page)
        self.layout.describe_to(state, base, "futex")
        first = self.layout.payload  # an offset; the consumer adds it to what the producer says
        if end == "producer":
            # Each page is there from the start, as one nobody wrote to is no page of its own yet.
            self.messages = mmap.mmap(
                -1,
                self.layout.size,
                mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE,
            )
            own = address_of(self.messages)
            set_word(base + PID_OFFSET, os.getpid())
            set_word(base + BASE_OFFSET, own)
            first += own
            # Its descendants may read then, too: so may the other end. EINVAL: there is no Yama.
            ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(os.getppid()), 0, 0, 0)
        state[ring.PAYLOAD] = state[ring.PLACE] = first

    def close(self) -> None:
        self.page.close()
        if self.messages is not None:
            self.messages.close()

    def discard(self) -> None:
        self.page.close()

    def refuse_to_wait(self, state: Any) -> None:
        ring.refuse_to_wait(state)


def _limits() -> dict[str, int | None]:
    """ptrace_scope: 0 the same user, 1 ancestors and who was named, 2 and 3 no one. ptrace(2)"""
    try:
        return {"ptrace_scope": int(YAMA.read_text())}
    except (OSError, ValueError):
        return {"ptrace_scope": None}


MECHANISM = Mechanism(
    name="process_vm",
    title="Read from the other process (process_vm_readv)",
    family="kernel-copied",
    persistence="process",
    rendezvous="the other's process id and an address in it, and the right to trace it",
    verbs=Verbs(ring.claim, ring.publish, peek, ring.release),
    channel=OtherMemoryChannel,
    limits=_limits,
    remedies={
        "EPERM": "one process may not read another's memory here: allow it with"
        " `sysctl -w kernel.yama.ptrace_scope=1`, or start the container with"
        " `--cap-add=SYS_PTRACE`",
        "ENOSYS": "this kernel was built without CONFIG_CROSS_MEMORY_ATTACH",
        "ENOMEM": "the machine, or the container's limit, is out of memory: free some",
    },
)
