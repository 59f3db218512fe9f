"""Two freshly forked processes that run one loop together, each pinned to a CPU.

They run it in many short blocks, and the block of median time is what they found: where somebody
else wants the CPU too, it costs some of the blocks a time slice, and leaves the others alone.

Only the clean helper process forks; the two live for one measurement of some milliseconds.
"""

import ctypes
import mmap
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.errors import LabkitError
from labkit.harness.record import (
    CALLS_AFTER,
    INVOLUNTARY,
    RECORD_WORDS,
    STARTED,
    STOPPED,
    USAGE_AFTER,
    USAGE_BEFORE,
    VOLUNTARY,
)
from labkit.kernel.cpus import pin
from labkit.kernel.process_descriptor import open_process
from labkit.mechanisms.segment import address_of

PATIENCE_MS = 1500
MOST_S = 0.1  # for all blocks: on a busy machine there are fewer of them
PR_SET_PDEATHSIG = 1
PAGE = 4096
BLOCKS = 15
WARM_UPS = 2  # blocks before them: a forked process first has to find its pages again
# What lies where in the memory they share: the gate, the words that a block works on (two cache
# lines of its own), a record each, and what was found.
WORDS, RECORDS, FOUND = PAGE, 2 * PAGE, 3 * PAGE
WORDS_OF_BLOCK = 128
ELAPSED, RETURNED, VOLUNTARILY, INVOLUNTARILY, CALLS, FIELDS = range(6)
LAST = 4 * PAGE - 8  # a word: which block, counted from 1, is to be the last; 0 for all of them

Loop = Callable[..., int]


@dataclass(frozen=True)
class Block:
    """One block: its time by the first process's clock, and the counters of both together."""

    elapsed_ns: int
    voluntary: int
    involuntary: int
    calls: int
    returned: tuple[int, int]  # by each one's loop


def run(
    loop: Loop,
    cpus: tuple[int, int],
    turns: int,
    more: Callable[[int], tuple[int, ...]] = lambda _: (),
) -> Block:
    """Run a loop in two processes, block after block, until both are done: the median block.

    Args:
        loop: takes place (0 or 1), words, gate, record, turns and whatever `more` adds.
        cpus: where each runs.
        turns: of one block.
        more: further arguments for a place, worked out in its own process.

    Raises:
        LabkitError: one of them died, was refused something or got stuck.
        OSError: no process could be forked.
    """
    memory: mmap.mmap = mmap.mmap(-1, 4 * PAGE)
    base = address_of(memory)
    pids: list[int] = []
    pidfds: list[int] = []
    try:
        for place in range(2):
            pid = os.fork()
            if pid == 0:
                _serve(loop, place, cpus[place], base, turns, more)
            pids.append(pid)
            pidfds.append(open_process(pid))
        _wait(pidfds)
        statuses = [os.waitpid(pids.pop(0), 0)[1] for _ in range(2)]
        if any(statuses):
            raise LabkitError("a process that measures together with another one died.")
        blocks = [_block(base, number) for number in range(BLOCKS)]
        done = [block for block in blocks if block.elapsed_ns > 0]
        return sorted(done, key=lambda block: block.elapsed_ns)[len(done) // 2]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for each in pidfds:
            os.close(each)


def _wait(pidfds: list[int]) -> None:
    poll = select.poll()
    waiting = set(pidfds)
    for each in pidfds:
        poll.register(each, select.POLLIN)
    while waiting:
        ready = poll.poll(PATIENCE_MS)
        if not ready:
            raise LabkitError("this machine is too busy for two processes to run in turn.")
        for fd, _ in ready:
            poll.unregister(fd)
            waiting.discard(fd)


def _serve(
    loop: Loop,
    place: int,
    cpu: int,
    base: int,
    turns: int,
    more: Callable[[int], tuple[int, ...]],
) -> Any:
    """One of the two. Never returns."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        pin(cpu)
        where = base + RECORDS + 8 * RECORD_WORDS * place
        record = (ctypes.c_int64 * RECORD_WORDS).from_address(where)
        arguments = more(place)
        last = ctypes.c_int64.from_address(base + LAST)
        end = time.monotonic() + MOST_S
        for number in range(-WARM_UPS, BLOCKS):
            if place == 0 and number >= 0 and time.monotonic() > end:
                last.value = number + 1  # before this end comes to the gate: the other sees it
            words = base + WORDS + WORDS_OF_BLOCK * (number + WARM_UPS)
            result = loop(place, words, base, where, turns, *arguments)
            if result < 0:
                break
            if number >= 0:
                found = _found(base, place, number)
                # By each one's own clock: the other may come to read it only when this one has
                # left, which takes milliseconds.
                found[ELAPSED] = record[STOPPED] - record[STARTED]
                found[RETURNED] = result
                for field, word in ((VOLUNTARILY, VOLUNTARY), (INVOLUNTARILY, INVOLUNTARY)):
                    found[field] = record[USAGE_AFTER + word] - record[USAGE_BEFORE + word]
                found[CALLS] = record[CALLS_AFTER]
            if number >= 0 and last.value == number + 1:
                status = 0
                break
        else:
            status = 0
    finally:
        os._exit(status)  # nothing of the helper's is to be cleaned up here


def _found(base: int, place: int, number: int) -> Any:
    """Where one process writes down what one of its blocks showed."""
    return (ctypes.c_int64 * FIELDS).from_address(base + FOUND + 8 * FIELDS * (2 * number + place))


def _block(base: int, number: int) -> Block:
    one, other = (_found(base, place, number) for place in range(2))
    return Block(
        elapsed_ns=int(one[ELAPSED]),
        voluntary=int(one[VOLUNTARILY] + other[VOLUNTARILY]),
        involuntary=int(one[INVOLUNTARILY] + other[INVOLUNTARILY]),
        calls=int(one[CALLS] + other[CALLS]),
        returned=(int(one[RETURNED]), int(other[RETURNED])),
    )
