"""shmat: where a segment appears, and what may be done with it there."""

import ctypes
import mmap
import os
from functools import partial

from labkit.claims.claim import Claim, Evidence, Found
from labkit.claims.lab import Lab, answer, drop_capabilities, peek, place_of, poke
from labkit.kernel import libc, system_v
from labkit.kernel.mappings import Mapping, mapping_at, segment_mappings
from labkit.kernel.pagemap import PAGE
from labkit.kernel.system_v import SHM_RDONLY, SHM_RND
from labkit.kernel.sysv_status import segment_status

TOPIC = "attaching"
BOUNDARY = 1 << 16  # a multiple of the page size, and of SHMLBA, on all machines served


def _line(mapping: Mapping | None) -> list[Evidence]:
    return [Evidence(mapping.where, mapping.line)] if mapping else []


def _caller(lab: Lab) -> Found:
    segment = lab.segment()
    caller, other = lab.actor("the caller"), lab.actor("another process")
    before = segment_status(segment.id).attached
    caller.call("shmat", segment.id, 0, 0)
    after = segment_status(segment.id)
    mine = segment_mappings(caller.pid, segment.id)
    others = segment_mappings(other.pid, segment.id)
    return Found(
        {
            "before": before,
            "after": after.attached,
            "caller": len(mine),
            "other": len(others),
        },
        [*(Evidence(each.where, each.line) for each in mine), Evidence(after.where, after.line)],
    )


def _chosen(lab: Lab) -> Found:
    segment = lab.segment()
    places = [lab.attach(segment.id) for _ in range(2)]
    mapped = [mapping_at(os.getpid(), place) for place in places]
    return Found(
        {
            "places": [f"{place:#x}" for place in places],
            "found": sum(
                each is not None and each.start == place and each.segment_id == segment.id
                for each, place in zip(mapped, places, strict=True)
            ),
        },
        [line for each in mapped for line in _line(each)],
    )


