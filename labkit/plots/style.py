"""The one style of every figure: colours, sizes, and a figure that shows itself.

A figure is 13.33 x 7.5 inches, a 16:9 slide, and nothing but its small print is set below 14
points, so that it can be read from the last row.

Colours are those of Okabe and Ito, which stay apart for colour-blind eyes. What the kernel copies
is warm and round; shared memory is cool and angular; so the two differ in print without colour too.
"""

from base64 import b64encode
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INCHES = (40 / 3, 7.5)
PIXELS_PER_INCH = 144  # 1920 x 1080
WIDTH_IN_NOTEBOOK = 960  # CSS pixels

TITLE, PANEL, TEXT, SMALL = 24.0, 17.0, 14.0, 11.0  # points
INK, QUIET, FAINT = "#222222", "#666666", "#dddddd"
FONT = "DejaVu Sans"  # comes with matplotlib, so every machine draws the same

VERMILLION, ORANGE, PURPLE, BROWN = "#D55E00", "#E69F00", "#CC79A7", "#7A4419"
BLUE, GREEN, SKY, NAVY = "#0072B2", "#009E73", "#56B4E9", "#1B2A6B"


@dataclass(frozen=True)
class Look:
    """How one series is drawn. `text` is its colour, dark enough to be read on white."""

    colour: str
    text: str
    marker: str


_KERNEL = {
    "pipe": Look(VERMILLION, "#B34F00", "o"),
    "fifo": Look(VERMILLION, "#B34F00", "o"),
    "sysv_mq": Look(ORANGE, "#8F6200", "o"),
    "posix_mq": Look(ORANGE, "#8F6200", "o"),
    "unix_stream": Look(PURPLE, "#A03E74", "o"),
    "unix_dgram": Look(PURPLE, "#A03E74", "o"),
    "unix_seqpacket": Look(PURPLE, "#A03E74", "o"),
    "tcp": Look(BROWN, BROWN, "o"),
    "pipe_vmsplice": Look(VERMILLION, "#B34F00", "o"),
}
_SHARED = {
    "spin": Look(BLUE, "#00639B", "s"),
    "futex": Look(GREEN, "#007A59", "D"),
    "posix_sem": Look(SKY, "#1F77A8", "^"),
    "sysv_sem": Look(NAVY, NAVY, "v"),
    "eventfd": Look("#008B8B", "#007070", "P"),
}
_OTHER_KERNEL = Look("#A52A2A", "#A52A2A", "o")  # mechanisms that somebody added
_OTHER_SHARED = Look("#5E3C99", "#5E3C99", "X")


def look_of(mechanism: str, waiting: str) -> Look:
    """The look of a mechanism; whoever waits in the kernel's own call is kernel-copied."""
    if waiting == "kernel":
        return _KERNEL.get(mechanism, _OTHER_KERNEL)
    return _SHARED.get(waiting, _OTHER_SHARED)


def key(waitings: Iterable[str]) -> list[tuple[str, str, str]]:
    """Marker (or none), colour and words: what the kernel copies, and each way to wait."""
    ways = sorted(set(waitings), key=lambda w: ["kernel", *_SHARED, w].index(w))
    looks = [(look_of("", waiting), waiting) for waiting in ways if waiting != "kernel"]
    kernel = [("o", VERMILLION, "the kernel copies")] if "kernel" in ways else []
    shared = [("", INK, "shared memory, waiting:")] if looks else []
    return [*kernel, *shared, *((look.marker, look.colour, waiting) for look, waiting in looks)]


class Picture(Figure):
    """A matplotlib figure that no global state knows of and that shows itself in a notebook.

    It is pyplot-free: nothing to close, and a cell that returns it shows it once.
    """

    title: str
    alt_text: str  # what the figure shows, in words and numbers, for those who cannot see it

    def __init__(self, height: float = INCHES[1]) -> None:
        """A blank page, `height` inches high."""
        super().__init__(figsize=(INCHES[0], height), dpi=PIXELS_PER_INCH, facecolor="white")
        FigureCanvasAgg(self)
        self.title = ""
        self.alt_text = ""

    def png(self) -> bytes:
        """The figure as a PNG that carries its title and its alt text."""
        out = BytesIO()
        self.savefig(
            out, format="png", metadata={"Title": self.title, "Description": self.alt_text}
        )
        return out.getvalue()

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a notebook shows: an image with its alt text, or that text alone.

        JupyterLab prefers the HTML, because of which a screen reader finds the text: it ignores
        what the metadata of a plain PNG says of it. What cannot show HTML takes the PNG.
        """
        png = self.png()
        # Width alone: the height follows.
        image = (
            f'<img width="{WIDTH_IN_NOTEBOOK}" alt="{escape(self.alt_text)}"'
            f' src="data:image/png;base64,{b64encode(png).decode()}">'
        )
        bundle = {"text/html": image, "image/png": png, "text/plain": self.alt_text}
        return bundle, {"image/png": {"width": WIDTH_IN_NOTEBOOK, "alt": self.alt_text}}
