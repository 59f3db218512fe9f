"""Chromium without a window, driven over a pair of pipes by its DevTools protocol.

No driver, no port that somebody else could connect to; and no network: every name fails to
resolve. Chromium reads commands from its descriptor 3 and writes to 4, JSON ended by zero bytes.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labkit.errors import LabkitError

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ANSWER_S, END_S = 60.0, 20.0
SWITCHES = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # /dev/shm is for what is measured
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)


def chromium() -> str:
    """Where Chromium is.

    Raises:
        LabkitError: it is not installed.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise LabkitError(
            "a PDF is printed by Chromium, which is not installed (Debian, Ubuntu: sudo apt install"
            " chromium); or open the deck in any browser, add ?print-pdf to its address and print."
        )
    return found


class Page:
    """A page of the browser: the one that it opened, or another that this one has opened."""

    def __init__(self, commands: int, events: int) -> None:
        """Attach to the page that the browser opened."""
        self._commands, self._events = commands, events
        self._unread = b""
        self._number = 0
        self._session: str | None = None
        self.turn_to("")

    def turn_to(self, title: str) -> bool:
        """Speak to the first page whose title begins so from now on; False if there is none."""
        before, self._session = self._session, None
        pages = self.call("Target.getTargets")["targetInfos"]
        for page in pages:
            if page["type"] == "page" and page["title"].startswith(title):
                target = page["targetId"]
                attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
                self._session = attached["sessionId"]
                return True
        self._session = before
        return False

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; events are passed over.

        Raises:
            LabkitError: the browser refused, fell silent or ended.
        """
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        try:
            os.write(self._commands, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise LabkitError("Chromium has ended before its time.") from None
        while (reply := self._receive()).get("id") != self._number:
            pass
        if "error" in reply:
            raise LabkitError(f"Chromium refused {method} ({reply['error'].get('message')}).")
        result: dict[str, Any] = reply["result"]
        return result

    def value(self, script: str) -> Any:
        """The value of a JavaScript expression, promises awaited; None if it throws."""
        reply = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        return reply["result"].get("value") if "exceptionDetails" not in reply else None

    def wait_for(self, script: str, seconds: float, wanted: str) -> None:
        """Wait until an expression is true.

        Raises:
            LabkitError: it did not become true in time.
        """
        deadline = time.monotonic() + seconds
        while not self.value(script):
            if time.monotonic() > deadline:
                raise LabkitError(f"after {seconds:g} s in Chromium still not: {wanted}.")
            time.sleep(0.05)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._events], [], [], ANSWER_S)
            read = os.read(self._events, 1 << 20) if ready else b""
            if not read:
                what = "has ended before its time" if ready else f"was silent for {ANSWER_S:g} s"
                raise LabkitError(f"Chromium {what}.")
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\0")
        reply: dict[str, Any] = json.loads(message)
        return reply


@contextmanager
def browser() -> Iterator[Page]:
    """A fresh Chromium with one empty page; it and its files are gone afterwards.

    Raises:
        LabkitError: it is not installed, or does not start.
    """
    switches = [*SWITCHES, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with tempfile.TemporaryDirectory(prefix="labkit-", ignore_cleanup_errors=True) as folder:
        switches.append(f"--user-data-dir={folder}")
        theirs_in, commands = os.pipe()
        events, theirs_out = os.pipe()
        redirect = f'exec "$@" 3</proc/self/fd/{theirs_in} 4>/proc/self/fd/{theirs_out}'
        process = None
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", redirect, "sh", chromium(), *switches, "about:blank"],
                pass_fds=(theirs_in, theirs_out),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ | {"TMPDIR": folder},  # what it leaves there goes with the rest
            )
            os.close(theirs_in)
            os.close(theirs_out)
            yield Page(commands, events)
        finally:
            if process is not None:
                _end(process)
            os.close(commands)
            os.close(events)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the browser and whatever it started, all in a session of its own."""
    for polite in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, polite)
        except ProcessLookupError:
            break
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
