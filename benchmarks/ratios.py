"""The harness held against bare loops and against `perf bench`, as ratios within one run.

    python benchmarks/ratios.py [--pairs 21] [--only pipe,bounce,stream,growth,overhead]

Every figure is the median over freshly forked pairs that alternate with what they are compared
to, on the same CPUs; the interval is the 95 % bootstrap of the ratio of the medians.
"""

import argparse
import ctypes
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit.harness.session import SINGLE_THREADED

os.environ.update(SINGLE_THREADED)  # before numpy is imported: this process forks

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import bare

from labkit.harness import loop
from labkit.harness.helper import Engines
from labkit.harness.record import RECORD_WORDS, STARTED, STOPPED, begin, finish
from labkit.harness.request import Cell
from labkit.harness.rounds import Rounds
from labkit.kernel import cpus
from labkit.kernel.compiler import Compiler, measured
from labkit.kernel.memory import get_word, set_word, words
from labkit.mechanisms.contract import BUFFER, SELF, SEQUENCE, STATE_WORDS, room_for
from labkit.mechanisms.ring import Layout

SECONDS = 0.05  # of timed messages in each pair
RESAMPLES = 2000


class Harness:
    """One cell of the comparison, measured with a fresh pair at each call."""

    def __init__(self, engines: Engines, pair: tuple[int, int | None], **cell: Any) -> None:
        defaults = {"copy": "copy", "touch": "ends", "engine": "compiled"}
        self._samples: list[dict[str, Any]] = []
        self._problem = ""
        lifeline, self._keep = socket.socketpair()
        one = Cell(**(defaults | cell))
        self._rounds = Rounds([one], [None], engines, pair, self._take, lifeline)

    def _take(self, event: str, **what: Any) -> None:
        if event == "sample":
            self._samples.append(what)
        elif event == "outcome" and what["status"] != "ok":
            self._problem = what["reason"]

    def __call__(self) -> float:
        """Nanoseconds a message of one fresh pair."""
        self._rounds.run(time.monotonic() + SECONDS, 1)
        if self._problem:
            raise SystemExit(self._problem)
        return float(self._samples[-1]["elapsed_ns"] / self._samples[-1]["messages"])


def alternate(
    ours: Callable[[], float], theirs: Callable[[], float], pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    """`pairs` measurements of each, taking turns."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        found[0].append(ours())
        found[1].append(theirs())
    return np.array(found[0]), np.array(found[1])


def report(
    name: str, ours: np.ndarray, theirs: np.ndarray, target: str, inverse: bool = False
) -> None:
    """Print both medians and their ratio with its interval (inverse: of rates, not times)."""
    random = np.random.default_rng(1)
    picks = [random.integers(0, len(each), (RESAMPLES, len(each))) for each in (ours, theirs)]
    medians = [np.median(e[p], axis=1) for e, p in zip((ours, theirs), picks, strict=True)]
    ratios = medians[1] / medians[0] if inverse else medians[0] / medians[1]
    low, high = np.percentile(ratios, [2.5, 97.5])
    middle = np.median(theirs) / np.median(ours) if inverse else np.median(ours) / np.median(theirs)
    print(
        f"{name:52s} {np.median(ours):10.1f} ns  against {np.median(theirs):10.1f} ns"
        f"  ratio {middle:5.2f} [{low:.2f}, {high:.2f}]  target {target}",
        flush=True,
    )


def pipe_against_perf(engines: Engines, pair: tuple[int, int | None], pairs: int) -> None:
    """A pipe's round trip on one CPU against `perf bench sched pipe` pinned to it."""
    perf = shutil.which("perf")
    if perf is None:
        print("pipe: no perf here (Debian: apt install linux-perf); left out")
        return
    command = ["taskset", "-c", str(pair[0]), perf, "bench", "sched", "pipe", "-l", "20000"]

    def theirs() -> float:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"([0-9.]+) usecs/op", said)
        assert found is not None, said
        return float(found[1]) * 1000

    ours = Harness(
        engines, pair, mechanism="pipe", waiting="kernel", pattern="latency",
        placement="same-cpu", message_size=8,
    )  # fmt: skip
    report("pipe 8 B same-cpu round trip / perf bench", *alternate(ours, theirs, pairs), "<= 1.05")


