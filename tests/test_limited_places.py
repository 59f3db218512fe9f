"""Limited places, each made for real: what can be measured there is, and the rest says why not.

Each comparison goes the whole way: asked for, helper process, ends, table.
"""

import os
import platform
import shutil
from collections.abc import Callable

import pytest
from conftest import World

from labkit.kernel.compiler import cache_folder

# Users of nobody else, so that no other process counts against their limits.
USER = 61000 + os.getpid() % 3000

BEGIN = """
    import ctypes, json, os, resource, struct, sys
    import labkit

    os.chdir(os.environ["TMPDIR"])
    REMEDY = ("ulimit", "sysctl", "shm-size", "sandbox", "TMPDIR", "ipcs", "RLIMIT")

    def compare(mechanisms="all", **more):
        asked = {"sizes": "64", "placements": "same-cpu", "waiting": "futex,posix_sem,sysv_sem"}
        run = labkit.compare(mechanisms, **asked | {"budget": 4, "progress": False} | more)
        rows = run.summary
        assert not (rows.status == "failed").any(), rows[rows.status == "failed"].to_dict("records")
        for row in rows[rows.status == "skipped"].to_dict("records"):
            assert any(word in row["reason"] for word in REMEDY), row
        return rows

    def skipped(rows):
        return {(row.mechanism, row.waiting) for row in rows[rows.status == "skipped"].itertuples()}
"""

NUMBERS = {
    "x86_64": {"shmget": 29, "mq_open": 240, "ptrace": 101, "perf_event_open": 298},
    "aarch64": {"shmget": 194, "mq_open": 180, "ptrace": 117, "perf_event_open": 241},
}

REFUSE = """
    def refuse(*numbers, error=1):
        '''Have these calls fail, with EPERM, in this and all later processes. seccomp(2)'''
        steps = [struct.pack("HBBI", 0x20, 0, 0, 0)]  # the call's number
        for number in numbers:
            steps += [struct.pack("HBBI", 0x15, 0, 1, number),
                      struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | error)]  # SECCOMP_RET_ERRNO
        steps.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
        program = ctypes.create_string_buffer(b"".join(steps))
        filter = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(program))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
        assert libc.prctl(22, 2, filter, 0, 0) == 0, ctypes.get_errno()  # PR_SET_SECCOMP
"""


@pytest.fixture
def numbers() -> dict[str, int]:
    """System calls by number, for a filter."""
    if platform.machine() not in NUMBERS:
        pytest.skip("no filter is written down for this processor")
    return NUMBERS[platform.machine()]


@pytest.fixture
def as_user(world: World, another_user: int) -> Callable[..., None]:
    """Run a script as a user of its own without rights, machine code at hand."""
    home = world.folder / "home"
    home.mkdir()
    compiled = cache_folder().parent
    if compiled.is_dir():
        shutil.copytree(compiled, home / "labkit")
    for each in (home, *home.rglob("*")):
        os.chown(each, USER, USER)
    world.environment = {"XDG_CACHE_HOME": str(home), "HOME": "/nonexistent"}

    def run(script: str, **how: object) -> None:
        if world.run("import labkit, numba", user=USER).status != 0:
            pytest.skip("another user cannot reach this Python")
        world.passes(script, user=USER, **how)

    return run


def test_64_megabytes_of_shared_memory(world: World) -> None:
    world.passes(
        BEGIN
        + """
    size = os.statvfs("/dev/shm")
    assert size.f_blocks * size.f_frsize == 64 << 20
    rows = compare(sizes="64,1M", waiting="futex")
    assert not {name for name, _ in skipped(rows)} & {"posix_shm", "memfd", "mmap_anon"}
    rows = compare("posix_shm,memfd,pipe", sizes="64,32M", waiting="futex", budget=8)
    large = rows[(rows.mechanism == "posix_shm") & (rows.message_size == 32 << 20)]
    assert set(large.status) == {"skipped"}, large.to_dict("records")
    assert all("--shm-size" in reason for reason in large.reason)
    assert set(rows.status[rows.mechanism != "posix_shm"]) == {"ok"}
    """,
        shm_bytes=64 << 20,
    )


def test_a_full_shared_memory_folder(world: World) -> None:
    world.passes(
        BEGIN
        + """
    with open("/dev/shm/others", "wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            pass
    rows = compare(waiting="futex")
    assert skipped(rows) == {("posix_shm", "futex")}, skipped(rows)
    os.unlink("/dev/shm/others")
    """,
        shm_bytes=1 << 20,
    )


def test_small_system_v_queues(as_user: Callable[..., None]) -> None:
    as_user(
        BEGIN
        + """
    rows = compare("sysv_mq,posix_mq,pipe", sizes="64,512,8192")
    queue = rows[rows.mechanism == "sysv_mq"].set_index(["pattern", "message_size"])
    for pattern in "latency", "throughput":
        assert queue.status[pattern, 64] == "ok", queue.reason[pattern, 64]
        for size in 512, 8192:  # one is more than a queue holds, the other more than a message may
            assert queue.status[pattern, size] == "skipped"
            assert "msgmnb" in queue.reason[pattern, size]
    assert {name for name, _ in skipped(rows)} == {"sysv_mq"}
    """,
        sysctl={"kernel.msgmax": 4096, "kernel.msgmnb": 256},
    )


