"""shmget: a key goes in, an id comes out."""

import ctypes
import os
from errno import errorcode

from labkit.claims import namespace
from labkit.claims.claim import Claim, Evidence, Found, NotHere
from labkit.claims.lab import Lab, answer, become, drop_capabilities
from labkit.claims.system_calls import calls_of
from labkit.kernel import libc, system_v
from labkit.kernel.pagemap import PAGE
from labkit.kernel.system_v import IPC_CREAT, IPC_EXCL, IPC_PRIVATE, SHM_RDONLY
from labkit.kernel.sysv_status import row
from labkit.kernel.trace import SystemCall

TOPIC = "creating"
NEW = IPC_CREAT | IPC_EXCL | 0o600


def _row(identifier: int) -> list[Evidence]:
    found = row("shm", identifier)
    return [Evidence(found.where, found.line)] if found else []


def _declarations(lab: Lab) -> Found:
    segment = lab.segment(2 * PAGE)
    seen: dict[str, list[int]] = {}
    given: dict[str, list[int]] = {}
    wanted = {"shmget": 3, "shmat": 3, "shmdt": 1}

    def note(call: SystemCall) -> None:
        if call.name in wanted:
            seen[call.name] = list(call.args[: wanted[call.name]])

    # The address is known beforehand: a child has its parent's free places.
    place = lab.attach(segment.id)
    system_v.shmdt(place)

    def work() -> None:
        system_v.shmget(segment.key, PAGE, 0o400)
        system_v.shmat(segment.id, place, SHM_RDONLY)
        system_v.shmdt(place)

    calls_of(work, note)
    given["shmget"] = [segment.key, PAGE, 0o400]
    given["shmat"] = [segment.id, place, SHM_RDONLY]
    given["shmdt"] = [place]
    return Found(
        {
            "given": given,
            "seen": seen,
            "told": [f"{name}({', '.join(map(hex, args))})" for name, args in seen.items()],
        },
        [Evidence("ptrace, registers at the entry", f"{name} {seen[name]}") for name in seen],
    )


def _create_or_find(lab: Lab) -> Found:
    key = lab.key()
    bare = answer(system_v.shmget, key, PAGE, 0o600)
    created = lab.shmget(key, PAGE, NEW)
    found = [system_v.shmget(key, PAGE, IPC_CREAT | 0o600), system_v.shmget(key, 0, 0)]
    return Found(
        {
            "bare": bare,
            "created": created,
            "found": found,
            "exclusive": answer(system_v.shmget, key, PAGE, NEW),
        },
        _row(created),
    )


def _return_value(lab: Lab) -> Found:
    segment = lab.segment()
    told = row("shm", segment.id)
    failed = libc.shmget(lab.key(), PAGE, 0)  # nobody makes one under this key
    return Found(
        {
            "returned": segment.id,
            "key": segment.key,
            "listed": int(told.columns["key"]) if told else None,
            "failed": failed,
            "error": errorcode.get(libc.errno(), str(libc.errno())),
        },
        _row(segment.id),
    )


def _zeroes(lab: Lab) -> Found:
    size = 16 * PAGE
    old = lab.segment(size)
    place = system_v.shmat(old.id)
    ctypes.memset(place, 0xAA, size)
    system_v.remove_segment(old.id)
    system_v.shmdt(place)  # its pages, full of 0xAA, are free for the next one
    new = lab.segment(size)
    data = ctypes.string_at(lab.attach(new.id, 0, SHM_RDONLY), size)
    other = size - data.count(0)
    return Found(
        {"size": size, "other": other},
        [Evidence("bytes of the new segment that are not zero", str(other)), *_row(new.id)],
    )


def _flags(lab: Lab) -> Found:
    asked = [0o600, 0o400, 0o200]
    made = [lab.segment(PAGE, mode) for mode in asked]
    rows = [row("shm", each.id) for each in made]
    recorded = [int(each.columns["perms"], 8) if each else None for each in rows]
    return Found(
        {
            "asked": [f"{mode:04o}" for mode in asked],
            "recorded": ["none" if mode is None else f"{mode:04o}" for mode in recorded],
            "bare": answer(system_v.shmget, lab.key(), PAGE, 0o600),
        },
        [Evidence(each.where, each.line) for each in rows if each],
    )


