"""Words in memory, read and written by address: plainly, or in an order other CPUs can rely on.

Called from Python these are the interpreted engine's; `labkit.kernel.compiler` puts one machine
instruction in the place of each in compiled code. Plain ctypes access says nothing about order
between CPUs, so the ordered ones are small compiled functions in both engines.

Acquire, release and sequentially consistent order: ISO C11, section 7.17.3.
"""

import ctypes
from collections.abc import Callable
from typing import Any


def words(address: int) -> Any:
    """The memory at `address` as an array of signed 64-bit words (no bounds are kept)."""
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_int64))


def get_word(address: int) -> int:
    """The signed 64-bit word at `address`, which need not be aligned."""
    return ctypes.c_int64.from_address(address).value


def set_word(address: int, value: int) -> None:
    """Write the signed 64-bit word at `address`, which need not be aligned."""
    ctypes.c_int64.from_address(address).value = value


def get_int(address: int) -> int:
    """The signed 32-bit word at `address`."""
    return ctypes.c_int32.from_address(address).value


def get_byte(address: int) -> int:
    """The unsigned byte at `address`."""
    return ctypes.c_uint8.from_address(address).value


def set_byte(address: int, value: int) -> None:
    """Write the low eight bits of `value` at `address`."""
    ctypes.c_uint8.from_address(address).value = value & 0xFF


# The ordered ones work on 32-bit words, the size that futex(2) works on: name, and arguments.
ORDERED = {
    "load_acquire": 1,
    "store_release": 2,
    "exchange": 2,
    "compare_exchange": 3,
    "fetch_add": 2,
}
_compiled: dict[str, Callable[..., int]] = {}


def _ordered(name: str, *arguments: int) -> int:
    call = _compiled.get(name)
    if call is None:
        from labkit.kernel.compiler import callable_atomic

        call = _compiled[name] = callable_atomic(name)
    return call(*arguments)


def load_acquire(address: int) -> int:
    """The 32-bit word at `address`; what its writer wrote before it is seen after it."""
    return _ordered("load_acquire", address)


def store_release(address: int, value: int) -> int:
    """Write the 32-bit word at `address` after everything written before it. Returns 0."""
    return _ordered("store_release", address, value)


def exchange(address: int, value: int) -> int:
    """Write the 32-bit word and return what it was, in one step, sequentially consistent."""
    return _ordered("exchange", address, value)


def compare_exchange(address: int, expected: int, value: int) -> int:
    """Write `value` if the 32-bit word is `expected`; returns what it was. One step."""
    return _ordered("compare_exchange", address, expected, value)


def fetch_add(address: int, value: int) -> int:
    """Add to the 32-bit word and return what it was, in one step."""
    return _ordered("fetch_add", address, value)


def pause() -> int:
    """Tell the CPU that this is a spinning loop (x86 `pause`, arm64 `yield`). Returns 0."""
    return 0


def prepare() -> None:
    """Load the compiled functions behind the ordered accesses, so that a fork inherits them."""
    word = ctypes.c_int32(0)
    address = ctypes.addressof(word)
    for name, arguments in ORDERED.items():
        _ordered(name, address, *[0] * (arguments - 1))
