"""A session with the helper process, from the side of whoever wants something measured.

The notebook's own process has threads and must never fork; it starts the helper afresh
(fork and exec in one step, by subprocess) and reads what the helper says.
"""

import contextlib
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from labkit.errors import LabkitError, RequestError
from labkit.kernel.standard_streams import occupy

# The helper forks, so it must not have threads: these libraries would start some on import.
SINGLE_THREADED = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
LEAST_DESCRIPTORS = 32  # that this process and its helper have to be allowed, getrlimit(2)
FAREWELL_S = 30.0  # for the helper to take down its ends and remove its objects


class HelperDied(LabkitError):
    """The helper ended in the middle; `status` is its exit status, or minus a signal's number."""

    def __init__(self, said: str, status: int) -> None:
        super().__init__(said)
        self.status = status

    def while_trying(self, file: str, doing: str) -> LabkitError:
        """The same, told of a mechanism of somebody's own, over which the helper died.

        Args:
            doing: what it was at, as `labkit.harness.rehearsal` has told.
        """
        if self.status == -signal.SIGALRM:
            return LabkitError(f"{file}: it did not come to its end while {doing}.")
        if self.status < 0:
            killed = f"was killed by {signal.Signals(-self.status).name}"
            if self.status == -signal.SIGKILL:
                killed += ", as it came to no end or memory ran out,"
            return LabkitError(f"{file}: its process {killed} while {doing}.")
        return LabkitError(f"{file}: its process left with status {self.status} while {doing}.")


class Session:
    """Starts a helper with a plan and yields its events; leaving it, in whatever way, ends it.

    Args:
        plan: see `labkit.harness.compare`, which makes it, and `labkit.harness.helper`.
        module: what the helper runs.
    """

    def __init__(self, plan: dict[str, Any], module: str = "labkit.harness.helper") -> None:
        self._plan = plan
        self._module = module

    def __enter__(self) -> "Session":
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if 0 <= most < LEAST_DESCRIPTORS:
            raise LabkitError(
                f"a process may have only {most} files open here, and labkit needs"
                f" {LEAST_DESCRIPTORS}: raise that with `ulimit -n 1024`."
            )
        occupy()  # or the socket might become the helper's standard input
        try:
            self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._start(theirs)
            except BaseException:  # an interrupt too: what was started sees that nobody listens
                self._ours.close()
                raise
        except OSError as error:
            raise LabkitError(_not_started(error)) from error
        return self

    def _start(self, theirs: socket.socket) -> None:
        # A pipe could fill up and hold the helper.
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  closed on leaving
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                # A terminal's Ctrl-C must not reach the ends: the helper takes them down in order.
                start_new_session=True,
                env=os.environ | SINGLE_THREADED,
            )
        self._lines = self._ours.makefile("rw", encoding="utf-8", newline="\n")

    @property
    def pid(self) -> int:
        """The process id of the helper."""
        return self._process.pid

    def events(self) -> Iterator[dict[str, Any]]:
        """What the helper says, event by event, until it is done.

        Raises:
            LabkitError: it died, or could not go on.
        """
        try:
            self._lines.write(json.dumps(self._plan) + "\n")
            self._lines.flush()
            for line in self._lines:
                event: dict[str, Any] = json.loads(line)
                if event["event"] == "done":
                    return
                if event["event"] == "error":
                    wrong = event.get("wrong") == "request"
                    raise (RequestError if wrong else LabkitError)(event["reason"])
                yield event
        except OSError:
            pass  # a reset connection: the helper is dead, which is told below
        status = self._farewell()
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip().splitlines()
        last = f": {said[-1]}" if said else ""
        raise HelperDied(f"the helper process {_how(status)} in the middle{last}.", status)

    def go(self) -> None:
        """Let it measure: due once after its event `ready`."""
        self._lines.write("\n")
        self._lines.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # a dead helper did not take all that was written
            self._lines.close()
        self._ours.close()  # hanging up is the signal to stop
        self._farewell()
        self._complaints.close()

    def _farewell(self) -> int:
        """Wait for the helper to leave by itself, but not for ever: how it ended."""
        try:
            return self._process.wait(FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _how(status: int) -> str:
    """How a process ended, from its exit status or minus the number of a signal."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal has a number only, signal(7)
        return f"was killed by signal {-status}"


def _not_started(error: OSError) -> str:
    remedy = {
        errno.EAGAIN: ": you have as many processes as you may; end some, or raise `ulimit -u`",
        errno.EMFILE: ": too many files are open in this process; raise `ulimit -n`",
        errno.ENOSPC: ": the temporary folder is full; make room there, or set TMPDIR to another",
    }.get(error.errno or 0, "")
    return f"the helper process could not be started ({error.strerror or error}){remedy}."
