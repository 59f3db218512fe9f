"""One byte there and back through two pipes, on one CPU and on two: a script of its own.

Started as `python -I -S ping_pong.py FIRST SECOND` with two CPUs' numbers, it prints the median
round trips in nanoseconds, both ends on FIRST and then one on each. It imports nothing of labkit,
so that it starts at once, and it has one thread, so that it may fork.
"""

import os
import sys
import time

WARM_UP = 30
ROUND_TRIPS = 400
MOST_S = 0.25


def round_trip(here: int, there: int) -> int:
    """The median round trip in nanoseconds between this process and a child on another CPU."""
    ping, pong = os.pipe(), os.pipe()
    os.sched_setaffinity(0, {here})
    child = os.fork()
    if child == 0:
        try:
            os.sched_setaffinity(0, {there})
            os.close(ping[1])  # else it would never see its parent go
            while os.read(ping[0], 1):
                os.write(pong[1], b"x")
        finally:
            os._exit(0)
    os.close(ping[0])
    os.close(pong[1])
    times: list[int] = []
    began = time.perf_counter()
    while len(times) < WARM_UP + ROUND_TRIPS:
        start = time.perf_counter_ns()
        os.write(ping[1], b"x")
        if not os.read(pong[0], 1):
            raise SystemExit(f"CPU {there} cannot be used")
        times.append(time.perf_counter_ns() - start)
        if len(times) > 2 * WARM_UP and time.perf_counter() - began > MOST_S:
            break
    os.close(ping[1])
    os.close(pong[0])
    os.waitpid(child, 0)
    warm = sorted(times[WARM_UP:])
    return warm[len(warm) // 2]


if __name__ == "__main__":
    first, second = map(int, sys.argv[1:])
    print(round_trip(first, first), round_trip(first, second))
