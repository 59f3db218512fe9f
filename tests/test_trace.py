"""The tracer, on real processes: each test forks children from a small clean process of its own."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from labkit.kernel import trace

REFUSED = trace.why_not()
pytestmark = pytest.mark.skipif(REFUSED is not None, reason=str(REFUSED))

# What every script below starts with. A child sleeps in read(2) until it is let go.
START = """
import atexit, os, signal, sys, time
from labkit.errors import LabkitError
from labkit.kernel.trace import Tracer

class Child:
    def __init__(self, work):
        reading, self.gate = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.read(reading, 1)
            work()
            os._exit(0)
        os.close(reading)
        atexit.register(self.end)

    def end(self):
        try:
            if os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # reaped before

    def go(self):
        os.write(self.gate, b"x")

    def status(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

def never():
    return False

calls, exits = [], []
def on_exit(pid, status):
    exits.append((pid, os.waitstatus_to_exitcode(status)))
"""


def script(body: str) -> None:
    """Run a script that asserts; a tracer that hangs is ended by the time limit."""
    code = START + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_call_once_in_order() -> None:
    script("""
        null = os.open("/dev/null", os.O_WRONLY)
        def work():
            os.write(null, b"begin")
            for _ in range(300):
                os.getppid()
                os.write(null, b"12345678")
            os.write(null, b"the end")
        child = Child(work)
        with Tracer() as tracer:
            tracer.attach(child.pid)
            child.go()
            assert tracer.follow(calls.append, never, 30, on_exit)
            assert tracer.pids == ()
        entries = [call for call in calls if call.entry]
        markers = [i for i, call in enumerate(entries)
                   if call.name == "write" and call.args[2] in (5, 7)]
        assert len(markers) == 2
        between = entries[markers[0] + 1:markers[1]]
        assert [call.name for call in between] == ["getppid", "write"] * 300
        results = [call for call in calls if call.name == "getppid" and not call.entry]
        assert [call.result for call in results] == [os.getpid()] * 300
        written = [call for call in calls if call.name == "write" and not call.entry]
        assert [call.result for call in written] == [5] + [8] * 300 + [7]
        assert all(call.args[0] == null and call.pid == child.pid for call in written)
        assert [call.order for call in calls] == list(range(1, len(calls) + 1))
        # Entry and exit alternate, but for exit_group, which does not return.
        assert [call.entry for call in calls] == [i % 2 == 0 for i in range(len(calls))]
        assert calls[-1].name == "exit_group" and calls[-1].result is None
        assert exits == [(child.pid, 0)]
        assert child.status() == 0  # left to be reaped
    """)


def test_a_refusal_is_a_negative_errno() -> None:
    script("""
        import errno
        def work():
            try:
                os.close(999)
            except OSError:
                pass
        child = Child(work)
        with Tracer() as tracer:
            tracer.attach(child.pid)
            child.go()
            tracer.follow(calls.append, never, 30)
        (refused,) = [call for call in calls if call.args[0] == 999 and not call.entry]
        assert (refused.name, refused.result) == ("close", -errno.EBADF)
    """)


def test_two_at_once_in_causal_order() -> None:
    script("""
        reading, writing = os.pipe()
        rounds = 100
        def produce():
            for _ in range(rounds):
                os.write(writing, b"message!")
        def consume():
            for _ in range(rounds):
                assert len(os.read(reading, 8)) == 8
        children = [Child(produce), Child(consume)]
        with Tracer() as tracer:
            for child in children:
                tracer.attach(child.pid)
            for child in children:
                child.go()
            assert tracer.follow(calls.append, never, 30, on_exit)
        producer, consumer = (child.pid for child in children)
        sent = [call.order for call in calls
                if call.pid == producer and call.entry and call.args[0] == writing]
        got = [call.order for call in calls
               if call.pid == consumer and not call.entry and call.args[0] == reading]
        assert len(sent) == len(got) == rounds
        assert all(before < after for before, after in zip(sent, got))
        assert sorted(exits) == sorted((child.pid, 0) for child in children)
    """)


def test_one_that_is_killed_is_reported() -> None:
    script("""
        def work():
            while True:
                os.getppid()
        child = Child(work)
        other = Child(lambda: None)
        def on_call(call):
            calls.append(call)
            if len(calls) == 100:
                os.kill(child.pid, signal.SIGKILL)  # while it stands still
        with Tracer() as tracer:
            tracer.attach(child.pid)
            tracer.attach(other.pid)
            child.go()
            assert tracer.follow(on_call, lambda: bool(exits), 30, on_exit)
            assert exits == [(child.pid, -signal.SIGKILL)]
            assert tracer.pids == (other.pid,)
            other.go()
            assert tracer.follow(on_call, never, 30, on_exit)
        assert exits[1:] == [(other.pid, 0)]
        assert (child.status(), other.status()) == (-signal.SIGKILL, 0)
    """)


def test_one_that_is_killed_in_its_sleep_is_reported() -> None:
    script("""
        child = Child(never)  # never let go
        with Tracer() as tracer:
            tracer.attach(child.pid)
            asleep = lambda: bool(calls) and calls[-1].name == "read" and calls[-1].entry
            assert tracer.follow(calls.append, asleep, 30, on_exit)
            os.kill(child.pid, signal.SIGKILL)
            assert tracer.follow(calls.append, never, 30, on_exit)
        assert exits == [(child.pid, -signal.SIGKILL)]
    """)


def test_a_death_before_it_is_looked_at() -> None:
    script("""
        child = Child(never)
        with Tracer() as tracer:
            tracer.attach(child.pid)
            os.kill(child.pid, signal.SIGKILL)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert tracer.pids == ()
        assert child.status() == -signal.SIGKILL
    """)


def test_the_deadline_ends_it_and_the_child_goes_on() -> None:
    script("""
        def work():
            os._exit(7)
        child = Child(work)
        with Tracer() as tracer:
            tracer.attach(child.pid)
            assert tracer.follow(calls.append, never, 0.1, on_exit) is False
            assert tracer.pids == (child.pid,)
        assert exits == [] and tracer.pids == ()
        child.go()
        assert child.status() == 7
    """)


def test_the_deadline_ends_it_though_there_is_always_more() -> None:
    script("""
        def work():
            while True:
                os.getppid()
        child = Child(work)
        with Tracer() as tracer:
            tracer.attach(child.pid)
            child.go()
            assert tracer.follow(calls.append, never, 0.1) is False
            os.kill(child.pid, signal.SIGTERM)
            assert tracer.follow(calls.append, never, 30, on_exit)
        assert exits == [(child.pid, -signal.SIGTERM)]
    """)


def test_let_go_in_the_middle_of_its_work() -> None:
    script("""
        def work():
            for _ in range(2000):
                os.getppid()
            os._exit(5)
        child = Child(work)
        with Tracer() as tracer:
            tracer.attach(child.pid)
            child.go()
            assert tracer.follow(calls.append, lambda: len(calls) >= 100, 30)
            assert len(calls) == 100
        assert child.status() == 5
    """)


def test_an_error_in_the_callback_leaves_nobody_standing() -> None:
    script("""
        def work():
            os._exit(3)
        child = Child(work)
        def on_call(call):
            raise KeyError("mine")
        try:
            with Tracer() as tracer:
                tracer.attach(child.pid)
                child.go()
                tracer.follow(on_call, never, 30)
        except KeyError:
            assert child.status() == 3
        else:
            raise AssertionError("the error was lost")
    """)


def test_signals_reach_their_process() -> None:
    script("""
        def work():
            got = []
            signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
            for _ in range(5):
                os.kill(os.getpid(), signal.SIGUSR1)
            os._exit(len(got))
        child = Child(work)
        with Tracer() as tracer:
            tracer.attach(child.pid)
            child.go()
            assert tracer.follow(calls.append, never, 30, on_exit)
        assert exits == [(child.pid, 5)]
    """)


@pytest.mark.parametrize("let_go_first", [False, True])
def test_a_stopped_one_stays_stopped_until_it_is_continued(let_go_first: bool) -> None:
    script(f"""
        def work():
            os.kill(os.getpid(), signal.SIGSTOP)
            os.getppid()
            os._exit(4)
        child = Child(work)
        with Tracer() as tracer:
            tracer.attach(child.pid)
            child.go()
            def stopping():
                return bool(calls) and calls[-1].name == "kill" and not calls[-1].entry
            assert tracer.follow(calls.append, stopping, 30)
            assert tracer.follow(calls.append, never, 0.2) is False
            assert stopping()  # nothing came after it
            if {let_go_first}:
                tracer.detach_all()
                os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)  # until it is stopped
                os.kill(child.pid, signal.SIGCONT)
            else:
                os.kill(child.pid, signal.SIGCONT)
                assert tracer.follow(calls.append, never, 30)
                assert "getppid" in [call.name for call in calls]
        assert child.status() == 4
    """)


def test_execve_is_followed() -> None:
    script("""
        def work():
            os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", "import os; os._exit(6)"])
        child = Child(work)
        with Tracer() as tracer:
            tracer.attach(child.pid)
            child.go()
            assert tracer.follow(calls.append, never, 30, on_exit)
        assert exits == [(child.pid, 6)]
        (done,) = [call for call in calls if call.name == "execve" and call.result == 0]
    """)


def test_no_tracee_outlives_its_tracer() -> None:
    script("""
        reading, writing = os.pipe()
        tracer_pid = os.fork()
        if tracer_pid == 0:
            child = Child(lambda: time.sleep(60))
            tracer = Tracer()
            tracer.attach(child.pid)
            os.write(writing, str(child.pid).encode())
            os._exit(0)
        os.close(writing)
        os.waitpid(tracer_pid, 0)
        assert os.read(reading, 10).isdigit()
        assert os.read(reading, 10) == b""  # the child held the other end, and is gone
    """)


def test_a_handler_of_sigchld_hears_of_it() -> None:
    script("""
        heard = []
        signal.signal(signal.SIGCHLD, lambda *_: heard.append(1))
        child, other = Child(never), Child(never)
        with Tracer() as tracer:
            tracer.attach(child.pid)
            os.kill(other.pid, signal.SIGKILL)
            tracer.follow(calls.append, never, 0.1)
        assert heard
        assert signal.SIGCHLD not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        assert other.status() == -signal.SIGKILL  # nobody else's child is reaped
    """)


def test_one_that_is_not_there() -> None:
    script("""
        child = Child(never)
        child.go()
        assert child.status() == 0
        try:
            Tracer().attach(child.pid)
        except LabkitError as error:
            assert f"process {child.pid} cannot be traced (No such process)" in str(error)
        else:
            raise AssertionError("no error")
    """)


def test_one_that_was_reaped_elsewhere() -> None:
    script("""
        child = Child(never)
        with Tracer() as tracer:
            tracer.attach(child.pid)
            os.kill(child.pid, signal.SIGKILL)
            child.status()
            try:
                tracer.follow(calls.append, never, 30)
            except LabkitError as error:
                assert "waited for elsewhere" in str(error)
            else:
                raise AssertionError("no error")
    """)


def test_a_seccomp_filter_is_named_with_its_remedy() -> None:
    script("""
        import ctypes, errno, platform, struct
        from labkit.kernel.trace import why_not
        assert why_not() is None
        # seccomp(2): load the call's number; is it ptrace? then EPERM, else allow it.
        number = 101 if platform.machine() == "x86_64" else 117
        program = b"".join(struct.pack("HBBI", *line) for line in [
            (0x20, 0, 0, 0),
            (0x15, 0, 1, number),
            (0x06, 0, 0, 0x00050000 | errno.EPERM),
            (0x06, 0, 0, 0x7FFF0000),
        ])
        code = ctypes.create_string_buffer(program)
        class Program(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
        libc = ctypes.CDLL(None)
        libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
        assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
        told = Program(4, ctypes.addressof(code))
        assert libc.prctl(22, 2, ctypes.addressof(told), 0, 0) == 0  # PR_SET_SECCOMP
        reason = why_not()
        assert reason is not None
        assert "seccomp" in reason and "--cap-add=SYS_PTRACE" in reason
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pass  # nothing is left behind
        else:
            raise AssertionError("a child is left")
    """)


@pytest.mark.parametrize(
    ("header", "architecture"),
    [
        ("x86_64-linux-gnu/asm/unistd_64.h", 0xC000003E),
        ("asm-generic/unistd.h", 0xC00000B7),
    ],
)
def test_names_are_those_of_the_kernels_headers(header: str, architecture: int) -> None:
    path = Path("/usr/include") / header
    if not path.exists():
        pytest.skip("the kernel's headers are not installed")
    numbers = {
        name: int(number)
        for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text())
    }
    numbers.setdefault("newfstatat", numbers.get("fstatat", -1))
    for number, name in trace._NAMES[architecture].items():
        assert numbers[name] == number, name
