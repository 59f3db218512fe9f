"""The readers of evidence, each held to what a script has just done and to a second source."""

import pytest
from conftest import World

START = """
    import ctypes, mmap, os, signal, time
    from pathlib import Path
    from labkit.errors import LabkitError
    from labkit.kernel import descriptors, libc, mappings, pagemap, sysv_status
    PAGE = mmap.PAGESIZE
    CREATE = 0o1000 | 0o2000 | 0o600  # IPC_CREAT, IPC_EXCL
    RMID = 0

    def poke(address, value=b"x"):
        ctypes.memmove(address, value, len(value))

    def refused(what, *arguments):
        try:
            what(*arguments)
        except OSError as error:
            return error.errno
        raise AssertionError("it was allowed")

    class Child:
        '''A forked child that does something and then waits to be ended.'''
        def __init__(self, work=lambda: None):
            ready, told = os.pipe()
            self.pid = os.fork()
            if self.pid == 0:
                ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
                work()
                os.write(told, b"x")
                while True:
                    signal.pause()
            os.close(told)
            assert os.read(ready, 1) == b"x"
        def end(self):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
"""


class TestMappings:
    def test_of_a_segment(self, world: World) -> None:
        world.passes(
            START
            + """
    segment = libc.shmget(0x0ABCDEF1, 3 * PAGE - 5, CREATE)
    try:
        assert mappings.segment_mappings("self", segment) == []
        first, second = libc.shmat(segment, 0, 0), libc.shmat(segment, 0, 0o10000)  # SHM_RDONLY
        found = mappings.segment_mappings(os.getpid(), segment)
        assert {each.start for each in found} == {first, second}
        for each in found:
            assert each.size == 3 * PAGE and each.shared and each.resident == 0
            assert each.permissions == ("rw-s" if each.start == first else "r--s")
            assert (each.segment_key, each.segment_id) == (0x0ABCDEF1, segment)
            assert each.line in Path(f"/proc/self/maps").read_text().splitlines()
            assert each.where == f"/proc/{os.getpid()}/smaps"
        poke(first)
        poke(first + PAGE)
        here = mappings.mapping_at("self", first)
        assert here.resident == here.proportional == here.private_bytes == 2 * PAGE
        assert mappings.mapping_at("self", first + 3 * PAGE - 1) == here
        beyond = mappings.mapping_at("self", first + 3 * PAGE)
        assert beyond is None or beyond.start == first + 3 * PAGE
        child = Child(lambda: (poke(first), poke(first + PAGE)))
        shared = mappings.mapping_at(child.pid, first)
        assert shared.shared_bytes == shared.resident == 2 * PAGE
        assert shared.private_bytes == 0 and shared.proportional == PAGE
        child.end()
        libc.shmdt(first)
        assert [each.start for each in mappings.segment_mappings("self", segment)] == [second]
    finally:
        libc.shmctl(segment, RMID, 0)
    """
        )

    def test_all_of_a_process(self, world: World) -> None:
        world.passes(
            START
            + """
    path = Path(os.environ["TMPDIR"], "two words")
    path.write_bytes(bytes(2 * PAGE))
    with open(path, "r+b") as file:
        memory = mmap.mmap(file.fileno(), PAGE, mmap.MAP_PRIVATE, offset=PAGE)
    facts = path.stat()
    found = mappings.mappings()
    (ours,) = [each for each in found if each.path == str(path)]
    assert (ours.offset, ours.inode, ours.shared) == (PAGE, facts.st_ino, False)
    assert ours.device == f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}"
    assert ours.segment_id is None and ours.amounts == {}
    path.unlink()
    (gone,) = [each for each in mappings.mappings() if each.start == ours.start]
    assert gone.path == f"{path} (deleted)"
    names = {each.path for each in found}
    assert {"[heap]", "[stack]"} <= names
    assert [each.start for each in found] == sorted(each.start for each in found)
    counted = mappings.mappings(amounts=True)
    told = Path("/proc/self/smaps_rollup").read_text().split("Rss:")[1].split()[0]
    assert 0.5 < sum(each.resident for each in counted) / (int(told) * 1024) < 2
    for pid in (0, 1 << 22):
        try:
            mappings.mappings(pid)
        except LabkitError as error:
            assert f"/proc/{pid}/maps" in str(error)
        else:
            raise AssertionError("there is no such process")
    """
        )


