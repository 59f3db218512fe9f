"""From notebooks to decks: each appears whole, or not at all and says why."""

import os
import platform
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError, RequestError
from labkit.slides.browser import chromium
from labkit.slides.cutting import CUTS, Cut, cut_slides
from labkit.slides.deck import deck_html
from labkit.slides.executing import execute as execute_all
from labkit.slides.executing import find, read
from labkit.slides.printing import print_pdf
from labkit.slides.reveal_js import reveal_js
from labkit.whole_file import write_file

Tell = Callable[[str], None]


def make_decks(
    notebooks: Sequence[str] = (),
    out: str | os.PathLike[str] = "slides",
    *,
    execute: bool = True,
    cut: Cut = "fifty",
    pdf: bool = False,
    tell: Tell = lambda sentence: None,
) -> list[Path]:
    """Make a deck of each notebook.

    Args:
        notebooks: paths; none for all in `notebooks/`.
        out: the folder for them; made if it is missing. Decks made earlier are replaced.
        execute: run the notebooks first, in kernels of their own; else what they hold is used.
        cut: "ten", "fifty" or "demo", see `labkit.slides.cutting`.
        pdf: also print each deck, through Chromium.
        tell: is told what goes on.

    Returns:
        The files that were written.

    Raises:
        RequestError: a notebook does not exist, or the folder cannot be written to.
        LabkitError: a notebook failed (the other decks are made all the same), or reveal.js or
            Chromium is not there.
    """
    if cut not in CUTS:
        raise RequestError(f"there is no cut {str(cut)[:40]!r}; it is one of {', '.join(CUTS)}.")
    paths = find(list(notebooks))
    reveal_js()  # before anything is run for nothing
    if pdf:
        chromium()
    no_two_alike(paths)
    folder = made_folder(out)
    written: list[Path] = []

    def one(path: Path) -> None:
        notebook = run(path, "deck", execute, tell)
        slides = cut_slides(notebook, cut)
        if not slides:
            tell(f"{path}: no slide of it belongs to the cut {cut!r}; it gets no deck.")
            return
        name = path.stem if cut == "fifty" else f"{path.stem}-{cut}"
        html = deck_html(slides, title(notebook, path), small_print(path, execute), cut)
        deck = write_file(folder / f"{name}.html", html, replace=True)
        written.append(deck)
        if pdf:
            written.append(print_pdf(deck, folder / f"{name}.pdf"))

    each_of(paths, one)
    return written


def each_of(paths: Sequence[Path], make: Callable[[Path], None]) -> None:
    """Make each; one that fails does not keep the others from being made.

    Raises:
        LabkitError: one failed; its own error, or one sentence with all of them.
    """
    failed: list[LabkitError] = []
    for path in paths:
        try:
            make(path)
        except LabkitError as error:
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        kind = RequestError if all(isinstance(e, RequestError) for e in failed) else LabkitError
        raise kind(f"{len(failed)} notebooks failed: {' '.join(map(str, failed))}")


def run(path: Path, shown_as: Any, wanted: bool, tell: Tell) -> Any:
    """A notebook with its results: run now, or with those that it holds."""
    notebook = read(path)
    if wanted:
        tell(f"running {path}")
        execute_all(notebook, path, shown_as)
    elif not any(cell.get("outputs") for cell in notebook.cells):
        tell(f"{path} holds no results; leave out --no-execute to run it.")
    return notebook


def made_folder(out: str | os.PathLike[str]) -> Path:
    """The folder to write into, made if it is missing.

    Raises:
        RequestError: it cannot be made.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise RequestError(
            f"{ascii(str(folder))[1:-1][:80]} cannot be made ({said}): name another folder with"
            " --out."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):  # said before anything is run for nothing
        raise RequestError(f"{folder} cannot be written to: name another folder with --out.")
    return folder


def no_two_alike(paths: Sequence[Path], taken: Sequence[str] = ()) -> None:
    """Refuse notebooks whose decks or pages would be one file.

    Args:
        taken: names that something else has.

    Raises:
        RequestError: two have the same name; says which.
    """
    seen: dict[str, object] = {name: f"the {name}" for name in taken}
    for path in paths:
        other = seen.setdefault(path.stem, path)
        if other is not path:
            raise RequestError(
                f"{other} and {path} would both become {path.stem}.html: make them one after the"
                " other, with another --out."
            )


def title(notebook: Any, path: Path) -> str:
    """The first heading, or the file's name."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("# "):
                    return str(line[2:].replace("`", "").strip())
    return path.stem


def small_print(path: Path, executed: bool) -> str:
    """What the numbers in it were measured on."""
    if not executed:
        return path.stem
    when = f"{datetime.now():%Y-%m-%d}"
    cpus = len(os.sched_getaffinity(0))
    where = f"Linux {platform.release().split('-')[0]}, {platform.machine()}"
    return f"{path.stem} · run on {where}, {cpus} CPU{'s' if cpus != 1 else ''}, {when}"
