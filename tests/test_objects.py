"""Kernel objects: private, made exclusively, and removed by whoever made them and nobody else."""

import pytest
from conftest import World

# Every kind, by what it is known under; `still_there` looks where the kernel shows it.
START = """
    import os, stat, sys
    from pathlib import Path
    import posix_ipc, sysv_ipc
    from labkit.errors import LabkitError
    from labkit.kernel import objects
    from labkit.kernel.objects import Objects

    MADE = {
        "sysv_shm": lambda o: o.sysv_segment(5000),
        "sysv_mq": lambda o: o.sysv_queue(4096),
        "sysv_sem": lambda o: o.sysv_semaphore(3),
        "posix_shm": lambda o: o.posix_segment(5000),
        "posix_mq": lambda o: o.posix_queue(3, 64),
        "fifo": lambda o: o.fifo(),
        "file": lambda o: o.file(5000),
    }
    QUEUES = Path(os.environ["QUEUES"])
    SYSTEM_V = {"sysv_shm": "shm", "sysv_mq": "msg", "sysv_sem": "sem"}

    def place(kind, name):
        if kind == "posix_shm":
            return Path("/dev/shm", name[1:])
        if kind == "posix_mq":
            return QUEUES / name[1:]
        return Path(name)

    def row(kind, identifier):
        lines = Path("/proc/sysvipc", SYSTEM_V[kind]).read_text().splitlines()[1:]
        return next((line.split() for line in lines if int(line.split()[1]) == identifier), None)

    def still_there(kind, name):
        if kind in SYSTEM_V:
            return row(kind, name) is not None
        if kind == "posix_mq" and not os.path.ismount(QUEUES):
            try:
                posix_ipc.MessageQueue(name).close()
            except posix_ipc.ExistentialError:
                return False
            return True
        return place(kind, name).exists()

    def mode(kind, name):
        if kind in SYSTEM_V:
            return int(row(kind, name)[2], 8) & 0o777
        if kind == "posix_mq" and not os.path.ismount(QUEUES):
            return 0o600  # nowhere to be seen
        return stat.S_IMODE(place(kind, name).stat().st_mode)
"""

KINDS = ["sysv_shm", "sysv_mq", "sysv_sem", "posix_shm", "posix_mq", "fifo", "file"]


def test_belong_to_their_maker_alone(world: World) -> None:
    world.passes(
        START
        + """
    os.umask(0)
    with Objects() as made:
        for kind, make in MADE.items():
            name = make(made)
            assert still_there(kind, name), kind
            assert mode(kind, name) == 0o600, (kind, oct(mode(kind, name)))
            if kind in ("fifo", "file"):
                assert stat.S_IMODE(Path(name).parent.stat().st_mode) == 0o700
    """
    )


def test_are_removed_one_by_one_or_at_the_end(world: World) -> None:
    world.passes(
        START
        + """
    with Objects() as made:
        names = {kind: make(made) for kind, make in MADE.items()}
        again = {kind: make(made) for kind, make in MADE.items()}
        for kind, name in names.items():
            made.remove(kind, name)
            assert not still_there(kind, name), kind
            assert still_there(kind, again[kind]), kind
            made.remove(kind, name)  # nothing happens
    for kind, name in again.items():
        assert not still_there(kind, name), kind
    made.remove_all()
    """
    )


def test_are_removed_when_something_goes_wrong(world: World) -> None:
    world.passes(
        START
        + """
    for wrong in KeyError, KeyboardInterrupt, SystemExit:
        try:
            with Objects() as made:
                names = {kind: make(made) for kind, make in MADE.items()}
                raise wrong
        except wrong:
            pass
        assert not any(still_there(*each) for each in names.items())
    """
    )


def test_that_are_gone_already_are_as_good_as_removed(world: World) -> None:
    world.passes(
        START
        + """
    with Objects() as made:
        sysv_ipc.remove_shared_memory(MADE["sysv_shm"](made))
        sysv_ipc.remove_message_queue(MADE["sysv_mq"](made))
        sysv_ipc.remove_semaphore(MADE["sysv_sem"](made))
        posix_ipc.unlink_shared_memory(MADE["posix_shm"](made))
        posix_ipc.unlink_message_queue(MADE["posix_mq"](made))
        os.unlink(MADE["fifo"](made))
        os.unlink(MADE["file"](made))
    """
    )


def test_are_never_ones_that_were_there_before(world: World) -> None:
    world.passes(
        START
        + """
    class Chance:
        token_hex = staticmethod(lambda count: "12" * count)
        randbelow = staticmethod(lambda limit: 4711)
    with Objects() as made:
        names = {}
        for kind, make in MADE.items():
            chance, objects.secrets = objects.secrets, Chance
            try:
                names[kind] = make(made)
                try:
                    make(made)
                except (FileExistsError, posix_ipc.ExistentialError):
                    pass
                except LabkitError as error:
                    assert "keys were all taken" in str(error), error
                else:
                    raise AssertionError(f"{kind} was made twice")
            finally:
                objects.secrets = chance
            assert still_there(kind, names[kind]), f"{kind} went with its namesake"
            if kind in ("fifo", "file"):
                made.remove(kind, names[kind])  # the two would meet at one path
    """
    )