FRAMES = (
    START
    + """
    memory = mmap.mmap(-1, 3 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    shared = mmap.mmap(-1, PAGE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    at, both = (ctypes.addressof(ctypes.c_char.from_buffer(each)) for each in (memory, shared))
    poke(at), poke(both)
    def page(pid, address):
        found = pagemap.page_at(pid, address)
        assert found.address == address // PAGE * PAGE
        assert found.where.startswith(f"/proc/{pid}/pagemap, offset 0x")
        entry = int(found.line, 16)
        assert found.present == bool(entry >> 63) and found.exclusive == bool(entry >> 56 & 1)
        return found
"""
)


class TestPagemap:
    def test_tells_copy_on_write_without_privilege(self, world: World) -> None:
        script = (
            FRAMES
            + """
    first, second, third = pagemap.pages("self", at + 1, 2 * PAGE)
    assert first.present and first.exclusive and not first.file_or_shared
    assert not second.present and not third.present and second.frame is None
    assert page("self", both).file_or_shared
    waits = Child()
    for pid in (os.getpid(), waits.pid):  # forked: one frame for the two of them
        assert page(pid, at).present and not page(pid, at).exclusive
    writes = Child(lambda: poke(at, b"y"))
    mine, its = page(os.getpid(), at), page(writes.pid, at)
    assert its.present and its.exclusive and not mine.exclusive
    if pagemap.why_not() is None:
        assert mine.frame == page(waits.pid, at).frame != its.frame
        assert mine.frame and its.frame
    else:
        assert mine.frame is its.frame is None
    waits.end(), writes.end()
    """
        )
        world.passes(script)

    def test_of_shared_memory_is_one_frame_for_two(self, world: World) -> None:
        world.passes(
            FRAMES
            + """
    assert page("self", both).exclusive
    child = Child(lambda: poke(both, b"y"))
    mine, its = page(os.getpid(), both), page(child.pid, both)
    assert mine.present and its.present and not mine.exclusive and not its.exclusive
    assert mine.frame == its.frame
    assert (mine.frame is None) == (pagemap.why_not() is not None)
    assert shared[0] == ord("y")
    child.end()
    """
        )

    def test_why_there_are_no_frames(self, world: World, another_user: int) -> None:
        done = world.run(
            FRAMES
            + """
    why = pagemap.why_not()
    assert "CAP_SYS_ADMIN" in why and why.endswith(".") and why.count(". ") == 0
    assert page("self", at).present and page("self", at).frame is None
    try:
        pagemap.page_at(1, at)
    except LabkitError as error:
        assert "/proc/1/pagemap" in str(error)
    else:
        raise AssertionError("another user's memory is ours to look at")
    """,
            user=another_user,
        )
        assert done.status == 0, done.err


def test_of_pages_that_no_process_has(world: World) -> None:
    world.passes(
        START
        + """
    for what in (lambda: pagemap.page_at("self", 1 << 62), lambda: pagemap.page_at(1 << 22, 0)):
        try:
            what()
        except LabkitError as error:
            assert str(error)
        else:
            raise AssertionError("there is none")
    """
    )


