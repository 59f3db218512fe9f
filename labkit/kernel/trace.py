"""Which system calls a process makes, in order, seen from outside and without privilege. ptrace(2)

The kernel stops a traced process at the entry and at the exit of every system call and tells its
tracer, which looks and lets it go on. That costs microseconds per stop and changes who has to
wait: a trace counts and orders calls, it doesn't time them.

A process may trace its own children, which is all labkit needs. All calls of one Tracer must come
from the thread that attached: the kernel knows tracers by thread.
"""

import contextlib
import ctypes
import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

from labkit.errors import LabkitError
from labkit.kernel.cpus import kernel_text

# Each system call's name and number on x86-64 and in the generic table, which arm64 and RISC-V
# use: asm/unistd_64.h and asm-generic/unistd.h.
_TABLE = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, open 2 -,
openat 257 56, close 3 57, dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59,
fcntl 72 25, ioctl 16 29, lseek 8 62, fstat 5 80, newfstatat 262 79, ftruncate 77 46,
vmsplice 278 75, unlink 87 -, unlinkat 263 35, mknodat 259 33, fsync 74 82,
poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create1 291 20, epoll_ctl 233 21,
epoll_wait 232 -, epoll_pwait 281 22, eventfd2 290 19, memfd_create 319 279,
socket 41 198, socketpair 53 199, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
connect 42 203, getsockname 51 204, setsockopt 54 208, getsockopt 55 209, shutdown 48 210,
sendto 44 206, recvfrom 45 207, sendmsg 46 211, recvmsg 47 212,
msgget 68 186, msgsnd 69 189, msgrcv 70 188, msgctl 71 187, semget 64 190, semop 65 193,
semtimedop 220 192, semctl 66 191, shmget 29 194, shmat 30 196, shmdt 67 197, shmctl 31 195,
mq_open 240 180, mq_unlink 241 181, mq_timedsend 242 182, mq_timedreceive 243 183,
mq_notify 244 184, mq_getsetattr 245 185,
mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216, msync 26 227, madvise 28 233,
mlock 149 228, brk 12 214, process_vm_readv 310 270, process_vm_writev 311 271,
futex 202 98, sched_yield 24 124, sched_setaffinity 203 122, sched_getaffinity 204 123,
clock_gettime 228 113, clock_nanosleep 230 115, nanosleep 35 101, getrusage 98 165,
restart_syscall 219 128,
clone 56 220, clone3 435 435, fork 57 -, vfork 58 -, execve 59 221, execveat 322 281,
wait4 61 260, waitid 247 95, exit 60 93, exit_group 231 94, kill 62 129, tgkill 234 131,
getpid 39 172, getppid 110 173, gettid 186 178, getuid 102 174,
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigtimedwait 128 137,
prctl 157 167, pidfd_open 434 434, getrandom 318 278,
"""
_ROWS = [row.split() for row in _TABLE.split(",") if row.strip()]
_GENERIC = {int(generic): name for name, _, generic in _ROWS if generic != "-"}
_NAMES = {  # by the kernel's number for the architecture of a call: AUDIT_ARCH_*, linux/audit.h
    0xC000003E: {int(number): name for name, number, _ in _ROWS},  # x86-64
    0xC00000B7: _GENERIC,  # arm64
    0xC00000F3: _GENERIC,  # RISC-V
}

# linux/ptrace.h
_DETACH = 17
_SYSCALL = 24
_SEIZE = 0x4206
_INTERRUPT = 0x4207
_LISTEN = 0x4208
_GET_SYSCALL_INFO = 0x420E
_EVENT_STOP = 128
_ENTRY, _EXIT = 1, 2
# Mark the stops at system calls (TRACESYSGOOD); no tracee outlives its tracer (EXITKILL).
_OPTIONS = 1 | 1 << 20
_AT_A_CALL = signal.SIGTRAP | 0x80
_STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}

_WALL = 0x40000000  # wait for threads too: waitpid(2), __WALL
_LOOK = 0.02  # seconds after which until() is asked again though nothing happened
_PATIENCE = 5.0  # seconds for a process to stop when it is told to

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


class _Info(ctypes.Structure):
    """struct ptrace_syscall_info: the same on every architecture. Since Linux 5.3."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("value", ctypes.c_int64),  # the call's number at its entry, its result at its exit
        ("args", ctypes.c_uint64 * 6),  # at the entry only
    )


class SystemCall(NamedTuple):
    """One end of one system call.

    Attributes:
        pid: who made it.
        number, name: which; "syscall_N" where this file has no name for it.
        args: its six registers as unsigned numbers, used by the call or not.
        result: at the exit, what the kernel returned: -errno where it refused. -512 to -516 say
            that a signal came in between and the call is about to be made again. None at the entry.
        order: counts all entries and exits of all tracees, as the tracer saw them. A call's entry
            always comes before everything that the call brings about, in other processes too; two
            exits that nothing orders may come either way.
        entry: True at the entry, False at the exit.
    """

    pid: int
    number: int
    name: str
    args: tuple[int, ...]
    result: int | None
    order: int
    entry: bool


