"""POSIX shared memory, where it differs from the System V kind that the notes describe."""

import ctypes
import mmap
import os

from labkit.claims.claim import Claim, Evidence, Found, NotHere
from labkit.claims.lab import Lab, place_of
from labkit.kernel import libc
from labkit.kernel.libc import LibcFunction
from labkit.kernel.pagemap import PAGE

TOPIC = "POSIX shared memory"
FOLDER = "/dev/shm"


def _shm_open(name: str, flags: int) -> int:
    """A descriptor, by libc's own call. shm_open(3)"""
    path = ctypes.create_string_buffer(name.encode())
    call = LibcFunction("shm_open", "int", "long", "int", "unsigned")
    descriptor = call(ctypes.addressof(path), flags, 0o600)
    if descriptor < 0:
        raise NotHere(f"shm_open was refused ({os.strerror(libc.errno())}); see labkit doctor.")
    return descriptor


def _new(lab: Lab) -> tuple[str, int]:
    name = lab.name("posix_shm")
    return name, lab.keep(_shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL))


def _unlink(name: str) -> None:
    path = ctypes.create_string_buffer(name.encode())
    LibcFunction("shm_unlink", "int", "long")(ctypes.addressof(path))


def _empty(lab: Lab) -> Found:
    name, descriptor = _new(lab)
    new = os.fstat(descriptor).st_size

    def touch(at: int) -> str:
        space = LibcFunction("mmap", "long", *("long", "long", "int", "int", "int", "long"))
        place = space(0, 2 * PAGE, 3, 1, descriptor, 0)  # PROT_READ | PROT_WRITE, MAP_SHARED
        ctypes.memset(place + at, 1, 1)
        return "nothing happened"

    def how(at: int) -> str:
        ended = lab.child(lambda: touch(at))
        return ended.signal or str(ended.value)

    at_once = how(0)
    os.ftruncate(descriptor, PAGE)
    sized = os.fstat(descriptor).st_size
    facts = {
        "new": new,
        "at_once": at_once,
        "sized": sized,
        "inside": how(0),
        "behind": how(PAGE),
    }
    _unlink(name)
    return Found(facts, [Evidence("fstat(2), st_size, new and after ftruncate", f"{new}, {sized}")])


def _named(lab: Lab) -> Found:
    name, descriptor = _new(lab)
    os.ftruncate(descriptor, PAGE)
    memory = mmap.mmap(descriptor, PAGE)
    memory[:6] = b"hello\0"
    path = FOLDER + name
    before = os.path.exists(path)
    _unlink(name)
    after = os.path.exists(path)
    found = ctypes.string_at(place_of(memory), 5).decode()
    links = os.fstat(descriptor).st_nlink
    return Found(
        {"before": before, "after": after, "written": "hello", "found": found, "links": links},
        [Evidence("fstat(2) of the descriptor, st_nlink", str(links))],
    )


CLAIMS = [
    Claim(
        id="posix-size",
        topic=TOPIC,
        claim="POSIX shared memory is born with size 0 and gets its size from ftruncate; a touch"
        " behind its last page is SIGBUS.",
        source="shm_open(3), mmap(2)",
        experiment=_empty,
        holds=lambda f: (
            f["new"] == 0
            and f["at_once"] == f["behind"] == "SIGBUS"
            and f["sized"] == PAGE
            and f["inside"] == "nothing happened"
        ),
        observed="New: {new} bytes, and touching the first: {at_once}. After ftruncate to {sized}:"
        " touching the first {inside}, the first one behind {behind}.",
    ),
    Claim(
        id="posix-unlink",
        topic=TOPIC,
        claim="POSIX shared memory has a name in /dev/shm; without the name it lives on for those"
        " who have it mapped, as a segment that is marked for removal does.",
        source="shm_overview(7), shm_unlink(3)",
        experiment=_named,
        holds=lambda f: (
            f["before"] and not f["after"] and f["found"] == f["written"] and f["links"] == 0
        ),
        observed="The name was in /dev/shm before shm_unlink: {before}, after: {after}; the memory"
        " then still held '{found}', with {links} names.",
    ),
]