class TestSystemV:
    def test_status_of_a_segment(self, world: World) -> None:
        world.passes(
            START
            + """
    began = int(time.time())
    segment = libc.shmget(0x0ABCDEF2, 5000, CREATE)
    try:
        new = sysv_status.segment_status(segment)
        assert (new.size, new.attached, new.creator, new.last) == (5000, 0, os.getpid(), 0)
        assert new.attach_time == new.detach_time == 0
        assert began <= new.change_time <= time.time()
        assert new.permissions.key == 0x0ABCDEF2 and new.permissions.mode == 0o600
        assert new.permissions.uid == new.permissions.cuid == os.getuid()
        assert not new.marked and new.where == f"shmctl({segment}, IPC_STAT)"
        at = libc.shmat(segment, 0, 0)
        child = Child()
        two = sysv_status.segment_status(segment)
        row = sysv_status.row("shm", segment)
        assert two.attached == 2 and f"shm_nattch 2" in two.line
        assert (row.columns["nattch"], row.columns["size"]) == ("2", "5000")
        assert int(row.columns["lpid"]) == two.last
        assert row.line.split() in [l.split() for l in Path(row.where).read_text().splitlines()]
        child.end()
        assert libc.shmctl(segment, RMID, 0) == 0
        last = sysv_status.segment_status(segment)
        assert last.marked and last.attached == 1 and last.permissions.key == 0
        assert last.attach_time >= began and last.last == child.pid and last.detach_time >= began
        libc.shmdt(at)
        assert sysv_status.row("shm", segment) is None
        assert refused(sysv_status.segment_status, segment) in (22, 43)  # EINVAL, EIDRM
    finally:
        libc.shmctl(segment, RMID, 0)
    """
        )

    def test_status_of_a_queue(self, world: World) -> None:
        world.passes(
            START
            + """
    began = int(time.time())
    queue = libc.msgget(0x0ABCDEF3, CREATE)
    try:
        new = sysv_status.queue_status(queue)
        assert (new.messages, new.data_bytes, new.last_sender, new.send_time) == (0, 0, 0, 0)
        assert str(new.most_bytes) == Path("/proc/sys/kernel/msgmnb").read_text().strip()
        message = ctypes.create_string_buffer(b"\\1" + bytes(7) + b"hello")
        for size in (5, 3):
            assert libc.msgsnd(queue, ctypes.addressof(message), size, 0) == 0
        two = sysv_status.queue_status(queue)
        assert (two.messages, two.data_bytes, two.last_sender) == (2, 8, os.getpid())
        assert two.send_time >= began and two.receive_time == two.last_receiver == 0
        row = sysv_status.row("msg", queue)
        assert (row.columns["qnum"], row.columns["cbytes"]) == ("2", "8")
        assert libc.msgrcv(queue, ctypes.addressof(message), 5, 0, 0) == 5
        one = sysv_status.queue_status(queue)
        assert (one.messages, one.data_bytes, one.last_receiver) == (1, 3, os.getpid())
        assert one.receive_time >= began and "msg_qnum 1" in one.line
    finally:
        libc.msgctl(queue, RMID, 0)
    assert sysv_status.row("msg", queue) is None
    assert refused(sysv_status.queue_status, queue) in (22, 43)
    """
        )

    def test_status_of_semaphores(self, world: World) -> None:
        world.passes(
            START
            + """
    import struct
    def operate(number, change):
        operation = ctypes.create_string_buffer(struct.pack("Hhh", number, change, 0))
        return libc.semop(semaphores, ctypes.addressof(operation), 1)
    began = int(time.time())
    semaphores = libc.semget(0x0ABCDEF4, 3, CREATE)
    try:
        assert libc.semctl(semaphores, 1, 16, 7) == 0  # SETVAL
        new = sysv_status.semaphore_status(semaphores)
        assert [each.value for each in new.semaphores] == [0, 7, 0]
        assert new.operation_time == 0 and began <= new.change_time <= time.time()
        assert operate(1, -2) == 0
        waits = os.fork()
        if waits == 0:
            os._exit(operate(0, -1))
        zero = os.fork()
        if zero == 0:
            os._exit(operate(1, 0))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            told = sysv_status.semaphore_status(semaphores)
            first, second, _ = told.semaphores
            if first.waiting_for_increase and second.waiting_for_zero:
                break
        assert (first.value, first.waiting_for_increase, first.waiting_for_zero) == (0, 1, 0)
        assert (second.value, second.waiting_for_increase, second.waiting_for_zero) == (5, 0, 1)
        assert second.last == os.getpid() and told.operation_time >= began
        assert "semval [0, 5, 0]" in told.line and "semzcnt [0, 1, 0]" in told.line
        assert sysv_status.row("sem", semaphores).columns["nsems"] == "3"
        assert operate(0, 1) == operate(1, -5) == 0
        assert os.waitpid(waits, 0)[1] == os.waitpid(zero, 0)[1] == 0
        assert sysv_status.semaphore_status(semaphores).semaphores[0].last == waits
    finally:
        libc.semctl(semaphores, 0, RMID, 0)
    assert refused(sysv_status.semaphore_status, semaphores) in (22, 43)
    """
        )

    def test_what_may_not_be_read_is_shown_by_the_table(
        self, world: World, another_user: int
    ) -> None:
        done = world.run(
            START
            + """
    segment = libc.shmget(0x0ABCDEF5, 100, 0o1000 | 0o2000 | 0o200)
    try:
        assert refused(sysv_status.segment_status, segment) == 13  # EACCES
        assert sysv_status.row("shm", segment).columns["perms"] == "200"
    finally:
        libc.shmctl(segment, RMID, 0)
    """,
            user=another_user,
        )
        assert done.status == 0, done.err
        assert done.left == []


