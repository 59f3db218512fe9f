"""Pictures of steps and the piece of HTML around them, without a browser."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from made_up_walks import HOSTILE, hostile_walk, pipe_walk, segment_walk

from labkit.player import faults, html
from labkit.player.arrows import WAYS
from labkit.player.boxes import ROLES
from labkit.player.drawing import things
from labkit.player.letters import printable, shorten, width, wrap
from labkit.player.looks import DARK, LIGHT, LOOKS, WORDS
from labkit.player.marks import Rectangle, Words
from labkit.player.still import svg
from labkit.walkthroughs.scene import Scene
from labkit.walkthroughs.step import Steps

WALKS = [pipe_walk(), segment_walk(), hostile_walk()]


class Outline(HTMLParser):
    """Tags, texts and pictures of a page; what stands in a script is no text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._in = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self._in in ("script", "style") else self.texts).append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def drawn(scene: Scene, before: Scene | None = None) -> list[str]:
    """The names of what is drawn for a scene that followed another one."""
    steps = Steps()
    if before:
        steps.add("one", "One.", before)
    steps.add("two", "Two.", scene)
    told = steps.data()["steps"]
    return [thing.name for thing in things(told[-1], told[0] if before else None)]


def test_the_made_up_walks_use_everything() -> None:
    items = [item for walk in WALKS for step in walk["steps"] for item in step["scene"]]
    assert {item["kind"] for item in items} == {"box", "bytes", "text", "arrow", "token", "badge"}
    assert {item["role"] for item in items if item["kind"] == "box"} == set(ROLES)
    assert {item["role"] for item in items if item["kind"] == "arrow"} == set(WAYS)
    states = {item["state"] for item in items if item["kind"] == "box"}
    assert states == {"", "active", "gone", "refused", "marked"}


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk["name"])
def test_every_still_is_well_formed_and_says_what_it_shows(walk: dict[str, Any]) -> None:
    stills = [image["src"] for image in Outline(html(walk)).named("img")]
    assert len(stills) == len(walk["steps"])
    for step, source in zip(walk["steps"], stills, strict=True):
        assert source
        assert source.startswith("data:image/svg+xml,")
        root = ElementTree.fromstring(unquote(source.partition(",")[2]))
        space = "{http://www.w3.org/2000/svg}"
        assert root.findtext(f"{space}title") == printable(step["title"])
        assert root.findtext(f"{space}desc") == printable(step["alt"])
        shown = [group.get("data-id") for group in root.iter(f"{space}g")]
        assert {printable(item["id"]) for item in step["scene"]} <= set(shown)


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk["name"])
def test_all_that_the_player_shows_can_be_read_without_it(walk: dict[str, Any]) -> None:
    page = Outline(html(walk))
    text = " ".join(page.texts)
    for step in walk["steps"]:
        for words in (step["title"], step["narration"], step["call"], step["alt"]):
            assert printable(words) in text
        for evidence in step["evidence"]:
            for words in evidence.values():
                assert printable(words) in text
        for name, count in step["counts"].items():
            assert f"{printable(name)}: {count}" in text
    for note in walk["notes"]:
        assert printable(note) in text
    assert walk["machine"] in text
    alts = [image["alt"] for image in page.named("img")]
    assert alts == [printable(step["alt"]) for step in walk["steps"]]


def test_nothing_breaks_out() -> None:
    page = html(hostile_walk(), page=True)
    outline = Outline(page)
    assert [script.get("type") for script in outline.named("script")] == ["application/json", None]
    assert not outline.named("b")
    facts = json.loads(next(text for text in outline.scripts if text.startswith("{")))
    assert [step["narration"] for step in facts["steps"]] == [
        " ".join(printable(text).split()) for text in HOSTILE
    ]
    page.encode()  # a lone surrogate could not be


def test_it_is_small_and_asks_for_nothing() -> None:
    for walk in WALKS:
        page = html(walk, page=True)
        assert len(page.encode()) < 300_000
        addresses = set(re.findall(r"https?://[\w./]+", unquote(page)))
        assert addresses <= {"http://www.w3.org/2000/svg"}
        assert not re.search(r"\sid=|@import|url\(|<link|fetch\(|eval\(|innerHTML\s*\+", page)


def test_a_page_is_a_document() -> None:
    page = html(pipe_walk(), page=True)
    assert page.startswith("<!DOCTYPE html>\n")
    outline = Outline(page)
    assert outline.named("html") == [{"lang": "en"}]
    assert "One message through a pipe" in outline.texts
    assert not Outline(html(pipe_walk())).named("html")


def test_a_sound_walk_has_no_faults() -> None:
    assert faults(pipe_walk()) == []
    assert faults(segment_walk()) == []


def test_faults_are_found() -> None:
    scene = Scene()
    scene.box("narrow", (10, 10, 100, 60), "user", "a title that is far too long for it")
    scene.box("twice", (300, 10, 300, 60), "user", "one")
    scene.box("twice", (700, 10, 300, 60), "user", "other")
    scene.text("small", (300, 300), "small print", size=12)
    scene.text("over", (300, 304), "printed over")
    scene.badge("out", (1590, 500), "leaves")
    scene.box("low", (10, 200, 200, 60), "user", "title", ["no room for a line"])
    steps = Steps()
    steps.add("A step", "Said.", scene)
    found = "\n".join(faults(steps.data()))
    for words in (
        "narrow: no room for 'a title",
        "the id 'twice' occurs twice",
        "'small print' is smaller",
        "'small print' (small) and 'printed over' (over) overlap",
        "out leaves the canvas",
        "low: no room for",
    ):
        assert words in found, words


