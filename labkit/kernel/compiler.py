"""From the Python source of the measured functions to machine code, by numba.

A measured function is plain Python that calls libc (`labkit.kernel.libc`), touches memory
(`labkit.kernel.memory`) and other measured functions. Interpreted, it runs as it stands. Compiled,
the same code object is given other globals: libc's functions become `ExternalFunction`s, memory
words become single instructions, measured functions become compiled ones.

Machine code is cached in the user's cache folder under a hash of every measured source file,
because numba's own cache does not notice a changed callee in another file.
"""

import contextlib
import ctypes
import hashlib
import os
import platform
import re
import shutil
import stat
import time
import types as python_types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from labkit.errors import LabkitError
from labkit.kernel import libc, memory

UNUSED_S = 30 * 86400.0  # after which the machine code of another version goes
_MEASURED = "__labkit_measured__"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def measured(function: _Function) -> _Function:
    """Mark a function of the measuring loop: 64-bit integers only, fit for both engines."""
    setattr(function, _MEASURED, True)
    return function


def cache_folder() -> Path:
    """Where machine code is kept: the user's cache folder, keyed by a hash of measured sources.

    Source: XDG Base Directory Specification, `XDG_CACHE_HOME`.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256(platform.machine().encode())
    for folder in ("kernel", "mechanisms", "harness"):
        for source in sorted((package / folder).rglob("*.py")):
            digest.update(source.name.encode())
            digest.update(source.read_bytes())
    return base / "labkit" / digest.hexdigest()[:16]


def use_cache() -> bool:
    """Point numba at the cache folder; call before numba is first imported.

    Returns:
        False where the folder cannot be written (a read-only home): then everything is compiled
        anew each time, and never kept in another folder, which a changed callee would not change.
    """
    try:
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home at all, Path.home
        return False
    if not os.access(folder, os.W_OK):
        return False
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    _prune(folder)
    return True


def _prune(used: Path) -> None:
    """Remove the machine code of other versions that was not used for long; note that this is.

    Safe beside others that start: a folder in use was touched when its process started, and numba
    compiles again what it does not find.
    """
    with contextlib.suppress(OSError):
        os.utime(used)
        for folder in used.parent.iterdir():
            named = re.fullmatch(r"[0-9a-f]{16}", folder.name) and folder != used
            facts = folder.lstat()
            if named and stat.S_ISDIR(facts.st_mode) and facts.st_mtime < time.time() - UNUSED_S:
                shutil.rmtree(folder, ignore_errors=True)


class Compiler:
    """Compiles measured functions, each once. Importing numba waits until one is made."""

    def __init__(self) -> None:
        self._cached = use_cache()
        import numba
        from numba import types

        configured: Any = numba.config
        if configured.DISABLE_JIT:
            raise LabkitError(
                "NUMBA_DISABLE_JIT is set, so nothing can be compiled: unset it and try again."
            )
        from labkit.kernel import instructions

        self._numba = numba
        self._types: dict[str, Any] = {
            "int": types.int32,
            "unsigned": types.uint32,
            "long": types.int64,
        }
        self._word = types.int64
        self._state = types.CPointer(types.int64)
        self._instructions = instructions.table()
        self._done: dict[int, Any] = {}
        # The common signature of a verb: its channel's state words and the message size.
        self.verb = self._word(self._state, self._word)
        self._verb_type = types.FunctionType(self.verb)

    def loop_signature(self, verbs: int, numbers: int) -> Any:
        """The signature of a loop that takes `verbs` verbs, then `numbers` 64-bit integers."""
        return self._word(*[self._verb_type] * verbs, *[self._word] * numbers)

    def compile(self, function: Callable[..., Any], signature: Any = None) -> Any:
        """The compiled twin of a measured function.

        Args:
            function: plain Python marked `@measured`.
            signature: a numba signature; None lets the caller's types decide.
        """
        key = id(function)
        if key not in self._done:
            bound = {
                name: self._bind(function.__globals__[name])
                for name in function.__code__.co_names
                if name in function.__globals__
            }
            bound["__name__"] = function.__module__
            twin = python_types.FunctionType(function.__code__, bound, function.__name__)
            twin.__qualname__ = function.__qualname__
            njit: Any = self._numba.njit
            types = () if signature is None else (signature,)
            try:
                self._done[key] = njit(*types, cache=self._cached)(twin)
            except OSError:  # it cannot be kept: a full disk, a limit of files
                if not self._cached:
                    raise
                self._cached = False
                self._done.clear()  # what was bound so far would try to keep itself
                return self.compile(function, signature)
        return self._done[key]

    def _bind(self, value: Any) -> Any:
        """What stands for one global of a measured function in compiled code."""
        if isinstance(value, libc.LibcFunction):
            arguments = [self._types[argument] for argument in value.arguments]
            return self._numba.types.ExternalFunction(
                value.name, self._types[value.result](*arguments)
            )
        name = getattr(value, "__name__", "")
        if getattr(value, "__module__", "") in (memory.__name__, libc.__name__):
            return self._instructions[name]
        if hasattr(value, _MEASURED):
            return self.compile(value)
        return value


def callable_atomic(name: str) -> Callable[..., int]:
    """One ordered memory access as a compiled function that Python can call, for interpreted code.

    Args:
        name: `load_acquire`, `store_release`, `exchange`, `compare_exchange` or `fetch_add`.
    """
    use_cache()
    import numba

    from labkit.kernel import instructions

    operation = instructions.table()[name]
    count = memory.ORDERED[name]
    signature = numba.types.int64(*[numba.types.int64] * count)
    make: Any = numba.cfunc(signature)
    entry = make(instructions.wrap(operation, count))
    call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * count)(entry.address)
    call.keep = entry  # type: ignore[attr-defined]  # the machine code lives as long as this
    return call
