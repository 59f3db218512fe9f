"""Nothing hangs, nothing leaks, nobody else is touched: tried in earnest, and counted.

    python benchmarks/faults.py                     everything, about half an hour on two CPUs
    python benchmarks/faults.py --share 0.02        of everything as much less
    python benchmarks/faults.py --only kills,stops --kills 300

Each line says what was asked, what was seen, and how many times; what should not have been follows
it, and makes the exit status 1. All of it happens in namespaces of its own (tests/world.py): other
processes and objects of this machine are not touched.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable

from faults_worker import Tally, channels, in_worlds, shares

SHOWN = 10  # of what should not have been


def kills(options: argparse.Namespace) -> Tally:
    """SIGKILL: a third each to producers, consumers and whole process trees."""
    total = Tally()
    third = options.kills // 3
    for end in ("producer", "consumer"):
        total.add(_strike(options, "SIGKILL", end, third, 10.0))
    wanted = options.kills - 2 * third
    jobs = [
        {"seed": options.seed + i, "count": count, "stall_s": 10.0}
        for i, count in enumerate(shares(wanted, options.at_once))
    ]
    trees = in_worlds("faults_ends", "kill_trees", jobs, options.at_once)
    trees.counts["told of whole trees"] = trees.counts.pop("told", 0)
    total.add(trees)
    return total


def stops(options: argparse.Namespace) -> Tally:
    """SIGSTOP of one end, for longer than the deadline."""
    total = Tally()
    for end, count in zip(("producer", "consumer"), shares(options.stops, 2), strict=False):
        total.add(_strike(options, "SIGSTOP", end, count, options.stall))
    return total


def _strike(
    options: argparse.Namespace, number: str, end: str, count: int, stall_s: float
) -> Tally:
    at_once = options.at_once * (4 if number == "SIGSTOP" else 1)  # these mostly wait
    jobs = [
        {"seed": options.seed + i, "count": each, "signal": number, "end": end, "stall_s": stall_s}
        for i, each in enumerate(shares(count, at_once))
    ]
    return in_worlds("faults_ends", "strike_ends", jobs, at_once)


def spinners(options: argparse.Namespace) -> Tally:
    """Many pairs that spin at once: slow, but none is taken for stalled."""
    jobs = [
        {"number": i, "repeats": 3, "stall_s": options.stall}
        for i in range(options.at_the_same_time)
    ]
    return in_worlds("faults_ends", "spin_together", jobs, len(jobs))


def messages(options: argparse.Namespace) -> Tally:
    """So many bytes and so many messages through every mechanism, every byte checked."""
    jobs = [
        {"channels": channels()[i::2], "bytes": options.bytes, "messages": options.messages}
        for i in range(2)
    ]
    return in_worlds("faults_messages", "carry", jobs, 2)


def broken(options: argparse.Namespace) -> Tally:
    """Mechanisms that drop, swap, tear or repeat one message in so many."""
    jobs = [
        {"seed": options.seed + i, "count": count, "among": options.among}
        for i, count in enumerate(shares(options.broken, 2))
    ]
    return in_worlds("faults_messages", "spoil", jobs, 2)


def requests(options: argparse.Namespace) -> Tally:
    """Generated command lines and Python calls."""
    total = Tally()
    for function in ("command_lines", "calls"):
        jobs = [
            {"seed": options.seed + i, "count": count, "real": options.real // 4}
            for i, count in enumerate(shares(options.requests, 2))
        ]
        total.add(in_worlds("faults_requests", function, jobs, 2))
    return total


def crowd(options: argparse.Namespace) -> Tally:
    """Comparisons at once by three users, who try to open each other's objects."""
    return _comparisons(options, "three_users")


def containers(options: argparse.Namespace) -> Tally:
    """Comparisons at once by one user id, each in an IPC namespace of its own."""
    return _comparisons(options, "one_user")


def _comparisons(options: argparse.Namespace, function: str) -> Tally:
    if os.geteuid() != 0:
        return Tally(bad=["only root can become other users: run it as root"])
    job = {"count": options.at_the_same_time, "budget": options.budget, "most_s": 1800.0}
    return in_worlds("faults_crowd", function, [job], 1)


def runs(options: argparse.Namespace) -> Tally:
    """Run folders that were damaged."""
    job = {"seed": options.seed, "count": options.runs}
    return in_worlds("faults_requests", "damaged_runs", [job], 1)


PARTS: dict[str, Callable[[argparse.Namespace], Tally]] = {
    each.__name__: each
    for each in (*(kills, stops, spinners, messages, broken, requests, crowd, containers, runs),)
}
WHOLE = {
    "kills": 1000,
    "stops": 200,
    "bytes": 10**9,
    "messages": 10**7,
    "broken": 40,
    "among": 10**6,
    "requests": 10_000,
    "real": 40,
    "at_the_same_time": 30,
    "runs": 1000,
}
LEAST = {"kills": 3, "stops": 2, "broken": 4, "real": 4, "at_the_same_time": 3, "runs": 10}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    parser.add_argument("--share", type=float, default=1.0, help="of every number below")
    for name, count in WHOLE.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help=f"by default {count:,}")
    parser.add_argument("--stall", type=float, default=1.0, help="the deadline of stops, seconds")
    parser.add_argument("--budget", type=float, default=6.0, help="of a comparison in a crowd, s")
    parser.add_argument("--at-once", type=int, default=4, help="jobs side by side")
    parser.add_argument("--seed", type=int, default=1, help="of what is left to chance")
    options = parser.parse_args()
    for name, count in WHOLE.items():
        if vars(options)[name] is None:
            vars(options)[name] = max(count * options.share, LEAST.get(name, 1))
        vars(options)[name] = math.ceil(vars(options)[name])
    unknown = set(options.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return options


def main() -> int:
    """Try each part, print what was seen, and say whether all of it was as it should be."""
    options, failed = _options(), 0
    for name in options.only.split(","):
        began = time.monotonic()
        tally = PARTS[name](options)
        said = (PARTS[name].__doc__ or "").strip()
        print(f"{name}: {said} ({time.monotonic() - began:.0f} s)")
        at = sorted(count for what, count in tally.counts.items() if what.startswith("at "))
        for what, count in sorted(tally.counts.items()):
            if not what.startswith("at "):
                print(f"  {count:>14,}  {what}")
        if at:
            print(f"  {len(at):>14,}  mechanisms with a waiting strategy; {at[0]} to {at[-1]} each")
        print(f"  {len(tally.bad):>14,}  not as it should be", flush=True)
        for each in tally.bad[:SHOWN]:
            print(f"    {each}", flush=True)
        failed += bool(tally.bad)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
