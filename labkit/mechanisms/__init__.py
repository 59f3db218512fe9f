"""The mechanisms, each in a file of its own, under one contract (`contract.py`).

Only names are known until a mechanism is asked for, so that this costs nothing to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.mechanisms.contract import Family, Mechanism

_FAMILIES: dict[str, "Family"] = {
    "pipe": "kernel-copied",
    "fifo": "kernel-copied",
    "sysv_mq": "kernel-copied",
    "posix_mq": "kernel-copied",
    "unix_stream": "kernel-copied",
    "unix_dgram": "kernel-copied",
    "unix_seqpacket": "kernel-copied",
    "tcp": "kernel-copied",
    "sysv_shm": "shared-memory",
    "posix_shm": "shared-memory",
    "mmap_file": "shared-memory",
    "mmap_anon": "shared-memory",
    "memfd": "shared-memory",
}


def names() -> tuple[str, ...]:
    """The names of all mechanisms, kernel-copied ones first."""
    return tuple(_FAMILIES)


def family(name: str) -> "Family":
    """`kernel-copied` or `shared-memory`.

    Raises:
        KeyError: no mechanism has this name.
    """
    return _FAMILIES[name]


def mechanism(name: str) -> "Mechanism":
    """What the mechanism says about itself, its verbs and its channel.

    Raises:
        KeyError: no mechanism has this name.
    """
    found: Mechanism = import_module(f"labkit.mechanisms.{name}").MECHANISM
    assert found.family == _FAMILIES[name]
    return found
