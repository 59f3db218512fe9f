"""What the ends do with a payload: stamp and check its sequence number, or every byte of it.

Touched at its ends, a payload carries its sequence number in its first eight bytes and, from 16
bytes on, in its last eight: a lost, repeated or reordered message shows, a tear in the middle does
not. Touched all over, word i is the sequence number + i * STEP, and every bit of it is checked.
"""

from typing import Any

from labkit.kernel.compiler import measured
from labkit.kernel.memory import get_byte, get_word, set_byte, set_word
from labkit.mechanisms.contract import EXPECTED, FOUND

ENDS, ALL = 0, 1
TWO_STAMPS = 16
STEP = 0x10001
WRONG_MESSAGE = -10001  # below every errno


@measured
def fill(address: int, n: int, sequence: int, touch: int) -> int:
    """Write the payload of message `sequence`: its stamps, or all n bytes anew."""
    if touch == ENDS:
        set_word(address, sequence)
        if n >= TWO_STAMPS:
            set_word(address + n - 8, sequence)
        return 0
    for i in range(n >> 3):
        set_word(address + 8 * i, sequence + i * STEP)
    for i in range(n & ~7, n):
        set_byte(address + i, sequence + i)
    return 0


@measured
def check(ch: Any, address: int, n: int, sequence: int, touch: int) -> int:
    """Read the payload: 0 if it is message `sequence`, else WRONG_MESSAGE and what was found."""
    wrong = get_word(address) ^ sequence
    if touch == ENDS:
        if n >= TWO_STAMPS:
            wrong |= get_word(address + n - 8) ^ sequence
    else:
        for i in range(n >> 3):
            wrong |= get_word(address + 8 * i) ^ (sequence + i * STEP)
        for i in range(n & ~7, n):
            wrong |= get_byte(address + i) ^ ((sequence + i) & 255)
    if wrong != 0:
        ch[EXPECTED] = sequence
        ch[FOUND] = get_word(address)
        return WRONG_MESSAGE
    return 0
