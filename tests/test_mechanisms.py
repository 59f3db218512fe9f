"""The mechanisms on the real kernel: every byte arrives, once and in order, and calls are counted.

What forks runs in a small world of its own (see conftest.py); the ring is also driven step by step
against a model, both ends in one process.
"""

import ctypes
import errno
import itertools
import mmap
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import World
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import mechanisms
from labkit.harness import payload
from labkit.kernel import trace
from labkit.kernel.compiler import Compiler, measured
from labkit.kernel.memory import set_word, words
from labkit.kernel.objects import Objects, map_shared
from labkit.mechanisms import ring
from labkit.mechanisms.contract import SELF, STATE_WORDS, Mechanism, Verbs, room_for
from labkit.mechanisms.segment import address_of
from labkit.mechanisms.waiting.count_word import reached

SIZES = [8, 9, 15, 16, 17, 56, 57, 63, 64, 100, 4095, 4096, 4097, 65539, (1 << 20) + 3]
MASK = 0xFFFFFFFF


def test_every_mechanism_says_what_it_is() -> None:
    for name in mechanisms.names(extra=True):
        this = mechanisms.mechanism(name)
        assert this.name == name
        assert this.title
        assert this.rendezvous
        assert this.family in ("kernel-copied", "shared-memory")
        assert this.persistence in ("process", "kernel", "filesystem")
        assert set(this.remedies) <= set(errno.errorcode.values())
        assert all(value is None or value >= 0 for value in this.limits().values())
    assert len(mechanisms.names()) == 13
    assert set(mechanisms.names(extra=True)) - set(mechanisms.names()) == {
        "pipe_vmsplice",
        "process_vm",
    }


