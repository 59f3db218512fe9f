"""What the two processes of the walkthrough `synchronisation` run: loads, additions and stores.

Compiled, so that one turn of a loop is one load, one addition and one store, as a C compiler makes
them of `counter++` on a variable in memory. Load and store are each whole and ordered (acquire and
release, ISO C11, 7.17.3); what no order gives is that nothing comes between them.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Any

from labkit.harness.actor import Memory
from labkit.harness.record import meet
from labkit.kernel.compiler import Compiler, measured
from labkit.kernel.cpus import pin
from labkit.kernel.libc import sem_post, sem_wait, syscall
from labkit.kernel.memory import load_acquire, store_release
from labkit.kernel.numbers import FUTEX
from labkit.mechanisms.waiting.futex import FUTEX_WAIT, FUTEX_WAKE

STOPPED, GO = 0, 4  # of the two 32-bit words at which a process stops: there it is, it may go on


@measured
def stop(words: int, value: int) -> int:
    """Stop, showing a value, until told to go on."""
    store_release(words + STOPPED, value)
    while load_acquire(words + GO) == 0:
        syscall(FUTEX, words + GO, FUTEX_WAIT, 0, 0, 0, 0)
    return 0


@measured
def count_plainly(counter: int, semaphore: int, rounds: int, gate: int) -> int:
    """counter++, so many times, after a common start."""
    meet(gate)
    for _ in range(rounds):
        value = load_acquire(counter)
        store_release(counter, value + 1)
    return 0


@measured
def count_guarded(counter: int, semaphore: int, rounds: int, gate: int) -> int:
    """The same, each time between sem_wait(3) and sem_post(3)."""
    meet(gate)
    for _ in range(rounds):
        sem_wait(semaphore)
        value = load_acquire(counter)
        store_release(counter, value + 1)
        sem_post(semaphore)
    return 0


@measured
def count_with_a_stop(counter: int, semaphore: int, words: int, unused: int) -> int:
    """counter++ once, stopped between load and store; guarded if there is a semaphore."""
    if semaphore != 0:
        sem_wait(semaphore)
    value = load_acquire(counter)
    stop(words, value + 1)  # never 0
    store_release(counter, value + 1)
    if semaphore != 0:
        sem_post(semaphore)
    return 0


@measured
def write_two(first: int, second: int, words: int, value: int) -> int:
    """Write one value to two words, stopped between them."""
    store_release(first, value)
    stop(words, value)
    store_release(second, value)
    return 0


_LOOPS = {
    function.__name__: function
    for function in (count_plainly, count_guarded, count_with_a_stop, write_two)
}
_compiled: dict[str, Any] = {}


def prepare(look: Callable[[], None]) -> None:
    """Compile everything, so that processes forked from here have it.

    Args:
        look: called before each, as compiling takes its time: it may raise to end that.
    """
    compiler = Compiler()
    for name, function in _LOOPS.items():
        look()
        _compiled[name] = compiler.compile(function, compiler.loop_signature(0, 4))


def run(memory: Memory, name: str, *numbers: int) -> int:
    """An actor runs one of them.

    Raises:
        OSError: it returned a negative errno.
    """
    status = int(_compiled[name](*numbers))
    if status < 0:
        raise OSError(-status, os.strerror(-status))
    return status


def pin_to(memory: Memory, cpu: int) -> None:
    """An actor runs on one CPU from now on."""
    pin(cpu)


def go_on(words: int) -> None:
    """Let who stopped there go on."""
    set_word(words + GO, 1)
    syscall(FUTEX, words + GO, FUTEX_WAKE, 1, 0, 0, 0)


def word(address: int) -> int:
    """The 32-bit word at an address of ours."""
    return ctypes.c_int32.from_address(address).value


def set_word(address: int, value: int) -> None:
    """Write it."""
    ctypes.c_int32.from_address(address).value = value
