"""Write a figure as SVG, for slides and print, and as PNG, for everything else."""

from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib

from labkit.errors import RequestError
from labkit.plots.style import Picture


def save(figure: Picture, path: str | Path) -> tuple[Path, Path]:
    """Write `path`.svg and `path`.png; both carry the title and the alt text.

    The same figure gives the same bytes: no date is written and names inside are not random.

    Args:
        figure: what labkit.plots has drawn.
        path: where to, without the suffix; its folder must exist.

    Returns:
        The two files, SVG first.

    Raises:
        RequestError: the folder isn't there or cannot be written to.
    """
    contents = {".svg": svg(figure), ".png": figure.png()}
    files = tuple(Path(f"{path}{suffix}") for suffix in contents)
    try:
        for file, content in zip(files, contents.values(), strict=True):
            file.write_bytes(content)
    except OSError as refused:
        raise RequestError(
            f"The figure could not be written to {path} ({refused.strerror}); name a file in a"
            " folder that exists and that you may write to."
        ) from refused
    return files[0], files[1]


def svg(figure: Picture) -> bytes:
    """The figure as SVG with <title> and <desc>. Letters are outlines: the same everywhere."""
    out = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "labkit", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Title": figure.title, "Date": None})
    title = f"<title>{escape(figure.title)}</title>"
    text = out.getvalue().decode()
    return text.replace(title, f"{title}\n <desc>{escape(figure.alt_text)}</desc>", 1).encode()
