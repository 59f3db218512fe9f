"""The commands and the limits that the notes name."""

import os
import shutil
import subprocess
from pathlib import Path

from labkit.claims import namespace
from labkit.claims.claim import Claim, Evidence, Found, NotHere
from labkit.claims.lab import Lab, answer
from labkit.kernel import system_v
from labkit.kernel.pagemap import PAGE
from labkit.kernel.system_v import IPC_CREAT, IPC_EXCL, IPC_PRIVATE
from labkit.kernel.sysv_status import row

TOPIC = "limits and commands"
SETTINGS = Path("/proc/sys/kernel")
PATIENCE_S = 30.0
_LARGEST_SIZE = (1 << 64) - 1
_SMALL = 2


def _settings(*names: str) -> dict[str, int]:
    try:
        return {name: int((SETTINGS / name).read_text()) for name in names}
    except OSError as error:
        raise NotHere(f"{SETTINGS} does not tell the limits here ({error.strerror}).") from error


def _what_shmmax_bounds(lab: Lab) -> Found:
    told = _settings("shmmax", "shmmni")
    # Refused for its size it is EINVAL; too little memory is ENOSPC or ENOMEM. shmget(2), ERRORS
    beyond = told["shmmax"] + 1
    over = "none can be asked for"
    if beyond <= _LARGEST_SIZE:
        over = answer(system_v.shmget, lab.key(), _signed(beyond), IPC_CREAT | IPC_EXCL | 0o600)
    evidence = [Evidence(str(SETTINGS / name), str(value)) for name, value in told.items()]

    def work() -> dict[str, str]:
        """With a limit of one's own, small enough to tell a size from a number."""
        namespace.limit("shmmax", _SMALL)
        larger = answer(system_v.shmget, IPC_PRIVATE, _SMALL + 1, 0o600)
        several = [answer(system_v.shmget, IPC_PRIVATE, 1, 0o600) for _ in range(_SMALL + 1)]
        return {"larger": larger, "more": several[-1]}

    try:
        small = namespace.in_new_namespace(lab, work)
    except (NotHere, OSError) as error:
        if over != "EINVAL":
            raise NotHere(f"no limit can be set to try it ({error}).") from error
        small = {"larger": "not tried", "more": "not tried"}
    evidence += [
        Evidence(f"shmget of {beyond} bytes", over),
        Evidence(f"shmget of {_SMALL + 1} bytes where shmmax is {_SMALL}", small["larger"]),
        Evidence(f"shmget of a segment more where shmmax is {_SMALL}", small["more"]),
    ]
    return Found({**told, "over": over, "small": _SMALL, **small}, evidence)


def _signed(size: int) -> int:
    """A size_t for a call that is declared with a signed number."""
    return size - (1 << 64) if size >= 1 << 63 else size


def _shown_value(lab: Lab) -> Found:
    told = _settings("shmmax", "shmmni")
    return Found(
        {**told, "noted": 4096},
        [Evidence(str(SETTINGS / name), str(value)) for name, value in told.items()],
    )


def _number(lab: Lab) -> Found:
    told = _settings("shmmni")

    def work() -> list[str]:
        namespace.limit("shmmni", 2)
        return [answer(system_v.shmget, IPC_PRIVATE, PAGE, 0o600) for _ in range(3)]

    try:
        three = namespace.in_new_namespace(lab, work)
    except OSError as error:
        raise NotHere(f"shmmni may not be set, not even in a namespace ({error}).") from error
    return Found(
        {**told, "set": 2, "three": three},
        [
            Evidence(str(SETTINGS / "shmmni"), str(told["shmmni"])),
            Evidence("shmget of a third segment where shmmni is 2", three[-1]),
        ],
    )


def _run(*command: str) -> tuple[int, str]:
    """A command's exit status, and what it printed."""
    if shutil.which(command[0]) is None:
        raise NotHere(f"there is no command {command[0]} here; your distribution has a package.")
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | {"LC_ALL": "C"},
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise NotHere(f"{command[0]} was not done within {PATIENCE_S:g} s.") from error
    return done.returncode, done.stdout + done.stderr


