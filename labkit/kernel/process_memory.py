"""The memory of another process, read from outside without disturbing it. proc_pid_mem(5)"""

import os

from labkit.errors import LabkitError


def read_memory(pid: int | str, address: int, size: int) -> bytes:
    """`size` bytes of a process's memory, as that process would read them.

    Raises:
        LabkitError: nothing is mapped there, or the process may not be looked into.
    """
    where = f"/proc/{pid}/mem"
    try:
        descriptor = os.open(where, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, size, address)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LabkitError(
            f"{where} cannot be read at {address:#x} ({error.strerror}): only what a living process"
            " of one's own has mapped can be looked at"
        ) from error
