"""A file that appears whole or not at all.

It is written under another name beside its place, flushed to the disk, and renamed: rename(2) is
atomic, so nobody ever sees half a file, and what stood there before stays until then.
"""

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from labkit.errors import LabkitError, RequestError

# What the person who named the file can put right by naming another.
_ANOTHER_PLACE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EINVAL,
}


def write_file(path: str | os.PathLike[str], content: str | bytes, replace: bool = False) -> Path:
    """Write a file; all of it, or none.

    Args:
        path: where; its folder must exist.
        content: text (written as UTF-8) or bytes.
        replace: whether it may take the place of a file that exists.

    Raises:
        RequestError: it exists, or cannot be made there.
        LabkitError: it could not be written, for example because the disk is full.
    """
    target = Path(path)
    if not replace and os.path.lexists(target):
        raise RequestError(
            f"{target} exists already and is not overwritten: name another file, or remove it"
            " first."
        )
    try:
        put(target, content)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        what = f"{ascii(str(target))[1:-1]} cannot be written ({said})"
        if not isinstance(error, OSError) or error.errno in _ANOTHER_PLACE:
            raise RequestError(f"{what}: name a file in a folder that you can write to.") from error
        raise LabkitError(f"{what}; nothing was kept there.") from error
    return target


def put(target: Path, content: str | bytes) -> None:
    """Write a file in one step, over whatever is there.

    Raises:
        OSError: what the system said; nothing is changed then.
    """
    target = place(target)
    # Half a character, which JSON can hold and UTF-8 cannot, becomes a question mark.
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    descriptor, staged = tempfile.mkstemp(prefix=".labkit-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            # mkstemp makes a private file; this one is as open as any other new one.
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.replace(staged, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(staged)
        raise


def place(target: Path) -> Path:
    """Where a file is really to be put: behind a link stands what it leads to.

    Raises:
        OSError: what stands there is no regular file, and must not be replaced by one.
    """
    real = Path(os.path.realpath(target))
    if os.path.lexists(real) and not os.path.isfile(real):
        kind = errno.EISDIR if os.path.isdir(real) else errno.EINVAL
        raise OSError(kind, "it is a folder" if kind == errno.EISDIR else "it is no regular file")
    return real


def _umask() -> int:
    """This process's mask; umask(2) can only tell it by setting it, /proc without."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