def _free_address() -> int:
    """An address at a boundary with nothing mapped for some way behind it, in this one thread."""
    space = mmap.mmap(-1, 4 * BOUNDARY)
    place = place_of(space)
    free = -(-place // BOUNDARY) * BOUNDARY
    libc.LibcFunction("munmap", "int", "long", "long")(place, 4 * BOUNDARY)
    _KEPT.append(space)  # Python must not unmap it once more
    return free


_KEPT: list[mmap.mmap] = []


def _given(lab: Lab) -> Found:
    segment = lab.segment()

    def work() -> dict[str, object]:
        free = _free_address()
        unaligned = answer(system_v.shmat, segment.id, free + 100)
        got = system_v.shmat(segment.id, free)
        line = mapping_at(os.getpid(), got)
        taken = answer(system_v.shmat, segment.id, free)
        system_v.shmdt(got)
        rounded = system_v.shmat(segment.id, free + 100, SHM_RND)
        return {
            "asked": f"{free:#x}",
            "got": f"{got:#x}",
            "unaligned": unaligned,
            "taken": taken,
            "rounded": f"{rounded:#x}",
            "lines": [[line.where, line.line]] if line else [],
        }

    told = lab.child(work).value
    return Found(told, [Evidence(*line) for line in told.pop("lines")])


def _returned(lab: Lab) -> Found:
    place = lab.attach(lab.segment().id)
    poke(place, "stored")
    mapping = mapping_at(os.getpid(), place)
    return Found(
        {
            "returned": f"{place:#x}",
            "mapped": f"{mapping.start:#x}" if mapping else None,
            "stored": "stored",
            "loaded": peek(place, 8),
        },
        _line(mapping),
    )


def _flags(lab: Lab) -> Found:
    segment = lab.segment()
    places = {"plain": lab.attach(segment.id), "reading": lab.attach(segment.id, 0, SHM_RDONLY)}
    mapped = {name: mapping_at(os.getpid(), place) for name, place in places.items()}

    def unaligned() -> list[str]:
        free = _free_address()
        return [answer(system_v.shmat, segment.id, free + 100, flags) for flags in (0, SHM_RND)]

    without, rounding = lab.child(unaligned).value
    return Found(
        {
            **{name: each.permissions if each else None for name, each in mapped.items()},
            "without": without,
            "rounding": rounding,
        },
        [line for each in mapped.values() for line in _line(each)],
    )


def _read_write(lab: Lab) -> Found:
    place = lab.attach(lab.segment().id)
    mapping = mapping_at(os.getpid(), place)
    poke(place, "stored")
    closed = lab.segment(PAGE, 0o400)

    def work() -> str:
        drop_capabilities()
        return answer(system_v.shmat, closed.id)

    return Found(
        {
            "permissions": mapping.permissions if mapping else None,
            "stored": "stored",
            "loaded": peek(place, 8),
            "closed": lab.child(work).value,
        },
        _line(mapping),
    )


def _read_only(lab: Lab) -> Found:
    segment = lab.segment()

    def work(flags: int) -> str:
        ctypes.memset(system_v.shmat(segment.id, 0, flags), 1, 1)
        return "nothing happened"

    how = {}
    for name, flags in (("plain", 0), ("reading", SHM_RDONLY)):
        ended = lab.child(partial(work, flags))
        how[name] = ended.signal or str(ended.value)
    return Found(how, [Evidence("how the writing child ended", how["reading"])])


def _twice(lab: Lab) -> Found:
    segment = lab.segment()
    actor = lab.actor("the process")
    places = [actor.call("shmat", segment.id, 0, 0).result for _ in range(2)]
    actor.write(places[0], b"x")
    status = segment_status(segment.id)
    return Found(
        {
            "processes": 1,
            "attached": status.attached,
            "places": [f"{place:#x}" for place in places],
            "same": actor.read(places[1], 1) == b"x",
        },
        [Evidence(status.where, status.line)],
    )


CLAIMS = [
    Claim(
        id="shmat-attaches",
        topic=TOPIC,
        said="Shmat function system call attaches the shared memory segment identified by shmid to"
        " the address space of the calling process.",
        claim="shmat attaches the segment with that identifier to the address space of the process"
        " that calls it.",
        source="shmop(2)",
        experiment=_caller,
        holds=lambda f: f["caller"] == 1 and f["other"] == 0 and f["after"] == f["before"] + 1,
        observed="nattch went from {before} to {after}; the segment is mapped {caller} time in the"
        " caller and {other} times in another process.",
    ),
    Claim(
        id="given-address",
        topic=TOPIC,
        said="Shmaddr is the address where the memory segment will be attached.",
        claim="The segment is attached at the address given as shmaddr.",
        source="shmop(2)",
        experiment=_given,
        holds=lambda f: f["got"] == f["asked"],
        always=lambda f: f["unaligned"] == f["taken"] == "accepted",
        condition="The address must be at a page boundary (SHM_RND rounds it down to a multiple of"
        " SHMLBA) and free, or it is EINVAL. Portable programs give NULL.",
        observed="Asked for {asked}, it was attached at {got}; 100 bytes further: {unaligned}, with"
        " SHM_RND at {rounded}; where something is mapped: {taken}.",
    ),
    Claim(
        id="null-address",
        topic=TOPIC,
        said="If we want the OS kernel to select the suitable address, we keep it NULL.",
        claim="With NULL as shmaddr the kernel chooses a free address.",
        source="shmop(2)",
        experiment=_chosen,
        holds=lambda f: f["found"] == len(f["places"]) == len(set(f["places"])),
        observed="Attached twice with NULL, the segment is mapped at {places}.",
    ),
    Claim(
        id="shmat-flags",
        topic=TOPIC,
        said="Shmflg is for permission.",
        claim="The argument shmflg of shmat says whether the segment may be written there.",
        source="shmop(2)",
        experiment=_flags,
        holds=lambda f: f["plain"] == "rw-s" and f["reading"] == "r--s",
        always=lambda f: f["without"] == f["rounding"],
        condition="SHM_RDONLY and SHM_EXEC are permissions. SHM_RND and SHM_REMAP say how shmaddr"
        " is meant.",
        observed="Mapped with 0: {plain}, with SHM_RDONLY: {reading}; an address that is no"
        " multiple of the page size is {without} with 0 and {rounding} with SHM_RND.",
    ),
    Claim(
        id="zero-is-read-write",
        topic=TOPIC,
        said="0 for read-write access.",
        claim="With 0 as shmflg, the segment can be read and written.",
        source="shmop(2), ERRORS",
        experiment=_read_write,
        holds=lambda f: f["permissions"] == "rw-s" and f["loaded"] == f["stored"],
        always=lambda f: f["closed"] == "accepted",
        condition="The process must have both permissions on the segment, or shmat fails with"
        " EACCES.",
        observed="Attached with 0 it is mapped {permissions}, and '{stored}' was read back as"
        " '{loaded}'; one of mode 0400, without privilege: {closed}.",
    ),
    Claim(
        id="shmat-returns",
        topic=TOPIC,
        said="on success, the function returns the address at which the shared memory segment is"
        " attached, which is treated",
        claim="shmat returns the address at which the segment is attached, to be used like any"
        " other pointer (the sentence in the notes breaks off).",
        source="shmop(2), RETURN VALUE",
        experiment=_returned,
        holds=lambda f: f["returned"] == f["mapped"] and f["loaded"] == f["stored"],
        observed="It returned {returned}, and the segment is mapped at {mapped}; '{stored}' was"
        " stored there and '{loaded}' loaded.",
    ),
    Claim(
        id="read-only-fault",
        topic=TOPIC,
        claim="Writing to a segment that is attached for reading only raises SIGSEGV, although its"
        " mode allows to write.",
        source="shmop(2), signal(7), sigaction(2)",
        experiment=_read_only,
        holds=lambda f: f["reading"] == "SIGSEGV" and f["plain"] == "nothing happened",
        observed="A process wrote where it had attached with 0: {plain}; with SHM_RDONLY:"
        " {reading}.",
    ),
    Claim(
        id="nattch-counts-attachments",
        topic=TOPIC,
        claim="nattch counts attachments, not processes: one process can attach a segment twice.",
        source="shmctl(2), shmop(2)",
        experiment=_twice,
        holds=lambda f: f["attached"] == 2 > f["processes"] and f["same"],
        observed="{processes} process attached it at {places}; nattch was {attached}; a byte"
        " written at the first address was found at the second: {same}.",
    ),
]
