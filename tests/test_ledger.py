"""The ledger and cleaning up: what killed processes left goes, and nothing else.

Scripts run in worlds of their own (`conftest.py`) with a ledger folder of their own; what they
find there, and what is left at the end, are the kernel's own lists.
"""

import json
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import NOBODY, World
from hypothesis import given
from hypothesis import strategies as st

from labkit.kernel import ledger_file, ledger_folder
from labkit.kernel.ledger_file import Damaged, parse
from labkit.kernel.ledger_owner import Owner, ourselves, state_of

PRELUDE = """
    import json, os, signal, subprocess, sys, time
    from pathlib import Path
    from textwrap import dedent
    import posix_ipc, sysv_ipc
    from world import look
    from labkit.kernel import ledger
    from labkit.kernel.cleaning import clean
    from labkit.kernel.objects import Objects

    TMP = os.environ["TMPDIR"]
    LEDGERS = Path(os.environ["XDG_STATE_HOME"], "labkit", "ledger")
    KINDS = ["fifo", "file", "folder", "posix_mq", "posix_shm", "sysv_mq", "sysv_sem", "sysv_shm"]
    SYSTEM_V = KINDS[-3:]

    def there():
        return look({"queues": os.path.join(os.path.dirname(TMP), "mqueue"), "temporary": TMP})

    # Makes one object of each kind, says so, and waits to be told to leave, or killed.
    OWNER = dedent('''
        import sys
        from labkit.kernel import ledger
        from labkit.kernel.objects import Objects
        with Objects() as objects:
            objects.sysv_segment(4096), objects.sysv_queue(512), objects.sysv_semaphore(1)
            objects.posix_segment(4096), objects.posix_queue(2, 64)
            objects.fifo(), objects.file(4096)
            print(ledger.ours().path, flush=True)
            sys.stdin.read()
    ''')

    def child(code):
        return subprocess.Popen([sys.executable, "-c", dedent(code)], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    class Owner:
        def __init__(self, code=OWNER):
            self.process = child(code)
            self.path = Path(self.process.stdout.readline().strip())

        def kill(self):
            self.process.kill()
            self.process.wait()

        def leave(self):
            self.process.communicate()
            assert self.process.returncode == 0

    def kinds(done):
        return sorted(each.kind for each in done.removed)

    def rewrite(path, to=None, **changes):
        # The same ledger, but for some words of its first line.
        head, *lines = path.read_text().splitlines()
        lines.insert(0, json.dumps(json.loads(head) | changes))
        (to or path).write_text("".join(line + chr(10) for line in lines))

    def names(path):
        entries = [json.loads(line) for line in path.read_text().splitlines()[1:]]
        return {entry["kind"]: entry["name"] for entry in entries}

    def nothing_left():
        assert list(LEDGERS.iterdir()) == [], list(LEDGERS.iterdir())
"""


@pytest.fixture
def here(world: World) -> World:
    """A world with a ledger folder of its own."""
    state = world.folder / "state"
    state.mkdir()
    world.environment = {"XDG_STATE_HOME": str(state), "XDG_RUNTIME_DIR": ""}
    return world