def test_rings_mark_what_changed_and_no_more() -> None:
    one, two = Scene(), Scene()
    for scene in (one, two):
        scene.box("stays", (10, 10, 300, 300), "process", "stays")
    one.box("counts", (400, 10, 300, 300), "object", "counts", ["1"])
    two.box("counts", (400, 10, 300, 300), "object", "counts", ["2"])
    one.box("runs", (10, 400, 300, 100), "user", "runs", [])
    two.box("runs", (10, 400, 300, 100), "user", "runs", [], "active")
    two.box("new", (800, 10, 300, 300), "process", "new")
    two.badge("in new", (820, 100), "in it")
    rings = [name for name in drawn(two, one) if name.startswith("ring ")]
    assert rings == ["ring counts", "ring new"]
    assert not [name for name in drawn(one) if name.startswith("ring ")]


def test_no_two_looks_differ_by_colour_alone() -> None:
    """What is told apart is told apart in grey: border, dashes, corners, or a sign of its own."""

    def bare(role: str) -> tuple[Any, ...]:
        scene = Scene()
        scene.box("box", (0, 0, 300, 200), role, "title")  # type: ignore[arg-type]
        steps = Steps()
        steps.add("", "", scene)
        marks = things(steps.data()["steps"][0])[0].marks
        shapes = []
        for mark in marks:
            if not isinstance(mark, Words):
                look = LOOKS[mark.look]
                corner = mark.corner if isinstance(mark, Rectangle) else -1
                shapes.append((type(mark).__name__, look.width, look.dashes, corner))
        return tuple(shapes)

    assert len({bare(role) for role in ROLES}) == len(ROLES)
    lines = {(LOOKS[look].width, LOOKS[look].dashes) for look in (*WAYS, "refused-line")}
    assert len(lines) == len(WAYS) + 1


def _light(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_light(one), _light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_words_stand_out_from_what_they_stand_on(colours: dict[str, str]) -> None:
    for name in colours:
        if name.endswith(("fill", "head")) or name == "paper":
            assert _contrast(colours["ink"], colours[name]) >= 7, name
    for name in set(WORDS.values()) - {"paper"}:
        assert _contrast(colours[name], colours["paper"]) >= 4.5, name
    assert LIGHT.keys() == DARK.keys()
    for look in LOOKS.values():
        assert {look.fill, look.line} - {""} <= LIGHT.keys()


def test_letters_are_as_wide_as_matplotlib_says() -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    for text in ("int id = shmget(key, 4096, IPC_CREAT | 0600);", "nattch 2", "Mmiiill WAVE"):
        for bold in (False, True):
            font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
            box = TextPath((0, 0), text, size=100, prop=font).get_extents()
            assert width(text, 100, bold) == pytest.approx(box.width, rel=0.06)


def test_texts_are_shortened_and_wrapped_to_their_room() -> None:
    text = "one two three four five"
    assert shorten(text, 1000, 24) == text
    short = shorten(text, 150, 24)
    assert short.endswith("…")
    assert width(short, 24) <= 150
    lines = wrap(text, 150, 24)
    assert " ".join(lines) == text
    assert all(width(line, 24) <= 150 for line in lines)
    assert printable("a\0b\x1b[m\u202e\udc80\n") == "a\\x00b\\x1b[m\ufffd\ufffd\n"


def test_the_light_colours_are_those_of_the_plots() -> None:
    from labkit.plots import style

    known = {value for value in vars(style).values() if isinstance(value, str)}
    known |= {look.text for look in (*style._KERNEL.values(), *style._SHARED.values())}
    known |= {style._OTHER_KERNEL.text}
    for name in ("ink", "faint", "kernel", "memory", "file", "alarm", "copy", "signal", "changed"):
        assert LIGHT[name] in known, name


def test_drawing_needs_no_heavy_library() -> None:
    script = "import sys, labkit.player; print([m for m in ('matplotlib','pandas','numpy','numba')"
    script += " if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_files_of_the_player_are_part_of_the_package() -> None:
    import tomllib

    root = Path(__file__).resolve().parent.parent
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    listed = settings["tool"]["setuptools"]["package-data"]["labkit.player"]
    there = {path.name for path in (root / "labkit/player").iterdir() if path.is_file()}
    assert {name for name in there if not name.endswith(".py")} == set(listed)


def test_a_step_is_a_figure_too() -> None:
    from labkit.plots.scene import picture

    walk = pipe_walk()
    figure = picture(walk["steps"][2], walk)
    assert figure.title == "The kernel copies the message into the pipe"
    for words in (walk["steps"][2]["narration"], 'write(4, "hello\\0", 6) = 6', "copies: 1"):
        assert words in figure.alt_text
    assert figure.png().startswith(b"\x89PNG")
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    texts |= {
        child.get_text()
        for axes in figure.axes
        for child in axes.get_children()
        if hasattr(child, "get_text")
    }
    assert {"PID 4711", "PID 4712", "6 bytes copied"} <= texts
    assert all(float(text.get_fontsize()) >= 14 for text in figure.axes[0].texts)


@pytest.mark.filterwarnings("error")
def test_a_figure_stands_any_text() -> None:
    from labkit.plots.scene import picture

    walk = hostile_walk()
    for step in walk["steps"]:
        assert picture(step, walk).png()


def test_a_still_names_its_looks_only_if_they_are_defined() -> None:
    for walk in WALKS:
        for step in walk["steps"]:
            names = set(re.findall(r"[\w-]+", " ".join(re.findall(r'class="([^"]+)"', svg(step)))))
            known = {f"k-{look}" for look in LOOKS} | {f"w-{colour}" for colour in WORDS}
            assert names <= known | {"b", "m", "h"}