def test_posix_queues_of_one(as_user: Callable[..., None]) -> None:
    as_user(
        BEGIN
        + """
    rows = compare(waiting="futex")
    assert skipped(rows) == {("posix_mq", "kernel")}, skipped(rows)
    assert all("queues_max" in reason for reason in rows.reason[rows.mechanism == "posix_mq"])
    """,
        sysctl={"fs.mqueue.queues_max": 1},
    )


def test_posix_queues_of_one_message(as_user: Callable[..., None]) -> None:
    as_user(
        BEGIN
        + """
    rows = compare("posix_mq,pipe", sizes="64,128,256")
    table = rows[rows.mechanism == "posix_mq"].set_index(["pattern", "message_size"])
    for pattern in "latency", "throughput":
        for size in 64, 128:
            assert table.status[pattern, size] == "ok", table.reason[pattern, size]
            assert table.in_flight_messages[pattern, size] == 1
        assert "fs.mqueue.msgsize_max" in table.reason[pattern, 256]
    """,
        sysctl={"fs.mqueue.msg_max": 1, "fs.mqueue.msgsize_max": 128},
    )


def test_no_system_v_segments_and_no_posix_queues(world: World, numbers: dict[str, int]) -> None:
    world.passes(
        BEGIN
        + REFUSE
        + f"""
    refuse({numbers["shmget"]}, {numbers["mq_open"]})
    rows = compare()
    assert {{name for name, _ in skipped(rows)}} == {{"sysv_shm", "posix_mq"}}, skipped(rows)
    """
    )


def test_no_tracing_and_no_counters(world: World, numbers: dict[str, int]) -> None:
    world.passes(
        BEGIN
        + REFUSE
        + f"""
    refuse({numbers["ptrace"]}, {numbers["perf_event_open"]})
    rows = compare("posix_shm,pipe")
    assert set(rows.status) == {{"ok"}}
    for row in rows.to_dict("records"):
        hidden = row["waiting"] == "posix_sem"
        assert (row["system_calls_per_message"] > 0) == (not hidden), row
        assert row["reason"].startswith("system calls are not counted: ") == hidden, row
    """
    )


@pytest.mark.parametrize("error", [1, 38], ids=["refused by a filter", "an old kernel"])
def test_no_descriptors_of_processes(world: World, error: int) -> None:
    """Linux before 5.3 has no pidfd_open(2), and old containers refuse what they don't know."""
    world.passes(
        BEGIN
        + REFUSE
        + f"""
    from labkit.errors import LabkitError
    from labkit.kernel import process_descriptor

    refuse(434, error={error})
    for ask in (
        lambda: labkit.compare("pipe", sizes=64, budget=1, progress=False),
        lambda: labkit.walk("mode_switches"),
    ):
        try:
            ask()
        except LabkitError as refused:
            assert "pidfd_open(2), by which processes are watched" in str(refused), refused
            assert "Linux 5.3 or newer has it" in str(refused)
        else:
            raise AssertionError("it was not refused")
    rows = labkit.doctor(quick=True).set_index("capability")
    assert not rows.loc["watching processes", "available"]
    assert labkit.walk("fork_inheritance").facts["nattch_after_fork"] == 2
    """
    )


def test_no_process_left(as_user: Callable[..., None]) -> None:
    as_user(
        BEGIN
        + """
    import subprocess
    import labkit.harness.statistics  # numpy's threads count, too: they are to be there already

    def allow(number):
        resource.setrlimit(resource.RLIMIT_NPROC, (number, 4096))

    def refused(number):
        allow(number)
        try:
            subprocess.run(["true"])
        except BlockingIOError:
            return True
        return False

    started = max(number for number in range(1, 100) if refused(number))
    allow(started)
    try:
        compare("pipe")
    except labkit.LabkitError as error:
        assert "could not be started" in str(error) and "ulimit -u" in str(error), error
    else:
        raise AssertionError("it went on")
    for more in 1, 2:  # the helper, and the helper and one end
        allow(started + more)
        rows = compare("pipe,memfd", waiting="futex")
        assert set(rows.status) == {"skipped"}, rows.to_dict("records")
        assert all("ulimit -u" in reason for reason in rows.reason), rows.reason
    allow(started + 3)
    assert set(compare("pipe,memfd", waiting="futex").status) == {"ok"}
    """
    )


def test_few_descriptors(world: World) -> None:
    world.passes(
        BEGIN
        + """
    def allow(number):
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, 4096))

    compare("pipe", budget=2)  # all is loaded that there is
    ran = set()
    for number in (4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 64):
        allow(number)
        try:
            rows = compare("pipe,posix_shm,unix_stream", waiting="futex", budget=2)
        except labkit.LabkitError as error:
            allow(4096)
            assert "descriptors" in str(error) or "files" in str(error), (number, error)
            assert "ulimit -n" in str(error), (number, error)
        else:
            allow(4096)
            ran.add(number)
            assert all("ulimit -n" in each for each in rows.reason[rows.status == "skipped"]), rows
    assert 64 in ran and 4 not in ran, ran
    """
    )
