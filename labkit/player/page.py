"""A walk as one piece of HTML: what reads well without a script, and the player that takes over.

The fragment holds the steps as still pictures and as a table. Where scripts run, the player puts
itself before them in a shadow tree: no style of the page gets in, none of ours gets out, and any
number of players share a page. Where they do not (a notebook that is not trusted, a mail), what
is there is shown.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from labkit.player.arrows import WAYS
from labkit.player.arrows import arrow as draw_arrow
from labkit.player.boxes import ROLES, frame
from labkit.player.drawing import HEIGHT, WIDTH
from labkit.player.letters import printable
from labkit.player.marks import Thing
from labkit.player.still import dark, group, rules, svg, themes

Walk = Mapping[str, Any]

# Boxes whose title does not say what they are; a process, a file and the kernel have their name.
MEANINGS = {
    "memory": "shared memory",
    "private": "private memory",
    "object": "kernel object",
    "page": "page of memory",
    "guard": "guard page",
}
_KEEP = "!$&'()*+,-./:;=?@_~ "  # what need not be escaped in a data address between double quotes


def html(walk: Walk, *, page: bool = False, height: int | None = None) -> str:
    """A walk as HTML that needs no kernel and no network.

    Args:
        walk: what `walk.data()` gives.
        page: a whole document that fills a screen, instead of a fragment for somebody's page.
        height: CSS pixels that the fragment may take where it is wide, as in a slide; None for as
            many as it needs.
    """
    title = _safe(walk["title"])
    mode = " data-labkit-page" if page else ""
    if page or height:
        mode += " data-labkit-fit"
    if height:
        mode += f' style="--labkit-height:{int(height)}px"'
    fragment = (
        f'<div class="labkit-player mathjax_ignore tex2jax_ignore"{mode} data-prevent-swipe>'
        f"{_stills(walk)}{_table(walk)}{_facts(walk)}</div>"
        f"<style>{dark()}</style><script>{_script()}</script>"
    )
    if not page:
        return fragment
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_PAGE}</style></head>\n<body>{fragment}</body></html>\n"
    )


_PAGE = (
    "html,body{margin:0;padding:0;background:#fff;color:#222;font-family:sans-serif}"
    "html[data-labkit-theme=dark],html[data-labkit-theme=dark] body{background:#16181c;color:#eee}"
    "img{max-width:100%;height:auto}"
)


def _safe(words: object) -> str:
    return escape(printable(str(words)))


def _stills(walk: Walk) -> str:
    """Every step as a picture with its words; each picture is also what the player plays."""
    steps = walk["steps"]
    parts = [f"<h3>{_safe(walk['title'])}</h3><p>{_safe(walk['question'])}</p>"]
    for number, step in enumerate(steps, 1):
        before = steps[number - 2] if number > 1 else None
        alt = _safe(step.get("alt") or step["title"])
        address = "data:image/svg+xml," + quote(svg(step, before), safe=_KEEP)
        heading = f"{number} of {len(steps)}: {step['title']}"
        parts.append(
            f"<h4>{_safe(heading)}</h4>"
            f'<p><img width="960" alt="{alt}" src="{escape(address)}"></p>'
            f"<p>{_safe(step['narration'])}</p>"
        )
    return "".join(parts)


def _table(walk: Walk) -> str:
    """The transcript: all that the player shows, as a table."""
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Step", "What happens", "The call in C", "Evidence", "Counts", "The picture")
    )
    rows = []
    for number, step in enumerate(walk["steps"], 1):
        evidence = "".join(
            f"<dt>{_safe(each['what'])} <small>({_safe(each['where'])})</small></dt>"
            f"<dd><code><bdi>{_safe(each['value'])}</bdi></code></dd>"
            for each in step["evidence"]
        )
        counts = "<br>".join(f"{_safe(n)}: {_safe(value)}" for n, value in step["counts"].items())
        call = f"<code>{_safe(step['call'])}</code>" if step["call"] else ""
        rows.append(
            f'<tr><th scope="row">{number}</th>'
            f"<td><strong>{_safe(step['title'])}</strong><br>{_safe(step['narration'])}</td>"
            f"<td>{call}</td><td>{f'<dl>{evidence}</dl>' if evidence else ''}</td>"
            f"<td>{counts}</td><td>{_safe(step.get('alt', ''))}</td></tr>"
        )
    notes = "".join(f"<li>{_safe(note)}</li>" for note in walk.get("notes", ()))
    listed = f"<ul>{notes}</ul>" if notes else ""
    return (
        f"<details><summary>Transcript: all {len(walk['steps'])} steps as a table</summary>"
        f"<table><caption>{_safe(walk['title'])}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></details>{listed}"
        f"<p><small>{_safe(walk.get('machine', ''))}</small></p>"
    )


def _facts(walk: Walk) -> str:
    """What the script needs beside the pictures, in a form that no text can break out of."""
    steps = [
        {
            "title": printable(str(step["title"])),
            "narration": printable(str(step["narration"])),
            "call": printable(str(step["call"])),
            "alt": printable(str(step.get("alt") or step["title"])),
            "evidence": [
                [printable(str(each[name])) for name in ("what", "where", "value")]
                for each in step["evidence"]
            ],
            "counts": [[printable(str(n)), value] for n, value in step["counts"].items()],
            "changed": len(step.get("changed", ())),
        }
        for step in walk["steps"]
    ]
    told = {
        "title": printable(str(walk["title"])),
        "question": printable(str(walk["question"])),
        "machine": printable(str(walk.get("machine", ""))),
        "notes": [printable(str(note)) for note in walk.get("notes", ())],
        "steps": steps,
        "key": _key(walk["steps"]),
    }
    text = json.dumps(told, ensure_ascii=True, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json">{text}</script>'


def _key(steps: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """What the roles that occur look like and mean: a small SVG and words for each."""
    items = [item for step in steps for item in step["scene"]]
    boxes = {item.get("role") for item in items if item["kind"] in ("box", "bytes")}
    ways = {item.get("role") for item in items if item["kind"] == "arrow"}
    key = []
    for role in ROLES:
        if role in boxes and role in MEANINGS:
            thing = Thing("key", tuple(frame(role, 6, 4, 78, 52, False)), (0, 0, 90, 60))
            key.append([_swatch(group(thing), 90), MEANINGS[role]])
    for way, meaning in WAYS.items():
        if way in ways:
            sample = {"id": "key", "role": way, "points": [[6, 30], [124, 30]]}
            key.append([_swatch(group(draw_arrow(sample)), 132), meaning])
    if any(step.get("changed") for step in steps):
        sign = '<g><circle class="k-mark" cx="30" cy="30" r="22"/>'
        sign += '<path class="k-mark-sign" d="M30 17L43 40L17 40Z"/></g>'
        key.append([_swatch(sign, 60), "changed in this step"])
    return key


def _swatch(groups: str, wide: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} 60" width="{wide}"'
        f' height="60" aria-hidden="true">{groups}</svg>'
    )


@cache
def _script() -> str:
    """The player's script with its style in it."""
    folder = files("labkit.player")
    style = (folder / "player.css").read_text() + rules(None, None) + themes()
    script = (folder / "player.js").read_text()
    shape = json.dumps({"style": style, "width": WIDTH, "height": HEIGHT})
    return script.replace("__LABKIT__", shape.replace("<", "\\u003c"))
