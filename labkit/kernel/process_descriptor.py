"""A descriptor of a process: readable once that has ended, and never another's. pidfd_open(2)"""

import errno
import os

from labkit.errors import LabkitError

_SINCE = "Linux 5.3 or newer has it; in a container, a newer container engine allows it"


def open_process(pid: int) -> int:
    """A descriptor of a process of ours.

    Raises:
        LabkitError: this kernel is too old for it, or a container's filter refuses it.
        OSError: there is no such process, or no descriptor left.
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        raise LabkitError(
            "pidfd_open(2), by which processes are watched, is refused here"
            f" ({errno.errorcode[error.errno]}): {_SINCE}."
        ) from None


def why_not() -> str | None:
    """Why no process can be watched here; None where it can."""
    try:
        os.close(open_process(os.getpid()))
    except LabkitError as refused:
        return str(refused).removesuffix(".")
    return None
