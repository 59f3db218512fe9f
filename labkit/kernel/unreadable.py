"""What the readers of evidence raise where the kernel does not let them look."""

from labkit.errors import LabkitError


class Unreadable(LabkitError):
    """A file of /proc that this kernel does not have, or that this process may not read.

    Args:
        path: the file.
        error: what the kernel answered.
        why: when that is so, as the end of a sentence.
    """

    def __init__(self, path: str, error: OSError, why: str) -> None:
        super().__init__(f"{path} cannot be read ({error.strerror}): {why}")


ONES_OWN = "only a living process of one's own can be looked at without privilege"
