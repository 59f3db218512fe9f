"""A step of a walkthrough, and the list of them as it grows while the kernel is watched.

A step is made on the stage, from what was observed a moment ago; it travels to the notebook as
JSON and is drawn there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from labkit.walkthroughs.scene import Item, Scene, changed, in_words


class Evidence(NamedTuple):
    """A raw line or value, and where it was read."""

    what: str
    where: str
    value: str


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        title: a few words.
        narration: two or three sentences for a second-year student.
        call: the C call that a textbook would print; "" where there is none.
        evidence: what it rests on.
        counts: what was counted up to here, by name; empty where nothing is counted.
        scene: the items of the picture, see `labkit.walkthroughs.scene`.
        changed: ids of the items that are new, or not as they were a step before.
        alt: the picture in words.
    """

    title: str
    narration: str
    call: str
    evidence: list[Evidence]
    counts: dict[str, int]
    scene: list[Item]
    changed: list[str]
    alt: str


@dataclass
class Steps:
    """The steps so far, and facts that a prediction can be held against.

    Attributes:
        facts: what was observed, as plain values by name: {"nattch after fork": 2}.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def add(
        self,
        title: str,
        narration: str,
        scene: Scene,
        call: str = "",
        evidence: Sequence[Evidence] = (),
        counts: Mapping[str, int] | None = None,
        alt: str = "",
    ) -> None:
        """Add a step; what changed is found by comparing its scene with the last one."""
        before = self.steps[-1].scene if self.steps else scene.items
        words = alt or in_words(scene.items)
        self.steps.append(
            Step(
                title=title,
                narration=" ".join(narration.split()),
                call=call,
                evidence=list(evidence),
                counts=dict(counts or {}),
                scene=scene.items,
                changed=changed(before, scene.items),
                alt=words,
            )
        )

    def data(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        steps = [asdict(step) for step in self.steps]
        for step in steps:
            step["evidence"] = [each._asdict() for each in map(Evidence._make, step["evidence"])]
        return {"steps": steps, "facts": self.facts}
