"""Claim and release for mechanisms whose bytes the kernel copies: a private buffer, no more."""

from typing import Any

from labkit.kernel.compiler import measured
from labkit.mechanisms.contract import BUFFER


@measured
def claim(ch: Any, n: int) -> int:
    """Room for a message: the producer's own buffer, free again once publish has returned."""
    return ch[BUFFER]  # type: ignore[no-any-return]


@measured
def release(ch: Any, n: int) -> int:
    """Nothing to give back: the kernel let go of its copy when it was read."""
    return 0
