"""One cell as HTML that loads nothing: words, code, and what it showed.

Widgets are left out: without a kernel they would be dead buttons. So is what went to standard
error, which is progress.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

PICTURE = '<img class="lk-picture" alt="{alt}" src="data:{kind};base64,{data}">'
# To a local file, which will not be there; what is within the page or far away stays.
_LOCAL_LINK = re.compile(r'<a href="(?!https?:|#|mailto:)([^"]*)"[^>]*>(.*?)</a>', re.S)
_DETAILS = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.S)
_ROW = re.compile(r"<tr\b.*?</tr>", re.S)
_CELL = re.compile(r"<(t[hd])([^>]*)>(.*?)</\1>", re.S)
_NUMBER = re.compile(r"\s*[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?\s*")
_ANCHOR = re.compile(r'<a class="anchor-link".*?</a>', re.S)


def markdown(source: str, links: Mapping[str, str] | None = None) -> str:
    """Markdown as HTML.

    Args:
        source: the cell's text.
        links: local targets that exist where the page will be; other local links become words.
    """
    from nbconvert.filters.markdown import markdown2html

    html = _ANCHOR.sub("", str(markdown2html(source)))

    def link(found: re.Match[str]) -> str:
        target = (links or {}).get(found[1].partition("#")[0])
        return f'<a href="{target}">{found[2]}</a>' if target else found[2]

    return _LOCAL_LINK.sub(link, html)


def unfold(html: str) -> str:
    """What is folded away, as something that a slide shows one step later."""
    return _DETAILS.sub(r'<div class="fragment lk-answer">\2</div>', html)


def code(source: str) -> str:
    """Python with its parts marked by classes; the page's style gives them colours."""
    from nbconvert.filters.highlight import Highlight2HTML

    marked = Highlight2HTML()(source, language="python")  # type: ignore[no-untyped-call]
    return f'<div class="lk-code">{marked}</div>'


def outputs(cell: Any) -> Iterator[str]:
    """Everything that a code cell showed, best form of each."""
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and output.name == "stdout":
            yield f'<pre class="lk-text">{_terminal(output.text)}</pre>'
        elif output.output_type in ("display_data", "execute_result"):
            shown = _best(output.get("data", {}), output.get("metadata", {}))
            if shown:
                yield shown
        elif output.output_type == "error":
            words = escape(f"{output.ename}: {output.evalue}")
            yield f'<pre class="lk-text lk-error">{words}</pre>'


def _best(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """A picture with its words before HTML, HTML before plain text."""
    if "application/vnd.jupyter.widget-view+json" in data:
        return ""
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            told = metadata.get(kind, {})
            alt = told.get("alt") or data.get("text/plain", "")
            picture = str(data[kind]).replace("\n", "")
            return PICTURE.format(alt=escape(str(alt)), kind=kind, data=picture)
    if "image/svg+xml" in data:
        picture = b64encode(str(data["image/svg+xml"]).encode()).decode()
        alt = escape(str(data.get("text/plain", "")))
        return PICTURE.format(alt=alt, kind="image/svg+xml", data=picture)
    if "text/html" in data:
        return f'<div class="lk-html">{_numbers_right(str(data["text/html"]))}</div>'
    if "text/markdown" in data:
        return f'<div class="lk-words">{markdown(str(data["text/markdown"]))}</div>'
    if "text/plain" in data:
        return f'<pre class="lk-text">{_terminal(str(data["text/plain"]))}</pre>'
    return ""


def _numbers_right(html: str) -> str:
    """A table of pandas with a class on its columns of numbers, which stand at the right."""
    if 'class="dataframe"' not in html:
        return html
    rows = [_CELL.findall(row) for row in _ROW.findall(html)]
    body = [row for row in rows if any(kind == "td" for kind, _, _ in row)]
    if not body or len({len(row) for row in rows}) != 1:
        return html  # no plain table: cells that span others
    numbers = {
        at
        for at, column in enumerate(zip(*body, strict=True))
        if all(kind == "td" and _NUMBER.fullmatch(text) for kind, _, text in column)
    }

    def row(found: re.Match[str]) -> str:
        at = iter(range(len(rows[0])))
        return _CELL.sub(
            lambda cell: (
                f'<{cell[1]}{cell[2]} class="lk-number">{cell[3]}</{cell[1]}>'
                if next(at) in numbers
                else cell[0]
            ),
            found[0],
        )

    return _ROW.sub(row, html)


def _terminal(text: str) -> str:
    """Text for a terminal without its control sequences."""
    return escape(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))
