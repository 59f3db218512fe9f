"""Slides and reveal.js in one HTML file that asks nobody for anything."""

import re
from collections.abc import Iterator
from html import escape
from importlib.resources import files

from labkit.answers.card import STYLE as CARD_STYLE
from labkit.slides.cell_html import code, markdown, outputs, unfold
from labkit.slides.cutting import Cut, Slide
from labkit.slides.reveal_js import reveal_js

_PAGE = """<!doctype html>
<html lang="en" data-labkit-deck>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="labkit">
<title>{title}</title>
<!-- reveal.js:
{licence}
-->
<style>{style}</style>
</head>
<body>
<div class="reveal"><div class="slides">
{slides}
</div></div>
<p class="lk-foot" aria-hidden="true">{foot}</p>
<script>{script}</script>
</body>
</html>
"""
_SLIDE = """<section{about}>
<div class="lk-frame"><div class="lk-body">
{body}
</div></div>
{notes}</section>"""


def deck_html(slides: list[Slide], title: str, foot: str, cut: Cut = "fifty") -> str:
    """A deck of slides, as one HTML file.

    Args:
        slides: what stands on each.
        title: of the deck.
        foot: small print on each slide.
        cut: how much time there is, for the speaker's notes.

    Raises:
        LabkitError: reveal.js is not installed.
    """
    parts = reveal_js()
    own = files("labkit.slides")
    style = [parts["dist/reset.css"], parts["dist/reveal.css"], CARD_STYLE]
    style.append((own / "deck.css").read_text(encoding="utf-8"))
    script = [parts["dist/reveal.js"], parts["plugin/notes/notes.js"]]
    script.append((own / "deck.js").read_text(encoding="utf-8"))
    return _PAGE.format(
        title=escape(title),
        licence=parts["LICENSE"].strip().replace("--", "- -"),
        style="\n".join(style),
        slides="\n".join(_slides(slides, cut)),
        foot=escape(foot),
        # Nothing within may end the element early.
        script="\n".join(script).replace("</script", r"<\/script"),
    )


def _slides(slides: list[Slide], cut: Cut) -> Iterator[str]:
    before = 0.0
    for number, slide in enumerate(slides):
        yield _slide(slide, number, slide.spoken(cut, before), slide.minutes(cut))
        before += slide.minutes(cut)


def _slide(slide: Slide, number: int, spoken: list[str], minutes: float) -> str:
    body = []
    for cell, waits in slide.cells:
        html = _cell(cell)
        body.append(f'<div class="fragment lk-part">{html}</div>' if waits else html)
    words = "".join(body)
    about = ' class="lk-title"' if number == 0 and "<h1" in words else ""
    if minutes:  # reveal.js tells the speaker by it who is ahead and who is behind
        about += f' data-timing="{round(minutes * 60)}"'
    notes = "".join(markdown(each) for each in spoken)
    aside = f'<aside class="notes">{notes}</aside>\n' if notes else ""
    return _SLIDE.format(about=about, body=words, notes=aside)


def _cell(cell: object) -> str:
    if getattr(cell, "cell_type", "") == "markdown":
        return f'<div class="lk-words">{unfold(markdown(cell.source))}</div>'  # type: ignore[attr-defined]
    if getattr(cell, "cell_type", "") != "code":
        return ""
    tags = cell.metadata.get("tags", [])  # type: ignore[attr-defined]
    parts = [] if "remove-input" in tags else [code(cell.source)]  # type: ignore[attr-defined]
    if "remove-output" not in tags:
        parts += [f'<div class="lk-shown">{_plain_card(each)}</div>' for each in outputs(cell)]
    return "".join(parts)


def _plain_card(html: str) -> str:
    """A card without the style that it brings along: the deck has it once."""
    return re.sub(r"<style>\s*\.lk-card.*?</style>", "", html, flags=re.S)
