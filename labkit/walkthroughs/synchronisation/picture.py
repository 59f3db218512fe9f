"""The picture: two processes with their code and their registers, and the words they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from labkit.harness.actor_handle import ActorHandle
from labkit.walkthroughs import layout
from labkit.walkthroughs.scene import Role, Scene, State

COUNT = ("v = counter;", "v = v + 1;", "counter = v;")
WRITE = ("first = 2;", "second = 2;")


class Word(NamedTuple):
    """A word as it is drawn."""

    name: str
    title: str
    value: str
    role: Role = "page"


@dataclass
class Drawn:
    """A process as it is drawn.

    Attributes:
        at: which line of its code it has done last; -1 for none.
        register: what it holds in its register; "" for nothing.
        doing: a few words.
    """

    actor: ActorHandle
    code: Sequence[str] = COUNT
    at: int = -1
    register: str = ""
    doing: str = ""


def picture(
    one: Drawn,
    two: Drawn,
    words: Sequence[Word],
    moves: Sequence[tuple[str, str, str]] = (),
    band: Role = "memory",
) -> Scene:
    """Two processes with their code and their register, and the words that both can reach."""
    scene = Scene()
    title = {"memory": "shared memory, mapped by both", "kernel": "the kernel"}[band]
    columns = layout.columns(2)
    draw_words(scene, words, band, title, 420)
    for side, (name, drawn) in enumerate((("one", one), ("two", two))):
        _process(scene, name, drawn, columns[side])
    for name, what, value in moves:
        x = 690.0 if name == "one" else 910.0
        high, low = (x, 190.0), (x, 530.0)
        points = [high, low] if what == "store" else [low, high]
        scene.arrow(f"{name}.{what}", points, "copy", f"{what} {value}")
    return scene


def _process(scene: Scene, name: str, drawn: Drawn, column: tuple[float, float]) -> None:
    actor = drawn.actor
    state: State = "" if actor.alive else "gone"
    layout.process(scene, name, actor.name, actor.pid, column, 370, state)
    x, width = column
    left = name == "one"  # the registers stand on the inner sides, near the words
    code, register = (x + 20, x + width - 220) if left else (x + 240, x + 20)
    if drawn.doing:
        scene.text(f"{name}.doing", (code + 4, 296), drawn.doing, 26, bold=True)
    if not actor.alive:
        return
    marks = [">" if number == drawn.at else " " for number in range(len(drawn.code))]
    lines = [f"{mark} {line}" for mark, line in zip(marks, drawn.code, strict=True)]
    scene.box(f"{name}.code", (code, 76, width - 260, 170), "user", "its code", lines, "", True)
    if drawn.code is COUNT or drawn.register:
        title = "register v" if drawn.code is COUNT else "registers"
        held = [drawn.register or "-"]
        scene.box(f"{name}.register", (register, 76, 200, 110), "private", title, held)


def draw_words(scene: Scene, words: Sequence[Word], band: Role, title: str, top: float) -> None:
    """The words in a band across the canvas: the first in its middle, or all in a row."""
    scene.box("band", (30, top, 1540, 750 - top), band, title)
    each = min(320.0, 1460 / len(words) - 20)
    y = top + (750 - top) / 2 - 50
    for number, word in enumerate(words):
        few = (0.0, 1.0, -1.0)  # so that the first stays where it is when others come
        at = few[number] if len(words) <= 3 else number - (len(words) - 1) / 2
        middle = 800 + at * (each + 20)
        place = (middle - each / 2, y, each, 140)
        scene.box(f"word.{word.name}", place, word.role, word.title, [""])
        scene.text(f"value.{word.name}", (middle, y + 108), word.value, 36, "middle", True)