def _lists(text: str, key: int, identifier: int) -> str:
    """The line that names a segment, by the key in hexadecimal or by the kernel's decimal one."""
    names = ({f"0x{key:08x}", str(identifier)}, {str(key), str(identifier)})
    return next(
        (line for line in text.splitlines() if any(n <= {*line.split()} for n in names)), ""
    )


def _cat(lab: Lab) -> Found:
    segment = lab.segment()
    status, said = _run("cat", "/proc/sys", "-m")
    first = next(iter(said.splitlines()), "")
    line = _lists(said, *segment)
    told = row("shm", segment.id)
    return Found(
        {"status": status, "said": first, "line": line, "exists": told is not None},
        [Evidence("cat /proc/sys -m", " / ".join(said.split("\n")[:2]))]
        + ([Evidence(told.where, told.line)] if told else []),
    )


def _ipcs(lab: Lab) -> Found:
    segment = lab.segment()
    status, said = _run("ipcs", "-m")
    line = " ".join(_lists(said, *segment).split())
    return Found({"status": status, "line": line}, [Evidence("ipcs -m", line)])


CLAIMS = [
    Claim(
        id="shmmax-is-a-number",
        topic=TOPIC,
        said="to see the max. no. of shared memory segment possible at a time. $ cat"
        " /proc/sys/kernel/shmmax",
        claim="/proc/sys/kernel/shmmax is the greatest number of segments at a time.",
        source="proc_sys_kernel(5), shmget(2), NOTES",
        experiment=_what_shmmax_bounds,
        holds=lambda f: f["larger"] == "accepted" and f["more"] == "ENOSPC",
        instead="It is the greatest size of one segment, in bytes. The number of segments is"
        " bounded by shmmni in the same folder.",
        observed="shmmax is {shmmax} and shmmni {shmmni}. A segment of one byte more than shmmax:"
        " {over}. With a shmmax of {small}, in a namespace of its own: a segment of one byte more"
        " {larger}, one segment more than {small} {more}.",
    ),
    Claim(
        id="shmmax-is-4096",
        topic=TOPIC,
        said="$ cat /proc/sys/kernel/shmmax 4096",
        claim="cat /proc/sys/kernel/shmmax prints 4096.",
        source="proc_sys_kernel(5), shmget(2), NOTES",
        experiment=_shown_value,
        holds=lambda f: f["shmmax"] == f["noted"],
        instead="4096 is the kernel's default of shmmni, the number of segments. shmmax has been"
        " as good as unbounded since Linux 3.16.",
        observed="Here shmmax is {shmmax} and shmmni {shmmni}.",
    ),
    Claim(
        id="shmmni-is-the-number",
        topic=TOPIC,
        claim="/proc/sys/kernel/shmmni is the greatest number of segments in an IPC namespace.",
        source="proc_sys_kernel(5), shmget(2), ERRORS",
        experiment=_number,
        holds=lambda f: f["three"] == ["accepted"] * f["set"] + ["ENOSPC"],
        observed="Here it is {shmmni}; set to {set} in a namespace of its own, three segments were"
        " {three}.",
    ),
    Claim(
        id="cat-proc-sys-m",
        topic=TOPIC,
        said="$ cat /proc/sys -m",
        claim="cat /proc/sys -m lists the segments.",
        source="cat(1), proc_sys(5), ipcs(1)",
        experiment=_cat,
        holds=lambda f: f["status"] == 0 and bool(f["line"]),
        instead="ipcs -m lists them, or cat /proc/sysvipc/shm. /proc/sys is a folder, and cat has"
        " no option -m.",
        observed="It ended with status {status} and said: {said}. A segment that existed was listed"
        " as: {line}.",
    ),
    Claim(
        id="ipcs-m",
        topic=TOPIC,
        claim="ipcs -m lists the segments.",
        source="ipcs(1), proc_sysvipc(5)",
        experiment=_ipcs,
        holds=lambda f: f["status"] == 0 and bool(f["line"]),
        observed="It ended with status {status}; a segment that existed was listed as: {line}.",
    ),
]
