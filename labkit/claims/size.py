"""How large a segment is: what was asked for, what is recorded, and what is mapped."""

import ctypes
import os

from labkit.claims.claim import Claim, Evidence, Found
from labkit.claims.lab import Lab, answer
from labkit.kernel import libc, system_v
from labkit.kernel.mappings import Mapping, mapping_at
from labkit.kernel.pagemap import PAGE
from labkit.kernel.system_v import IPC_CREAT, IPC_EXCL, SHM_REMAP
from labkit.kernel.sysv_status import segment_status

TOPIC = "size"
ASKED = PAGE + 904  # a page and a bit: 5000 bytes where a page has 4096
PROT_NONE, MAP_PRIVATE_ANONYMOUS = 0, 0x22


def _mapped(address: int) -> Mapping:
    found = mapping_at(os.getpid(), address)
    if found is None:
        raise OSError("what was just attached is not mapped")
    return found


def _recorded(lab: Lab) -> Found:
    status = segment_status(lab.segment(ASKED).id)
    zero = answer(system_v.shmget, lab.key(), 0, IPC_CREAT | IPC_EXCL | 0o600)
    return Found(
        {"asked": ASKED, "recorded": status.size, "zero": zero},
        [Evidence(status.where, status.line)],
    )


def _rounded(lab: Lab) -> Found:
    segment = lab.segment(ASKED)
    mapping = _mapped(lab.attach(segment.id))
    status = segment_status(segment.id)
    return Found(
        {"asked": ASKED, "page": PAGE, "mapped": mapping.size, "recorded": status.size},
        [Evidence(mapping.where, mapping.line), Evidence(status.where, status.line)],
    )


def _existing(lab: Lab) -> Found:
    segment = lab.segment(ASKED)
    tried = {
        name: answer(system_v.shmget, segment.key, size, 0o600)
        for name, size in (("none", 0), ("less", 1), ("same", ASKED), ("more", ASKED + 1))
    }
    status = segment_status(segment.id)
    return Found(
        {"asked": ASKED, **tried, "recorded": status.size}, [Evidence(status.where, status.line)]
    )


def _first_touch(lab: Lab) -> Found:
    pages = 8
    place = lab.attach(lab.segment(pages * PAGE).id)
    before = _mapped(place)
    ctypes.memset(place, 1, 1)
    after = _mapped(place)
    return Found(
        {
            "size": pages * PAGE,
            "mapped": before.size,
            "before": before.resident,
            "after": after.resident,
        },
        [
            Evidence(f"{each.where}, Rss {each.resident // 1024} kB", each.line)
            for each in (before, after)
        ],
    )


def _beyond(lab: Lab) -> Found:
    """With a forbidden page behind it: else a neighbour would be hit, and nobody would know."""
    segment = lab.segment(ASKED)
    mapped = -(-ASKED // PAGE) * PAGE

    def attach() -> int:
        call = libc.LibcFunction("mmap", "long", *("long", "long", "int", "int", "int", "long"))
        space = call(0, mapped + PAGE, PROT_NONE, MAP_PRIVATE_ANONYMOUS, -1, 0)
        return system_v.shmat(segment.id, space, SHM_REMAP)

    def touch(offset: int) -> str:
        def work() -> str:
            ctypes.memset(attach() + offset, 1, 1)
            return "nothing happened"

        ended = lab.child(work)
        return ended.signal or str(ended.value)

    touched = {name: touch(at) for name, at in (("behind", ASKED), ("last", mapped - 1))}
    outside = touch(mapped)
    return Found(
        {"asked": ASKED, "mapped": mapped, **touched, "outside": outside},
        [
            Evidence(f"a child that writes byte {at}", how)
            for at, how in ((ASKED, touched["behind"]), (mapped, outside))
        ],
    )


CLAIMS = [
    Claim(
        id="size-in-bytes",
        topic=TOPIC,
        said="2nd argument 'size' specifies the desired size of the segment in bytes.",
        claim="The second argument of shmget is the size of a new segment, in bytes.",
        source="shmget(2)",
        experiment=_recorded,
        holds=lambda f: f["recorded"] == f["asked"],
        observed="Asked for {asked} bytes, the kernel recorded {recorded} (shm_segsz); a new"
        " segment of 0 bytes: {zero}.",
    ),
    Claim(
        id="size-rounded",
        topic=TOPIC,
        said="Kernel rounds it up to the next multiple of the system page size.",
        claim="The kernel rounds the size up to a multiple of the page size.",
        source="shmget(2), shmctl(2)",
        experiment=_rounded,
        holds=lambda f: f["mapped"] == -(-f["asked"] // f["page"]) * f["page"],
        always=lambda f: f["recorded"] == f["mapped"],
        condition="Memory comes in whole pages, and so much is mapped. What is recorded as the"
        " segment's size (shm_segsz) stays as it was asked for.",
        observed="Asked for {asked} bytes with pages of {page}, {mapped} are mapped, and {recorded}"
        " are recorded.",
    ),
    Claim(
        id="size-of-existing",
        topic=TOPIC,
        said="If shared memory is already created then this parameter has no significance.",
        claim="For a segment that exists already, the size given to shmget has no significance.",
        source="shmget(2), ERRORS",
        experiment=_existing,
        holds=lambda f: (
            f["none"] == f["less"] == f["same"] == "accepted" and f["recorded"] == f["asked"]
        ),
        always=lambda f: f["more"] == "accepted",
        condition="It must not be more than the segment has: that is EINVAL. Up to that it is not"
        " looked at.",
        observed="For one of {asked} bytes: size 0 {none}, 1 {less}, {asked} {same}, one byte more"
        " {more}; it kept {recorded}.",
    ),
    Claim(
        id="first-touch",
        topic=TOPIC,
        claim="A new segment takes no memory for its contents; a page of it comes when it is first"
        " touched.",
        source="proc_pid_smaps(5), getrusage(2)",
        experiment=_first_touch,
        holds=lambda f: f["before"] == 0 and 0 < f["after"] <= f["mapped"],
        observed="Of {mapped} bytes mapped, {before} were in memory after shmat and {after} after"
        " one byte was written.",
    ),
    Claim(
        id="beyond-the-size",
        topic=TOPIC,
        claim="A write behind the size that was asked for goes unnoticed up to the end of the last"
        " page; only behind that can it fault.",
        source="shmget(2), signal(7)",
        experiment=_beyond,
        holds=lambda f: (
            f["behind"] == f["last"] == "nothing happened" and f["outside"] == "SIGSEGV"
        ),
        observed="Of a segment of {asked} bytes {mapped} were mapped, and behind them a page that"
        " may not be touched. Writing byte {asked}: {behind}; the last one mapped: {last}; the"
        " next: {outside}.",
    ),
]
