"""A count and a bit in one 32-bit word: how many there are, and whether somebody sleeps on it.

The count is in the upper 31 bits and may wrap around; two counts are compared by their difference.
"""

from labkit.kernel.compiler import measured

WORD = 0xFFFFFFFF
HALF = 1 << 31


@measured
def reached(seen: int, count: int) -> bool:
    """Whether the word `seen` stands for at least `count` (the difference below 2**30)."""
    return ((seen - 2 * count + HALF) & WORD) >= HALF
