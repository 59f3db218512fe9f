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

# Measured when asked for by name: they belong to the question what a copy costs, and the usual
# comparison, which has to be done within a minute, is of the thirteen that a program would choose.
_EXTRA: dict[str, "Family"] = {
    "pipe_vmsplice": "kernel-copied",
    "process_vm": "kernel-copied",
}

# Of somebody's own, in the process that runs them: `labkit.mechanisms.own_running`.
_added: dict[str, "Mechanism"] = {}


def names(extra: bool = False) -> tuple[str, ...]:
    """The names of the mechanisms that are compared by default, kernel-copied ones first.

    Args:
        extra: with those, too, that are measured only when asked for by name.
    """
    return (*_FAMILIES, *_EXTRA) if extra else tuple(_FAMILIES)


def family(name: str) -> "Family":
    """`kernel-copied` or `shared-memory`.

    Raises:
        KeyError: no mechanism has this name.
    """
    return _added[name].family if name in _added else (_FAMILIES | _EXTRA)[name]


def is_own(name: str) -> bool:
    """Whether this is a mechanism of somebody's own that this process knows."""
    return name in _added


def add(mechanism: "Mechanism") -> None:
    """Let this process know a mechanism of somebody's own by its name."""
    assert mechanism.name not in _FAMILIES | _EXTRA
    _added[mechanism.name] = mechanism


def mechanism(name: str) -> "Mechanism":
    """What the mechanism says about itself, its verbs and its channel.

    Raises:
        KeyError: no mechanism has this name.
    """
    if name in _added:
        return _added[name]
    found: Mechanism = import_module(f"labkit.mechanisms.{name}").MECHANISM
    assert found.family == family(name)
    return found
