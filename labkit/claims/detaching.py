"""shmdt and shmctl: detaching, marking for removal, and the end of a segment."""

import ctypes
import signal

from labkit.claims.claim import Claim, Evidence, Found
from labkit.claims.lab import Lab, answer, peek, poke
from labkit.kernel import system_v
from labkit.kernel.mappings import segment_mappings
from labkit.kernel.pagemap import PAGE
from labkit.kernel.sysv_status import row, segment_status

TOPIC = "detaching and deleting"


def _row(identifier: int) -> list[Evidence]:
    found = row("shm", identifier)
    return [Evidence(found.where, found.line)] if found else []


def _detach(lab: Lab) -> Found:
    segment = lab.segment()
    actor = lab.actor("the process")
    place = actor.call("shmat", segment.id, 0, 0).result
    before = segment_status(segment.id)
    mapped = len(segment_mappings(actor.pid, segment.id))
    outcome = actor.call("shmdt", place)
    after = segment_status(segment.id)

    def touch() -> str:
        here = system_v.shmat(segment.id)
        system_v.shmdt(here)
        ctypes.string_at(here, 1)
        return "nothing happened"

    ended = lab.child(touch)
    return Found(
        {
            "answer": outcome.error or "accepted",
            "mapped": mapped,
            "still": len(segment_mappings(actor.pid, segment.id)),
            "before": before.attached,
            "after": after.attached,
            "touch": ended.signal or str(ended.value),
        },
        [Evidence(before.where, before.line), Evidence(after.where, after.line)],
    )


def _address(lab: Lab) -> Found:
    place = system_v.shmat(lab.segment(2 * PAGE).id)
    inside = [answer(system_v.shmdt, place + off) for off in (8, PAGE)]
    exact = answer(system_v.shmdt, place)
    return Found(
        {"inside": inside, "exact": exact, "again": answer(system_v.shmdt, place)},
        [Evidence(f"shmdt({place + PAGE:#x})", inside[1]), Evidence(f"shmdt({place:#x})", exact)],
    )


def _not_deleted(lab: Lab) -> Found:
    segment = lab.segment()

    def write() -> None:
        place = system_v.shmat(segment.id)
        poke(place, "left here")
        system_v.shmdt(place)

    lab.child(write)
    status = segment_status(segment.id)
    listed = row("shm", segment.id)
    return Found(
        {
            "written": "left here",
            "attached": status.attached,
            "listed": listed is not None,
            "found": peek(lab.attach(segment.id), 16),
        },
        [Evidence(listed.where, listed.line)] if listed else [],
    )


def _termination(lab: Lab) -> Found:
    segment = lab.segment()
    counts, evidence = {}, []
    for how in ("exit", "SIGKILL"):
        actor = lab.actor("the process")
        actor.call("shmat", segment.id, 0, 0)
        during = segment_status(segment.id).attached
        if how == "exit":
            actor.exit()
        else:
            actor.kill(signal.SIGKILL)
        status = segment_status(segment.id)
        counts[how] = status.attached
        evidence.append(Evidence(f"{status.where} after {how}", status.line))
    return Found({"during": during, "exit": counts["exit"], "killed": counts["SIGKILL"]}, evidence)


def _delete(lab: Lab) -> Found:
    free, held = lab.segment(), lab.segment()
    actor = lab.actor("the process")
    actor.call("shmat", held.id, 0, 0)
    asked = [answer(system_v.remove_segment, each.id) for each in (free, held)]
    marked = row("shm", held.id)
    told = {
        "answers": asked,
        "free": row("shm", free.id) is not None,
        "held": marked is not None,
        "perms": marked.columns["perms"] if marked else None,
    }
    actor.exit()
    told["after"] = row("shm", held.id) is not None
    return Found(told, [Evidence(marked.where, marked.line)] if marked else [])