class Tracer:
    """Traces some processes until it is closed; use it in a `with`, which detaches from all.

    Only the processes attached to are traced, not their later children. The dead are reported but
    not reaped: whoever forked them still reads their status with waitpid(2), as without a tracer.
    While a method runs, SIGCHLD is held back: the kernel sends it at each stop.
    """

    def __init__(self) -> None:
        # By process, in the order in which they are looked at: the call it is inside of.
        self._inside: dict[int, SystemCall | None] = {}
        self._order = 0
        self._info = _Info()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach_all()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that are traced now."""
        return tuple(self._inside)

    def attach(self, pid: int) -> None:
        """Trace a process from now on; it is best asleep in read(2), told to start afterwards.

        It is stopped once, wherever it is. A call that it slept in is made anew, and is seen, or,
        if it is one of those that a stop ends with EINTR, is ended: signal(7), "Interruption of
        system calls and library functions by stop signals". From its next call on it waits for
        `follow`.

        Raises:
            LabkitError: there is no such process, or tracing it is refused (see `why_not`).
        """
        with _child_signals_held():
            try:
                _ptrace(_SEIZE, pid, 0, _OPTIONS)  # doesn't stop it
                self._inside[pid] = None
                _ptrace(_INTERRUPT, pid)
            except OSError as error:
                self._inside.pop(pid, None)
                raise LabkitError(
                    f"process {pid} cannot be traced ({error.strerror}); `labkit doctor` says "
                    "whether tracing is possible here at all"
                ) from error
            event = _await(pid)
            if event is None:
                raise LabkitError(
                    f"process {pid} was told to stop and did not within {_PATIENCE:.0f} s; it may "
                    "be waiting for a disk: try again"
                )
            if not _is_dead(event):  # follow() reports the dead
                _restart(pid, event)

    def follow(
        self,
        on_call: Callable[[SystemCall], None],
        until: Callable[[], bool],
        timeout_s: float,
        on_exit: Callable[[int, int], None] | None = None,
    ) -> bool:
        """Let the tracees run, and report every system call, until enough is seen.

        Args:
            on_call: is given each entry and each exit while that process stands still.
            until: ends it when true; asked after every event and 50 times a second.
            timeout_s: ends it in any case.
            on_exit: is given the pid and the wait status, as of waitpid(2), of a process that
                ended or was killed; it is not traced any more then.

        Returns:
            True when `until` was true or no tracee is left, False when the time was up. Those left
            wait at their next system call for another `follow` or for `detach_all`.

        Raises:
            LabkitError: the kernel is older than 5.3, or somebody else reaped a tracee.
        """
        deadline = time.monotonic() + timeout_s
        with _child_signals_held():
            while self._inside and not until():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                for pid in self._inside:
                    if event := self._look(pid):
                        # The last to be looked at next time, so that nobody is kept waiting.
                        self._inside[pid] = self._inside.pop(pid)
                        self._serve(pid, event, on_call, on_exit)
                        break
                else:
                    # A stop since the look has left SIGCHLD pending, which ends this at once.
                    signal.sigtimedwait({signal.SIGCHLD}, min(left, _LOOK))
        return True

    def detach_all(self) -> None:
        """Let all tracees go on untraced.

        Raises:
            LabkitError: one would not stop, without which it cannot be let go; the others are.
        """
        stuck: list[int] = []
        with _child_signals_held():
            for pid in self.pids:
                del self._inside[pid]
                try:
                    _ptrace(_INTERRUPT, pid)
                    if (event := _await(pid)) is None:
                        stuck.append(pid)
                    elif not _is_dead(event):
                        _ptrace(_DETACH, pid, 0, _signal_to_deliver(event))
                except (ProcessLookupError, ChildProcessError):
                    continue  # it died meanwhile
        if stuck:
            raise LabkitError(
                f"process {stuck[0]} does not stop and stays traced until labkit ends"
            )

    def _look(self, pid: int) -> os.waitid_result | None:
        try:
            return _event(pid)
        except ChildProcessError as error:
            del self._inside[pid]
            raise LabkitError(
                f"process {pid} was waited for elsewhere while it was traced; wait after that"
            ) from error

    def _serve(
        self,
        pid: int,
        event: os.waitid_result,
        on_call: Callable[[SystemCall], None],
        on_exit: Callable[[int, int], None] | None,
    ) -> None:
        if _is_dead(event):
            del self._inside[pid]
            if on_exit:
                on_exit(pid, _wait_status(event))
            return
        try:
            if event.si_status == _AT_A_CALL and (call := self._call(pid)):
                on_call(call)
        finally:  # even when on_call raises: a process is never left standing
            _restart(pid, event)

    def _call(self, pid: int) -> SystemCall | None:
        """The system call at whose entry or exit a process stands; None if it was just killed."""
        info = self._info
        try:
            _ptrace(_GET_SYSCALL_INFO, pid, ctypes.sizeof(info), ctypes.addressof(info))
        except ProcessLookupError:
            return None
        except OSError as error:
            raise LabkitError("Linux 5.3 or newer is needed to trace system calls") from error
        self._order += 1
        if info.op == _ENTRY:
            name = _NAMES.get(info.arch, {}).get(info.value, f"syscall_{info.value}")
            call = SystemCall(pid, info.value, name, tuple(info.args), None, self._order, True)
            self._inside[pid] = call
            return call
        entered, self._inside[pid] = self._inside[pid], None
        if info.op != _EXIT or entered is None:
            return None
        return entered._replace(result=info.value, order=self._order, entry=False)


def why_not() -> str | None:
    """Why system calls cannot be traced here and what to do, in one sentence; None if they can.

    Tried for real, on a small child made for it.
    """
    reading, writing = os.pipe()
    child = 0
    seen: list[SystemCall] = []
    try:
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", "import os; os.read(0, 1)"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, reading, 0)],
        )
        with Tracer() as tracer:
            tracer.attach(child)
            tracer.follow(seen.append, until=lambda: len(seen) >= 2, timeout_s=_PATIENCE)
    except OSError as error:
        return (
            f"no process could be started to try it on ({error.strerror}); end some and try again"
        )
    except LabkitError as error:
        return _remedy(error)
    finally:
        os.close(reading)
        os.close(writing)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return None if seen else "a traced process shows no system calls here; try another kernel"


def _remedy(error: LabkitError) -> str:
    number = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
    scope = kernel_text(Path("/proc/sys/kernel/yama/ptrace_scope"))
    status = dict(
        line.split(":\t", 1)
        for line in (kernel_text(Path("/proc/self/status")) or "").splitlines()
        if ":\t" in line
    )
    if number == errno.EIO:
        return "the kernel is older than Linux 5.3 and does not tell a tracer the calls; update it"
    if scope == "3":
        return (
            "kernel.yama.ptrace_scope is 3, which forbids tracing until the machine is restarted; "
            "ask its administrator for 1"
        )
    if scope == "2":
        return (
            "kernel.yama.ptrace_scope is 2, which leaves tracing to administrators; "
            "ask for `sudo sysctl kernel.yama.ptrace_scope=1`"
        )
    if status.get("TracerPid", "0") != "0":
        return "labkit itself is being traced (strace, a debugger); run it without"
    if status.get("Seccomp") == "2":
        return (
            "a seccomp filter, as containers have, refuses ptrace; "
            "start the container with `--cap-add=SYS_PTRACE`"
        )
    if number == errno.ENOSYS:
        return "this system has no ptrace, as some sandboxes have none; run labkit outside of it"
    return f"tracing is refused, perhaps by a security module, ask the administrator: {error}"


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> None:
    if _libc.ptrace(request, pid, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def _child_signals_held() -> Iterator[None]:
    """Block SIGCHLD, so that one that comes between a look and the wait for it isn't lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if callable(signal.getsignal(signal.SIGCHLD)):
            signal.raise_signal(signal.SIGCHLD)  # of those taken here some were for this handler