def _another(lab: Lab) -> Found:
    user = lab.another_user()
    segment = lab.segment(PAGE, 0o600)

    def work() -> list[str]:
        try:
            become(user)
        except OSError:
            return []
        return [
            answer(system_v.shmget, segment.key, 0, 0o600),
            answer(system_v.shmget, segment.key, 0, 0),
            answer(system_v.shmat, segment.id),
            answer(system_v.shmat, segment.id, 0, SHM_RDONLY),
        ]

    answers = lab.child(work).value
    if not answers:
        raise NotHere(f"no process can become user {user} here; try it outside the container.")
    find, bare, attach, read = answers
    return Found(
        {
            "user": user,
            "find": find,
            "bare": bare,
            "attach": attach,
            "read": read,
            "owner": os.geteuid(),
        },
        _row(segment.id),
    )


def _own_mode(lab: Lab) -> Found:
    segment = lab.segment(PAGE, 0o400)

    def work() -> list[str]:
        drop_capabilities()
        return [
            answer(system_v.shmat, segment.id),
            answer(system_v.shmat, segment.id, 0, SHM_RDONLY),
        ]

    write, read = lab.child(work).value
    return Found({"mode": "0400", "write": write, "read": read}, _row(segment.id))


def _ftok(lab: Lab) -> Found:
    path = lab.stage.objects.file(1)
    facts = os.stat(path)
    call = ctypes.CDLL(None).ftok
    call.restype = ctypes.c_int32

    def ftok(project: int) -> int:
        return int(call(path.encode(), project)) & 0xFFFFFFFF

    computed = (facts.st_ino & 0xFFFF) | (facts.st_dev & 0xFF) << 16 | 1 << 24
    keys = {project: ftok(project) for project in (1, 2, 257)}
    return Found(
        {
            "one": f"{keys[1]:#010x}",
            "two": f"{keys[2]:#010x}",
            "far": f"{keys[257]:#010x}",
            "computed": f"{computed:#010x}",
        },
        [Evidence("stat(2) of the file", f"inode {facts.st_ino}, device {facts.st_dev}")],
    )


def _private(lab: Lab) -> Found:
    def work() -> list[list[object]]:
        ids = [system_v.shmget(IPC_PRIVATE, PAGE, 0o600) for _ in range(2)]
        rows = [row("shm", each) for each in ids]
        return [
            [each, told.columns["key"], told.line]
            for each, told in zip(ids, rows, strict=True)
            if told
        ]

    made = namespace.in_new_namespace(lab, work)
    return Found(
        {"ids": [each for each, _, _ in made], "keys": [key for _, key, _ in made]},
        [Evidence("/proc/sysvipc/shm", line) for _, _, line in made],
    )


def _other_namespace(lab: Lab) -> Found:
    segment = lab.segment()

    def work() -> list[str]:
        return [
            answer(system_v.shmget, segment.key, 0, 0),
            answer(system_v.shmat, segment.id),
            "seen" if row("shm", segment.id) else "not seen",
        ]

    key, identifier, listed = namespace.in_new_namespace(lab, work)
    return Found(
        {"key": key, "id": identifier, "listed": listed, "here": bool(row("shm", segment.id))},
        _row(segment.id),
    )


