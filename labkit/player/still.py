"""A step's picture as SVG, which says all by itself and which the player moves.

Every item is a group with its id; the player pairs the groups of two steps and moves what differs.
Shapes carry a class for each look, so a still brings its light colours along and a player may put
in others.
"""

from collections.abc import Mapping
from html import escape
from typing import Any

from labkit.player.drawing import HEIGHT, WIDTH, things
from labkit.player.letters import printable
from labkit.player.looks import DARK, LIGHT, LOOKS, WORDS
from labkit.player.marks import Disc, Mark, Path, Point, Rectangle, Thing, Words

SANS = "'Segoe UI',Roboto,'Helvetica Neue',Arial,'DejaVu Sans','Noto Sans',sans-serif"
MONO = "'DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono',monospace"


def svg(step: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """One step's picture, with its title, what it shows in words, and its colours."""
    groups = "".join(map(group, things(step, before)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{_safe(step['title'])}</title><desc>{_safe(step.get('alt', ''))}</desc>"
        f"<style>{rules(used(groups), LIGHT)}</style>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{LIGHT["paper"]}"/>{groups}</svg>'
    )


def group(thing: Thing) -> str:
    """One item as an SVG group."""
    return f'<g data-id="{_safe(thing.name)}">{"".join(map(_mark, thing.marks))}</g>'


def used(groups: str) -> set[str]:
    """The looks that occur in some groups."""
    names = {word for part in groups.split('class="')[1:] for word in part.split('"')[0].split()}
    return {name[2:] for name in names if name.startswith("k-")}


def rules(looks: set[str] | None, colours: Mapping[str, str] | None) -> str:
    """Style rules of looks and words.

    Args:
        looks: the looks that are needed; None for all.
        colours: colours to write out; None to refer to variables of the same names.
    """

    def paint(name: str) -> str:
        if not name:
            return "none"
        return f"var(--{name})" if colours is None else colours[name]

    said = []
    for name, look in LOOKS.items():
        if looks is not None and name not in looks:
            continue
        parts = [f"fill:{paint(look.fill)}"]
        if look.line and look.width:
            parts += [f"stroke:{paint(look.line)}", f"stroke-width:{look.width:g}"]
        if look.dashes:
            parts.append("stroke-dasharray:" + " ".join(f"{dash:g}" for dash in look.dashes))
        if look.faded < 1:
            parts.append(f"opacity:{look.faded:g}")
        if look.round:
            parts.append("stroke-linecap:round")
        said.append(f".k-{name}{{{';'.join(parts)}}}")
    said += [f".w-{role}{{fill:{paint(colour)}}}" for role, colour in WORDS.items()]
    said.append(f"text{{font-family:{SANS};white-space:pre}}.b{{font-weight:700}}")
    said.append(f".m{{font-family:{MONO}}}")
    said.append(
        f".h{{paint-order:stroke;stroke:{paint('paper')};stroke-width:6;stroke-linejoin:round}}"
    )
    return "".join(said)


def themes() -> str:
    """The colours as variables: light, and dark within data-labkit-theme="dark"."""
    light = ";".join(f"--{name}:var(--labkit-{name},{value})" for name, value in LIGHT.items())
    return f":host{{{light}}}"


def dark() -> str:
    """What a page needs beside a player to have it dark where it says so."""
    out = [";".join(f"--labkit-{n}:{value}" for n, value in DARK.items())]
    out += [";".join(f"--labkit-{n}:{value}" for n, value in LIGHT.items())]
    names = ("dark", "light")
    out = [f"{each};--labkit-scheme:{name}" for name, each in zip(names, out, strict=True)]
    return "".join(
        f"[data-labkit-theme={name}]{{{each}}}" for name, each in zip(names, out, strict=True)
    )


def _safe(words: object) -> str:
    return escape(printable(str(words)))


def _number(value: float) -> str:
    return f"{round(value, 1):g}"


def _line(points: tuple[Point, ...], closed: bool) -> str:
    steps = "L".join(f"{_number(x)} {_number(y)}" for x, y in points)
    return f"M{steps}{'Z' if closed else ''}"


def _mark(mark: Mark) -> str:
    if isinstance(mark, Rectangle):
        corner = f' rx="{_number(mark.corner)}"' if mark.corner else ""
        return (
            f'<rect class="k-{mark.look}" x="{_number(mark.x)}" y="{_number(mark.y)}"'
            f' width="{_number(mark.w)}" height="{_number(mark.h)}"{corner}/>'
        )
    if isinstance(mark, Path):
        lines = "".join(_line(line, mark.closed) for line in mark.lines)
        return f'<path class="k-{mark.look}" d="{lines}"/>'
    if isinstance(mark, Disc):
        return (
            f'<circle class="k-{mark.look}" cx="{_number(mark.x)}" cy="{_number(mark.y)}"'
            f' r="{_number(mark.r)}"/>'
        )
    return _words(mark)


def _words(mark: Words) -> str:
    colour = mark.colour if mark.colour in WORDS else "ink"
    flags = (("b", mark.bold), ("m", mark.mono), ("h", mark.halo))
    names = " ".join([f"w-{colour}", *(name for name, wanted in flags if wanted)])
    anchor = "" if mark.anchor == "start" else f' text-anchor="{mark.anchor}"'
    whole = f"<title>{_safe(mark.full)}</title>" if mark.full else ""
    return (
        f'<text class="{names}" x="{_number(mark.x)}" y="{_number(mark.y)}"'
        f' font-size="{_number(mark.size)}"{anchor}>{_safe(mark.text)}{whole}</text>'
    )
