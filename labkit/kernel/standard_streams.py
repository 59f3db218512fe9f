"""The three descriptors that every process is born with, where somebody has closed one of them.

A process without descriptor 1 gets its next file or socket there, and then prints into it. So what
is missing is opened on /dev/null, open(2): what is printed goes nowhere, as was asked.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast


def occupy() -> None:
    """Open /dev/null on those of the descriptors 0, 1 and 2 that are closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free, so this one
            os.set_inheritable(descriptor, True)


@contextmanager
def usable() -> Iterator[None]:
    """Have Python's standard streams take whatever is written while the block runs.

    What standard error refuses is lost, and no reason to lose the results as well; standard output
    refuses aloud, as ever. A letter that a terminal does not have becomes a question mark.
    """
    occupy()
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w", closefd=False, encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    errors = sys.stderr
    sys.stderr = cast(TextIO, _Forgiving(errors))
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = errors


def forget(stream: TextIO) -> None:
    """Let what is still buffered for a stream go nowhere when Python flushes it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class _Forgiving:
    """Standard error, which may be a full disk or a terminal that was closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError:
            self._give_up()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """Nothing more is said, at the end either: Python would make it an exit status of 120."""
        with suppress(OSError):
            forget(self._stream)
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
