"""A session with the helper process, from the side of whoever wants something measured.

The notebook's own process has threads and must never fork; it starts the helper afresh
(fork and exec in one step, by subprocess) and reads what the helper says.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from labkit.errors import LabkitError

# The helper forks, so it must not have threads: these libraries would start some on import.
SINGLE_THREADED = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
FAREWELL_S = 10.0  # for the helper to take down its ends and remove its objects


class Session:
    """Starts a helper with a plan and yields its events; leaving it, in whatever way, ends it.

    Args:
        plan: see `labkit.harness.compare`, which makes it, and `labkit.harness.helper`.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan

    def __enter__(self) -> "Session":
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._complaints = tempfile.TemporaryFile()  # a pipe could fill up and hold the helper
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "labkit.harness.helper", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                # A terminal's Ctrl-C must not reach the ends: the helper takes them down in order.
                start_new_session=True,
                env=os.environ | SINGLE_THREADED,
            )
        self._lines = self._ours.makefile("rw", encoding="utf-8", newline="\n")
        return self

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
                    raise LabkitError(event["reason"])
                yield event
        except OSError:
            pass  # a reset connection: the helper is dead, which is told below
        status = self._process.wait(FAREWELL_S)
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip().splitlines()
        last = f": {said[-1]}" if said else ""
        raise LabkitError(f"the helper process ended with status {status} in the middle{last}.")

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
        try:
            self._process.wait(FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._complaints.close()