class TestEveryByteArrives:
    """Rounds with touch "all": each message is filled anew and checked to its last byte."""

    SCRIPT = """
        from bench import cell, channels, measure
        from labkit.mechanisms import family
        LARGE = "sysv_mq", "posix_mq", "unix_dgram", "unix_seqpacket"
        def check(sizes, engine, copy):
            cells = [
                cell(name, size, pattern, waiting, copy, engine=engine)
                for name, waiting in channels()
                if copy == "copy" or family(name) == "shared-memory"
                for size in sizes
                if size <= 8192 or name not in LARGE
                for pattern in ("latency", "throughput")
            ]
            found = measure(cells)
            assert not found.bad(), found.bad()
            assert {sample["cell"] for sample in found.samples} == set(range(len(cells)))
            print(len(cells))
    """

    @pytest.mark.parametrize(("copy", "sizes"), [("copy", SIZES), ("in-place", SIZES[1::2])])
    def test_compiled(self, world: World, copy: str, sizes: list[int]) -> None:
        world.passes(self.SCRIPT + f"    check({sizes}, 'compiled', '{copy}')")

    @pytest.mark.parametrize(("copy", "sizes"), [("copy", [8, 57, 4097]), ("in-place", [63])])
    def test_interpreted(self, world: World, copy: str, sizes: list[int]) -> None:
        world.passes(self.SCRIPT + f"    check({sizes}, 'python', '{copy}')")

    def test_messages_of_any_size(self, world: World) -> None:
        world.passes("""
            from bench import cell, channels, measure
            from hypothesis import HealthCheck, given, settings, strategies as st
            from labkit.mechanisms import family

            sizes = st.integers(8, 300) | st.integers(8, 8192) | st.integers(8, 100_000)

            @settings(max_examples=60, deadline=None, database=None,
                      suppress_health_check=list(HealthCheck))
            @given(st.sampled_from(channels()), sizes, st.sampled_from(["latency", "throughput"]),
                   st.sampled_from(["copy", "in-place"]))
            def each(channel, size, pattern, copy):
                name, waiting = channel
                if name in ("sysv_mq", "posix_mq"):
                    size = 8 + size % 8185
                if family(name) == "kernel-copied":
                    copy = "copy"
                found = measure([cell(name, size, pattern, waiting, copy)])
                assert not found.bad(), found.bad()
                assert len(found.samples) == 1
            each()
        """)

    def test_ends_on_two_cpus_and_on_any(self, world: World) -> None:
        world.passes("""
            from bench import SECOND, cell, channels, measure
            cells = [
                cell(name, size, pattern, waiting, placement=placement)
                for placement, size in (("cross-cpu", 4097), ("free", 8))
                if placement == "free" or SECOND is not None
                for name, waiting in channels()
                for pattern in ("latency", "throughput")
            ]
            found = measure(cells)
            assert not found.bad(), found.bad()
        """)

    def test_across_the_wrap_of_the_count(self, world: World) -> None:
        world.passes("""
            from bench import SECOND, Ends, cell
            from labkit.kernel.memory import get_int, store_release
            from labkit.mechanisms import ring

            START = (1 << 31) - 700
            describe = ring.Layout.describe_to
            def describe_late(self, state, base, waiting):
                describe(self, state, base, waiting)
                state[ring.COUNT] = START + 1
                state[ring.SEEN] = 2 * START & 0xFFFFFFFF
                for word in (base, *(base + self.ready + i * self.ready_stride
                                     for i in range(self.slots))):
                    store_release(word, 2 * START)
            ring.Layout.describe_to = describe_late
            for engine in "compiled", "python":
                for waiting in ("futex", "spin") if SECOND is not None else ("futex",):
                    for pattern in "latency", "throughput":
                        size = 40 if pattern == "latency" else 500
                        this = cell("mmap_anon", size, pattern, waiting, engine=engine)
                        with Ends(this) as ends:
                            ends.measure(1400)
                            assert ends.shared.state("consumer", 0)[ring.COUNT] > 1 << 31
        """)

    def test_though_signals_interrupt_and_stop_the_ends(self, world: World) -> None:
        world.passes("""
            import os, signal, time
            from bench import Ends, cell, channels, wait_for
            from labkit.harness.ends import EndProcess
            serve = EndProcess.serve
            def serve_with_a_handler(self):  # with one, a waiting call ends with EINTR
                signal.signal(signal.SIGUSR1, lambda *_: None)
                serve(self)
            EndProcess.serve = serve_with_a_handler
            for name, waiting in channels():
                if waiting in ("spin", "futex") and name != "memfd":
                    continue  # the five kinds of memory wait alike
                for pattern in "latency", "throughput":
                    with Ends(cell(name, 1000, pattern, waiting)) as ends:
                        what = {"do": "measure", "cell": 0, "warm": 8, "count": 3000, "singles": 0}
                        ends.pair.give(what)
                        wait_for(lambda: ends.pair.progress("consumer") > 8)
                        for _ in range(100):
                            for pid in ends.pair.pids.values():
                                for number in signal.SIGUSR1, signal.SIGSTOP, signal.SIGCONT:
                                    os.kill(pid, number)
                        replies = ends.pair.replies(1000)
                        assert [each["status"] for each in replies.values()] == [0, 0], name
        """)

    @pytest.mark.slow
    def test_a_hundred_million_bytes(self, world: World) -> None:
        told = world.passes(
            """
            from bench import Ends, cell, channels
            from labkit.mechanisms.contract import SEQUENCE
            total = 100_000_000
            for name, waiting in channels():
                size = 8192 if name in ("sysv_mq", "posix_mq") else 65536
                count = -(-total // size)
                with Ends(cell(name, size, waiting=waiting)) as ends:
                    ends.measure(count, warm=0)
                    assert ends.pair.progress("consumer") == count
                print(name, waiting, count * size)
            """,
            timeout_s=600,
        )
        checked = [line.split() for line in told.splitlines()]
        assert {name for name, _, _ in checked} == set(mechanisms.names(extra=True))
        assert all(int(size) >= 100_000_000 for _, _, size in checked)


