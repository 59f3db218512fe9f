"""The conveyors on the wall: what each holds and answered, drawn as one card each."""

from collections.abc import Callable, Sequence

from labkit.harness.actor_handle import ActorHandle
from labkit.harness.stage import Stage
from labkit.walkthroughs import layout
from labkit.walkthroughs.conveyors import Conveyor
from labkit.walkthroughs.scene import HEIGHT, WIDTH, Role, Scene, State
from labkit.walkthroughs.step import Evidence

EDGE = 30.0


class Show:
    """The conveyors on the wall, and the processes above them."""

    def __init__(self, made: list[Conveyor], actors: list[ActorHandle]) -> None:
        self.made = made
        self.actors = actors
        self.answers: dict[str, str] = {}  # what each answered last

    def alive(self) -> list[ActorHandle]:
        return [actor for actor in self.actors if actor.alive]

    def evidence(self) -> list[Evidence]:
        """What each holds; where nothing of it is left, that."""
        told = []
        for each in self.made:
            held = each.held(self.alive())
            told.append(held or Evidence(each.title, "looked for", "nothing is left of it"))
        return told

    def all(self, what: Callable[[Conveyor], str]) -> dict[str, str]:
        """Do something with each; the answers, by name."""
        self.answers = {each.name: what(each) for each in self.made}
        return self.answers

    def picture(self) -> Scene:
        """Processes in a row, below them one card for each conveyor."""
        scene = Scene()
        width = (WIDTH - 60 - 40) / 3
        for number, actor in enumerate(self.actors):
            state: State = "" if actor.alive else "gone"
            place = (30 + number * (width + 20), 10, width, 84)
            scene.box(f"actor.{number}", place, "process", actor.name, (), state)
            words = f"PID {actor.pid}" if actor.alive else f"was PID {actor.pid}"
            scene.badge(f"actor.{number}.pid", (place[0] + width - 16, 52), words, "process", "end")
        scene.box("kernel", (EDGE, 118, WIDTH - 2 * EDGE, HEIGHT - 128), "kernel", "the kernel")
        for number, each in enumerate(self.made):
            self._card(scene, each, _place(number))
        return scene

    def _card(self, scene: Scene, each: Conveyor, place: layout.Place) -> None:
        x, y, width, _ = place
        held = each.held(self.alive())
        gone = held is None
        role: Role = "memory" if each.role == "memory" else "object"
        scene.box(each.name, place, role, each.title, (), "gone" if gone else "")
        text = each.text
        if not gone:
            cells = [*text[:10]] + [""] * (10 - len(text[:10]))
            scene.bytes(f"{each.name}.bytes", (x + 16, y + 62, width - 32, 60), role, cells)
        words = self.answers.get(each.name, "nothing is left" if gone else "")
        if words:
            scene.text(f"{each.name}.answer", (x + 18, y + 180), words, size=28, bold=True)


def _place(number: int) -> layout.Place:
    """Four cards in the first row, three in the second."""
    width = (WIDTH - 2 * EDGE - 40 - 3 * 20) / 4
    line, column = divmod(number, 4)
    return (EDGE + 20 + column * (width + 20), 168 + line * 284, width, 264)


def remove_text(each: Conveyor, got: str) -> None:
    """Take note of what was read: memory keeps it."""
    if each.role != "memory":
        each.text = each.text[len(got) :]


def got(each: Conveyor, actor: ActorHandle) -> str:
    """Read: the text in quotes, errno's name, or what an empty answer means."""
    text, error = each.get(actor)
    remove_text(each, text)
    if error:
        return error
    empty = "only zeroes" if each.role == "memory" else "end of file"
    return f'"{text}"' if text else empty


def listed(names: Sequence[str]) -> str:
    """Titles in a row, as a sentence has them."""
    if not names:
        return "none"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def count(answers: dict[str, str]) -> int:
    """How many answered with a message."""
    return sum(answer.startswith('"') for answer in answers.values())


def titles(show: Show, answers: dict[str, str], wanted: str) -> list[str]:
    """Which of them answered so."""
    return [each.title for each in show.made if answers[each.name] == wanted]


def discard(stage: Stage, show: Show) -> None:
    """Remove what a side show has made: limits on queues are narrow."""
    cleaner = stage.actor("a cleaner")
    for each in show.made:
        each.remove(cleaner)
    cleaner.exit()
