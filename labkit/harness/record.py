"""What one end writes down about a timed stretch: clocks, counters, and that it is under way.

An array of 64-bit words in memory that the ends share with the helper, one for each end.
Times are CLOCK_MONOTONIC, CPU times CLOCK_PROCESS_CPUTIME_ID, in nanoseconds, clock_gettime(2);
the counters are those of getrusage(2).
"""

from labkit.kernel.compiler import measured
from labkit.kernel.libc import clock_gettime, getrusage, sched_yield
from labkit.kernel.memory import fetch_add, get_word, load_acquire, set_word

TIMED = 0  # 1 between begin and finish: what a tracer counts
STARTED = 1
STOPPED = 2
CPU_BEFORE = 3
CPU_AFTER = 4
CLOCK_COST = 5  # of reading the clock once
CALLS_BEFORE = 6
CALLS_AFTER = 7
SCRATCH = 8  # a struct timespec
USAGE_BEFORE = 16  # a struct rusage of 18 words
USAGE_AFTER = 40
RECORD_WORDS = 64

# Words of struct rusage.
USER_S, USER_US, SYSTEM_S, SYSTEM_US = 0, 1, 2, 3
MINOR_FAULTS, MAJOR_FAULTS, VOLUNTARY, INVOLUNTARY = 8, 9, 16, 17

CLOCK_MONOTONIC = 1
CLOCK_PROCESS_CPUTIME_ID = 2
RUSAGE_SELF = 0
CLOCK_READS = 16  # in a row, so that a clock of coarse steps has a cost too
CLOCK_TRIES = 16


@measured
def clock(record: int, which: int) -> int:
    """This clock now, in ns."""
    clock_gettime(which, record + 8 * SCRATCH)
    return get_word(record + 8 * SCRATCH) * 1000000000 + get_word(record + 8 * SCRATCH + 8)


@measured
def meet(gate: int) -> int:
    """Wait until both ends are here; yields the CPU rather than sleep, so that nobody is woken."""
    ticket = fetch_add(gate, 1)
    both = ticket - ticket % 2 + 2
    while load_acquire(gate) < both:
        sched_yield()
    return 0


@measured
def begin(record: int, calls: int) -> int:
    """Start the timed stretch. `calls` is how many system calls were made so far."""
    set_word(record + 8 * CALLS_BEFORE, calls)
    getrusage(RUSAGE_SELF, record + 8 * USAGE_BEFORE)
    set_word(record + 8 * CPU_BEFORE, clock(record, CLOCK_PROCESS_CPUTIME_ID))
    set_word(record + 8 * TIMED, 1)
    set_word(record + 8 * STARTED, clock(record, CLOCK_MONOTONIC))
    return 0


@measured
def finish(record: int, calls: int) -> int:
    """End the timed stretch; the clock is read before anything else."""
    set_word(record + 8 * STOPPED, clock(record, CLOCK_MONOTONIC))
    set_word(record + 8 * TIMED, 0)
    set_word(record + 8 * CPU_AFTER, clock(record, CLOCK_PROCESS_CPUTIME_ID))
    getrusage(RUSAGE_SELF, record + 8 * USAGE_AFTER)
    set_word(record + 8 * CALLS_AFTER, calls)
    return 0


@measured
def clock_cost(record: int) -> int:
    """Nanoseconds that reading CLOCK_MONOTONIC takes, the mean of a short loop.

    The least of several: whatever disturbs a loop makes it longer, never shorter.
    """
    least = 1000000000
    for _ in range(CLOCK_TRIES):
        start = clock(record, CLOCK_MONOTONIC)
        for _ in range(CLOCK_READS - 1):
            clock(record, CLOCK_MONOTONIC)
        least = min(least, clock(record, CLOCK_MONOTONIC) - start)
    return least // CLOCK_READS