def bounce(engines: Engines, compiler: Compiler, pair: tuple[int, int], pairs: int) -> None:
    """A spinning round trip against cache lines bounced between the same CPUs.

    One word that both sides write needs one journey of its line each way. Two one-way channels
    need two lines, and a line that the other side has just looked at must first be taken back
    from it: so the bounce of two words is what the channels' hardware costs at the least.
    """
    loops = [bare.compile_loop(compiler, f) for f in (bare.bounce_ping, bare.bounce_pong)]
    count = 200_000

    def bounced(apart: int) -> Callable[[], float]:
        def theirs() -> float:
            memory, address = bare.shared_memory(2 * 4096)
            words = [address + 64, address + 64 + apart]
            arguments: list[Any] = [*words, 1000, count, address, "record"]
            taken, _ = bare.run_pair((loops[0], loops[1]), pair, arguments)
            memory.close()
            return taken / count

        return theirs

    ours = Harness(
        engines, pair, mechanism="posix_shm", waiting="spin", pattern="latency",
        placement="cross-cpu", message_size=8,
    )  # fmt: skip
    name = "posix_shm spin 8 B cross-cpu round trip / "
    report(name + "one line", *alternate(ours, bounced(0), pairs), "<= 1.5")
    report(name + "two lines", *alternate(ours, bounced(4096), pairs), "(what two channels need)")


def streams(engines: Engines, compiler: Compiler, pair: tuple[int, int], pairs: int) -> None:
    """Shared-memory streams against a bare loop that hands the same buffers over."""
    loops = [bare.compile_loop(compiler, f) for f in (bare.bare_source, bare.bare_sink)]
    cases = [
        ("same-cpu", "futex", "copy", "ends", 0),
        ("cross-cpu", "spin", "copy", "ends", 0),
        ("cross-cpu", "spin", "in-place", "all", 1),
    ]
    for size in (65536, 1 << 20):
        slots = Layout(size, room_for("throughput", size)).slots
        for placement, waiting, copy, touch, mode in cases:
            where = (pair[0], pair[0]) if placement == "same-cpu" else pair
            count = [64]

            def theirs(
                size: int = size, slots: int = slots, waiting: str = waiting, mode: int = mode,
                where: tuple[int, int] = where, count: list[int] = count,
            ) -> float:  # fmt: skip
                memory, address = bare.shared_memory(4096 + slots * size)
                arguments: list[Any] = [
                    address + 64, address + 4096, "private", size, slots,
                    int(waiting == "futex"), mode, 18, count[0], address, "record",
                ]  # fmt: skip
                start, stop = bare.run_pair((loops[0], loops[1]), where, arguments)
                memory.close()
                taken = (stop - start) / count[0]
                count[0] = max(64, int(SECONDS * 1e9 / taken))
                return taken

            theirs()
            ours = Harness(
                engines, pair, mechanism="posix_shm", waiting=waiting, pattern="throughput",
                placement=placement, copy=copy, touch=touch, message_size=size,
            )  # fmt: skip
            name = f"posix_shm {size >> 10} KiB {placement} {waiting} {copy} {touch}, rate / bare"
            report(name, *alternate(ours, theirs, pairs), ">= 0.9", inverse=True)


def growth(engines: Engines, pair: tuple[int, int], pairs: int) -> None:
    """In-place with touch=ends: the time a message takes must not grow with its size."""
    for placement, waiting in (("same-cpu", "futex"), ("cross-cpu", "spin")):
        cells = [
            Harness(
                engines, pair, mechanism="posix_shm", waiting=waiting, pattern="throughput",
                placement=placement, copy="in-place", message_size=size,
            )
            for size in (1 << 20, 65536)
        ]  # fmt: skip
        name = f"posix_shm in-place ends {placement} {waiting}, 1 MiB / 64 KiB"
        report(name, *alternate(cells[0], cells[1], pairs), "about 1")


@measured
def own_buffer(ch: Any, n: int) -> int:
    """A claim that does nothing but say where the buffer is."""
    return ch[BUFFER]  # type: ignore[no-any-return]