def _event(pid: int) -> os.waitid_result | None:
    """What happened to a tracee, if anything; a stop is taken, a death is left to be reaped."""
    what = os.WSTOPPED | os.WNOHANG | _WALL
    event = os.waitid(os.P_PID, pid, what | os.WEXITED | os.WNOWAIT)
    if event and not _is_dead(event):
        os.waitid(os.P_PID, pid, what)
    return event


def _await(pid: int) -> os.waitid_result | None:
    """The next event of a tracee that was told to stop."""
    deadline = time.monotonic() + _PATIENCE
    while (event := _event(pid)) is None and time.monotonic() < deadline:
        signal.sigtimedwait({signal.SIGCHLD}, _LOOK)
    return event


def _is_dead(event: os.waitid_result) -> bool:
    return event.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED)


def _wait_status(event: os.waitid_result) -> int:
    """The status that waitpid(2) would give."""
    if event.si_code == os.CLD_EXITED:
        return event.si_status << 8
    return event.si_status | (0x80 if event.si_code == os.CLD_DUMPED else 0)


def _signal_to_deliver(event: os.waitid_result) -> int:
    """The signal that a process stopped for, which it has yet to get; 0 at any other stop."""
    return 0 if event.si_status >> 8 or event.si_status == _AT_A_CALL else event.si_status


def _restart(pid: int, event: os.waitid_result) -> None:
    # Stopped by SIGSTOP or Ctrl-Z, it must stay so until SIGCONT, and be watched: that is LISTEN.
    stopped = event.si_status >> 8 == _EVENT_STOP and event.si_status & 0xFF in _STOPPING
    with contextlib.suppress(ProcessLookupError):  # killed meanwhile; the next look will tell
        _ptrace(_LISTEN if stopped else _SYSCALL, pid, 0, _signal_to_deliver(event))