class TestCounts:
    """System calls: as the loop counts them, as a trace does, and as they must be."""

    CALLS = """
        CALLS = {
            "pipe": {"read", "write"}, "fifo": {"read", "write"},
            "sysv_mq": {"msgsnd", "msgrcv"}, "posix_mq": {"mq_timedsend", "mq_timedreceive"},
            "unix_stream": {"sendto", "recvfrom"}, "unix_dgram": {"sendto", "recvfrom"},
            "unix_seqpacket": {"sendto", "recvfrom"}, "tcp": {"sendto", "recvfrom"},
            "spin": set(), "futex": {"futex"}, "posix_sem": {"futex"},
            "sysv_sem": {"semop", "semtimedop"}, "eventfd": {"read", "write"},
            "pipe_vmsplice": {"vmsplice", "read"}, "process_vm": {"process_vm_readv", "futex"},
        }
    """

    @pytest.mark.parametrize("pattern", ["latency", "throughput"])
    def test_a_trace_sees_what_the_loop_counts(self, world: World, pattern: str) -> None:
        if (refused := trace.why_not()) is not None:
            pytest.skip(refused)
        world.passes(
            self.CALLS
            + f"""
        from bench import Ends, cell, channels
        for name, waiting in channels():
            for size in (8, 5000) if waiting == "kernel" else (8,):
                with Ends(cell(name, size, "{pattern}", waiting)) as ends:
                    traced = ends.trace(100)
                    names = {{call.name for call in traced}}
                    allowed = CALLS[name if waiting == "kernel" else waiting]
                    assert names <= allowed, (name, waiting, names)
                    expected = 0 if waiting == "posix_sem" else len(traced)  # libc hides those
                    assert ends.counted() == expected, (name, waiting, size, len(traced))
        """
        )

    def test_are_known_exactly_where_nothing_is_hidden(self, world: World) -> None:
        world.passes("""
            from bench import Ends, cell, channels
            exact = {"kernel": (4, 2), "sysv_sem": (8, 4), "eventfd": (8, 4), "spin": (0, 0)}
            for name, waiting in channels():
                if waiting not in exact or name == "process_vm":  # which may have to sleep
                    continue
                for number, pattern in enumerate(("latency", "throughput")):
                    with Ends(cell(name, 8, pattern, waiting)) as ends:
                        ends.measure(500)
                        wanted = 500 * exact[waiting][number]
                        assert ends.counted() == wanted, (name, waiting, pattern)
        """)


class TestRoom:
    def test_a_ring_holds_exactly_its_places(self, world: World) -> None:
        world.passes("""
            from bench import cell, channels, measure
            from labkit.mechanisms import family
            from labkit.mechanisms.contract import room_for
            cells = [cell(name, size, pattern, waiting, touch="ends")
                     for name, waiting in channels() if family(name) == "shared-memory"
                     for size in ((8, 4096) if waiting == 'futex' else (57, 100_000))
                     for pattern in ("latency", "throughput")]
            found = measure(cells)
            assert not found.bad(), found.bad()
            for number, each in enumerate(cells):
                size = each.message_size
                places = max(2, room_for(each.pattern, size) // size)
                assert found.outcomes[number]["in_flight_messages"] == places, each
        """)

    def test_what_the_kernel_copies_holds_what_it_can(self, world: World) -> None:
        world.passes("""
            from bench import cell, channels, measure
            from labkit.kernel.limits import limits
            cells = [cell(name, size, waiting="kernel", touch="ends")
                     for name, waiting in channels() if waiting == "kernel"
                     for size in (64, 4096)]
            found = measure(cells)
            assert not found.bad(), found.bad()
            for number, each in enumerate(cells):
                held = found.outcomes[number]["in_flight_messages"]
                wanted = 65536 // each.message_size
                if each.mechanism in ("pipe", "fifo"):
                    assert held == wanted, (each, held)
                elif each.mechanism == "posix_mq":
                    assert held == min(wanted, limits()["msg_max"]), (each, held)
                else:
                    assert 1 <= held <= 2 * wanted, (each, held)
        """)

    def test_of_a_ping_pong_is_eight_messages_at_most(self) -> None:
        assert room_for("latency", 8) == 64
        assert room_for("latency", 1 << 20) == 2 << 20
        assert room_for("throughput", 8) == 65536
        assert room_for("throughput", 1 << 20) == 2 << 20


