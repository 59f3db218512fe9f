"""What is measured, one method a cost: each call gives one value for each of its names.

A name is a path: `memcpy/65536` is the cost in ns per byte of memcpy where source and destination
together are 65,536 bytes. What a name stands for, and its unit, is told in `catalogue.py`.
"""

import ctypes
import errno
import mmap
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from labkit.costs import loops, two_processes
from labkit.costs.both_ends import BothEnds
from labkit.errors import LabkitError
from labkit.harness.loop import pour
from labkit.harness.record import RECORD_WORDS
from labkit.kernel.compiler import Compiler
from labkit.kernel.objects import REFUSALS, Objects, error_number
from labkit.mechanisms import family, mechanism
from labkit.mechanisms.contract import CALLS, PAGE, STATE_WORDS, room_for
from labkit.mechanisms.segment import address_of

TARGET_NS = 400_000  # that one value of a short loop should rest on,
BLOCKS = 5  # in blocks so short that most end before a time slice does
# Turns of a block of two processes: so few that most blocks end before a time slice does.
TURNS = {"yield_to_other": 200, "wake_other": 150, "wake_sleeper": 20, "bounce_line": 1000}
ACROSS = 1 << 20  # bytes of a block that one CPU takes over from the other
MOST_CHUNK = 65536  # bytes of one memcpy: beyond the caches' size libc copies in another way
ODD_PAGES = 17 * PAGE  # a step that no prefetcher follows
FAULT_PAGES = 512
ATTACHED = 1 << 20  # bytes of a segment that is attached and detached
BADLY = 16  # bytes into its page, against an aligned source

WARM_UP = 8  # turns of a loop before it is timed, if they don't take too long
MOST_WARM_UP_NS = 1_000_000
TOO_LARGE = (errno.EINVAL, errno.EMSGSIZE)  # what a queue or socket says of a message
LOOPS = (
    "read_clock", "null_call", "futex_wake", "futex_wait", "atomic_exchange",
    "atomic_compare_exchange", "atomic_add", "copy", "write_words", "read_words", "kernel_write",
    "kernel_read", "touch_pages", "attach", "detach", "yield_to_other", "wake_other",
    "wake_sleeper", "bounce_line", "take_over",
)  # fmt: skip
VERBS = {"send_to_self": 4, "pour": 2}  # that a loop takes

Values = dict[str, float]


