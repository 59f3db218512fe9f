"""Write a figure as SVG, for slides and print, and as PNG, for everything else."""

import os
from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib

from labkit.errors import RequestError
from labkit.harness.request import shown
from labkit.plots.style import Picture
from labkit.whole_file import write_file


def save(figure: Picture, path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write `path`.svg and `path`.png, each whole or not at all; both carry title and alt text.

    The same figure gives the same bytes: no date is written and names inside are not random.

    Args:
        figure: what labkit.plots has drawn.
        path: where to, without the suffix; its folder must exist.

    Returns:
        The two files, SVG first.

    Raises:
        RequestError: it is no figure of labkit's, or the files cannot be made there.
        LabkitError: they could not be written, for example because the disk is full.
    """
    if not isinstance(figure, Picture):
        raise RequestError(
            f"{shown(figure)} is no figure of labkit's: save what labkit.plots has drawn."
        )
    try:
        target = Path(path)
        named = bool(target.name) and target.name != ".."
    except TypeError:
        named = False
    if not named:
        raise RequestError(
            f"{shown(path)} does not name a file to save a figure in; one like 'latency' becomes"
            " latency.svg and latency.png."
        )
    contents = {".svg": svg(figure), ".png": figure.png()}
    files = [
        write_file(f"{target}{suffix}", content, replace=True)
        for suffix, content in contents.items()
    ]
    return files[0], files[1]


def svg(figure: Picture) -> bytes:
    """The figure as SVG with <title> and <desc>. Letters are outlines: the same everywhere."""
    out = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "labkit", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Title": figure.title, "Date": None})
    title = f"<title>{escape(figure.title)}</title>"
    text = out.getvalue().decode()
    return text.replace(title, f"{title}\n <desc>{escape(figure.alt_text)}</desc>", 1).encode()
