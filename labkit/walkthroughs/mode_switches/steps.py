"""From the frames of one side, or of two, to the steps of the walkthrough."""

import copy
from collections.abc import Sequence

from labkit.walkthroughs.mode_switches.frames import ALL, TITLES, Frame
from labkit.walkthroughs.mode_switches.lanes import draw
from labkit.walkthroughs.mode_switches.side import Side, how_counted, verdict
from labkit.walkthroughs.scene import Role, Scene
from labkit.walkthroughs.step import Steps


def alone(steps: Steps, side: Side) -> None:
    """One side, a step a frame."""
    for frame in side.frames:
        scene = Scene()
        draw(scene, frame.lanes, frame.counts.shown(), 30, 1540, "")
        steps.add(frame.title, frame.said, scene, frame.call, frame.evidence, frame.counts.named())
    last_step(steps, [side])


def together(steps: Steps, sides: list[Side]) -> None:
    """Two sides, step by step: what happens at one waits for what answers it at the other."""
    phases = sorted({frame.phase for side in sides for frame in side.frames})
    shown = [side.frames[0] for side in sides]
    for phase in phases:
        now = [[frame for frame in side.frames if frame.phase == phase] for side in sides]
        for number in range(max(map(len, now))):
            fresh = [len(frames) > number for frames in now]
            for index, frames in enumerate(now):
                if fresh[index]:
                    shown[index] = frames[number]
                else:
                    shown[index] = _at_rest(shown[index])
            scene, counts = Scene(), {}
            said, evidence, calls = [], [], []
            for index, (side, frame) in enumerate(zip(sides, shown, strict=True)):
                lines = frame.counts.shown()
                draw(scene, frame.lanes, lines, 20 + 800 * index, 760, f"{index}.")
                for name, value in frame.counts.named().items():
                    counts[f"{side.name}: {name}"] = value
                if fresh[index]:
                    said.append(f"{side.name}: {frame.brief}")
                    evidence += [
                        each._replace(what=f"{side.name}, {each.what}") for each in frame.evidence
                    ]
                    calls += [frame.call] if frame.call else []
            alone = [frame.title for frame, new in zip(shown, fresh, strict=True) if new]
            title = alone[0] if len(alone) == 1 else TITLES[phase]
            steps.add(title, " ".join(said), scene, "   ".join(calls), evidence, counts)
    last_step(steps, sides)


def _at_rest(frame: Frame) -> Frame:
    """The same frame when nothing more happens in it."""
    still = copy.deepcopy(frame)
    still.lanes.crossing, still.lanes.switch, still.lanes.copies = {}, None, []
    return still


def last_step(steps: Steps, sides: list[Side]) -> None:
    """What it all took, as a table."""
    scene = Scene()
    _closing(scene, sides)
    said, evidence = [], []
    for side in sides:
        said.append(verdict(side))
        evidence += [each._replace(what=f"{side.name}, {each.what}") for each in how_counted(side)]
    said.append(
        "Copies by the kernel are inferred from the bytes moved, those by the program are known"
        " from its code. Tracing may add context switches of its own (beside them stands what"
        " getrusage counted without it) and distorts times, so none are shown."
    )
    counts = {
        f"{side.name}, {name}: {what}": value
        for side in sides
        for name, each, _ in side.ends
        for what, value in each.named().items()
    }
    steps.add(TITLES[ALL], " ".join(said), scene, "", evidence, counts)


def _closing(scene: Scene, sides: Sequence[Side]) -> None:
    """A table of what was counted."""
    rows = [(side, each) for side in sides for each in side.ends]
    height = min(136.0, 700 / len(rows))
    for number, (side, (name, counts, _)) in enumerate(rows):
        y = 30 + number * height
        room = height - 20
        scene.box(f"row.{number}", (30, y, 1540, room), "note", f"{side.title}: {name}")
        for column, words in enumerate(counts.shown()):
            role: Role = "kernel" if column < 2 else "process" if column == 2 else "memory"
            at = (70 + 375 * column, y + min(74, room - 24))
            scene.badge(f"row.{number}.{column}", at, words, role)
