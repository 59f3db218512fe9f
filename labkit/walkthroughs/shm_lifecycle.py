"""The life of a segment: made, attached, used, detached, marked for removal, gone.

shmget(2), shmop(2), shmctl(2), svipc(7), shm_overview(7); Kerrisk, The Linux Programming Interface,
chapters 48 and 54.
"""

import ctypes
import errno
import os
from dataclasses import dataclass, field

from labkit.errors import LabkitError
from labkit.harness.actor import Memory
from labkit.harness.actor_handle import ActorDied, ActorHandle, Refused
from labkit.harness.stage import Stage
from labkit.kernel.mappings import Mapping, mapping_at, segment_mappings
from labkit.kernel.sysv_status import row, segment_status
from labkit.walkthroughs import layout
from labkit.walkthroughs.scene import Scene
from labkit.walkthroughs.step import Evidence, Steps

TITLE = "The life of a segment"
QUESTION = "When does a shared memory segment begin, who is attached to it, and when is it gone?"

PAGE = 4096
SIZE = 5000  # not a multiple of the page size, so that asked and mapped differ
IPC_CREAT, IPC_EXCL, IPC_PRIVATE, IPC_RMID = 0o1000, 0o2000, 0, 0
SHM_RDONLY, SHM_RND, SHM_REMAP = 0o10000, 0o20000, 0o40000
PROT_NONE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, MAP_SHARED = 0, 3, 0x22, 1


