"""What the tests of the measuring part share: worlds of their own for scripts that fork.

The process of pytest has threads and must not fork. Whatever forks runs as a script in a clean
process, in a small world (`world.py`) that tells what it left behind; `bench.py` is what scripts
measure with.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).resolve().parent

# How long an example takes is a matter of the machine and of who else is on it.
settings.register_profile("labkit", deadline=None)
settings.load_profile("labkit")

# A shell's background job has SIGINT ignored, nohup's SIGHUP too, and both are inherited: what is
# started here is to be interruptible whichever way the tests were started. signal(7)
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(number) == signal.SIG_IGN:
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)
NOBODY = 65534


@dataclass(frozen=True)
class Done:
    """How a script ended, and what it left."""

    status: int
    out: str
    err: str
    left: list[str]  # kernel objects, files in its temporary folder, processes


@dataclass
class World:
    """Runs scripts, each in namespaces of its own, with a temporary folder of its own."""

    folder: Path
    number: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def run(
        self,
        script: str,
        *,
        user: int | None = None,
        shm_bytes: int = 1 << 28,
        temporary_bytes: int | None = None,
        sysctl: dict[str, int] | None = None,
        grace_s: float = 0.0,
        timeout_s: float = 900.0,
    ) -> Done:
        """Run a script and look at what it left.

        Args:
            user: whose rights it has, by number; this needs a privileged user to start from.
            shm_bytes: how large its /dev/shm is.
            temporary_bytes: how large its temporary folder is; None for as large as the disk.
            sysctl: settings of its own, such as {"kernel.shmmni": 0}.
            grace_s: how long its processes may go on after it.
        """
        self.number += 1
        here = self.folder / str(self.number)
        temporary, queues = here / "tmp", here / "mqueue"
        here.mkdir()
        for each in (temporary, queues):
            each.mkdir()
            each.chmod(0o1777)
        # A ledger of its own: what a killed helper leaves in namespaces that are gone is nobody's.
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        state.chmod(0o1777)
        place = here / "settings.json"
        special = bool(sysctl or temporary_bytes or shm_bytes != 1 << 28)
        settings = {
            "user": user,
            "shm_bytes": shm_bytes,
            "temporary_bytes": temporary_bytes,
            "sysctl": sysctl or {},
            "grace_s": grace_s,
            "temporary": str(temporary),
            "queues": str(queues),
            "needs_namespaces": special,
            "reach": [sys.base_prefix, sys.prefix, str(TESTS.parent)],
            "kept": str(here / "kept"),
        }
        place.write_text(json.dumps(settings))
        done = subprocess.run(
            [
                *(sys.executable, "-I", str(TESTS / "world.py"), str(place)),
                *(sys.executable, "-c", textwrap.dedent(script)),
            ],
            env=os.environ
            | {"TMPDIR": str(temporary), "PYTHONPATH": f"{TESTS.parent}:{TESTS}", "LC_ALL": "C"}
            | {"PYTHONDONTWRITEBYTECODE": "1", "QUEUES": str(queues)}
            | {"XDG_STATE_HOME": str(state)}
            | self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        told = json.loads(place.read_text())
        if told.get("refused"):
            pytest.skip(told["refused"])
        assert "left" in told, done.stderr
        return Done(done.returncode, done.stdout, done.stderr, told["left"])

    def passes(self, script: str, **how: object) -> str:
        """Run a script that asserts and must leave nothing: what it printed."""
        done = self.run(script, **how)  # type: ignore[arg-type]
        assert done.status == 0, done.err
        assert done.left == [], done.err
        return done.out


@pytest.fixture
def world() -> Iterator[World]:
    """A place to run scripts in."""
    folder = Path(tempfile.mkdtemp(prefix="world-"))
    folder.chmod(0o755)  # another user's scripts have to get in
    yield World(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def module_world() -> Iterator[World]:
    """The same, for a script that serves all tests of a file."""
    folder = Path(tempfile.mkdtemp(prefix="world-"))
    folder.chmod(0o755)
    yield World(folder)
    shutil.rmtree(folder)


@pytest.fixture
def another_user() -> int:
    """The number of a user without rights that a process of ours can become; skips if none."""
    ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    mapped = any(int(start) <= NOBODY < int(start) + int(count) for start, _, count in ranges)
    if os.getuid() != 0 or not mapped:
        pytest.skip("only root can become another user")
    return NOBODY


@pytest.fixture
def other_user(world: World, another_user: int) -> Callable[[], World]:
    """A world that a user without rights can run labkit in; skips where there cannot be one."""

    def make() -> World:
        if world.run("import labkit, numba", user=another_user).status != 0:
            pytest.skip("another user cannot reach this Python")
        cache = world.folder / "cache"
        cache.mkdir()
        os.chown(cache, another_user, another_user)
        world.environment = {"XDG_CACHE_HOME": str(cache), "HOME": "/nonexistent"}
        return world

    return make
