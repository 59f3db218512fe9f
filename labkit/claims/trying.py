"""Tries claims one after another on the stage, and puts what came of each into a row."""

import errno
from typing import Any

from labkit.claims import (
    attaching,
    creating,
    detaching,
    fork_exec,
    limits,
    messages,
    mode_switches,
    posix,
    sharing,
    size,
    speed,
    synchronisation,
)
from labkit.claims.claim import (
    FAILED,
    UNTRIED,
    Claim,
    Found,
    NotHere,
    in_words,
    remark,
    verdict,
)
from labkit.claims.lab import Lab
from labkit.errors import LabkitError
from labkit.harness.pair import HungUp
from labkit.harness.stage import Stage
from labkit.kernel.refusals import REFUSALS, error_number
from labkit.kernel.unreadable import Unreadable

# In the order of the notes.
CLAIMS: tuple[Claim, ...] = (
    *sharing.CLAIMS,
    *mode_switches.CLAIMS,
    speed.CLAIM,
    *creating.CLAIMS,
    *size.CLAIMS,
    *attaching.CLAIMS,
    *detaching.CLAIMS,
    *fork_exec.CLAIMS,
    *limits.CLAIMS,
    *messages.CLAIMS,
    *synchronisation.CLAIMS,
    *posix.CLAIMS,
)

# A refusal with one of these says something of the machine; any other is a mistake of ours.
_LACKING = {
    *(errno.ENOSYS, errno.EPERM, errno.EACCES, errno.ENOSPC, errno.ENOMEM, errno.EMFILE),
    *(errno.ENFILE, errno.EAGAIN, errno.EROFS, errno.ENODEV, errno.EOPNOTSUPP, errno.ENOENT),
}

Row = dict[str, Any]


def try_some(stage: Stage, names: list[str]) -> list[Row]:
    """Try the claims of these ids on a stage: one row for each."""
    chosen = [each for each in CLAIMS if each.id in names and each.experiment is not None]
    rows = []
    for number, claim in enumerate(chosen):
        stage.tell("stage", stage="trying", done=number, total=len(chosen), detail=claim.id)
        rows.append(_try(stage, claim))
    return rows


def judged(claim: Claim, found: Found, notes: list[str] | None = None) -> Row:
    """The row of a claim that was tried."""
    given = verdict(claim, found.facts)
    words = " ".join([in_words(claim, found.facts), *(notes or [])])
    return _row(claim, given, words, remark(claim, given), found)


def untried(claim: Claim, reason: str) -> Row:
    """The row of a claim that cannot be tried on this machine."""
    return _row(claim, UNTRIED, reason, "", Found({}))


def failed(claim: Claim, error: BaseException) -> Row:
    """The row of a claim whose experiment went wrong."""
    words = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if not isinstance(error, LabkitError | OSError):
        words = f"{type(error).__name__}: {words}"
    return _row(claim, FAILED, f"the experiment went wrong: {words}.", "", Found({}))


def _try(stage: Stage, claim: Claim) -> Row:
    assert claim.experiment is not None
    before = len(stage.notes)
    try:
        with Lab(stage) as lab:
            found = claim.experiment(lab)
        return judged(claim, found, stage.notes[before:])
    except HungUp:
        raise
    except (NotHere, Unreadable) as why:
        return untried(claim, f"{str(why).rstrip('.')}.")
    except REFUSALS as error:
        number = error_number(error)
        if number in _LACKING and not isinstance(error, ValueError):
            return untried(claim, _refused(error, number))
        return failed(claim, error)
    except Exception as error:  # whatever it is, the other claims are still worth having
        return failed(claim, error)


def _refused(error: BaseException, number: int | None) -> str:
    words = getattr(error, "strerror", None) or str(error).rstrip(".")
    name = errno.errorcode.get(number or 0, "")
    return f"this machine refused what it takes ({name}: {words}); labkit doctor says what to do."


def _row(claim: Claim, given: str, observed: str, added: str, found: Found) -> Row:
    return {
        "id": claim.id,
        "topic": claim.topic,
        "said": claim.said,
        "claim": claim.claim,
        "verdict": given,
        "observed": observed,
        "remark": added,
        "evidence": "; ".join(f"{each.where}: {each.line}" for each in found.evidence),
        "source": claim.source,
        "facts": found.facts,
    }