class TestDescriptors:
    def test_of_a_process(self, world: World) -> None:
        world.passes(
            START
            + """
    path = Path(os.environ["TMPDIR"], "file")
    path.write_bytes(b"0123456789")
    file = os.open(path, os.O_RDONLY)
    os.read(file, 4)
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    child = Child()
    for pid in (os.getpid(), child.pid):
        found = descriptors.descriptor(pid, file)
        assert (found.target, found.position) == (str(path), 4)
        assert found.readable and not found.writable
        ends = [descriptors.descriptor(pid, number) for number in (reading, writing)]
        assert ends[0].target == ends[1].target == f"pipe:[{os.fstat(reading).st_ino}]"
        assert [end.close_on_exec for end in ends] == [True, False]
        assert [end.writable for end in ends] == [False, True]
        assert ends[1].line.startswith("flags: 0") and ends[1].where.endswith(f"fdinfo/{writing}")
    assert descriptors.closes_on_exec(reading) and not descriptors.closes_on_exec(writing)
    os.close(file)
    path.unlink()
    assert descriptors.descriptor("self", file) is None
    assert descriptors.descriptor(child.pid, file).target == f"{path} (deleted)"
    child.end()
    try:
        descriptors.descriptors(1 << 22)
    except LabkitError as error:
        assert "/proc/4194304/fd" in str(error)
    else:
        raise AssertionError("there is no such process")
    """
        )

    def test_what_waits_behind_them(self, world: World) -> None:
        world.passes(
            START
            + """
    import socket
    reading, writing = os.pipe()
    assert descriptors.unread_bytes(reading) == 0
    os.write(writing, b"three"), os.write(writing, b"more")
    assert descriptors.unread_bytes(reading) == 9
    os.read(reading, 2)
    assert descriptors.unread_bytes(reading) == descriptors.unread_bytes(writing) == 7
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    here.send(b"three"), here.send(b"more")
    assert descriptors.unread_bytes(there.fileno()) == 5
    assert refused(descriptors.unread_bytes, 999) == 9  # EBADF
    """
        )

    def test_what_is_in_a_queue(self, world: World) -> None:
        world.passes(
            START
            + """
    import posix_ipc
    from labkit.kernel.objects import Objects
    with Objects() as made:
        queue = posix_ipc.MessageQueue(made.posix_queue(4, 64))
        queue.send(b"three"), queue.send(b"more")
        told = descriptors.queue_state(queue.mqd)
        assert (told.messages, told.most_messages, told.message_size) == (2, 4, 64)
        assert told.data_bytes in (9, None) and "mq_curmsgs 2" in told.line
        queue.receive()
        assert descriptors.queue_state(queue.mqd).messages == 1
        queue.close()
    reading, _ = os.pipe()
    assert refused(descriptors.queue_state, reading) == 9  # EBADF
    """
        )


@pytest.mark.parametrize("kind", ["shm", "msg", "sem"])
def test_a_row_of_nothing(world: World, kind: str) -> None:
    world.passes(START + f"    assert sysv_status.row({kind!r}, 0x7FFFFFFF) is None\n")
