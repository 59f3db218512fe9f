"""Other comparisons that are under way on this machine, of whoever's: noise to be noted."""

import os
from pathlib import Path

HELPER = b"labkit.harness.helper"


def other_helpers(own: int) -> set[int]:
    """The helper processes that there are besides the one of this process id.

    An end is forked from its helper and looks like it, but only the helper leads a session of its
    own. What another pid namespace hides, or hidepid of proc(5), is not counted.
    """
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == own:
            continue
        try:
            words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
            if HELPER in words[1:3] and os.getsid(int(name)) == int(name):
                found.add(int(name))
        except OSError:
            continue  # gone since, or not to be looked at
    return found