class TestAKilledProcess:
    def test_leaves_what_clean_removes_and_nothing_else_goes(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    # Somebody else's, under names that labkit might have given.
    key, name, private = 0x1AB817, "/labkit-" + "0123456789ab" * 2, {"mode": 0o600}
    foreign = [
        sysv_ipc.SharedMemory(key, sysv_ipc.IPC_CREX, size=64, **private),
        sysv_ipc.MessageQueue(key, sysv_ipc.IPC_CREX, **private),
        sysv_ipc.Semaphore(key, sysv_ipc.IPC_CREX, **private),
    ]
    foreign[0].detach()
    posix_ipc.SharedMemory(name, posix_ipc.O_CREX, size=64, **private).close_fd()
    posix_ipc.MessageQueue(name, posix_ipc.O_CREX, **private).close()
    folder = Path(TMP, "labkit-0123456789abcdef")
    folder.mkdir(0o700)
    os.mkfifo(folder / "0123456789abcdef", 0o600)
    (folder / "fedcba9876543210").write_text("a thesis")

    living = Owner()
    before = there()
    dead = Owner()
    dead.kill()
    left = there() - before
    assert len(left) >= len(KINDS) - 1, left  # queues show only where they could be mounted

    would = clean(dry_run=True)
    assert kinds(would) == KINDS and would.notes == [], would
    assert there() == before | left
    done = clean()
    assert done == would
    assert all(each.pid == dead.process.pid for each in done.removed)
    assert all(abs(each.made - time.time()) < 600 for each in done.removed)
    assert there() == before
    assert list(LEDGERS.iterdir()) == [living.path]
    again = clean()
    assert again.removed == again.notes == []

    living.leave()
    nothing_left()
    for each in foreign:
        each.remove()
    posix_ipc.unlink_shared_memory(name)
    posix_ipc.unlink_message_queue(name)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    """
        )

    def test_may_be_the_helper_of_a_run(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    import dataclasses
    import labkit
    from bench import cell
    from labkit.errors import LabkitError
    from labkit.harness.session import Session

    cells = [cell(name) for name in ("sysv_mq", "posix_mq", "posix_shm", "fifo", "mmap_file")]
    cells.append(cell("sysv_shm", waiting="sysv_sem"))
    plan = {"cells": [dataclasses.asdict(each) for each in cells], "reasons": [None] * len(cells),
            "deadline": 0.0, "least_seconds": 10, "repeats": 40}
    living = Owner()
    before = there()
    seen = set()
    for number in range(1, 30, 7):
        try:
            with Session(plan) as session:
                for event in session.events():
                    if event["event"] == "ready":
                        session.go()
                    number -= event["event"] == "sample"
                    if number == 0:
                        os.kill(session._process.pid, signal.SIGKILL)
                        number = -1
        except LabkitError as error:
            assert "killed by SIGKILL" in str(error), error
        else:
            raise AssertionError("it was not killed")
        left = there() - before
        done = clean()
        seen |= set(kinds(done))
        assert len(done.removed) >= len(left) and done.notes == [], (left, done)
        assert there() == before, (there() - before, before - there())
        assert list(LEDGERS.iterdir()) == [living.path]
    assert len(seen) >= 3, seen  # or the kills hit nothing

    # A run begins with it, says so, and leaves no ledger.
    Owner().kill()
    run = labkit.compare("sysv_mq", 64, placements="same-cpu", budget=1, progress=False)
    removed = f"objects that killed runs had left were removed: {len(KINDS)}."
    assert removed in run.machine["noise"]["notes"], run.machine["noise"]
    living.leave()
    nothing_left()
    """
        )

    def test_may_have_been_about_to_make_something(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    owner = Owner('''
        import os, signal
        from labkit.kernel import ledger
        ours, name, path = ledger.ours(), "/labkit-" + 24 * "0", "/tmp/labkit-" + 16 * "0"
        for kind in "sysv_shm", "sysv_mq", "sysv_sem":
            ours.enter(kind, 7)
        ours.enter("posix_shm", name), ours.enter("posix_mq", name)
        ours.enter("folder", path), ours.enter("fifo", path + "/" + 16 * "0")
        os.write(ours._descriptor, b'{"in": 99, "ki')
        os.kill(os.getpid(), signal.SIGKILL)
    ''')
    owner.process.wait()
    assert len(list(LEDGERS.iterdir())) == 1
    done = clean()
    assert done.removed == done.notes == [], done
    nothing_left()
    """
        )

    def test_is_not_taken_for_another_with_its_number(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    # This one lives, and its ledger says so whether or not it could be locked.
    owner = Owner()
    start = json.loads(owner.path.read_text().splitlines()[0])["start"]
    copy = owner.path.with_name("0123456789abcdef.jsonl")
    rewrite(owner.path, copy, locked=False)
    assert clean().removed == []
    # The same number, but started at another time: that one is dead.
    rewrite(owner.path, copy, start=start - 1)
    done = clean()
    assert kinds(done) == KINDS, done
    assert not copy.exists() and owner.path.exists()
    owner.leave()
    nothing_left()
    """
        )

    def test_may_have_left_what_cannot_be_removed(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    owner = Owner()
    owner.kill()
    (folder,) = Path(TMP).iterdir()
    (folder / "notes").touch()
    done = clean()
    assert kinds(done) == sorted(set(KINDS) - {"folder"})
    (note,) = done.notes
    assert note.startswith(f"folder {folder} was left alone: ") and "not empty" in note, note
    assert done.refused == 1
    (folder / "notes").unlink()
    assert kinds(clean()) == ["folder"]
    nothing_left()
    """
        )


NAMESPACES = (
    PRELUDE
    + """
    # Moves into fresh namespaces; what runs there is a child of the process that asked.
    MOVE = dedent('''
        import ctypes, os, sys
        def move(flags):
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(flags) != 0:
                print("refused", flush=True)
                sys.exit()
            child = os.fork()
            if child:
                os._exit(os.waitpid(child, 0)[1] != 0)
            libc.prctl(1, 9)  # PR_SET_PDEATHSIG
    ''')
    PIDS, IPC = 0x20000000, 0x08000000  # CLONE_NEWPID, CLONE_NEWIPC

    def elsewhere(flags):
        owner = Owner(MOVE + f"move({flags})" + OWNER)
        if str(owner.path) == "refused":
            print("refused")
            sys.exit()
        return owner

    def clean_in(flags):
        code = f"move({flags})" + dedent('''
            from labkit.kernel.cleaning import clean
            print(clean())
        ''')
        said = child(MOVE + code).communicate()[0].strip()
        if said == "refused":
            print("refused")
            sys.exit()
        return said

    def kill(owner):
        # It is a grandchild; its lock ends with it.
        import fcntl
        owner.kill()
        with owner.path.open() as file:
            fcntl.lockf(file, fcntl.LOCK_SH)

    NOTHING = "Cleaned(removed=[], notes=[], refused=0)"
"""
)


class TestOtherNamespaces:
    """A home shared between containers does not make a live owner look dead."""

    def passes(self, world: World, script: str) -> None:
        if world.passes(NAMESPACES + script) == "refused\n":
            pytest.skip("no namespaces of one's own here")

    def test_an_owner_counted_otherwise(self, here: World) -> None:
        self.passes(
            here,
            """
    owner = elsewhere(PIDS)
    before = there()
    assert str(clean()) == NOTHING
    assert there() == before
    # Where locks say nothing, nothing is known.
    copy = owner.path.with_name("0123456789abcdef.jsonl")
    for changes in {"locked": False}, {"device": 1}:
        rewrite(owner.path, copy, **changes)
        done = clean()
        assert done.removed == [] and there() == before
        (note,) = done.notes
        assert note.startswith("8 objects of process ") and "cannot be seen" in note, note
    copy.unlink()
    # Killed: its lock is free, and the kernel that says so is the one that gave it.
    kill(owner)
    assert kinds(clean()) == KINDS
    nothing_left()
    """,
        )

    def test_an_owner_with_other_objects(self, here: World) -> None:
        self.passes(
            here,
            """
    owner = elsewhere(PIDS | IPC)
    assert str(clean()) == NOTHING
    kill(owner)
    done = clean()
    assert kinds(done) == ["fifo", "file", "folder", "posix_shm"], done
    (note,) = done.notes
    assert note.startswith("4 objects of process ") and "cannot be seen" in note, note
    # What is gone was struck out, what cannot be seen is kept in mind: for a month.
    again = clean()
    assert again.removed == [] and again.notes == done.notes, again
    old = time.time() - 31 * 86400
    os.utime(owner.path, (old, old))
    clean()
    nothing_left()
    """,
        )

    def test_whoever_cleans_from_there(self, here: World) -> None:
        self.passes(
            here,
            """
    owner = Owner()
    before = there()
    for flags in PIDS, IPC, PIDS | IPC:
        assert clean_in(flags) == NOTHING
    assert there() == before and owner.path.exists()
    owner.kill()
    said = clean_in(PIDS | IPC)
    assert said.count("Removed(") == 4 and "4 objects of process " in said, said
    assert kinds(clean()) == ["posix_mq", *SYSTEM_V]
    nothing_left()
    """,
        )


class TestOtherMachines:
    def test_and_a_restart(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    owner = Owner()
    owner.kill()
    before, kept = there(), owner.path.read_text()
    long_ago = 86400.0
    # By another machine, or since this one started: no restart lies between.
    for changes in {"machine": "another", "at": long_ago}, {"at": time.time()}:
        rewrite(owner.path, boot="another", **changes)
        done = clean()
        assert done.removed == [] and there() == before
        (note,) = done.notes
        assert note.startswith("8 objects of process "), note
    # By this machine before it was restarted: only what is on the disk can still be there. What
    # has the others' names was made by today's kernel, and stays.
    owner.path.write_text(kept)
    rewrite(owner.path, boot="another", at=long_ago)
    done = clean()
    assert kinds(done) == ["fifo", "file", "folder"] and done.notes == [], done
    nothing_left()
    owner.path.write_text(kept)
    assert kinds(clean()) == ["posix_mq", "posix_shm", *SYSTEM_V]
    """
        )

    def test_a_ledger_that_lost_its_contents_is_kept_for_a_month(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    LEDGERS.mkdir(parents=True, mode=0o700)
    empty = LEDGERS / "0123456789abcdef.jsonl"
    empty.touch()
    (LEDGERS / "0123456789abcdef.new").write_text("{")
    assert clean().notes == []
    assert list(LEDGERS.iterdir()) == [empty]
    old = time.time() - 31 * 86400
    os.utime(empty, (old, old))
    clean(dry_run=True)
    assert list(LEDGERS.iterdir()) == [empty]
    clean()
    nothing_left()
    """
        )


class TestWhatIsThere:
    """What has an entry's name is looked at before it goes."""

    def test_is_left_if_it_is_not_what_was_entered(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    precious = Path(TMP, "thesis")
    precious.write_text("chapter one")
    owner = Owner()
    owner.kill()
    named = names(owner.path)
    folder = Path(named["folder"])
    # A link to another file in the place of the file, a file in that of the FIFO.
    os.unlink(named["file"])
    os.symlink(precious, named["file"])
    os.unlink(named["fifo"])
    Path(named["fifo"]).touch(0o600)
    Path("/dev/shm" + named["posix_shm"]).chmod(0o644)
    segment = sysv_ipc.SharedMemory(named["sysv_shm"])
    segment.mode = 0o666
    segment.detach()
    # Made later than its entry; earlier than its entry.
    text = owner.path.read_text()
    head, *entries = map(json.loads, text.splitlines())
    shifts = {"sysv_mq": -100.0, "sysv_sem": 100.0, "posix_mq": 100.0}
    for entry in entries:
        entry["at"] += shifts.get(entry["kind"], 0.0)
    owner.path.write_text("".join(json.dumps(each) + chr(10) for each in [head, *entries]))
    before = there()
    done = clean()
    assert there() == before and done.removed == [], (done, before - there())
    why = {note.split()[0]: note.partition(": ")[2] for note in done.notes}
    assert why.pop("folder") == "it could not be removed (Directory not empty)."
    assert why == {
        "file": "it is of another kind.",
        "fifo": "it is of another kind.",
        "posix_shm": "it is open to others.",
        "sysv_shm": "it is open to others.",
        "sysv_mq": "it was made, or changed, at another time.",
        "sysv_sem": "it was made, or changed, at another time.",
        "posix_mq": "it is older than its entry.",
    }, why
    for path in folder.iterdir():
        path.unlink()
    # A link in place of the folder is not followed either.
    folder.rmdir()
    os.symlink(TMP, folder)
    assert clean().removed == [] and precious.read_text() == "chapter one"
    nothing_left()
    folder.unlink()
    precious.unlink()
    segment.remove()
    sysv_ipc.MessageQueue(named["sysv_mq"]).remove()
    sysv_ipc.Semaphore(named["sysv_sem"]).remove()
    posix_ipc.unlink_shared_memory(named["posix_shm"])
    posix_ipc.unlink_message_queue(named["posix_mq"])
    """
        )

    def test_is_left_if_another_process_made_it(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    owner = Owner()
    owner.kill()
    named = names(owner.path)
    sysv_ipc.remove_shared_memory(sysv_ipc.SharedMemory(named["sysv_shm"]).id)
    segment = sysv_ipc.SharedMemory(named["sysv_shm"], sysv_ipc.IPC_CREX, mode=0o600, size=9)
    segment.detach()
    done = clean()
    assert kinds(done) == KINDS[:-1] and done.notes[0].endswith("another process made it."), done
    segment.remove()
    nothing_left()
    """
        )

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
    def test_is_left_if_another_user_made_it(self, here: World) -> None:
        here.passes(
            PRELUDE
            + f"""
    nobody = {NOBODY}
"""
            + """
    owner = Owner()
    owner.kill()
    text, named = owner.path.read_text(), names(owner.path)
    assert len(clean().removed) == len(KINDS)
    squatter = child(f"named, nobody = {named}, {nobody}" + dedent('''
        import os, posix_ipc, sys, sysv_ipc
        os.setgroups([]), os.setgid(nobody), os.setuid(nobody)
        system_v = [
            sysv_ipc.SharedMemory(named["sysv_shm"], sysv_ipc.IPC_CREX, mode=0o600, size=9),
            sysv_ipc.MessageQueue(named["sysv_mq"], sysv_ipc.IPC_CREX, mode=0o600),
            sysv_ipc.Semaphore(named["sysv_sem"], sysv_ipc.IPC_CREX, mode=0o600),
        ]
        posix_ipc.SharedMemory(named["posix_shm"], posix_ipc.O_CREX, mode=0o600, size=9)
        posix_ipc.MessageQueue(named["posix_mq"], posix_ipc.O_CREX, mode=0o600)
        os.mkdir(named["folder"], 0o700)
        os.mkfifo(named["fifo"], 0o600)
        open(named["file"], "x").close()
        print(flush=True)
        sys.stdin.read()
        for each in system_v:
            each.remove()
        posix_ipc.unlink_shared_memory(named["posix_shm"])
        posix_ipc.unlink_message_queue(named["posix_mq"])
        os.unlink(named["fifo"]), os.unlink(named["file"]), os.rmdir(named["folder"])
    '''))
    squatter.stdout.readline()
    before = there()
    owner.path.write_text(text)
    done = clean()
    assert done.removed == [] and there() == before, done
    assert len(done.notes) == len(KINDS), done
    squatter.communicate()
    assert squatter.returncode == 0
    """
        )


class TestTheFile:
    def test_is_private_and_goes_with_its_owner(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    os.umask(0)
    def fork(do):
        pid = os.fork()
        if not pid:
            do()
            sys.exit()
        os.waitpid(pid, 0)
        return pid

    ours = ledger.ours()
    with Objects() as objects:
        objects.posix_segment(64), objects.fifo()
        assert ours.path.parent == LEDGERS and ours.note == ""
        assert [ours.path.stat().st_mode & 0o777, LEDGERS.stat().st_mode & 0o777] == [0o600, 0o700]
        assert LEDGERS.parent.stat().st_mode & 0o777 == 0o700
        # A forked child has a copy of it all and must not act on it, however it leaves.
        before = there(), ours.path.read_text()
        fork(lambda: (objects.remove_all(), ours.leave()))
        assert (there(), ours.path.read_text()) == before
        # One that makes something of its own has a ledger of its own.
        pid = fork(lambda: (Objects().posix_segment(64), os.kill(os.getpid(), signal.SIGKILL)))
        done = clean()
        assert [(each.kind, each.pid) for each in done.removed] == [("posix_shm", pid)], done
        assert (there(), ours.path.read_text()) == before
    assert len(ours.path.read_text().splitlines()) == 1 + 2 * 3
    # What is all struck out does not grow for ever.
    for _ in range(2000):
        ours.strike(ours.enter("posix_shm", "/labkit-" + "0" * 24))
    assert ours.path.stat().st_size < 100_000
    path = child("from labkit.kernel import ledger; ledger.ours().open(); print(ledger.ours().path)"
                 ).communicate()[0].strip()
    assert path and not os.path.exists(path)
    assert list(LEDGERS.iterdir()) == [ours.path]
    """
        )

    def test_holds_what_was_cut_short(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    # An exception of a signal's, between the making and our taking note of it.
    class Told(BaseException):
        pass

    def interrupt(*_):
        raise Told

    real = Objects._made
    for make in (lambda o: o.sysv_segment(64), lambda o: o.sysv_queue(64),
                 lambda o: o.sysv_semaphore(1), lambda o: o.posix_segment(64),
                 lambda o: o.posix_queue(1, 8), lambda o: o.fifo(), lambda o: o.file(64)):
        Objects._made = interrupt
        try:
            with Objects() as objects:
                make(objects)
        except Told:
            pass
        else:
            raise AssertionError("it was not interrupted")
        Objects._made = real
        assert there() == set(), there()
    # The kernel refuses, after it has begun: nothing stays, nothing is entered.
    with Objects() as objects:
        for refused in (lambda: objects.posix_queue(1 << 20, 1 << 20),
                        lambda: objects.posix_segment(1 << 40),
                        lambda: objects.file(1 << 60)):
            try:
                refused()
            except (OSError, ValueError, posix_ipc.Error):
                pass
            else:
                raise AssertionError("it was not refused")
    assert there() == set(), there()
    ledger.ours().leave()
    nothing_left()
    """
        )

    def test_may_be_refused_in_the_middle(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    ours = ledger.ours()
    with Objects() as objects:
        for _ in range(30):
            objects.sysv_semaphore(1)
        assert ours.note.startswith("no ledger could be kept of the objects made ("), ours.note
        assert len(there()) == 30
        assert clean().removed == []
        # It still shows that its owner lives.
        said = child("from labkit.kernel.cleaning import clean; print(clean())").communicate()[0]
        assert said == "Cleaned(removed=[], notes=[], refused=0)" + chr(10), said
    assert there() == set()
    ours.leave()
    nothing_left()
    """
        )

    def test_may_be_refused_from_the_start(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    import resource
    import labkit
    asked = {"placements": "same-cpu", "budget": 1, "progress": False}
    labkit.compare("sysv_mq", 64, "latency", **asked)  # compiled by now, if it had to be
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    run = labkit.compare("sysv_mq", 64, "latency", **asked)
    assert list(run.summary.status) == ["ok"], run.summary.reason
    # Other comparisons under way are noted, too.
    (note,) = [each for each in run.machine["noise"]["notes"] if "ledger" in each]
    assert note.startswith("no ledger could be kept of the objects made (File too large): "), note
    nothing_left()
    assert there() == set()
    """
        )

    def test_is_elsewhere_where_the_home_cannot_be_written(self, here: World) -> None:
        here.environment |= {"XDG_STATE_HOME": "/proc/no-such-place"}
        here.passes(
            PRELUDE
            + """
    folder = Path(TMP, f"labkit-ledger-{os.geteuid()}")
    owner = Owner()
    assert owner.path.parent == folder and folder.stat().st_mode & 0o777 == 0o700
    owner.leave()
    assert there() == set(), there()
    owner = Owner()
    owner.kill()
    assert kinds(clean()) == KINDS
    assert there() == set(), there()
    """
        )

    def test_is_safe_when_many_clean_and_begin_at_once(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    crowd = [child('''
        import os, signal
        from labkit.kernel.cleaning import clean
        from labkit.kernel.objects import Objects
        removed = 0
        for _ in range(10):
            done = clean()
            assert done.notes == [], done
            removed += len(done.removed)
            child = os.fork()
            if not child:
                objects = Objects()
                objects.posix_segment(64), objects.sysv_semaphore(1), objects.fifo()
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
        print(removed)
    ''') for _ in range(6)]
    removed = sum(int(each.communicate()[0]) for each in crowd)
    assert removed + len(clean().removed) == 6 * 10 * 4  # each of them once
    assert there() == set(), there()
    nothing_left()
    """
        )


ENTRY = {
    "in": 1,
    "kind": "file",
    "name": "/tmp/labkit-0123456789abcdef/0123456789abcdef",
    "at": 1.5,
}
BAD_ENTRIES = [
    {"kind": "no such kind"},
    {"kind": "sysv_shm", "name": 0},
    {"kind": "sysv_shm", "name": 1 << 31},
    {"kind": "sysv_shm", "name": True},
    {"kind": "sysv_shm", "name": "1"},
    {"kind": "posix_shm", "name": "/thesis"},
    {"kind": "posix_shm", "name": "/labkit-0123456789abcdef0123456/"},
    {"kind": "posix_mq", "name": "/labkit-../../../../../etc/passwd"},
    {"kind": "posix_mq", "name": "/labkit-0123456789abcdef01234567\n"},
    {"kind": "folder", "name": "/tmp"},
    {"kind": "folder", "name": "labkit-0123456789abcdef"},
    {"name": "/etc/passwd"},
    {"name": "/tmp/labkit-0123456789abcdef/../0123456789abcdef"},
    {"name": "/tmp/x/../labkit-0123456789abcdef/0123456789abcdef"},
    {"name": "/tmp/labkit-0123456789abcdef/0123456789abcdef/0123456789abcdef"},
    {"name": "/tmp/\0/labkit-0123456789abcdef/0123456789abcdef"},
    {"name": "/tmp/\ud800/labkit-0123456789abcdef/0123456789abcdef"},
    {"name": 5},
    {"in": None},
    {"at": "yesterday"},
    {"at": float("nan")},
    {"out": "1"},
]
BAD_HEADS: list[dict[str, object]] = [
    {"labkit ledger": 2},
    {"labkit ledger": None},
    {"device": None},
    *[dict.fromkeys([name]) for name in Owner.__dataclass_fields__],
    {"pid": 0},
    {"pid": -1},
    {"pid": 1 << 64},
    {"pid": 1.0},
    {"at": 1},
]


def lines(*records: object) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in records)


def head(**changes: object) -> dict[str, object]:
    facts: dict[str, object] = json.loads(ledger_file.first_line(ourselves(), 1, True))
    return facts | changes


class TestReading:
    def test_a_good_one(self) -> None:
        text = lines(head(), ENTRY, ENTRY | {"in": 2}, {"out": 1}, {"out": 1}) + b'{"in": 3'
        contents = parse(text)
        assert [entry.number for entry in contents.entries] == [2]
        assert contents.owner.pid == os.getpid()
        assert contents.size == text.rindex(b"\n") + 1

    @pytest.mark.parametrize("changes", BAD_ENTRIES, ids=ascii)
    def test_no_name_is_believed(self, changes: dict[str, object]) -> None:
        parse(lines(head(), ENTRY))
        with pytest.raises(Damaged, match=r"^line 3 "):
            parse(lines(head(), ENTRY, ENTRY | changes))

    @pytest.mark.parametrize("changes", BAD_HEADS, ids=str)
    def test_no_owner_is_believed(self, changes: dict[str, object]) -> None:
        with pytest.raises(Damaged):
            parse(lines(head(**changes)))

    @given(st.binary(max_size=300))
    def test_anything_may_be_in_a_file(self, data: bytes) -> None:
        for text in data, data + b"\n", lines(head()) + data + b"\n":
            with suppress(Damaged):
                parse(text)

    @pytest.mark.parametrize(
        "text", [b"", b"\0" * 512, b"[" * 100_000 + b"\n", b"[]\n", b"1e999\n", b"\xff\n"]
    )
    def test_nor_does_this_do_harm(self, text: bytes) -> None:
        with pytest.raises(Damaged):
            parse(text)

    def test_what_cannot_be_read_is_named_and_left(self, here: World) -> None:
        here.passes(
            PRELUDE
            + """
    owner = Owner()
    before = there()
    name = "0123456789abcde{}.jsonl".format
    # What is no plain file of ours is not read, nor waited for.
    os.symlink(owner.path, LEDGERS / name("0"))
    os.mkfifo(LEDGERS / name("1"))
    (LEDGERS / name("2")).mkdir()
    (LEDGERS / "notes.txt").write_text("not ours")
    owner.kill()
    (LEDGERS / name("3")).write_text("what?" + chr(10))
    rewrite(owner.path, LEDGERS / name("4"), **{"labkit ledger": 2})
    rewrite(owner.path, LEDGERS / name("5"), uid=os.geteuid() + 1)
    kept = {name(number) for number in "012345"} | {"notes.txt"}
    if os.geteuid() == 0:
        rewrite(owner.path, LEDGERS / name("6"))
        os.chown(LEDGERS / name("6"), 1, 1)
        kept.add(name("6"))
    text = owner.path.read_text()
    owner.path.unlink()
    done = clean()
    assert done.removed == [] and there() == before, done
    assert done.notes == [
        f"{LEDGERS / name(number)} is not a ledger that can be read: {why}."
        for number, why in [
            ("3", "line 1 is no record"),
            ("4", "it does not begin like a ledger of this version"),
            ("5", "another user's process wrote it"),
        ]
    ], done
    owner.path.write_text(text)
    assert kinds(clean()) == KINDS
    assert {path.name for path in LEDGERS.iterdir()} == kept
    """
        )


class TestFolders:
    def test_relative_ones_are_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", "state")
        monkeypatch.setenv("XDG_RUNTIME_DIR", "run")
        monkeypatch.setenv("HOME", "/home/someone")
        found = ledger_folder.folders()
        assert found[0] == Path("/home/someone/.local/state/labkit/ledger")
        assert all(each.is_absolute() for each in found)
        assert found[-1] == Path(f"/tmp/labkit-ledger-{os.geteuid()}")

    def test_are_closed_to_others(self, tmp_path: Path) -> None:
        folder = tmp_path / "labkit" / "ledger"
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        ledger_folder.make(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_are_no_links(self, tmp_path: Path) -> None:
        (tmp_path / "target").mkdir()
        (tmp_path / "link").symlink_to("target")
        with pytest.raises(OSError, match="link"):
            ledger_folder.make(tmp_path / "link")

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
    def test_are_not_taken_from_others(self, tmp_path: Path) -> None:
        squatted = tmp_path / "squatted"
        squatted.mkdir()
        os.chown(squatted, NOBODY, NOBODY)
        for folder in squatted, squatted / "labkit":
            with pytest.raises(PermissionError, match="another user's"):
                ledger_folder.make(folder)
        assert list(squatted.iterdir()) == []


class TestOwners:
    def test_a_process_is_alive_until_it_is_gone(self) -> None:
        here = ourselves()
        assert state_of(here, here, unlocked=False) == "alive"
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
            facts = here.as_json() | {"pid": child.pid, "start": int(fields[19])}
            owner = Owner.of_json(facts)
            assert state_of(owner, here, unlocked=False) == "alive"
            child.kill()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            assert state_of(owner, here, unlocked=False) == "dead"  # a zombie holds nothing
        assert state_of(owner, here, unlocked=False) == "dead"

    @pytest.mark.parametrize(
        ("changes", "unlocked", "state"),
        [
            ({"pids": 1}, False, "elsewhere"),
            ({"pids": 1}, True, "dead"),
            ({"boot": "x", "at": 1.0}, False, "dead"),
            ({"boot": "x"}, True, "elsewhere"),
            ({"boot": "x", "at": 1.0, "machine": "x"}, True, "elsewhere"),
            ({"boot": ""}, True, "elsewhere"),
            ({"start": 1}, False, "dead"),
        ],
        ids=str,
    )
    def test_elsewhere_means_that_nobody_knows(
        self, changes: dict[str, object], unlocked: bool, state: str
    ) -> None:
        here = ourselves()
        owner = Owner.of_json(here.as_json() | changes)
        assert state_of(owner, here, unlocked) == state


def test_the_command_says_what_it_removed(here: World) -> None:
    here.passes(
        PRELUDE
        + """
    import csv, io
    def command(*options, status=0):
        done = subprocess.run([sys.executable, "-m", "labkit", "clean", *options], text=True,
                              capture_output=True)
        assert done.returncode == status, done.stderr
        return done.stdout, done.stderr

    assert command() == ("nothing to remove" + chr(10), "")
    assert command("--format", "json") == ("[]" + chr(10), "")
    assert command("--format", "csv", "--dry-run") == ("kind,name,made,pid" + chr(10), "")

    owner = Owner()
    owner.kill()
    pid = owner.process.pid
    out, err = command("--dry-run")
    *said, last = out.splitlines()
    assert last == "8 objects would be removed" and err == "", err
    assert all(line.startswith("would remove ") for line in said)
    (line,) = [line for line in said if "sysv_shm" in line]
    assert f" made {time.gmtime().tm_year}-" in line and line.endswith(f" by process {pid}"), line
    rows = json.loads(command("--dry-run", "--format", "json")[0])
    assert sorted(row["kind"] for row in rows) == KINDS
    assert {row["pid"] for row in rows} == {pid}
    text, _ = command("--dry-run", "--format", "csv")
    listed = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in listed] == [row["name"] for row in rows]
    (key,) = [row["name"] for row in rows if row["kind"] == "sysv_shm"]
    assert key.startswith("0x") and int(key, 16) == names(owner.path)["sysv_shm"]

    import labkit
    table = labkit.clean(dry_run=True)
    assert list(table.columns) == ["kind", "name", "made", "pid"] and len(table) == 8
    assert str(table.made.dt.tz) == "UTC" and table.attrs["notes"] == []

    # What has to stay is told, and the status says that not all is done.
    (folder,) = Path(TMP).iterdir()
    (folder / "notes").touch()
    out, err = command(status=1)
    assert out.splitlines()[-1] == "7 objects removed" and err.startswith("labkit: folder "), err
    (folder / "notes").unlink()
    assert command()[0].splitlines()[-1] == "1 object removed"
    table = labkit.clean()
    assert len(table) == 0 and list(table.columns) == ["kind", "name", "made", "pid"]
    assert str(table.made.dt.tz) == "UTC"
    """
    )