class Probes:
    """Measures costs in this process, which has to be pinned, and in pairs that it forks.

    Args:
        first, second: CPUs; None where there is only one.
        plan: `mechanisms`, `waiting` (of shared memory), `sizes` (of messages), `working_sets`,
            `thorough` (also what no prediction needs).
    """

    def __init__(self, first: int, second: int | None, plan: dict[str, Any]) -> None:
        self._first, self._second, self._plan = first, second, plan
        self._compiler = Compiler()
        self._counts: dict[str, int] = {}
        self._largest = max(plan["working_sets"])
        size = max(self._largest, 2 * max(plan["sizes"])) // 2 + 2 * PAGE
        # Memory of the kind messages are copied from and to: shared, in pages of the usual size.
        self._memories: list[mmap.mmap] = [mmap.mmap(-1, size) for _ in range(2)]
        for memory in self._memories:
            # One after the other: pages of two buffers that were taken in turn lie in memory in
            # turn, too, and are then looked up one by one where the CPU takes several at once.
            ctypes.memset(address_of(memory), 1, size)
        self._to, self._source = (address_of(memory) + PAGE for memory in self._memories)
        self._words = mmap.mmap(-1, 2 * PAGE)
        self._word = address_of(self._words)
        self._record = self._word + PAGE
        assert 8 * (RECORD_WORDS + STATE_WORDS) <= PAGE
        self._file = os.memfd_create("labkit-costs", os.MFD_CLOEXEC)
        os.posix_fallocate(self._file, 0, max(ATTACHED, self._largest // 2))
        self.notes: list[str] = []

    def prepare(self) -> None:
        """Compile everything, so that the rounds only measure."""
        for name in (*LOOPS, *VERBS):
            self._loop(name)
        for name in (*self._plan["mechanisms"], "mmap_anon"):
            self._verbs(name)

    def close(self) -> None:
        """Give back the memory and the file."""
        os.close(self._file)
        for memory in (*self._memories, self._words):
            memory.close()

    def steps(self) -> Iterator[Callable[[], Values]]:
        """What one round measures, in parts of a few milliseconds."""
        yield self._calls
        yield self._copies
        yield self._faults
        if self._plan["thorough"]:
            yield self._alignment
            yield self._attachment
        for measure in (self._same_cpu, self._cross_cpu):
            yield partial(self._if_not_too_busy, measure)
        for name in self._plan["mechanisms"]:
            if family(name) == "kernel-copied":
                for size in self._plan["sizes"]:
                    yield partial(self._send_to_self, name, "kernel", size)
        for waiting in self._plan["waiting"]:
            yield partial(self._send_to_self, "mmap_anon", waiting, 8)

    def _loop(self, name: str) -> Any:
        function = pour if name == "pour" else getattr(loops, name)
        verbs = VERBS.get(name, 0)
        numbers = function.__code__.co_argcount - verbs
        return self._compiler.compile(function, self._compiler.loop_signature(verbs, numbers))

    def _verbs(self, name: str) -> list[Any]:
        verbs = mechanism(name).verbs
        each = (verbs.claim, verbs.publish, verbs.peek, verbs.release)
        return [self._compiler.compile(verb, self._compiler.verb) for verb in each]

    def _timed(self, key: str, call: Callable[[int], int], target_ns: int = TARGET_NS) -> float:
        """Nanoseconds of one turn of a loop that takes its count: the median of some blocks.

        Raises:
            LabkitError: the loop was refused something.
        """
        count = self._counts.get(key, 0)
        if not count:
            count = 1
            while (taken := call(count)) < target_ns // 8 and count < 1 << 22:
                self._check(key, taken)
                count *= 4
            count = max(1, int(count * target_ns / BLOCKS / max(1, taken)))
            self._counts[key] = count
        turns = warming = 0
        while turns < WARM_UP and warming < MOST_WARM_UP_NS:  # it may have just been made
            taken = call(count)
            self._check(key, taken)
            turns, warming = turns + count, warming + taken
        blocks = sorted(call(count) for _ in range(BLOCKS))
        self._check(key, blocks[0])
        return blocks[BLOCKS // 2] / count

    @staticmethod
    def _check(key: str, taken: int) -> None:
        if taken < 0:
            raise LabkitError(f"{key} was refused ({os.strerror(-taken)}).")

    def _calls(self) -> Values:
        found: Values = {}
        for name in ("read_clock", "null_call"):
            found[name] = self._timed(name, partial(self._loop(name), self._record))
        for name in (
            "futex_wake", "futex_wait", "atomic_exchange", "atomic_compare_exchange", "atomic_add"
        ):  # fmt: skip
            found[name] = self._timed(name, partial(self._loop(name), self._word, self._record))
        return found

    def _copy(self, key: str, chunk: int, step: int, size: int, off: int = 0) -> float:
        loop = self._loop("copy")
        return self._timed(
            key, partial(loop, self._to + off, self._source, chunk, step, size, self._record)
        )

    def _copies(self) -> Values:
        found = {"memcpy_call": self._copy("memcpy_call", 8, 8, 64)}
        write, read = self._loop("kernel_write"), self._loop("kernel_read")

        def kernel(loop: Any, name: str, size: int) -> float:
            call = partial(loop, self._file, self._to, size, self._record)
            return self._timed(f"{name}/{size}", call)

        calls = {"kernel_write": kernel(write, "kernel_write", 8)}
        calls["kernel_read"] = kernel(read, "kernel_read", 8)
        found |= {f"{name}_call": value for name, value in calls.items()}
        for whole in self._plan["working_sets"]:
            half = whole // 2
            chunk = min(half, MOST_CHUNK)
            found[f"memcpy/{whole}"] = self._copy(f"memcpy/{whole}", chunk, chunk, half) / chunk
            for name, loop in (("kernel_write", write), ("kernel_read", read)):
                taken = kernel(loop, name, half)
                found[f"{name}/{whole}"] = max(0.0, taken - calls[name]) / half
        write, read = self._loop("write_words"), self._loop("read_words")
        state = self._record + 8 * RECORD_WORDS
        for size in self._plan["sizes"]:
            calls_of = {
                "fill": partial(write, self._to, size, self._record),
                "check": partial(read, state, self._to, size, self._record),
            }
            for name, call in calls_of.items():
                found[f"{name}/{size}"] = self._timed(f"{name}/{size}", call)
        return found

    def _faults(self) -> Values:
        touch = self._loop("touch_pages")
        size = FAULT_PAGES * PAGE
        with mmap.mmap(-1, size) as fresh:
            first = touch(address_of(fresh), FAULT_PAGES, self._record)
        pages = min(FAULT_PAGES, ATTACHED // PAGE)
        with mmap.mmap(self._file, pages * PAGE) as again:
            there = touch(address_of(again), pages, self._record)
        return {"fault_first_touch": first / FAULT_PAGES, "fault_present": there / pages}

    def _alignment(self) -> Values:
        whole = self._largest
        found = {}
        for key, off in (("memcpy_aligned", 0), ("memcpy_misaligned", BADLY)):
            found[key] = self._copy(key, MOST_CHUNK // 2, MOST_CHUNK // 2, MOST_CHUNK, off)
            found[key] /= MOST_CHUNK // 2
        found["memcpy_warm"] = self._copy("memcpy_warm", PAGE, PAGE, PAGE) / PAGE
        found["memcpy_cold"] = self._copy("memcpy_cold", PAGE, ODD_PAGES, whole // 2) / PAGE
        return found

    def _attachment(self) -> Values:
        return {
            name: self._timed(name, partial(self._loop(name), self._file, ATTACHED, self._record))
            for name in ("attach", "detach")
        }

    def _together(self, name: str, cpus: tuple[int, int]) -> two_processes.Block:
        return two_processes.run(self._loop(name), cpus, TURNS[name])

    def _if_not_too_busy(self, measure: Callable[[], Values]) -> Values:
        """What takes two processes at once; where they don't get to run, it isn't tried again."""
        name = measure.__name__
        if self._counts.get(name, 0) < 0:
            return {}
        try:
            return measure()
        except (LabkitError, OSError) as refusal:
            self._counts[name] = -1
            where = "on one CPU" if measure == self._same_cpu else "across CPUs"
            self.notes.append(f"what a switch or wake-up {where} costs is not known: {refusal}")
            return {}

    def _same_cpu(self) -> Values:
        cpus = (self._first, self._first)
        handed, slept = (self._together(name, cpus) for name in ("yield_to_other", "wake_other"))
        trips = TURNS["wake_other"]
        return {
            "_yield_ns": float(handed.elapsed_ns),
            "_yields": 2.0 * TURNS["yield_to_other"],
            "_yield_switches": float(handed.voluntary + handed.involuntary),
            "futex_round_trip/same-cpu": slept.elapsed_ns / trips,
            "_futex_calls": slept.calls / trips,
            "_futex_sleeps": slept.voluntary / trips,
            "_futex_switches": (slept.voluntary + slept.involuntary) / trips,
        }

    def _cross_cpu(self) -> Values:
        if self._second is None:
            return {}
        cpus = (self._first, self._second)
        woken = self._together("wake_sleeper", cpus)
        found = {"_woken_ns": woken.returned[1] / TURNS["wake_sleeper"]}
        line = self._together("bounce_line", cpus)
        found["cache_line"] = line.elapsed_ns / TURNS["bounce_line"] / 2
        for size in (n for n in self._plan["sizes"] if n >= PAGE):
            turns = max(2, min(20, ACROSS // size))
            taken = two_processes.run(
                self._loop("take_over"),
                cpus,
                turns,
                partial(self._carried, size),
            ).returned
            for name, ns in zip(("copy_in_cross", "copy_out_cross"), taken, strict=True):
                found[f"_{name}/{size}"] = ns / turns
        return found

    def _carried(self, size: int, place: int) -> tuple[int, ...]:
        """What is carried from CPU to CPU: the memory they share, the end's own buffer, bytes."""
        return self._to, self._source if place else self._own(), size

    def _own(self) -> int:
        """A buffer of the forked process's own."""
        mapping = mmap.mmap(-1, max(self._plan["sizes"]) + PAGE)
        self._memories.append(mapping)  # in the forked process, which keeps it to its end
        ctypes.memset(address_of(mapping), 1, len(mapping))
        return address_of(mapping)

    def _send_to_self(self, name: str, waiting: str, size: int) -> Values:
        kind = mechanism(name)
        verbs = [
            self._compiler.compile(verb, self._compiler.verb)
            for verb in (
                kind.verbs.claim, kind.verbs.publish, kind.verbs.peek, kind.verbs.release
            )
        ]  # fmt: skip
        loop = self._loop("send_to_self")
        label = name if waiting == "kernel" else waiting
        found: Values = {}
        for pattern in ("latency", "throughput"):
            key = f"send_to_self/{label}/{pattern}/{size}"
            if self._counts.get(key, 0) < 0:
                continue  # refused before
            try:
                if pattern == "throughput" and f"{key}/burst" not in self._counts:
                    self._fits(key, kind, verbs, size, waiting)
                found |= self._sent_afresh(key, loop, verbs, kind, waiting, size, pattern)
            except (LabkitError, *REFUSALS) as refusal:
                self._counts[key] = -1
                if error_number(refusal) not in TOO_LARGE:  # the cell itself says that
                    self.notes.append(f"{key} is not known ({refusal}).")
        return found

    def _sent_afresh(
        self,
        key: str,
        loop: Any,
        verbs: list[Any],
        kind: Any,
        waiting: str,
        size: int,
        pattern: str,
    ) -> Values:
        """Send through a new channel; in shorter bursts where it takes less than it took before."""
        while True:
            with Objects() as objects:
                channel = kind.channel(objects, size, room_for(pattern, size), waiting)
                ends = BothEnds(channel, (self._to, self._source))
                try:
                    return self._sent(key, loop, verbs, ends, size, pattern)
                except LabkitError:
                    burst = self._counts.get(f"{key}/burst", 1)
                    if burst <= 1:
                        raise
                    self._counts[f"{key}/burst"] = burst // 4 or 1
                    self._counts.pop(key, None)
                finally:
                    ends.close()

    def _sent(
        self, key: str, loop: Any, verbs: list[Any], ends: BothEnds, size: int, pattern: str
    ) -> Values:
        producer, consumer = (ctypes.addressof(s) for s in (ends.producer, ends.consumer))

        def send(burst: int, count: int) -> int:
            return int(
                loop(*verbs, producer, consumer, size, burst, self._word, self._record, count)
            )

        burst = 1 if pattern == "latency" else self._counts[f"{key}/burst"]
        taken = self._timed(key, partial(send, burst))
        sent = ctypes.c_int64.from_address(self._word).value / self._counts[key] / burst
        before = ends.producer[CALLS] + ends.consumer[CALLS]
        self._check(key, send(burst, 1))
        calls = (ends.producer[CALLS] + ends.consumer[CALLS] - before) / burst
        about = key.partition("/")[2]
        found = {key: taken / burst, f"calls_to_self/{about}": calls}
        if burst > 1:
            found[f"send_alone/{about}"] = sent
        return found

    def _fits(self, key: str, kind: Any, verbs: list[Any], size: int, waiting: str) -> None:
        """Find out how many messages a stream's channel takes: a burst is half of them."""
        room = room_for("throughput", size)
        with Objects() as objects:
            ends = BothEnds(kind.channel(objects, size, room, waiting), (self._to, self._source))
            try:
                state = ctypes.addressof(ends.producer)
                taken = self._loop("pour")(*verbs[:2], state, size, 2 * max(2, room // size))
            finally:
                ends.close()
        self._counts[f"{key}/burst"] = max(1, int(taken) // 2)
