"""One check: a capability and how to look for it; and what comes of a look, whatever happens."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

from labkit.checkup.remedy import here


@dataclass(frozen=True)
class Finding:
    """What a look showed.

    Attributes:
        available: whether the lab has it as its default cells need it.
        why: the value that was read or the answer that came, and where.
        remedy: what to type, notes after a #; empty if nothing is needed.
    """

    available: bool
    why: str
    remedy: str = ""


@dataclass(frozen=True)
class Row:
    """One row of the doctor's table; see Finding."""

    capability: str
    available: bool
    why: str
    remedy: str


@dataclass(frozen=True)
class Check:
    """A capability by its name, and the function that looks."""

    capability: str
    look: Callable[[], Finding]

    def row(self) -> Row:
        """Look. A check that fails in a way nobody expected is a finding too."""
        try:
            found = self.look()
        except Exception as error:  # whatever it is, the other rows are still worth having
            found = Finding(False, _said(error), _remedy(error))
        return Row(self.capability, found.available, found.why, found.remedy)


def _said(error: Exception) -> str:
    words = " ".join(str(error).split()).rstrip(".")
    return f"could not be looked at: {type(error).__name__}" + (f": {words}" if words else "")


def _remedy(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EMFILE:
        return here().change(limits={"RLIMIT_NOFILE": 1024})
    if number == errno.EAGAIN:
        return f"ps -o pid,nlwp,cmd -u {os.getuid()}  # end some of these processes, and try again"
    if number == errno.ENOMEM:
        return "free -h  # free some memory, and try again"
    return "labkit doctor --format json  # show its answer to whoever looks after labkit"
