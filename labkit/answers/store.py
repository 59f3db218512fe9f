"""A student's answers: a small file of theirs, kept across reruns, whole at every moment.

`answers.json` in the user's data folder (`$XDG_DATA_HOME/labkit` or `~/.local/share/labkit`, XDG
Base Directory Specification) belongs to the user, not to a checkout or a kernel. Of each question
it keeps the first answer, the later ones, and what was then observed, each with its time (UTC).

Two notebooks may write at once: whoever writes holds a lock (flock(2)) from reading to renaming.
Where nothing can be written, answers are kept in memory for as long as Python runs, and `notice`
says so.
"""

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit.answers.question import Given
from labkit.whole_file import put

FORMAT = 1
MOST_BYTES = 4 << 20
MOST_LATER = 200  # revisions of one answer that are kept
LOCK_S = 5.0  # a lock is held for milliseconds; longer means its holder was stopped

Record = dict[str, Any]

_in_memory: Record | None = None


def data_folder() -> Path:
    """Where labkit keeps what belongs to this user.

    Raises:
        OSError: the user has no home folder.
    """
    base = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(base):  # the specification says to ignore any other
        return Path(base, "labkit")
    try:
        return Path.home() / ".local" / "share" / "labkit"
    except RuntimeError as error:
        raise OSError(errno.ENOENT, "there is no home folder") from error


def answers_file() -> Path:
    """The file with this user's answers; it need not exist."""
    return data_folder() / "answers.json"


class Store:
    """This user's answers; what cannot be written is kept in memory."""

    def __init__(self) -> None:
        """Nothing is read before it is asked for."""
        self.notice = ""  # what the user should know of the file, one sentence

    def read(self) -> Record:
        """All that is kept: {"questions": {id: ...}, "exercises": {id: ...}}."""
        if _in_memory is not None:
            return _in_memory
        try:
            return _parse(answers_file())
        except FileNotFoundError:
            return _empty()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            self.notice = f"Your answers in {answers_file()} cannot be read: {why}."
            return _empty()

    def of(self, id: str) -> Record | None:
        """What is kept of a question: "first", "later" and, once revealed, "seen"."""
        found = self.read()["questions"].get(id)
        return found if isinstance(found, dict) and isinstance(found.get("first"), dict) else None

    def commit(self, id: str, given: Given) -> Record:
        """Keep an answer: as the first, or as a revision if it differs from the latest."""
        new = {"answer": given, "at": _now()}

        def change(kept: Record) -> None:
            entry = kept["questions"].setdefault(id, {})
            if not isinstance(entry.get("first"), dict):
                entry["first"], entry["later"] = new, []
                return
            later = entry.get("later")
            if not isinstance(later, list) or not all(isinstance(each, dict) for each in later):
                later = entry["later"] = []  # somebody has edited the file
            latest = later[-1] if later else entry["first"]
            if latest.get("answer") != _plain(given):
                entry["later"] = [*later, new][-MOST_LATER:]

        self._change(change)
        return self.of(id) or {"first": new, "later": []}

    def see(self, id: str, facts: Record) -> None:
        """Keep what was observed: the first time that it was held against an answer, and last."""

        def change(kept: Record) -> None:
            entry = kept["questions"].setdefault(id, {})
            entry["seen_last"] = {"facts": facts, "at": _now()}
            entry.setdefault("seen", entry["seen_last"])

        self._change(change)

    def attempt(self, id: str, passed: bool) -> Record:
        """Keep that an exercise was checked, and since when it is solved."""

        def change(kept: Record) -> None:
            entry = kept["exercises"].setdefault(id, {"tries": 0, "passed": None})
            tries = entry.get("tries")
            entry["tries"] = (tries if isinstance(tries, int) else 0) + 1
            if passed and not entry.get("passed"):
                entry["passed"] = _now()

        self._change(change)
        found: Record = self.read()["exercises"].get(id, {})
        return found

    def _change(self, change: Callable[[Record], None]) -> None:
        global _in_memory
        if _in_memory is None:
            try:
                path = answers_file()
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with _locked(path.with_name("answers.lock")):
                    kept = self._read_or_set_aside(path)
                    change(kept)
                    put(path, json.dumps(kept, indent=1, sort_keys=True) + "\n")
                return
            except OSError as error:
                _in_memory = self.read()
                self.notice = (
                    f"Your answers cannot be kept in a file ({error.strerror or error}), so they"
                    " last only until this kernel stops; set XDG_DATA_HOME to a folder that you"
                    " can write to."
                )
        change(_in_memory)
        _in_memory.update(_plain(_in_memory))

    def _read_or_set_aside(self, path: Path) -> Record:
        """What the file holds; one that cannot be read is renamed, not overwritten."""
        try:
            return _parse(path)
        except FileNotFoundError:
            return _empty()
        except ValueError as error:
            aside = path.with_name(f"answers.damaged-{time.time_ns()}.json")
            os.rename(path, aside)
            self.notice = f"Your answers' file could not be read ({error}); it is now {aside}."
            return _empty()


def _empty() -> Record:
    return {"labkit answers": FORMAT, "questions": {}, "exercises": {}}


def _parse(path: Path) -> Record:
    # A FIFO of that name would keep whoever opens it waiting.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        data = file.read(MOST_BYTES + 1)
    return parse(data)


def parse(data: bytes) -> Record:
    """Answers as they stand in a file.

    Raises:
        ValueError: they are none; says why.
    """
    if len(data) > MOST_BYTES:
        raise ValueError("it is too large")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not whole JSON") from None
    if not isinstance(found, dict) or "labkit answers" not in found:
        raise ValueError("it holds no answers of labkit")
    if found["labkit answers"] != FORMAT:
        raise ValueError("another version of labkit wrote it")
    for part in ("questions", "exercises"):
        entries = found.setdefault(part, {})
        if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
            raise ValueError(f"its {part} are damaged")
    return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock; a file system without locks is gone without."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError(errno.EBUSY, "another notebook holds its lock") from None
                time.sleep(0.005)
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
                break
        yield
    finally:
        os.close(descriptor)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    """As it will read once it has been through the file: tuples become lists."""
    return json.loads(json.dumps(value))