class TestStrangers:
    """Anybody on the machine may connect to a port of the loopback interface."""

    def test_are_sent_away(self, world: World) -> None:
        world.passes("""
            import socket, struct
            from bench import Ends, cell
            from labkit.mechanisms import tcp
            tcp.PATIENCE = 1.0
            tcp._buffer(64, 512)  # finds out how large a buffer has to be, for all that follow

            def reset(caller):
                lingering = struct.pack("ii", 1, 0)
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
                caller.close()

            behaviours = {
                "says nothing": lambda caller: None,
                "says something wrong": lambda caller: caller.send(b"x" * 16),
                "says too little": lambda caller: caller.send(b"x" * 15),
                "hangs up": lambda caller: caller.close(),
                "resets": reset,
            }
            listen = tcp._listen
            for name, behave in behaviours.items():
                callers = []
                def visited(buffer):
                    listener = listen(buffer)
                    callers.append(socket.create_connection(listener.getsockname()))
                    behave(callers[-1])  # first in the queue
                    return listener
                tcp._listen = visited
                with Ends(cell("tcp", 64, "latency")) as ends:
                    ends.measure(100)
                assert len(callers) == 2, name
        """)


# The ring, step by step.


@given(
    st.integers(0, 1 << 40), st.integers(-(1 << 30), (1 << 30) - 1), st.booleans(), st.booleans()
)
def test_counts_are_compared_by_their_difference(
    count: int, ahead: int, asleep: bool, signed: bool
) -> None:
    word = (2 * (count + ahead) | asleep) & MASK
    if signed:  # as a load from memory gives it
        word = ctypes.c_int32(word).value
    assert reached(word, count) == (ahead >= 0)


@measured
def call(verb: Any, state: int, n: int) -> int:
    """Call one verb from outside a loop, in either engine."""
    return verb(words(state), n)  # type: ignore[no-any-return]


@dataclass
class Caller:
    """The verbs of the ring in one engine."""

    call: Callable[[Any, int, int], int]
    verbs: Verbs


@pytest.fixture(scope="module", params=["compiled", "python"])
def ring_verbs(request: pytest.FixtureRequest) -> Caller:
    if request.param == "python":
        return Caller(call, ring.VERBS)
    compiler = Compiler()
    verbs = (ring.claim, ring.publish, ring.peek, ring.release)
    return Caller(
        compiler.compile(call, compiler.loop_signature(1, 2)),
        Verbs(*(compiler.compile(verb, compiler.verb) for verb in verbs)),
    )


@dataclass
class Ring:
    """A ring whose two ends are both here, each with a mapping of its own."""

    caller: Caller
    size: int
    layout: ring.Layout
    producer: Any
    consumer: Any
    free: int  # what a model says of it: places nobody has claimed,
    sent: int = 0
    taken: int = 0
    on_the_way: deque[int] = field(default_factory=deque)  # published and not yet peeked at,
    claimed: int | None = None  # the address in the hand of the producer,
    peeked: int | None = None  # and of the consumer

    def _call(self, verb: Any, state: Any) -> int:
        return int(self.caller.call(verb, ctypes.addressof(state), self.size))

    def claim(self) -> None:
        if self.claimed is not None:
            return
        place = self._call(self.caller.verbs.claim, self.producer)
        if self.free == 0:
            assert place == -errno.EAGAIN
            return
        assert place > 0
        self.claimed = place
        self.free -= 1
        payload.fill(place, self.size, self.sent + 1, payload.ALL)

    def publish(self) -> None:
        if self.claimed is None:
            return
        assert self._call(self.caller.verbs.publish, self.producer) == 0
        self.claimed = None
        self.sent += 1
        self.on_the_way.append(self.sent)

    def peek(self) -> None:
        if self.peeked is not None:
            return
        place = self._call(self.caller.verbs.peek, self.consumer)
        if not self.on_the_way:
            assert place == -errno.EAGAIN
            return
        assert place > 0
        self.peeked = place
        self.taken = self.on_the_way.popleft()
        self.look()

    def look(self) -> None:
        """The message in hand is whole, however much is produced meanwhile."""
        if self.peeked is not None:
            status = payload.check(self.consumer, self.peeked, self.size, self.taken, payload.ALL)
            assert status == 0

    def release(self) -> None:
        if self.peeked is None:
            return
        self.look()
        assert self._call(self.caller.verbs.release, self.consumer) == 0
        self.peeked = None
        self.free += 1


