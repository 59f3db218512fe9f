"""One memory, many processes: what is shared, and what is each process's own."""

import mmap
import os

from labkit.claims.claim import Claim, Evidence, Facts, Found
from labkit.claims.lab import Lab, peek, poke
from labkit.kernel import pagemap
from labkit.kernel.mappings import mapping_at
from labkit.kernel.pagemap import PAGE
from labkit.kernel.sysv_status import row, segment_status

TOPIC = "sharing"
_LETTERS = "ABC"


def _several(lab: Lab) -> Found:
    segment = lab.segment()
    actors = [lab.actor(f"process {number}") for number in range(1, len(_LETTERS) + 1)]
    places = [actor.call("shmat", segment.id, 0, 0).result for actor in actors]
    for number, (actor, place) in enumerate(zip(actors, places, strict=True)):
        actor.write(place + number, _LETTERS[number].encode())
    read = [
        actor.read(place, len(_LETTERS)).decode(errors="replace")
        for actor, place in zip(actors, places, strict=True)
    ]
    status = segment_status(segment.id)
    return Found(
        {"processes": len(actors), "attached": status.attached, "written": _LETTERS, "read": read},
        [Evidence(status.where, status.line)],
    )


def _two_addresses(lab: Lab) -> Found:
    segment = lab.segment()
    first, second = lab.actor("the first process"), lab.actor("the second process")
    here = first.call("shmat", segment.id, 0, 0).result
    # The second process has something else at that address already, so the kernel finds another.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100000  # MAP_FIXED_NOREPLACE
    second.call("mmap", here, PAGE, 1, flags, -1, 0)  # PROT_READ
    there = second.call("shmat", segment.id, 0, 0).result
    first.write(here, b"shared")
    found = second.read(there, 6).decode(errors="replace")
    astray = second.read(here, 6).rstrip(b"\0").decode(errors="replace")
    lines = [
        Evidence(each.where, each.line)
        for each in (mapping_at(first.pid, here), mapping_at(second.pid, there))
        if each is not None
    ]
    return Found(
        {
            "first": f"{here:#x}",
            "second": f"{there:#x}",
            "written": "shared",
            "found": found,
            "astray": astray,
        },
        lines,
    )


def _one_copy(lab: Lab) -> Found:
    segment = lab.segment()
    actors = [lab.actor("the first process"), lab.actor("the second process")]
    places = [actor.call("shmat", segment.id, 0, 0).result for actor in actors]
    actors[0].write(places[0], b"x")
    for actor, place in zip(actors, places, strict=True):
        actor.read(place, 1)  # each has touched it now
    pages = [pagemap.page_at(actor.pid, place) for actor, place in zip(actors, places, strict=True)]
    mapping = mapping_at(actors[0].pid, places[0])
    told = row("shm", segment.id)
    frames = [f"{page.frame:#x}" if page.frame else "not shown to us" for page in pages]
    return Found(
        {
            "frames": frames,
            "shown": all(page.frame for page in pages),
            "alone": any(page.exclusive for page in pages),
            "proportional": mapping.proportional if mapping else 0,
            "page": PAGE,
        },
        [Evidence(page.where, page.line) for page in pages]
        + ([Evidence(told.where, told.line)] if told else []),
    )


def _one_frame(facts: Facts) -> bool:
    if facts["shown"]:
        return len(set(facts["frames"])) == 1
    return not facts["alone"] and 0 < facts["proportional"] <= facts["page"] / 2


def _private_after_fork(lab: Lab) -> Found:
    memory = mmap.mmap(-1, PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    shared = lab.attach(lab.segment().id)
    memory[:7] = b"before\0"
    poke(shared, "before")

    def work() -> int:
        memory[:6] = b"after\0"
        poke(shared, "after")
        return os.getpid()

    lab.child(work)
    private = memory[:7].split(b"\0")[0].decode()
    return Found(
        {"written": "after", "private": private, "shared": peek(shared, 8)},
        [
            Evidence("private memory of the parent", private),
            Evidence("the segment, read by the parent", peek(shared, 8)),
        ],
    )


CLAIMS = [
    Claim(
        id="many-processes",
        topic=TOPIC,
        said="Shared memory allows 2 or more processes to share a memory region or segment of"
        " memory for reading and writing purposes.",
        claim="Two or more processes can read and write the same segment of memory.",
        source="shmop(2), sysvipc(7)",
        experiment=_several,
        holds=lambda f: f["processes"] >= 2 and all(each == f["written"] for each in f["read"]),
        observed="{processes} processes attached one segment and each wrote one letter of"
        " {written}; they read {read}; nattch was {attached}.",
    ),
    Claim(
        id="one-copy",
        topic=TOPIC,
        claim="However many processes attach a segment, there is one copy of it in memory.",
        source="proc_pid_pagemap(5), proc_pid_smaps(5)",
        experiment=_one_copy,
        holds=_one_frame,
        observed="The page had the physical frames {frames} in the two processes; mapped by one of"
        " them alone: {alone}; its {page} bytes count as {proportional} for each (Pss).",
    ),
    Claim(
        id="own-address",
        topic=TOPIC,
        claim="A segment may lie at a different address in each process, so an address that is"
        " stored in it means nothing to another process.",
        source="shmop(2), NOTES",
        experiment=_two_addresses,
        holds=lambda f: f["first"] != f["second"] and f["found"] == f["written"] != f["astray"],
        observed="One process had it at {first}, the other, which had that address in use, at"
        " {second}; there it read '{found}', at the first one's address {astray}.",
    ),
    Claim(
        id="private-stays-private",
        topic=TOPIC,
        claim="What a child writes to ordinary memory after fork is not seen by its parent; what it"
        " writes to an attached segment is.",
        source="fork(2), shmop(2)",
        experiment=_private_after_fork,
        holds=lambda f: f["private"] != f["written"] == f["shared"],
        observed="The child wrote '{written}' to both; the parent then found '{private}' in its"
        " private page and '{shared}' in the segment.",
    ),
]