CLAIMS = [
    Claim(
        id="declarations",
        topic=TOPIC,
        said="int shmget (key-t key, size-t size, int shmflg); void * Shmat (int shmid, const void"
        " *shmaddr, int shmflg); int Shmdt (const void *shmaddr)",
        claim="shmget takes a key, a size and flags, shmat an identifier, an address and flags,"
        " shmdt an address (in C with small letters, and the types key_t and size_t).",
        source="shmget(2), shmop(2), SYNOPSIS",
        experiment=_declarations,
        holds=lambda f: f["given"] == f["seen"],
        observed="The kernel was called as {told}.",
    ),
    Claim(
        id="create-or-find",
        topic=TOPIC,
        said="shmget() creates a new shared memory segment or obtains the identifier of an existing"
        " segment.",
        claim="shmget creates a new segment, or gives the identifier of the one that its key names"
        " already.",
        source="shmget(2)",
        experiment=_create_or_find,
        holds=lambda f: all(each == f["created"] for each in f["found"]),
        always=lambda f: f["bare"] == "accepted",
        condition="It creates one only with IPC_CREAT in shmflg, or with the key IPC_PRIVATE; with"
        " IPC_EXCL it refuses one that exists.",
        observed="For a key that named nothing: {bare} without IPC_CREAT, id {created} with it;"
        " asked again for the same key: {found}; with IPC_EXCL: {exclusive}.",
    ),
    Claim(
        id="returns-id",
        topic=TOPIC,
        said="The return value of shmget() is the ID of the shared memory segment.",
        claim="What shmget returns is the identifier of the segment.",
        source="shmget(2), RETURN VALUE",
        experiment=_return_value,
        holds=lambda f: f["listed"] == f["key"],
        always=lambda f: f["failed"] != -1,
        condition="It returns -1, with the reason in errno, when it fails. The identifier is not"
        " the key.",
        observed="For the key {key} it returned {returned}, and /proc/sysvipc/shm lists the key"
        " {listed} under that id; for a key that names nothing it returned {failed} ({error}).",
    ),
    Claim(
        id="zeroes",
        topic=TOPIC,
        said="The contents of a newly created shared memory segment are initialised to 0.",
        claim="A new segment holds nothing but zeroes.",
        source="shmget(2)",
        experiment=_zeroes,
        holds=lambda f: f["other"] == 0,
        observed="Of the {size} bytes of a segment made right after one full of 0xAA was removed,"
        " {other} were not zero.",
    ),
    Claim(
        id="shmget-flags",
        topic=TOPIC,
        said="shmflg is for permission",
        claim="The argument shmflg of shmget gives the permissions.",
        source="shmget(2)",
        experiment=_flags,
        holds=lambda f: f["asked"] == f["recorded"],
        always=lambda f: f["bare"] == "accepted",
        condition="Its lowest nine bits do. The others say what to do: IPC_CREAT, IPC_EXCL,"
        " SHM_HUGETLB, SHM_NORESERVE.",
        observed="Segments made with {asked} have the permissions {recorded}; with permission bits"
        " alone and a new key: {bare}.",
    ),
    Claim(
        id="other-users",
        topic=TOPIC,
        claim="Other users cannot attach a segment of mode 0600; shmget refuses it to them by its"
        " key only if they ask for permission bits.",
        source="sysvipc(7), shmget(2), ERRORS, shmop(2), ERRORS",
        experiment=_another,
        holds=lambda f: (
            f["find"] == f["attach"] == f["read"] == "EACCES" and f["bare"] == "accepted"
        ),
        observed="User {user} asked for a segment of user {owner}: shmget {find} with the bits"
        " 0600, {bare} with none; shmat {attach}, shmat to read only {read}.",
    ),
    Claim(
        id="own-mode",
        topic=TOPIC,
        claim="The owner is bound by the mode too: a segment of one's own with mode 0400 can be"
        " attached to read it, and not to write it.",
        source="sysvipc(7), shmop(2), ERRORS",
        experiment=_own_mode,
        holds=lambda f: f["write"] == "EACCES" and f["read"] == "accepted",
        observed="Without the superuser's privileges, its owner attached a segment of mode {mode}"
        " for writing: {write}; for reading only: {read}.",
    ),
    Claim(
        id="private-key",
        topic=TOPIC,
        claim="The key IPC_PRIVATE makes a new segment every time, which no key leads to.",
        source="shmget(2), NOTES",
        experiment=_private,
        holds=lambda f: len(set(f["ids"])) == len(f["ids"]) == 2 and set(f["keys"]) == {"0"},
        observed="Two calls gave the ids {ids}; their keys in the kernel's list: {keys}.",
    ),
    Claim(
        id="ftok-collides",
        topic=TOPIC,
        claim="ftok can give one key for different things, because it keeps only eight bits of the"
        " project number, eight of the device and sixteen of the inode.",
        source="ftok(3), NOTES",
        experiment=_ftok,
        holds=lambda f: f["one"] == f["far"] == f["computed"] != f["two"],
        observed="For one file ftok gave {one} with the project number 1, {two} with 2 and {far}"
        " with 257; put together from inode and device: {computed}.",
    ),
    Claim(
        id="namespaces",
        topic=TOPIC,
        claim="Keys and identifiers mean something only within one IPC namespace: a process in"
        " another one, as in another container, doesn't get at the segment.",
        source="ipc_namespaces(7)",
        experiment=_other_namespace,
        holds=lambda f: (
            f["here"] and f["key"] != "accepted" != f["id"] and f["listed"] == "not seen"
        ),
        observed="A process in a new namespace got {key} for the key and {id} for the identifier;"
        " in /proc/sysvipc/shm the segment was {listed}.",
    ),
]
