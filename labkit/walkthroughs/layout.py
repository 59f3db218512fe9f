"""Where things stand in a scene: the parts that several walkthroughs draw the same way.

A process is a card with its PID; in it stand its mappings, or its two modes. What the kernel holds
stands on a band of the kernel's own between or below the processes: it is not another process.
"""

from collections.abc import Sequence

from labkit.walkthroughs.scene import HEIGHT, WIDTH, Role, Scene, State

Place = tuple[float, float, float, float]  # x, y, width, height

EDGE = 30.0
BAND = 250.0  # height of the kernel's band at the bottom


def columns(count: int, gap: float = 40.0) -> list[tuple[float, float]]:
    """(x, width) of so many equal columns over the canvas."""
    width = (WIDTH - 2 * EDGE - gap * (count - 1)) / count
    return [(EDGE + number * (width + gap), width) for number in range(count)]


def process(
    scene: Scene,
    name: str,
    title: str,
    pid: int,
    column: tuple[float, float],
    height: float = HEIGHT - BAND - 60,
    state: State = "",
    lines: Sequence[str] = (),
    user: str = "",
) -> None:
    """A process: its card at the top of a column, with its PID (and its user, where that tells)."""
    x, width = column
    scene.box(name, (x, 10, width, height), "process", title, lines, state)
    words = f"PID {pid}" + (f", {user}" if user else "")
    if state == "gone":
        words = f"was PID {pid}"
    scene.badge(f"{name}.pid", (x + width - 16, 38), words, "process", "end")


def mapping(
    scene: Scene,
    name: str,
    column: tuple[float, float],
    row: int,
    title: str,
    lines: Sequence[str],
    role: Role,
    state: State = "",
    height: float = 116,
) -> Place:
    """A region of memory in the card of a process, the `row`th from the top: its place."""
    x, width = column
    place = (x + 20, 70 + row * (height + 14), width - 40, height)
    scene.box(name, place, role, title, lines, state, mono=False)
    return place


def kernel(scene: Scene, title: str = "the kernel") -> Place:
    """The kernel's band along the bottom: the room inside it."""
    y = HEIGHT - BAND
    scene.box("kernel", (EDGE, y, WIDTH - 2 * EDGE, BAND - 10), "kernel", title)
    return (EDGE + 20, y + 52, WIDTH - 2 * EDGE - 40, BAND - 80)


def top_of(place: Place, share: float = 0.5) -> tuple[float, float]:
    """A point on the upper edge of a place."""
    x, y, width, _ = place
    return (x + share * width, y)


def foot_of(place: Place, share: float = 0.5) -> tuple[float, float]:
    """A point on the lower edge of a place."""
    x, y, width, height = place
    return (x + share * width, y + height)
