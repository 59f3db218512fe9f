"""System V shared memory: a segment with a key, an identifier and, in each process, an address.

Try it in a shell:  ipcmk -M 4096; ipcs -m; ipcrm -m ID

shmget(2) makes or finds it by key, shmat(2) attaches it, shmdt(2) detaches it, and it stays, with
its contents, until shmctl(IPC_RMID) and the last detach. shm_overview is svipc(7).
"""

import sysv_ipc

from labkit.kernel.limits import limits
from labkit.mechanisms import ring
from labkit.mechanisms.contract import End, Mechanism
from labkit.mechanisms.segment import SegmentChannel


class SysvSegmentChannel(SegmentChannel):
    """A segment under a random key; the ends attach it by its identifier."""

    def create_segment(self, size: int) -> None:
        self.identifier = self.objects.sysv_segment(size)

    def attach(self, end: End) -> int:
        self.segment = sysv_ipc.attach(self.identifier)
        return int(self.segment.address)

    def detach(self) -> None:
        self.segment.detach()

    def discard_segment(self) -> None:
        self.objects.remove("sysv_shm", self.identifier)


MECHANISM = Mechanism(
    name="sysv_shm",
    title="System V shared memory",
    family="shared-memory",
    persistence="kernel",
    rendezvous="a key (agreed on, or made by ftok from a path)",
    verbs=ring.VERBS,
    channel=SysvSegmentChannel,
    limits=lambda: {name: limits().get(name) for name in ("shmmax", "shmall", "shmmni")},
    remedies={
        "EINVAL": "a segment may have at most kernel.shmmax bytes: `sysctl -w kernel.shmmax=N`",
        "ENOSPC": "the machine has all the segments that kernel.shmmni and shmall allow: `ipcs -m`",
        "ENOSYS": "this kernel or container has no System V shared memory",
    },
)
