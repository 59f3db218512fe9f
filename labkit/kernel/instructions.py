"""What the functions of `labkit.kernel.memory` become in compiled code: LLVM instructions.

Written with llvmlite's own atomic instructions and LLVM intrinsics, so that x86-64 and arm64 get
what each needs. Language reference: LLVM, "Atomic Memory Ordering Constraints".
"""

import platform
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_INT = ir.IntType(32)
_WORD = ir.IntType(64)
_BYTE = ir.IntType(8)


def _at(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _emit(arguments: int, result: Any, body: Callable[..., Any]) -> Any:
    """An intrinsic of `arguments` 64-bit integers whose code is what `body` builds."""
    kinds = [types.int64] * arguments

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return body(builder, *values)

    if arguments == 0:

        @intrinsic
        def operation0(typing_context: Any) -> Any:
            return result(), codegen

        return operation0
    if arguments == 1:

        @intrinsic
        def operation1(typing_context: Any, a: Any) -> Any:
            return result(*kinds), codegen

        return operation1
    if arguments == 2:

        @intrinsic
        def operation2(typing_context: Any, a: Any, b: Any) -> Any:
            return result(*kinds), codegen

        return operation2

    @intrinsic
    def operation3(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
        return result(*kinds), codegen

    return operation3


def _get(kind: Any, signed: bool, align: int | None = None) -> Callable[..., Any]:
    def body(builder: Any, address: Any) -> Any:
        value = builder.load(_at(builder, address, kind), align=align)
        if kind is _WORD:
            return value
        return builder.sext(value, _WORD) if signed else builder.zext(value, _WORD)

    return body


def _set(kind: Any, align: int | None = None) -> Callable[..., Any]:
    def body(builder: Any, address: Any, value: Any) -> Any:
        narrow = value if kind is _WORD else builder.trunc(value, kind)
        builder.store(narrow, _at(builder, address, kind), align=align)
        return ir.Constant(_WORD, 0)

    return body


def _load_acquire(builder: Any, address: Any) -> Any:
    value = builder.load_atomic(_at(builder, address, _INT), "acquire", 4)
    return builder.sext(value, _WORD)


def _store_release(builder: Any, address: Any, value: Any) -> Any:
    place = _at(builder, address, _INT)
    builder.store_atomic(builder.trunc(value, _INT), place, "release", 4)
    return ir.Constant(_WORD, 0)


def _read_modify_write(operation: str) -> Callable[..., Any]:
    def body(builder: Any, address: Any, value: Any) -> Any:
        place = _at(builder, address, _INT)
        old = builder.atomic_rmw(operation, place, builder.trunc(value, _INT), "seq_cst")
        return builder.sext(old, _WORD)

    return body


def _compare_exchange(builder: Any, address: Any, expected: Any, value: Any) -> Any:
    pair = builder.cmpxchg(
        _at(builder, address, _INT),
        builder.trunc(expected, _INT),
        builder.trunc(value, _INT),
        "seq_cst",
        "seq_cst",
    )
    return builder.sext(builder.extract_value(pair, 0), _WORD)


def _pause(builder: Any) -> Any:
    arm = platform.machine() == "aarch64"
    name = "llvm.aarch64.hint" if arm else "llvm.x86.sse2.pause"
    kind = ir.FunctionType(ir.VoidType(), [_INT] if arm else [])
    hint = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    builder.call(hint, [ir.Constant(_INT, 1)] if arm else [])  # hint 1 is `yield`
    return ir.Constant(_WORD, 0)


def _errno(builder: Any) -> Any:
    name = "__errno_location"
    kind = ir.FunctionType(_INT.as_pointer(), [])
    locate = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.sext(builder.load(builder.call(locate, [])), _WORD)


def _words(builder: Any, address: Any) -> Any:
    return _at(builder, address, _WORD)


@cache
def table() -> dict[str, Any]:
    """The intrinsic for each name of `labkit.kernel.memory`, and for `errno`."""
    word = types.int64
    return {
        "words": _emit(1, types.CPointer(word), _words),
        "get_word": _emit(1, word, _get(_WORD, True, align=1)),
        "set_word": _emit(2, word, _set(_WORD, align=1)),
        "get_int": _emit(1, word, _get(_INT, True)),
        "get_byte": _emit(1, word, _get(_BYTE, False)),
        "set_byte": _emit(2, word, _set(_BYTE)),
        "load_acquire": _emit(1, word, _load_acquire),
        "store_release": _emit(2, word, _store_release),
        "exchange": _emit(2, word, _read_modify_write("xchg")),
        "fetch_add": _emit(2, word, _read_modify_write("add")),
        "compare_exchange": _emit(3, word, _compare_exchange),
        "pause": _emit(0, word, _pause),
        "errno": _emit(0, word, _errno),
    }


def wrap(operation: Any, arguments: int) -> Callable[..., int]:
    """A plain function of `arguments` integers around one intrinsic, for `numba.cfunc`."""
    if arguments == 1:
        return lambda a: operation(a)
    if arguments == 2:
        return lambda a, b: operation(a, b)
    return lambda a, b, c: operation(a, b, c)
