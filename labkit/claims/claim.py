"""A claim, the experiment that tries it, and the rule by which the verdict follows from what was
observed.

An experiment returns facts and says nothing of the verdict. Two conditions on the facts decide:
does the claim hold in the case that it has in mind, and does it hold in the cases beside it too?
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

HOLDS = "holds"
CONDITION = "holds, with a condition"
FALSE = "does not hold"
UNTRIED = "not tried here"
FAILED = "failed"
VERDICTS = (HOLDS, CONDITION, FALSE, UNTRIED, FAILED)

Facts = Mapping[str, Any]


class Evidence(NamedTuple):
    """A raw line or value, and where it was read."""

    where: str
    line: str


class Found(NamedTuple):
    """What an experiment observed.

    Attributes:
        facts: by name; JSON can carry them.
        evidence: raw lines that they rest on.
    """

    facts: dict[str, Any]
    evidence: Sequence[Evidence] = ()


class NotHere(Exception):
    """This machine lacks what the experiment needs; the message is one sentence with the reason."""


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        id: a short name.
        topic: what it is about; claims of one topic stand together.
        said: the words of the class notes; "" for one that they don't make.
        claim: it in one sentence.
        source: the manual page with its section, or the book, that says what is true.
        experiment: tries it in a clean process; None where the harness measures it as a run.
        holds: whether the facts bear it out.
        observed: the facts in words, as a template with their names.
        always: whether it holds beyond the case that it has in mind; if not, there is a condition.
        condition: what to add to it when there is a condition.
        instead: what is true when it does not hold.
    """

    id: str
    topic: str
    claim: str
    source: str
    experiment: "Callable[..., Found] | None"
    holds: Callable[[Facts], bool]
    observed: str
    said: str = ""
    always: Callable[[Facts], bool] = field(default=lambda facts: True)
    condition: str = ""
    instead: str = ""


def verdict(claim: Claim, facts: Facts) -> str:
    """What the facts say of the claim: `holds`, `holds, with a condition` or `does not hold`."""
    if not claim.holds(facts):
        return FALSE
    return HOLDS if claim.always(facts) else CONDITION


def remark(claim: Claim, of: str) -> str:
    """What has to be added to the claim, or said in its place, under this verdict."""
    return {CONDITION: claim.condition, FALSE: claim.instead}.get(of, "")


def in_words(claim: Claim, facts: Facts) -> str:
    """What was observed, in words."""
    return claim.observed.format(**{name: _shown(value) for name, value in facts.items()})


def _shown(value: Any) -> Any:
    """A fact for a sentence; numbers stay numbers, so that a template can format them."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "nothing"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(str(_shown(each)) for each in value) or "none"
    return value
