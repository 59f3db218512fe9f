"""What it looks like in Python when the kernel refuses to make an object."""

import errno

import posix_ipc
import sysv_ipc

REFUSALS = (OSError, sysv_ipc.Error, posix_ipc.Error, ValueError, MemoryError)

# sysv_ipc and posix_ipc put some errnos into words and keep the number to themselves.
_NUMBERS = {
    "maximum number of files open": errno.EMFILE,
    "total number of open files": errno.ENFILE,
    "system limit": errno.ENOSPC,
    "identifiers available": errno.ENOSPC,
    "Insufficient space": errno.ENOSPC,
}


def error_number(error: BaseException) -> int | None:
    """The errno behind one of REFUSALS; None where sysv_ipc or posix_ipc does not let it be known.

    errno(3)
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if isinstance(error, sysv_ipc.PermissionsError | posix_ipc.PermissionsError):
        return errno.EACCES
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, ValueError):
        return errno.EINVAL
    return next((number for words, number in _NUMBERS.items() if words in str(error)), None)
