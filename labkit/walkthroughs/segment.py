"""A System V segment in a walkthrough: made by one of its actors, looked up in the kernel's table.

shmget(2), proc_sysvipc(5)
"""

from typing import NamedTuple

from labkit.errors import LabkitError
from labkit.harness.actor_handle import ActorHandle
from labkit.harness.stage import Stage
from labkit.kernel.sysv_status import row
from labkit.walkthroughs.step import Evidence

PAGE = 4096
IPC_CREAT, IPC_EXCL = 0o1000, 0o2000


class Segment(NamedTuple):
    """What a segment is found by, and what it is used by."""

    key: int
    id: int


def make_segment(stage: Stage, actor: ActorHandle) -> Segment:
    """Have an actor make a segment of one page.

    Raises:
        LabkitError: it is refused here.
    """
    key = int(stage.objects.expected("sysv_shm", actor.pid))
    made = actor.call("shmget", key, PAGE, IPC_CREAT | IPC_EXCL | 0o600)
    if made.error:
        raise LabkitError(
            f"a segment of one page is refused here ({made.error}): labkit doctor says why."
        )
    return Segment(key, made.result)


def segment_row(identifier: int) -> Evidence:
    """The segment's row in the kernel's own table, which counts its attachments."""
    found = row("shm", identifier)
    if found is None:
        return Evidence("no segment of this id", "/proc/sysvipc/shm", "no such row")
    return Evidence(f"nattch {found.columns['nattch']}", found.where, found.line)