def own_segment_read_only(memory: Memory) -> dict[str, str]:
    """As a user without privilege: one's own segment of mode 0400, and what shmat says to it.

    It is marked for removal as soon as it is attached, so it ends with this process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_long
    libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    identifier = libc.shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0o400)
    if identifier < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    reading = libc.shmat(identifier, None, SHM_RDONLY)
    libc.shmctl(identifier, IPC_RMID, None)
    writing = libc.shmat(identifier, None, 0)
    number = ctypes.get_errno()
    return {
        "reading": "granted" if reading != -1 else "refused",
        "writing": "granted" if writing != -1 else errno.errorcode.get(number, str(number)),
        "user": str(os.geteuid()),
    }


@dataclass
class _Lab:
    """The segment and those who use it."""

    maker: ActorHandle
    other: ActorHandle
    key: int
    segment: int = -1
    gone: bool = False
    said: dict[str, list[str]] = field(default_factory=dict)  # the last answer, by process

    def row(self) -> Evidence:
        """The segment's row in the kernel's own table."""
        found = row("shm", self.segment)
        if found is None:
            return Evidence("no segment of this id", "/proc/sysvipc/shm", "no such row")
        return Evidence(f"nattch {found.columns['nattch']}", found.where, found.line)

    def attached(self) -> int:
        return segment_status(self.segment).attached

    def resident(self) -> int:
        """Bytes of the segment that are in memory."""
        found = row("shm", self.segment)
        return int(found.columns["rss"]) if found is not None else 0

    def places(self, actor: ActorHandle) -> list[Mapping]:
        """Where it is attached in a process."""
        return segment_mappings(actor.pid, self.segment) if actor.alive else []

    def at(self, actor: ActorHandle, address: int) -> Evidence:
        """The line of a mapping."""
        found = mapping_at(actor.pid, address)
        if found is None:
            return Evidence(actor.name, f"/proc/{actor.pid}/smaps", f"nothing at {address:#x}")
        what = f"{actor.name}: {found.size} bytes, {found.resident // 1024} KiB in memory"
        return Evidence(what, found.where, found.line)


def observe(stage: Stage, steps: Steps) -> None:
    """Watch a segment from its making to its end, and POSIX shared memory beside it."""
    maker, other = stage.actor("the maker"), stage.actor("another process")
    other.exec()  # a program of its own, with an address space laid out anew
    lab = _Lab(maker, other, int(stage.objects.expected("sysv_shm", maker.pid)))
    _create(steps, lab)
    _exists(steps, lab)
    _other_user(stage, steps, lab)
    first = _attach(steps, lab)
    _touch(steps, lab, first)
    _twice(steps, lab, first)
    _given_address(steps, lab)
    _read_only(steps, lab)
    _past_the_end(steps, lab)
    _remove(steps, lab)
    _posix(stage, steps)


def _create(steps: Steps, lab: _Lab) -> None:
    made = lab.maker.call("shmget", lab.key, SIZE, IPC_CREAT | IPC_EXCL | 0o600)
    if made.error:
        raise LabkitError(
            f"a segment of two pages is refused here ({made.error}): labkit doctor says why."
        )
    lab.segment = made.result
    status = segment_status(lab.segment)
    steps.facts["nattch_after_shmget"] = status.attached
    steps.facts["resident_after_shmget"] = lab.resident()
    steps.add(
        "Create: a key goes in, an id comes out",
        f"""The maker chose the key {lab.key:#010x}; the kernel answered with the id
        {lab.segment}. Nobody is attached (nattch {status.attached}), no address exists yet, and
        {lab.resident()} bytes are in memory. Whoever knows the key can ask for the id.""",
        _picture(lab),
        f"id = shmget({lab.key:#010x}, {SIZE}, IPC_CREAT | IPC_EXCL | 0600);",
        [lab.row(), Evidence("the segment", status.where, status.line)],
    )


def _exists(steps: Steps, lab: _Lab) -> None:
    """The same key again: refused, found, or too large."""
    asked = {
        "IPC_CREAT | IPC_EXCL": (SIZE, IPC_CREAT | IPC_EXCL | 0o600),
        "size 0": (0, 0),
        "a smaller size": (100, 0),
        "a larger size": (10 * PAGE, 0),
    }
    got = {what: lab.other.call("shmget", lab.key, *how) for what, how in asked.items()}
    told = {what: each.error or f"id {each.result}" for what, each in got.items()}
    steps.facts["exclusive_again"] = told["IPC_CREAT | IPC_EXCL"]
    steps.facts["larger_again"] = told["a larger size"]
    lab.said["other"] = [f"{what}: {answer}" for what, answer in told.items()]
    steps.add(
        "The same key again",
        f"""Another process asks for the same key. Exclusively it gets
        {told["IPC_CREAT | IPC_EXCL"]}. Asking for an existing one, a smaller size gets
        {told["a smaller size"]}, a larger one {told["a larger size"]}: the size does matter for an
        existing segment.""",
        _picture(lab),
        f"shmget({lab.key:#010x}, {10 * PAGE}, 0);",
        [Evidence(what, "shmget's answer", answer) for what, answer in told.items()],
    )
    lab.said.clear()


def _other_user(stage: Stage, steps: Steps, lab: _Lab) -> None:
    """Permissions: another user, and an owner who asked for too little."""
    user = stage.another_user()
    if user is None:
        stage.notes.append(
            "What another user is told cannot be shown without privilege; run it as root to see it."
        )
        stranger = stage.actor("its owner, without privilege")
    else:
        stranger = stage.actor("another user", user)
        tried = stranger.call("shmat", lab.segment, 0, 0)
        found = stranger.call("shmget", lab.key, 0, 0)
        removed = stranger.call("shmctl", lab.segment, IPC_RMID, 0)
        told = {
            "shmget, no rights asked for": found.error or f"id {found.result}",
            "shmat": tried.error or "attached",
            "shmctl(IPC_RMID)": removed.error or "removed",
        }
        steps.facts["other_user_attaches"] = told["shmat"]
        steps.facts["other_user_removes"] = told["shmctl(IPC_RMID)"]
        lab.said["other"] = [f"{what}: {answer}" for what, answer in told.items()]
        steps.add(
            "Another user is refused",
            f"""The mode is 0600, for its owner alone. A process of user {user} may learn the id
            ({told["shmget, no rights asked for"]}), but shmat answers {told["shmat"]} and
            removing {told["shmctl(IPC_RMID)"]}. Mode and owner are checked as for a file.""",
            _picture(lab, stranger),
            "shmat(id, NULL, 0);   /* as another user */",
            [Evidence(what, f"PID {stranger.pid}", answer) for what, answer in told.items()],
        )
    try:
        own = stranger.act(own_segment_read_only)
    except Refused as refused:
        stage.notes.append(f"A segment of mode 0400 could not be tried: {refused}.")
        own = None
    if own is not None and own["user"] != "0":
        steps.facts["owner_writes_0400"] = own["writing"]
        lab.said["other"] = [f"for reading: {own['reading']}", f"for writing: {own['writing']}"]
        steps.add(
            "Even the owner is held to the mode",
            f"""User {own["user"]} makes a segment of its own with mode 0400. Attaching it for
            reading is {own["reading"]}, for writing the answer is: {own["writing"]}. Only a
            privileged process is asked nothing.""",
            _picture(lab, stranger, own["user"]),
            "id = shmget(IPC_PRIVATE, 4096, 0400);  shmat(id, NULL, 0);",
            [Evidence(what, "shmat's answer", own[what]) for what in ("reading", "writing")],
        )
    lab.said.clear()
    stranger.exit()


def _attach(steps: Steps, lab: _Lab) -> int:
    maker = lab.maker
    address = maker.call("shmat", lab.segment, 0, 0).result
    place = mapping_at(maker.pid, address)
    mapped = place.size if place is not None else 0
    resident = lab.resident()
    attached = lab.attached()
    steps.facts |= {
        "nattch_after_shmat": attached,
        "asked_bytes": SIZE,
        "mapped_bytes": mapped,
        "resident_after_shmat": resident,
        "page_bytes": os.sysconf("SC_PAGE_SIZE"),
    }
    steps.add(
        "Attach: now there is an address",
        f"""shmat chose the address {address:#x} in the maker's address space. {SIZE} bytes were
        asked for, {mapped} are mapped: whole pages. Still only {resident} bytes are in memory:
        attaching gives no page. nattch is {attached}.""",
        _picture(lab),
        "char *p = shmat(id, NULL, 0);",
        [lab.row(), lab.at(maker, address)],
    )
    return address


def _touch(steps: Steps, lab: _Lab, address: int) -> None:
    """Pages come with their first touch, and full of zeroes."""
    maker = lab.maker
    before = lab.resident()
    zero = not any(maker.read(address, PAGE))
    maker.write(address, b"hello")
    one = lab.resident()
    zero = zero and not any(maker.read(address + PAGE, PAGE))
    two = lab.resident()
    steps.facts["new_bytes_are_zero"] = zero
    steps.facts["resident_after_first_touch"] = one
    steps.facts["resident_after_touch"] = two
    said = "nothing but zeroes" if zero else "something other than zeroes"
    steps.add(
        "Use: pages appear when they are touched",
        f"""Before the first touch {before} bytes were in memory. Touching the first page faulted,
        and the kernel put a page there: {one} bytes. Touching the second made it {two}. The maker
        found {said} in the new segment, and wrote "hello".""",
        _picture(lab),
        'char c = p[0];  strcpy(p, "hello");  c = p[4096];',
        [
            Evidence(
                "in memory before, after one page, after both",
                "rss in /proc/sysvipc/shm",
                f"{before}, {one}, {two} bytes",
            ),
            lab.row(),
            lab.at(maker, address),
        ],
    )


def _twice(steps: Steps, lab: _Lab, address: int) -> None:
    """Attached by another process, and a second time by the same one."""
    maker, other = lab.maker, lab.other
    again = maker.call("shmat", lab.segment, 0, 0).result
    steps.facts["nattch"] = lab.attached()  # one process, attached twice
    elsewhere = other.call("shmat", lab.segment, 0, 0).result
    seen = other.read(elsewhere, 5).decode(errors="replace")
    maker.write(again + 5, b" you")
    through = maker.read(address, 9).decode(errors="replace")
    attached = lab.attached()
    steps.facts["nattch_twice_and_once"] = attached
    steps.facts["same_address"] = elsewhere == address
    steps.facts["same_bytes"] = seen == "hello"
    where = "the same address" if elsewhere == address else "another address"
    steps.add(
        "nattch counts attachments, not processes",
        f"""The maker attaches the segment a second time; what it writes there it reads at its first
        address: "{through}". Another process attaches it at {elsewhere:#x}, {where}, and reads
        "{seen}". Two processes, nattch {attached}.""",
        _picture(lab),
        "char *q = shmat(id, NULL, 0);",
        [lab.row(), *(lab.at(maker, each) for each in (address, again)), lab.at(other, elsewhere)],
    )
    maker.call("shmdt", again)


def _given_address(steps: Steps, lab: _Lab) -> None:
    """An address of one's own choice."""
    other = lab.other
    # A place that is free: mapped a moment ago by the process itself, and given back.
    free = other.call("mmap", 0, 4 * PAGE, PROT_NONE, MAP_PRIVATE_ANONYMOUS, -1, 0).result
    other.call("munmap", free, 4 * PAGE)
    wanted = free + PAGE + 123
    crooked = other.call("shmat", lab.segment, wanted, 0)
    rounded = other.call("shmat", lab.segment, wanted, SHM_RND)
    taken = other.call("shmat", lab.segment, rounded.result, 0)
    told = {
        f"{wanted:#x}": crooked.error or hex(crooked.result),
        "the same with SHM_RND": rounded.error or hex(rounded.result),
        "where something is mapped": taken.error or hex(taken.result),
    }
    steps.facts["crooked_address"] = crooked.error or "attached"
    steps.facts["rounded_down"] = rounded.result == wanted - wanted % PAGE
    lab.said["other"] = list(told.values())
    steps.add(
        "An address of one's own choice",
        f"""The other process asks for {wanted:#x}, which lies inside a page: {crooked.error}. With
        SHM_RND the kernel rounds down, to {hex(rounded.result)}. Where something is mapped already
        it answers {taken.error}. Portable programs pass NULL.""",
        _picture(lab),
        f"shmat(id, (void *) {wanted:#x}, SHM_RND);",
        [lab.row(), *(Evidence(what, "shmat's answer", told[what]) for what in told)],
    )
    lab.said.clear()
    if not rounded.error:
        other.call("shmdt", rounded.result)


def _read_only(steps: Steps, lab: _Lab) -> None:
    """A store into a read-only attachment is a fault, and faults are shown on a child."""
    probe = lab.other.fork("a child")
    address = probe.call("shmat", lab.segment, 0, SHM_RDONLY).result
    line = lab.at(probe, address)
    text = probe.read(address, 5).decode(errors="replace")
    how, told = _fault(probe, address, write=True)
    steps.facts["store_read_only"] = told
    lab.said["other"] = [f"child: reads {text!r}", f"child: {told or 'could write'}"]
    steps.add(
        "Read-only means read-only",
        f"""A child attaches the segment with SHM_RDONLY and reads "{text}". Then it stores one
        byte there, and {how}. The page table says what may be written; no library is asked.""",
        _picture(lab),
        "p = shmat(id, NULL, SHM_RDONLY);  p[0] = 'x';",
        [line, Evidence("the child", f"wait status of PID {probe.pid}", how)],
    )
    lab.said.clear()


def _past_the_end(steps: Steps, lab: _Lab) -> None:
    """Where the fault really comes: at the end of the last page, and only if nothing follows."""
    probe = lab.other.fork("a child")
    room = probe.call("mmap", 0, 3 * PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0).result
    neighbour = room + 2 * PAGE
    probe.write(neighbour, b"neighbour")
    address = probe.call("shmat", lab.segment, room, SHM_REMAP).result
    probe.write(address + SIZE, b"x")
    past = probe.read(address + SIZE, 1) == b"x"
    probe.write(address + 2 * PAGE, b"N")
    hit = probe.read(neighbour, 9).decode(errors="replace")
    probe.call("mprotect", neighbour, PAGE, PROT_NONE)
    guard = mapping_at(probe.pid, neighbour)
    how, told = _fault(probe, neighbour, write=True)
    steps.facts |= {
        "past_the_size": "nothing happens" if past else "refused",
        "neighbour_reads": hit,
        "past_the_guard": told,
    }
    lab.said["other"] = [f"byte {SIZE}: written", f"byte {2 * PAGE}: {hit}", f"guarded: {told}"]
    steps.add(
        "Past the end",
        f"""The segment has {SIZE} bytes, but byte {SIZE} can be written: the page is there. Byte
        {2 * PAGE}, the first behind the mapping, hit what lay there: its neighbour now
        reads "{hit}", without an error. With an unmapped page behind it, the child {how}.""",
        _picture(lab),
        f"p[{SIZE}] = 'x';  p[{2 * PAGE}] = 'N';",
        [
            Evidence("the neighbour reads", f"{neighbour:#x} in PID {probe.pid}", hit),
            Evidence("the guard page", f"/proc/{probe.pid}/maps", guard.line if guard else "none"),
            Evidence("the child", f"wait status of PID {probe.pid}", how),
        ],
    )
    lab.said.clear()


def _fault(probe: ActorHandle, address: int, write: bool) -> tuple[str, str]:
    """Have a child touch an address: what became of it, in words and as a signal."""
    try:
        if write:
            probe.write(address, b"x")
        else:
            probe.read(address, 1)
    except ActorDied as died:
        return died.how, died.signal
    probe.kill()
    return "was not stopped", "no fault"


def _remove(steps: Steps, lab: _Lab) -> None:
    """Marked, found no more, and gone with the last detach."""
    maker, other = lab.maker, lab.other
    refused = maker.call("shmctl", lab.segment, IPC_RMID, 0).error
    status = segment_status(lab.segment)
    by_key = other.call("shmget", lab.key, 0, 0)
    address = lab.places(other)[0].start
    still = other.read(address, 5).decode(errors="replace")
    lab.said["other"] = [f"shmget by key: {by_key.error or by_key.result}", f"reads {still!r}"]
    steps.facts |= {
        "removal_refused": bool(refused),
        "resident_after_removal": lab.resident(),
        "nattch_after_removal": status.attached,
        "readable_after_removal": still == "hello",
        "key_after_removal": by_key.error or "found",
    }
    steps.add(
        "Marked for removal, and still there",
        f"""IPC_RMID deletes nothing yet: nattch is {status.attached}, and the other process still
        reads "{still}". The segment is marked (SHM_DEST), its key is {status.permissions.key:#x}
        now, and asking for the old key gets {by_key.error or "the segment"}.""",
        _picture(lab),
        "shmctl(id, IPC_RMID, NULL);",
        [lab.row(), Evidence("its status", status.where, status.line)],
    )
    lab.said.clear()

    maker.call("shmdt", lab.places(maker)[0].start)
    left = lab.attached()
    other.call("shmdt", address)
    lab.gone = row("shm", lab.segment) is None
    again = maker.call("shmat", lab.segment, 0, 0)
    steps.facts["gone_after_last_detach"] = lab.gone
    steps.facts["resident_after_last_detach"] = lab.resident()
    steps.facts["attach_removed"] = again.error or "attached"
    end = "it is gone" if lab.gone else "it is still there"
    steps.add(
        "The last detach ends it",
        f"""The maker detached (nattch {left}), then the other process did, and with the last
        attachment of a marked segment {end}: its memory is given back, and its id gets
        {again.error or "an address"}. A segment that was not marked would have stayed.""",
        _picture(lab),
        "shmdt(p);",
        [lab.row(), Evidence("shmat of the id", "its answer", again.error or str(again.result))],
    )


def _posix(stage: Stage, steps: Steps) -> None:
    """The same life with names and files: POSIX shared memory."""
    actor = stage.actor("a process")
    name = str(stage.objects.expected("posix_shm", actor.pid))
    path = f"/dev/shm{name}"
    opened = actor.call("shm_open", name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    if opened.error:
        stage.notes.append(
            f"POSIX shared memory is refused here ({opened.error}); labkit doctor helps."
        )
        return
    descriptor, empty = opened.result, os.stat(path).st_size
    place = (0, 2 * PAGE, PROT_READ_WRITE, MAP_SHARED, descriptor, 0)
    early = actor.fork("a child")
    how, told = _fault(early, early.call("mmap", *place).result, write=True)
    actor.call("ftruncate", descriptor, 100)
    size = os.stat(path).st_size
    address = actor.call("mmap", *place).result
    actor.write(address + 200, b"x")
    late = actor.fork("a child")
    beyond, second = _fault(late, address + PAGE, write=True)
    steps.facts |= {
        "posix_new_bytes": empty,
        "posix_touch_empty": told,
        "posix_touch_past": second,
    }
    drawn = {"size": size, "mapped": 2 * PAGE, "name": name, "linked": True}
    said = [f"at size {empty}: {told}", f"past its page: {second}"]
    steps.add(
        "POSIX shared memory: a file without a disk",
        f"""shm_open made a file in /dev/shm of {empty} bytes. Two pages could be mapped, but a
        child that touched them {how}. ftruncate made it {size} bytes: now byte 200 can be written,
        for its page is there, but the second page is past its end: a child that touched it
        {beyond}.""",
        _posix_picture(actor, address, drawn, said),
        f'fd = shm_open("/name", O_RDWR | O_CREAT | O_EXCL, 0600);  ftruncate(fd, {size});',
        [
            Evidence("its size", f"stat {path}", str(size)),
            Evidence("a child, before", f"wait status of PID {early.pid}", how),
            Evidence("a child, after", f"wait status of PID {late.pid}", beyond),
        ],
    )

    actor.call("shm_unlink", name)
    there = os.path.exists(path)
    kept = actor.read(address + 200, 1) == b"x"
    found = mapping_at(actor.pid, address)
    steps.facts["posix_name_gone"] = not there
    steps.facts["posix_bytes_stay"] = kept
    drawn["linked"] = there
    works = "still works" if kept else "works no more"
    steps.add(
        "Unlinked, and still there",
        f"""shm_unlink took the name away{"" if not there else ", it seems, not"}, but the mapping
        {works}. As with any file, the memory goes when the last mapping and the last descriptor
        are gone. What key, id and address are in System V is here name, descriptor and address.""",
        _posix_picture(actor, address, drawn, []),
        'shm_unlink("/name");',
        [
            Evidence("the name", f"stat {path}", "there" if there else "no such file"),
            Evidence("the mapping", found.where, found.line) if found else _missing(actor),
        ],
    )
    actor.exit()


def _missing(actor: ActorHandle) -> Evidence:
    """Said where a mapping was expected and none is."""
    return Evidence("the mapping", f"/proc/{actor.pid}/smaps", "gone")


def _picture(lab: _Lab, stranger: ActorHandle | None = None, own: str = "") -> Scene:
    """Two processes above, the segment with its pages below.

    Args:
        stranger: who stands beside the maker, if not the other process.
        own: whose own segment is meant, in the step that shows one.
    """
    scene = Scene()
    room = layout.kernel(scene)
    segment = _segment(scene, lab, room) if not own else _own_segment(scene, room, own)
    names = (
        ("maker", lab.maker),
        ("other" if stranger is None else "stranger", stranger or lab.other),
    )
    for number, (name, actor) in enumerate(names):
        column = layout.columns(2)[number]
        layout.process(scene, name, actor.name, actor.pid, column)
        x, width = column
        half = (width - 60) / 2
        # What is attached stands on the inner side, so that its lines run straight to the segment.
        inner, outer = (x + 40 + half, x + 20) if number == 0 else (x + 20, x + 40 + half)
        for place, each in enumerate(lab.places(actor)[:2]):
            rights = "read and write" if "w" in each.permissions else "read only"
            lines = [f"{each.start:#x}", rights, f"{each.resident // 1024} KiB in memory"]
            box = (inner, 72 + 190 * place, half, 176)
            scene.box(f"{name}.{place}", box, "memory", "attached at", lines)
            share = (0.25, 0.4)[place] if number == 0 else (0.75, 0.6)[place]
            top = layout.top_of(segment, share)
            foot = layout.foot_of(box, (0.2, 0.6)[place])
            if not place and len(lab.places(actor)) > 1:
                side = inner - 10 if number == 0 else inner + half + 10
                points = [(inner if number == 0 else inner + half, 160), (side, 160), (side, 480)]
                scene.arrow(f"{name}.{place}.map", [*points, (top[0], 480), top], "map")
            else:
                scene.arrow(
                    f"{name}.{place}.map", [foot, (foot[0], 480), (top[0], 480), top], "map"
                )
        said = lab.said.get("other" if number else "maker")
        if said:
            free = not lab.places(actor)
            box = (x + 20 if free else outer, 72, width - 40 if free else half, 76 + 36 * len(said))
            scene.box(f"{name}.said", box, "user", "the answers", said)
    return scene


def _own_segment(scene: Scene, room: layout.Place, own: str) -> layout.Place:
    x, y, width, height = room
    place = (x + 740, y - 6, width - 740, height + 14)
    lines = ["mode 0400: its owner may read", f"owner: user {own}"]
    scene.box("own", place, "memory", "a segment of its own", lines)
    return place


def _segment(scene: Scene, lab: _Lab, room: layout.Place) -> layout.Place:
    x, y, width, height = room
    place = (x + 240, y - 6, width - 480, height + 14)
    if lab.gone:
        scene.box("segment", place, "memory", f"segment, id {lab.segment}", ["gone"], "gone")
        return place
    status = segment_status(lab.segment)
    lines = [
        "marked: no key" if status.marked else f"key {lab.key:#010x}",
        f"{status.size} bytes asked for",
    ]
    scene.box(
        "segment", place, "memory", f"segment, id {lab.segment}", lines,
        "marked" if status.marked else "",
    )  # fmt: skip
    badge = (place[0] + place[2] - 16, place[1] + 30)
    scene.badge("nattch", badge, f"nattch {status.attached}", "memory", "end")
    resident = lab.resident() // PAGE
    for number in range(2):
        here = (place[0] + 440 + number * 290, place[1] + 62, 270, 104)
        lines = ["in memory" if number < resident else "not yet in memory"]
        scene.box(f"page.{number}", here, "page", f"page {number + 1}", lines)
    return place


def _posix_picture(
    actor: ActorHandle, address: int, drawn: dict[str, object], said: list[str]
) -> Scene:
    scene = Scene()
    x, y, width, height = layout.kernel(scene)
    place = (x + 240, y - 6, width - 480, height + 14)
    title = "file in /dev/shm" if drawn["linked"] else "file without a name"
    lines = [str(drawn["name"]) if drawn["linked"] else "unlinked", f"size {drawn['size']} bytes"]
    scene.box("file", place, "memory", title, lines)
    column = layout.columns(2)[0]
    layout.process(scene, "posix", actor.name, actor.pid, column)
    half = (column[1] - 60) / 2
    box = (column[0] + 40 + half, 72, half, 176)
    scene.box("mapped", box, "memory", "mapped at", [f"{address:#x}", f"{drawn['mapped']} bytes"])
    top, foot = layout.top_of(place, 0.25), layout.foot_of(box, 0.2)
    scene.arrow("mapped.map", [foot, (foot[0], 480), (top[0], 480), top], "map")
    if said:
        x, width = layout.columns(2)[1]
        scene.box("said", (x, 72, width, 70 + 38 * len(said)), "user", "children that tried", said)
    return scene