@measured
def next_message(ch: Any, n: int) -> int:
    """A peek that makes up the message it should find."""
    set_word(ch[BUFFER], ch[SEQUENCE])
    return ch[BUFFER]  # type: ignore[no-any-return]


@measured
def nothing(ch: Any, n: int) -> int:
    """A publish or release that does nothing."""
    return 0


@measured
def only_source(
    claim: Any, publish: Any, channel: int, n: int, touch: int, private: int,
    warm: int, count: int, gate: int, record: int,
) -> int:  # fmt: skip
    """What a message cannot do without: the two verbs and the stamp."""
    ch = words(channel)
    begin(record, 0)
    for i in range(1, count + 1):
        set_word(claim(ch, n), i)
        publish(ch, n)
    finish(record, 0)
    return 0


@measured
def only_sink(
    peek: Any, release: Any, channel: int, n: int, touch: int, private: int,
    warm: int, count: int, gate: int, record: int,
) -> int:  # fmt: skip
    """What a message cannot do without: the two verbs and the check."""
    ch = words(channel)
    begin(record, 0)
    for i in range(1, count + 1):
        ch[SEQUENCE] = i  # which is what next_message makes up its message from
        if get_word(peek(ch, n)) != i:
            return -1
        release(ch, n)
    finish(record, 0)
    return 0


def overhead(compiler: Compiler, pairs: int) -> None:
    """The loops with verbs that do nothing, against nothing but these verbs and the checks."""
    verbs = (own_buffer, next_message, nothing)
    claim, peek, rest = (compiler.compile(verb, compiler.verb) for verb in verbs)
    signature = compiler.loop_signature(2, 8)
    source, sink, bare_source, bare_sink = (
        compiler.compile(each, signature)
        for each in (loop.source, loop.sink, only_source, only_sink)
    )
    _memory, base = bare.shared_memory(3 * 4096)
    gate, record = base + 8192, base + 8192 + 1024
    state = (ctypes.c_int64 * STATE_WORDS).from_address(base)
    written = (ctypes.c_int64 * RECORD_WORDS).from_address(record)
    count = 1_000_000

    def both(first: Any, second: Any) -> float:
        taken = 0.0
        for each, verb in ((first, claim), (second, peek)):
            ctypes.memset(base, 0, 3 * 4096)
            state[SELF], state[BUFFER] = base, base + 4096
            ctypes.c_int32.from_address(gate).value = 1  # as if the other end had come already
            assert each(verb, rest, base, 8, 0, 0, 0, count, gate, record) == 0
            taken += (written[STOPPED] - written[STARTED]) / count
        return taken

    ours, theirs = alternate(
        lambda: both(source, sink), lambda: both(bare_source, bare_sink), pairs
    )
    beyond = ours - theirs
    low, high = np.percentile(beyond, [2.5, 97.5])
    print(
        f"{'loop overhead, both ends, 8 B':52s} {np.median(ours):10.1f} ns  against"
        f" {np.median(theirs):10.1f} ns  beyond {np.median(beyond):.1f} ns"
        f" [{low:.1f}, {high:.1f}]  target <= 10",
        flush=True,
    )


def main() -> int:
    """Print the figures asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--only", default="overhead,pipe,bounce,stream,growth")
    asked = parser.parse_args()
    chosen = cpus.choose()
    if chosen.second is None:
        print("only one CPU may be used here: what needs two is left out", file=sys.stderr)
    compiler = Compiler()
    engines = Engines(compiler)
    print(f"CPUs {chosen.first} and {chosen.second}, {asked.pairs} pairs each")
    pair = (chosen.first, chosen.second)
    for name in asked.only.split(","):
        if name == "overhead":
            overhead(compiler, asked.pairs)
        elif name == "pipe":
            pipe_against_perf(engines, pair, asked.pairs)
        elif chosen.second is None:
            continue
        elif name == "bounce":
            bounce(engines, compiler, (chosen.first, chosen.second), asked.pairs)
        elif name == "stream":
            streams(engines, compiler, (chosen.first, chosen.second), asked.pairs)
        elif name == "growth":
            growth(engines, pair, asked.pairs)
        else:
            raise SystemExit(f"there is no figure {name!r}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