@contextmanager
def a_ring(caller: Caller, waiting: str, size: int, places: int, start: int) -> Iterator[Ring]:
    layout = ring.Layout(size, size * places)
    with ExitStack() as leave:
        descriptor = os.memfd_create("ring")
        leave.callback(os.close, descriptor)
        os.ftruncate(descriptor, layout.size)
        states: list[Any] = []
        ids = None
        if waiting == "sysv_sem":
            objects = leave.enter_context(Objects())
            ids = objects.sysv_semaphore(0), objects.sysv_semaphore(layout.slots)
        if waiting == "eventfd":
            ids = os.eventfd(0, os.EFD_SEMAPHORE), os.eventfd(layout.slots, os.EFD_SEMAPHORE)
            for counter in ids:
                leave.callback(os.close, counter)
        for end in ("producer", "consumer"):
            mapping: mmap.mmap = map_shared(descriptor, layout.size)
            leave.callback(mapping.close)
            base = address_of(mapping)
            state = (ctypes.c_int64 * STATE_WORDS)()
            state[SELF] = ctypes.addressof(state)
            layout.describe_to(state, base, waiting)
            ring.start_semaphores(state, end, ids)
            ring.refuse_to_wait(state)
            # As if `start` messages had gone before.
            state[ring.COUNT] = start + 1
            state[ring.SEEN] = 2 * start & MASK
            set_word(base, 2 * start & MASK)
            for i in range(layout.slots):
                ready = base + layout.ready + i * layout.ready_stride
                ctypes.c_uint32.from_address(ready).value = 2 * start & MASK
            states.append(state)
        producer, consumer = states
        yield Ring(caller, size, layout, producer, consumer, layout.slots)


STEPS = st.lists(st.sampled_from(["claim", "publish", "peek", "release", "look"]), max_size=120)
STARTS = st.sampled_from([0, (1 << 30) - 3, (1 << 31) - 5, (1 << 32) - 2])


@pytest.mark.parametrize("waiting", Mechanism.WAITINGS)
class TestRing:
    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_does_what_a_queue_does(
        self, ring_verbs: Caller, waiting: str, data: st.DataObject
    ) -> None:
        size = data.draw(st.sampled_from([8, 9, 16, 55, 56, 57, 64, 100, 4096, 5000]), "size")
        places = data.draw(st.integers(2, 5), "places")
        start = data.draw(STARTS, "start")
        with a_ring(ring_verbs, waiting, size, places, start) as queue:
            assert queue.layout.slots == places
            for step in data.draw(STEPS, "steps"):
                getattr(queue, step)()

    def test_is_full_and_empty_many_times(self, ring_verbs: Caller, waiting: str) -> None:
        with a_ring(ring_verbs, waiting, 24, 3, (1 << 31) - 20) as queue:
            for _ in range(50):
                for _ in range(4):  # once more than there is room for
                    queue.claim()
                    queue.publish()
                assert list(queue.on_the_way) == [queue.sent - 2, queue.sent - 1, queue.sent]
                for _ in range(4):
                    queue.peek()
                    queue.release()
                assert queue.free == 3


def test_places_do_not_overlap_and_large_ones_lie_on_pages() -> None:
    for size in [*range(8, 200), 4095, 4096, 4097, 65536, 1 << 20]:
        for room in (2 * size, 8 * size, 65536):
            layout = ring.Layout(size, room)
            ready = [layout.ready + i * layout.ready_stride for i in range(layout.slots)]
            places = [layout.payload + i * layout.stride for i in range(layout.slots)]
            taken = sorted([(0, 64), (ring.ITEMS_OFFSET, 32), (ring.ROOM_OFFSET, 32)])
            taken += sorted([(at, 4) for at in ready] + [(at, size) for at in places])
            for (start, length), (following, _) in itertools.pairwise(taken):
                assert start + length <= following
            assert places[-1] + size <= layout.size
            assert all(at % 8 == 0 for at in ready + places)
            if size >= 4096:
                assert all(at % 4096 == 0 for at in places)
            elif size > ring.BESIDE_READY:
                assert all(at % 64 == 0 for at in places)
