"""What each constant is called, its unit, and how it is measured.

A name is a path. What stands behind the first slash is what it was measured for: a mechanism, a
pattern, a size in bytes. `memcpy/65536` is memcpy's cost where source and destination together
are 65,536 bytes; `send_to_self/pipe/latency/64` is what a message of 64 bytes costs a process
that sends it to itself.
"""

from dataclasses import dataclass

from labkit.units import format_size

NS, NS_PER_BYTE = "ns", "ns/byte"


@dataclass(frozen=True)
class Constant:
    """One kind of constant: what stands before the first slash of its names."""

    unit: str
    how: str  # {} stands for what the name has behind its first slash
    sized: bool = False  # the last part of the name is a size in bytes


CATALOGUE = {
    "clock_read": Constant(NS, "clock_gettime(2) of CLOCK_MONOTONIC, again and again"),
    "null_call": Constant(NS, "getppid(2), again and again: into the kernel and out"),
    "futex_wake": Constant(NS, "FUTEX_WAKE, futex(2), of a word on which nobody sleeps"),
    "futex_wait": Constant(NS, "FUTEX_WAIT, futex(2), on a word that has changed: EAGAIN at once"),
    "atomic_exchange": Constant(NS, "a word in this CPU's cache swapped, one after the other"),
    "atomic_compare_exchange": Constant(NS, "the same word compared and swapped"),
    "atomic_add": Constant(NS, "the same word added to"),
    "switch": Constant(
        NS,
        "two processes on one CPU hand it to each other by sched_yield(2): time for each context"
        " switch, beyond the null call that asked for it",
    ),
    "futex_round_trip": Constant(
        NS, "two processes ({}) wake each other in turn through a futex and sleep: there and back"
    ),
    "wake": Constant(NS, ""),  # told below, as the two placements are measured differently
    "cache_line": Constant(
        NS, "two CPUs pass one cache line to and fro, spinning: half of there and back"
    ),
    "memcpy_call": Constant(NS, "memcpy(3) of 8 bytes in the nearest cache"),
    "memcpy": Constant(
        NS_PER_BYTE,
        "memcpy(3) round and round, chunks up to 64 KiB, source and destination together {}",
        True,
    ),
    "memcpy_aligned": Constant(NS_PER_BYTE, "memcpy(3) of 32 KiB, both sides on a page's start"),
    "memcpy_misaligned": Constant(
        NS_PER_BYTE, "the same, the destination 16 bytes further than the source in its page"
    ),
    "memcpy_warm": Constant(NS_PER_BYTE, "memcpy(3) of the same 4 KiB, again and again"),
    "memcpy_cold": Constant(
        NS_PER_BYTE, "memcpy(3) of 4 KiB each time elsewhere in more memory than the caches hold"
    ),
    "kernel_write_call": Constant(NS, "pwrite(2) of 8 bytes to a memfd"),
    "kernel_read_call": Constant(NS, "pread(2) of 8 bytes from a memfd"),
    "kernel_write": Constant(
        NS_PER_BYTE,
        "pwrite(2) to a memfd that has its pages, beyond that of 8 bytes: the kernel's own copy in,"
        " both sides together {}",
        True,
    ),
    "kernel_read": Constant(
        NS_PER_BYTE, "pread(2) from it, likewise: the kernel's own copy out, {}", True
    ),
    "fill": Constant(NS_PER_BYTE, "every word of a payload of {} written, as touch=all does", True),
    "check": Constant(NS_PER_BYTE, "every word of it checked, as touch=all does ({})", True),
    "fault_first_touch": Constant(NS, "a new page of shared anonymous memory touched, for each"),
    "fault_present": Constant(NS, "a page that exists, touched first through a new mapping"),
    "attach": Constant(NS, "mmap(2) of a memfd of 1 MiB that has its pages, untouched"),
    "detach": Constant(NS, "munmap(2) of it, untouched"),
    "copy_in_cross": Constant(
        NS_PER_BYTE,
        "memcpy(3) of {} to memory that another CPU has just read: its lines must be taken back",
        True,
    ),
    "copy_out_cross": Constant(
        NS_PER_BYTE, "memcpy(3) of {} that another CPU has just written", True
    ),
    "send_to_self": Constant(
        NS,
        "one process sends to itself and receives ({}): one message at a time (latency), or as many"
        " as half fill the channel, and then receives them all (throughput)",
        True,
    ),
    "calls_to_self": Constant("calls", "system calls that this took for each message ({})", True),
    "own_work": Constant(
        NS, "the time of it beyond so many null calls ({}): what happens in the kernel", True
    ),
    "send_alone": Constant(NS, "the sending part of it alone ({})", True),
    "mitigation": Constant("", ""),
}


_WAKES = {
    "wake/same-cpu": (
        "what is left of futex_round_trip/same-cpu for each sleep, beyond the futex calls"
        " (uncontended) and the context switches"
    ),
    "wake/cross-cpu": (
        "from before FUTEX_WAKE, futex(2), to when the sleeper on the other CPU runs again, after"
        " 50 µs of sleep; beyond the call itself"
    ),
}


def constant_of(name: str) -> Constant:
    """The kind of constant that a name belongs to.

    Raises:
        KeyError: there is none.
    """
    return CATALOGUE[name.partition("/")[0]]


def how(name: str) -> str:
    """How the constant of this name is measured."""
    if name in _WAKES:
        return _WAKES[name]
    constant = constant_of(name)
    *parts, last = name.split("/")[1:] or [""]
    words = [*parts, format_size(int(last)) if constant.sized else last]
    return constant.how.format(", ".join(filter(None, words)))


def size_of(name: str) -> int:
    """The size in bytes at the end of a name."""
    return int(name.rpartition("/")[2])
