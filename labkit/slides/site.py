"""Pages of the notebooks with their results: to be read without a kernel, offline too."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from labkit.answers.card import STYLE as CARD_STYLE
from labkit.answers.card import marked
from labkit.slides.cell_html import code, markdown, outputs
from labkit.slides.cutting import slide_type
from labkit.slides.executing import find
from labkit.slides.making import each_of, made_folder, no_two_alike, run, small_print, title
from labkit.slides.routes import ROUTES
from labkit.whole_file import write_file

Tell = Callable[[str], None]

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="labkit">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
_NAMED = re.compile(r"(\d\d|[a-z]+)")


def make_site(
    notebooks: Sequence[str] = (),
    out: str | os.PathLike[str] = "site",
    *,
    execute: bool = True,
    tell: Tell = lambda sentence: None,
) -> Path:
    """Make a page of each notebook and an index with the routes through them.

    Args:
        notebooks: paths; none for all in `notebooks/`.
        out: the folder; made if it is missing. Pages made earlier are replaced.
        execute: run the notebooks first; else what they hold is used.
        tell: is told what goes on.

    Returns:
        The index.

    Raises:
        RequestError: a notebook does not exist, or the folder cannot be written to.
        LabkitError: a notebook failed; the pages of the others are made all the same.
    """
    paths = find(list(notebooks))
    no_two_alike(paths, ["index"])
    folder = made_folder(out)
    links = {path.name: f"{path.stem}.html" for path in paths}
    done: dict[Path, tuple[str, str]] = {}

    def one(path: Path) -> None:
        notebook = run(path, "page", execute, tell)
        name = title(notebook, path)
        html = page_html(notebook, name, small_print(path, execute), links)
        write_file(folder / links[path.name], html, replace=True)
        done[path] = (name, _first_words(notebook))

    try:
        each_of(paths, one)
    finally:
        if done:
            pages = {path.stem: (links[path.name], *done[path]) for path in paths if path in done}
            write_file(folder / "index.html", index_html(pages), replace=True)
    return folder / "index.html"


def page_html(notebook: Any, name: str, foot: str, links: Mapping[str, str]) -> str:
    """A notebook with its results as one HTML file.

    Args:
        notebook: with its outputs.
        name: its title.
        foot: what it was run on.
        links: notebooks that have a page here, and their pages.
    """
    parts = [f'<nav><a href="index.html">All notebooks</a><span>{escape(foot)}</span></nav><main>']
    for cell in notebook.cells:
        if slide_type(cell) == "notes":
            continue  # those are for the speaker
        if cell.cell_type == "markdown":
            parts.append(f'<div class="lk-words">{markdown(cell.source, links)}</div>')
        elif cell.cell_type == "code" and cell.source.strip():
            parts.append(code(cell.source))
            parts += [f'<div class="lk-shown">{each}</div>' for each in outputs(cell)]
    return _page(name, "\n".join([*parts, "</main>"]))


def index_html(pages: Mapping[str, tuple[str, str, str]]) -> str:
    """The index: every page with its first words, and the routes.

    Args:
        pages: stem of the notebook to its page, title and first words.
    """
    items = "".join(
        f'<li><a href="{page}">{_number(stem)} {escape(name)}</a><p>{marked(words)}</p></li>'
        for stem, (page, name, words) in pages.items()
    )
    routes = ""
    for route in ROUTES:
        steps = [
            f'<a href="{page}">{escape(name)}</a>'
            for stem, (page, name, _) in pages.items()
            if _key(stem) in route.notebooks
        ]
        if steps:
            routes += f"<h3>{route.name}</h3><p>{route.about}</p><p>{' → '.join(steps)}</p>"
    body = (
        "<main><h1>Interprocess communication, seen and measured</h1>"
        '<p class="lk-quiet">Notebooks with what one machine showed. Run them yourself to see'
        " yours: the questions in them take your answers there.</p>"
        f"<h2>Routes</h2>{routes}<h2>All notebooks</h2>"
        f'<ul class="lk-list">{items}</ul></main>'
    )
    return _page("labkit", body)


def _page(name: str, body: str) -> str:
    style = (files("labkit.slides") / "page.css").read_text(encoding="utf-8") + CARD_STYLE
    return _PAGE.format(title=escape(name), style=style, body=body)


def _key(stem: str) -> str:
    found = _NAMED.match(stem)
    return found[1] if found else stem


def _number(stem: str) -> str:
    return _key(stem) if _key(stem).isdigit() else ""


def _first_words(notebook: Any) -> str:
    """The first paragraph below the title."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            blocks = [each.strip() for each in cell.source.split("\n\n")]
            words = [each for each in blocks if each and not each.startswith(("#", "<", "|", "-"))]
            if words:
                return " ".join(words[0].replace("*", "").split())
    return ""