def _marked(lab: Lab) -> Found:
    segment = lab.segment()
    first = lab.actor("the first process")
    place = first.call("shmat", segment.id, 0, 0).result
    first.write(place, b"still here\0")
    system_v.remove_segment(segment.id)
    evidence = _row(segment.id)
    by_key = answer(system_v.shmget, segment.key, 0, 0)

    def by_id() -> str:
        return peek(system_v.shmat(segment.id), 16)

    found = lab.child(by_id).value
    return Found({"written": "still here", "by_key": by_key, "found": found}, evidence)


CLAIMS = [
    Claim(
        id="shmdt-detaches",
        topic=TOPIC,
        said="when a process no longer needs to access the shared memory segment, it can call"
        " Shmdt() to detach the segment from its address space.",
        claim="shmdt detaches a segment from the address space of the process that calls it.",
        source="shmop(2)",
        experiment=_detach,
        holds=lambda f: (
            f["mapped"] == 1
            and f["still"] == 0
            and f["after"] == f["before"] - 1
            and f["touch"] == "SIGSEGV"
        ),
        observed="shmdt: {answer}; mappings of the segment {mapped} before and {still} after,"
        " nattch {before} and {after}; a process that then read at the address: {touch}.",
    ),
    Claim(
        id="shmdt-address",
        topic=TOPIC,
        said="Shmaddr - it should be the returned value by a previous call to Shmat()",
        claim="shmdt must be given an address that shmat returned.",
        source="shmop(2), ERRORS",
        experiment=_address,
        holds=lambda f: f["exact"] == "accepted" and all(each == "EINVAL" for each in f["inside"]),
        observed="Addresses inside the segment: {inside}; the one that shmat returned: {exact}; the"
        " same once more: {again}.",
    ),
    Claim(
        id="detach-is-not-delete",
        topic=TOPIC,
        said="Detaching a shared memory segment is not the same as deleting it.",
        claim="A segment that everybody has detached still exists, with what is in it.",
        source="shmop(2), shmctl(2)",
        experiment=_not_deleted,
        holds=lambda f: f["attached"] == 0 and f["listed"] and f["found"] == f["written"],
        observed="A process wrote '{written}', detached and ended; nattch was {attached}, listed:"
        " {listed}; attached again, it held '{found}'.",
    ),
    Claim(
        id="shmctl-deletes",
        topic=TOPIC,
        said="Deletion can be performed using the shmctl().",
        claim="shmctl deletes a segment (with IPC_RMID).",
        source="shmctl(2), IPC_RMID",
        experiment=_delete,
        holds=lambda f: (
            all(each == "accepted" for each in f["answers"]) and not f["free"] and not f["after"]
        ),
        always=lambda f: not f["held"],
        condition="While it is attached anywhere it is only marked for removal; it goes when the"
        " last process detaches it or ends.",
        observed="IPC_RMID: {answers}. Listed afterwards, of one nobody had attached: {free}; of"
        " one still attached: {held} (permissions {perms}); when that process had ended: {after}.",
    ),
    Claim(
        id="detached-at-the-end",
        topic=TOPIC,
        said="Shared memory segments are automatically detached on process termination.",
        claim="When a process ends, however it ends, the kernel detaches its segments.",
        source="shmop(2), _exit(2)",
        experiment=_termination,
        holds=lambda f: f["during"] == 1 and f["exit"] == f["killed"] == 0,
        observed="nattch was {during} while a process had it attached, {exit} after it exited and"
        " {killed} after one was killed by SIGKILL.",
    ),
    Claim(
        id="marked-but-usable",
        topic=TOPIC,
        claim="A segment that is marked for removal but still attached can be attached on Linux by"
        " its identifier; by its key nobody finds it any more.",
        source="shmctl(2), NOTES",
        experiment=_marked,
        holds=lambda f: f["found"] == f["written"] and f["by_key"] == "ENOENT",
        observed="After IPC_RMID, with one process attached: shmget by key {by_key}; another"
        " process attached it by id and read '{found}'.",
    ),
]