def test_a_taken_key_is_followed_by_another(world: World) -> None:
    world.passes(
        START
        + """
    keys = [5, 5, 6, 6, 6, 7]
    class Chance:
        randbelow = staticmethod(lambda limit: keys.pop(0))
    objects.secrets = Chance
    with Objects() as made:
        assert len({made.sysv_segment(10) for _ in range(3)}) == 3
        assert keys == []
    """
    )


def test_a_forked_child_removes_none(world: World) -> None:
    world.passes(
        START
        + """
    with Objects() as made:
        names = {kind: make(made) for kind, make in MADE.items()}
        child = os.fork()
        if child == 0:
            made.remove("sysv_shm", names["sysv_shm"])
            made.remove_all()
            sys.exit(0)  # and through __exit__
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        for kind, name in names.items():
            assert still_there(kind, name), kind
    assert not any(still_there(*each) for each in names.items())
    """
    )


def test_refuse_another_user(world: World, another_user: int) -> None:
    world.passes(
        START
        + f"    another_user = {another_user}\n"
        + """
    def refused(what):
        try:
            what()
        except (PermissionError, sysv_ipc.PermissionsError, posix_ipc.PermissionsError):
            return True
        return False
    with Objects() as made:
        names = {kind: make(made) for kind, make in MADE.items()}
        keys = {kind: int(row(kind, names[kind])[0]) for kind in SYSTEM_V}
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setgid(another_user)
            os.setuid(another_user)
            tries = {
                "attach": lambda: sysv_ipc.attach(names["sysv_shm"]),
                "segment": lambda: sysv_ipc.SharedMemory(keys["sysv_shm"]),
                "receive": lambda: sysv_ipc.MessageQueue(keys["sysv_mq"]).receive(block=False),
                "down": lambda: sysv_ipc.Semaphore(keys["sysv_sem"]).acquire(0),
                "remove segment": lambda: sysv_ipc.remove_shared_memory(names["sysv_shm"]),
                "remove queue": lambda: sysv_ipc.remove_message_queue(names["sysv_mq"]),
                "remove semaphore": lambda: sysv_ipc.remove_semaphore(names["sysv_sem"]),
                "object": lambda: posix_ipc.SharedMemory(names["posix_shm"]),
                "unlink": lambda: posix_ipc.unlink_shared_memory(names["posix_shm"]),
                "queue": lambda: posix_ipc.MessageQueue(names["posix_mq"]),
                "unlink queue": lambda: posix_ipc.unlink_message_queue(names["posix_mq"]),
                "fifo": lambda: os.open(names["fifo"], os.O_RDWR),
                "file": lambda: os.open(names["file"], os.O_RDONLY),
                "folder": lambda: os.listdir(Path(names["file"]).parent),
            }
            allowed = [name for name, what in tries.items() if not refused(what)]
            print(allowed, file=sys.stderr)
            os._exit(len(allowed))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        for kind, name in names.items():
            assert still_there(kind, name), kind
    """
    )


def test_have_the_sizes_asked_for_and_zeroes(world: World) -> None:
    world.passes(
        START
        + """
    with Objects() as made:
        segment = sysv_ipc.attach(made.sysv_segment(5000))
        assert segment.size == 5000 and segment.number_attached == 1
        assert not any(segment.read(5000))
        segment.detach()
        path = place("posix_shm", made.posix_segment(5000))
        assert path.stat().st_blocks * 512 >= 5000  # its memory is reserved
        assert path.read_bytes() == bytes(5000)
        path = Path(made.file(5000))
        assert path.stat().st_blocks * 512 >= 5000
        assert path.read_bytes() == bytes(5000)
        queue = posix_ipc.MessageQueue(made.posix_queue(3, 64))
        assert (queue.max_messages, queue.max_message_size) == (3, 64)
        queue.close()
        identifier = made.sysv_queue(4096)
        key = int(row("sysv_mq", identifier)[0])
        assert sysv_ipc.MessageQueue(key).max_size == 4096
        key = int(row("sysv_sem", made.sysv_semaphore(3))[0])
        assert sysv_ipc.Semaphore(key).value == 3
    """
    )


def test_a_queue_keeps_what_room_it_has_where_more_is_forbidden(world: World) -> None:
    world.passes(
        START
        + """
    class Queue(sysv_ipc.MessageQueue):
        @property
        def max_size(self):
            return super().max_size
        @max_size.setter
        def max_size(self, value):
            raise sysv_ipc.PermissionsError("not permitted")  # as for a user, beyond msgmnb
    objects.sysv_ipc.MessageQueue = Queue
    with Objects() as made:
        assert still_there("sysv_mq", made.sysv_queue(1 << 30))
    """
    )


@pytest.mark.parametrize("kind", ["posix_segment", "file"])
def test_one_that_does_not_fit_is_gone_at_once(world: World, kind: str) -> None:
    world.passes(
        START
        + f"""
    import errno
    made = Objects()
    try:
        made.{kind}(1 << 20)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    else:
        raise AssertionError("there was room")
    assert not any(Path("/dev/shm").iterdir())
    assert not any(path.is_file() for path in Path(os.environ["TMPDIR"]).rglob("*"))
    made.remove_all()
    """,
        shm_bytes=64 * 1024,
        temporary_bytes=64 * 1024,
    )
