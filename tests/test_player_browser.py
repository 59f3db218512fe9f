"""The player in a real browser, with the network cut: each control does what it says.

Screenshots of every step are left in pytest's temporary folder (pytest --basetemp=FOLDER keeps
them where you want): look at them.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up_walks import HOSTILE, hostile_walk, pipe_walk, segment_walk
from test_browser import CHROMIUM, END_S, RUN_S, START_S, Page, chromium, jupyterlab, poll
from test_browser import READY as LAB_READY

from labkit.player import html
from labkit.player.letters import printable

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here; on Debian: apt install chromium"
    ),
]

KEYS = {  # key, code and Windows's number, as a keyboard sends them
    "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35,
    "PageUp": 33, "PageDown": 34, "Escape": 27, "Enter": 13, "Tab": 9, " ": 32, "n": 78,
}  # fmt: skip
READY = """
[...document.querySelectorAll('.labkit-player')].length > 0
    && [...document.querySelectorAll('.labkit-player')].every(host => host.dataset.step)
    && document.readyState === 'complete'
"""
# What the tests below ask a page; `part` finds in the nth player.
ASK = """
const host = n => document.querySelectorAll('.labkit-player')[n];
const part = (selector, n = 0) => host(n).shadowRoot.querySelector(selector);
const settled = () => new Promise(done => {
    const look = () => document.querySelector('[data-moving]') ? requestAnimationFrame(look)
        : done();
    look();
});
"""


class Show:
    """A browser that shows pages of ours."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page, self.folder = page, folder
        self.number = 0
        page.call("Network.enable")
        page.call(
            "Network.emulateNetworkConditions",
            offline=True, latency=0, downloadThroughput=0, uploadThroughput=0,
        )  # fmt: skip

    def open(self, text: str, *, wide: int = 1920, high: int = 1080, still: bool = True) -> None:
        """Show a page of HTML on a screen of some size, with reduced motion or without."""
        self.number += 1
        path = self.folder / f"{self.number}.html"
        path.write_text(text)
        self.screen(wide, high)
        motion = "reduce" if still else "no-preference"
        features = [{"name": "prefers-reduced-motion", "value": motion}]
        self.page.call("Emulation.setEmulatedMedia", features=features)
        self.page.call("Page.navigate", url=path.as_uri())
        here = f"location.href === {json.dumps(path.as_uri())} && {READY}"
        poll(lambda: self.page.run(here), END_S, "the players are there")

    def screen(self, wide: int, high: int) -> None:
        self.page.call(
            "Emulation.setDeviceMetricsOverride",
            width=wide, height=high, deviceScaleFactor=1, mobile=wide < 600,
        )  # fmt: skip

    def ask(self, expression: str) -> Any:
        """The value of an expression, in which `host` and `part` stand for the player's parts."""
        return self.page.run(f"(async () => {{ {ASK} return {expression.strip()}; }})()")

    def do(self, *statements: str) -> None:
        """Run statements, and wait until nothing moves."""
        body = "; ".join(statements)
        self.page.run(f"(async () => {{ {ASK} {body}; await settled(); }})()")

    def step(self, n: int = 0) -> int:
        return int(self.ask(f"host({n}).dataset.step"))

    def click(self, selector: str, n: int = 0) -> None:
        """Click with the mouse in the middle of a part of the nth player."""
        self.do(f"part({json.dumps(selector)}, {n}).scrollIntoView({{block: 'center'}})")
        box = self.ask(f"part({json.dumps(selector)}, {n}).getBoundingClientRect().toJSON()")
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.page.call(
                "Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place
            )
        self.do()

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        code = "Space" if key == " " else f"Key{key.upper()}" if len(key) == 1 else key
        how = {"key": key, "code": code, "windowsVirtualKeyCode": KEYS[key]}
        typed = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        self.page.call("Input.dispatchKeyEvent", type="keyDown", text=typed, **how)
        self.page.call("Input.dispatchKeyEvent", type="keyUp", **how)
        self.do()


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Show]:
    folder = tmp_path_factory.mktemp("player")
    with chromium(folder / "profile") as page:
        yield Show(page, folder)


def around(*fragments: str) -> str:
    """A page like a deck or a notebook: it has keys of its own, and other text to focus."""
    return (
        "<!DOCTYPE html><meta charset='utf-8'><title>A page</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<script>window.heard = []; for (const phase of [true, false])"
        " document.addEventListener('keydown', event => heard.push(event.key), phase);</script>"
        f"<button class='own'>of the page</button>{''.join(fragments)}"
    )


def test_controls_do_what_they_say(show: Show) -> None:
    walk = pipe_walk()
    last = len(walk["steps"])
    show.open(html(walk, page=True))
    assert show.step() == 1
    assert show.ask("part('.back').getAttribute('aria-disabled')") == "true"
    show.click(".back")
    assert show.step() == 1
    show.click(".next")
    assert show.step() == 2
    show.click(".next")
    show.click(".back")
    assert show.step() == 2
    show.click(".steps li:nth-child(5) button")
    assert show.step() == 5
    show.click(".slider")  # its middle
    assert show.step() in (3, 4)
    show.do(f"part('.slider').value = {last}", "part('.slider').dispatchEvent(new Event('input'))")
    assert show.step() == last
    assert show.ask("part('.next').getAttribute('aria-disabled')") == "true"
    show.click(".next")
    assert show.step() == last


def test_every_step_shows_all_that_is_known_of_it(show: Show) -> None:
    for walk in (pipe_walk(), segment_walk()):
        show.open(html(walk, page=True))
        for number, step in enumerate(walk["steps"], 1):
            show.do(f"part('.steps li:nth-child({number}) button').click()")
            text = show.ask("part('.sheet').textContent")
            expected = [walk["title"], walk["question"], walk["machine"], *walk["notes"]]
            expected += [step["title"], step["narration"], step["call"]]
            expected += [words for each in step["evidence"] for words in each.values()]
            expected += list(step["counts"])
            for words in expected:
                assert words in text, words
            assert show.ask("part('.title').textContent") == step["title"]
            assert show.ask("part('.call').hidden") == (not step["call"])
            assert show.ask("part('.counter').textContent") == f"{number} / {len(walk['steps'])}"
            assert show.ask("part('.canvas').getAttribute('aria-label')") == step["alt"]
            ids = show.ask("[...part('.canvas').children].map(group => group.dataset.id)")
            assert {item["id"] for item in step["scene"]} <= set(ids)
            current = "[...host(0).shadowRoot.querySelectorAll('.jump[aria-current=step] i')]"
            assert show.ask(f"{current}.map(mark => mark.textContent)") == [str(number)]


def test_counts_run_and_say_what_was_added(show: Show) -> None:
    show.open(html(pipe_walk(), page=True))
    show.click(".steps li:nth-child(3) button")
    pairs = "[...host(0).shadowRoot.querySelectorAll('.counts dl > div')]"
    told = show.ask(f"{pairs}.map(pair => pair.textContent)")
    assert told == ["system calls2", "mode switches2", "copies1+1", "bytes copied6+6"]


def test_it_plays_and_pauses_and_stops_at_the_end(show: Show) -> None:
    walk = segment_walk()
    show.open(html(walk, page=True))
    # No test should read as slowly as a person: the timers of this page wait only when told to.
    show.page.run("window.due = []; window.setTimeout = (what, ms) => due.push([what, ms]); void 0")
    show.click(".play")
    assert show.ask("part('.play').textContent.trim()") == "Pause"
    assert show.ask("due.at(-1)[1]") >= 4000
    show.page.run("void due.at(-1)[0]()")
    assert show.step() == 2
    show.click(".play")
    assert show.ask("part('.play').textContent.trim()") == "Play"
    assert not show.ask("'playing' in host(0).dataset")
    show.click(".play")
    for number in range(3, len(walk["steps"]) + 1):
        show.page.run("void due.at(-1)[0]()")
        assert show.step() == number
    assert show.ask("part('.play').textContent.trim()") == "Play"
    show.click(".play")  # from the end: once more
    assert show.step() == 1
    show.click(".play")


def test_keys_are_taken_only_with_the_focus(show: Show) -> None:
    last = len(pipe_walk()["steps"])
    show.open(around(html(pipe_walk())))
    for key in ("ArrowRight", "End", "n"):
        show.press(key)
    assert show.step() == 1
    assert show.page.run("heard.length") == 6

    show.page.run("heard.length = 0")
    show.click(".stage")
    assert show.ask("document.activeElement === host(0)")
    for key, step in (
        ("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", last), ("Home", 1),
        ("PageDown", 2), ("PageUp", 1), ("n", 1), ("ArrowDown", 1),
    ):  # fmt: skip
        show.press(key)
        assert show.step() == step, key
    show.press(" ")
    assert show.ask("'playing' in host(0).dataset")
    show.press(" ")
    assert not show.ask("'playing' in host(0).dataset")
    assert show.page.run("heard") == []

    show.press("Escape")  # leaves it
    assert show.ask("document.activeElement === document.body")
    show.press("ArrowRight")
    assert show.step() == 1
    assert show.page.run("heard") == ["ArrowRight"] * 2


def test_keys_on_its_controls(show: Show) -> None:
    show.open(around(html(pipe_walk())))
    show.page.run("document.querySelector('.own').focus()")
    show.press("Tab")
    assert show.ask("document.activeElement === host(0)")
    for name in ("back", "play", "next"):
        show.press("Tab")
        assert show.ask("host(0).shadowRoot.activeElement.className") == name
    show.press(" ")
    assert show.step() == 2
    show.press("Enter")
    assert show.step() == 3
    show.press("Tab")
    show.press("ArrowLeft")
    assert show.step() == 2
    assert show.page.run("[...new Set(heard)]") == ["Tab"]


def test_several_on_a_page_are_strangers(show: Show) -> None:
    one, other = html(pipe_walk()), html(segment_walk())
    plain = "<iframe></iframe>"
    show.open(around(plain, one, other, one))
    assert show.page.run("document.querySelectorAll('.labkit-player').length") == 3
    show.click(".next", 1)
    show.click(".next", 2)
    show.press("ArrowRight")
    assert [show.step(n) for n in range(3)] == [1, 2, 3]
    assert show.page.run("document.querySelectorAll('[id]').length") == 0
    names = "Object.keys(window).filter(name => !(name in frames[0]))"
    assert set(show.page.run(names)) <= {"heard", "0"}
    # None of our rules gets out, none of the page's gets in.
    before = show.page.run("getComputedStyle(document.querySelector('.own')).borderTopWidth")
    show.page.run("""
        void document.head.append(Object.assign(document.createElement('style'),
            {textContent: 'button, p, svg, table {display: none !important}'}))
    """)
    assert show.ask("getComputedStyle(part('.next')).display") == "flex"
    assert before == "2px"


def test_what_moves_moves_visibly(show: Show) -> None:
    show.open(html(pipe_walk(), page=True), still=False)
    token = "part('g[data-id=cpu] rect').getAttribute('x')"
    show.do("part('.next').click()", "part('.next').click()")
    assert show.step() == 3
    # In one go: this test may be slower than the motion.
    seen = show.ask(f"""await new Promise(done => {{
        const places = [{token}];
        part('.next').click();
        places.push({token}, 'moving' in host(0).dataset);
        const look = () => {{
            places.push(Number({token}));
            if ('moving' in host(0).dataset) requestAnimationFrame(look); else done(places);
        }};
        look();
    }})""")
    before, after, moving, *places = seen
    assert before == after  # it begins where it was
    assert moving
    assert places == sorted(places)
    assert places[-1] > float(before) + 500
    # What it looks like in the end is what it looks like without motion.
    moved = show.ask("part('.canvas').innerHTML")
    show.open(html(pipe_walk(), page=True))
    show.click(".steps li:nth-child(4) button")
    assert not show.ask("'moving' in host(0).dataset")
    assert show.ask("part('.canvas').innerHTML") == moved


def test_haste_leaves_no_traces(show: Show) -> None:
    show.open(html(segment_walk(), page=True), still=False)
    forth_and_back = [f"part('.{way}').click()" for way in ["next"] * 4 + ["back"] * 2]
    show.do(*forth_and_back)
    assert show.step() == 3
    hasty = show.ask("part('.canvas').innerHTML")
    show.open(html(segment_walk(), page=True))
    show.click(".steps li:nth-child(3) button")
    assert show.ask("part('.canvas').innerHTML") == hasty


def test_reduced_motion_is_honoured(show: Show) -> None:
    show.open(html(pipe_walk(), page=True))
    assert not show.ask("(part('.next').click(), 'moving' in host(0).dataset)")


def test_light_unless_the_page_says_dark(show: Show) -> None:
    paper = "getComputedStyle(part('.sheet')).backgroundColor"
    stroke = "getComputedStyle(part('.k-process')).stroke"
    fragment = html(pipe_walk())
    light, dark = "rgb(255, 255, 255)", "rgb(22, 24, 28)"
    show.open(f"<!DOCTYPE html><body data-jp-theme-light='false'>{fragment}")
    assert show.ask(paper) == light
    was = show.ask(stroke)
    show.page.run("document.documentElement.dataset.labkitTheme = 'dark'")
    assert show.ask(paper) == dark
    assert show.ask(stroke) != was
    show.open(
        f"<!DOCTYPE html><div data-labkit-theme='dark'>{fragment}"
        f"<div data-labkit-theme='light'>{fragment}</div></div>"
    )
    assert show.ask(paper) == dark
    assert show.ask("getComputedStyle(part('.sheet', 1)).backgroundColor") == light


# Every text on the sheet, and how large it appears; in the picture its own size times the scale.
SIZES = """
(() => {
    const found = [];
    const scale = part('.canvas').getBoundingClientRect().width / 1600;
    const all = document.createTreeWalker(part('.sheet'), NodeFilter.SHOW_TEXT);
    while (all.nextNode()) {
        const holder = all.currentNode.parentElement;
        const text = all.currentNode.data.trim();
        if (!text || holder.closest('[hidden], .heard, title, details > :not(summary)')) continue;
        const size = parseFloat(getComputedStyle(holder).fontSize);
        found.push([text, holder.closest('.canvas') ? size * scale : size]);
    }
    return found;
})()
"""
# Parts that are wider than their place, or stand outside of the screen.
CUT = """
[...part('.sheet').querySelectorAll('header, .bar, .bar *, .say, .say *, .side, .side h5, footer')]
    .filter(one => {
        const box = one.getBoundingClientRect();
        return !one.closest('[hidden], .heard, details > :not(summary)')
            && !one.matches('.heard')
            && (box.right > innerWidth + 1 || one.scrollWidth > one.clientWidth + 1
                && getComputedStyle(one).display !== 'inline' && !one.closest('button, output'));
    }).map(one => one.className || one.tagName)
"""


@pytest.mark.parametrize("name", ["pipe", "segment"])
def test_it_is_readable_at_the_back_of_a_hall(show: Show, name: str) -> None:
    walk = {"pipe": pipe_walk, "segment": segment_walk}[name]()
    show.open(html(walk, page=True))
    for number in range(1, len(walk["steps"]) + 1):
        show.do(f"part('.steps li:nth-child({number}) button').click()")
        small = [(text, size) for text, size in show.ask(SIZES) if size < 18]
        assert small == []
        assert show.ask(CUT) == []
        root = "document.documentElement"
        assert show.page.run(f"[{root}.scrollWidth, {root}.scrollHeight]") == [1920, 1080]
        buttons = "[...host(0).shadowRoot.querySelectorAll('.bar button')]"
        assert show.ask(f"{buttons}.every(one => one.offsetHeight >= 44)")
        show.page.photograph(show.folder / f"hall-{name}-{number}.png")
        show.page.run("document.documentElement.dataset.labkitTheme = 'dark'")
        show.page.photograph(show.folder / f"dark-{name}-{number}.png")
        show.page.run("document.documentElement.dataset.labkitTheme = 'light'")


@pytest.mark.parametrize("name", ["pipe", "segment", "hostile"])
def test_it_is_readable_on_a_phone(show: Show, name: str) -> None:
    walk = {"pipe": pipe_walk, "segment": segment_walk, "hostile": hostile_walk}[name]()
    show.open(html(walk, page=True), wide=390, high=844)
    for number in range(1, len(walk["steps"]) + 1):
        show.do(f"part('.steps li:nth-child({number}) button').click()")
        assert show.page.run("document.documentElement.scrollWidth") == 390
        assert show.ask("parseFloat(getComputedStyle(part('.narration')).fontSize)") >= 16
        assert min(size for _, size in show.ask(SIZES)) >= 13
        assert show.ask("part('.stage').scrollWidth > part('.stage').clientWidth")
        if name != "hostile":
            assert show.ask(CUT) == []
        show.page.photograph(show.folder / f"phone-{name}-{number}.png")


@pytest.mark.parametrize("wide", [320, 700, 1000, 1366, 3840])
def test_it_fits_any_width(show: Show, wide: int) -> None:
    for walk in (pipe_walk(), segment_walk()):
        show.open(around(html(walk)), wide=wide, high=wide * 9 // 16)
        for _ in walk["steps"]:
            assert show.page.run("document.documentElement.scrollWidth") <= wide
            assert show.ask(CUT) == []
            show.do("part('.next').click()")


def test_a_slide_gives_it_a_height(show: Show) -> None:
    for walk in (pipe_walk(), segment_walk()):
        slide = "<style>body {margin: 0}</style>" + html(walk, height=800)
        show.open(slide, wide=1440, high=900)
        for _ in walk["steps"]:
            assert show.ask("host(0).getBoundingClientRect().height") <= 800
            assert show.ask(CUT) == []
            show.do("part('.next').click()")
        show.page.photograph(show.folder / f"slide-{walk['name']}.png")


def test_texts_of_a_hostile_process_stay_texts(show: Show) -> None:
    walk = hostile_walk()
    show.open("<script>window.alert = () => { window.broken = true; };</script>" + html(walk))
    for number, text in enumerate(HOSTILE, 1):
        show.do(f"part('.steps li:nth-child({number}) button').click()")
        known = " ".join(printable(text).split())
        assert show.ask("part('.evidence bdi').textContent") == printable(text)
        assert show.ask("part('.title').textContent") == printable(text)
        assert show.ask("part('.narration').lastChild.data") == known
        ids = show.ask("[...part('.canvas').children].map(group => group.dataset.id)")
        assert "token" in ids
    assert not show.page.run("Boolean(window.broken)")
    assert show.page.run("document.scripts.length") == 3


def test_nothing_is_asked_of_the_network(show: Show) -> None:
    show.open(html(segment_walk(), page=True))
    show.click(".next")
    entries = "performance.getEntriesByType('resource').map(entry => entry.name)"
    assert [name for name in show.page.run(entries) if not name.startswith("data:")] == []


def test_a_screen_reader_is_told(show: Show) -> None:
    walk = pipe_walk()
    show.open(html(walk, page=True))
    show.click(".next")
    nodes = show.page.call("Accessibility.getFullAXTree")["nodes"]
    found = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored")
    }
    step = walk["steps"][1]
    assert ("region", f"Walkthrough: {walk['title']}") in found
    assert ("image", step["alt"]) in found or ("img", step["alt"]) in found
    (heading,) = (name for role, name in found if role == "heading" and step["title"] in name)
    assert heading.replace(" ", "") in (f"2{step['title']}".replace(" ", ""), step["title"])
    assert ("slider", "Step") in found
    for name in ("Back", "Play", "Next"):
        assert ("button", name) in found
    assert show.ask("part('.narration').getAttribute('aria-live')") == "polite"
    said = f"Step 2 of {len(walk['steps'])}: {step['title']}."
    assert show.ask("part('.narration').textContent").startswith(said)
    assert show.ask("part('.slider').getAttribute('aria-valuetext')").startswith("Step 2 of")
    show.click("summary")
    assert show.ask("part('.transcript').open")
    rows = "part('.transcript').querySelectorAll('tbody tr').length"
    assert show.ask(rows) == len(walk["steps"])


def test_without_scripts_the_steps_are_still_there(show: Show) -> None:
    walk = segment_walk()
    show.page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        path = show.folder / "still.html"
        path.write_text(html(walk, page=True))
        show.screen(1000, 800)
        show.page.call("Page.navigate", url=path.as_uri())
        drawn = (
            "document.images.length > 0"
            " && [...document.images].every(one => one.complete && one.naturalWidth > 0)"
        )
        poll(lambda: show.page.run(drawn), END_S, "all stills are drawn")
        assert show.page.run("document.images.length") == len(walk["steps"])
        assert not show.page.run("Boolean(document.querySelector('.labkit-player').shadowRoot)")
        text = show.page.run("document.querySelector('.labkit-player').innerText")
        for step in walk["steps"]:
            assert step["title"] in text
            assert step["narration"] in text
        assert walk["notes"][0] in text
        assert show.page.run("document.documentElement.scrollWidth") <= 1000
        show.page.photograph(show.folder / "still.png")
    finally:
        show.page.call("Emulation.setScriptExecutionDisabled", value=False)


def notebook_that_shows(fragment: str, source: str) -> str:
    """A notebook of one cell that has run, and whose output is a piece of HTML."""
    output = {"output_type": "display_data", "data": {"text/html": fragment}, "metadata": {}}
    cell = {
        "cell_type": "code", "id": "walk", "source": source, "outputs": [output],
        "execution_count": 1, "metadata": {},
    }  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4}
    return json.dumps(notebook | {"nbformat_minor": 5})


def test_in_an_exported_notebook(show: Show) -> None:
    notebook = show.folder / "walk.ipynb"
    notebook.write_text(notebook_that_shows(html(pipe_walk()), "walk"))
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", str(notebook)],
        check=True,
        capture_output=True,
        timeout=RUN_S,
    )
    show.open(notebook.with_suffix(".html").read_text(), wide=1366, high=768)
    show.click(".next")
    assert show.step() == 2
    show.press("ArrowRight")
    assert show.step() == 3
    assert show.ask(CUT) == []
    show.page.photograph(show.folder / "exported.png")


def test_in_jupyterlab_trusted_or_not(tmp_path: Path) -> None:
    """Not trusted, an output loses its script: the stills are shown. Run, it plays."""
    fragment = html(pipe_walk())
    (tmp_path / "walk.html").write_text(fragment)
    source = f"from IPython.display import HTML\nHTML(open({str(tmp_path / 'walk.html')!r}).read())"
    with jupyterlab(tmp_path) as address, chromium(tmp_path / "profile") as page:
        path = tmp_path / "notebooks" / "walk.ipynb"
        path.write_text(notebook_that_shows(fragment, source))
        start, _, end = address.rpartition("/notebooks/")
        page.call("Page.navigate", url=f"{start}/notebooks/walk.ipynb?{end.partition('?')[2]}")
        poll(lambda: page.run(LAB_READY), START_S, "the notebook is open and its kernel idle")
        stills = "[...document.querySelectorAll('.jp-OutputArea img')]"
        drawn = f"{stills}.filter(one => one.complete && one.naturalWidth > 0).length"
        number = len(pipe_walk()["steps"])
        poll(lambda: page.run(drawn) == number, START_S, "all stills are drawn")
        assert page.run("document.querySelectorAll('.jp-OutputArea details table').length") == 1
        assert not page.run("Boolean(document.querySelector('.labkit-player')?.shadowRoot)")

        page.run("void jupyterapp.commands.execute('notebook:run-all-cells')")
        player = "document.querySelector('.labkit-player')"
        poll(lambda: page.run(f"Boolean({player}?.shadowRoot)"), RUN_S, "the player is there")
        page.run(f"{player}.focus()")
        for key, code, step in (("ArrowRight", 39, "2"), ("End", 35, str(number)), ("x", 88, None)):
            for kind in ("keyDown", "keyUp"):
                page.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)
            here = f"{player}.dataset.step"
            poll(lambda: step in (None, page.run(here)), END_S, f"step {step}")  # noqa: B023
        # x did not cut the cell, which it would have done in the notebook.
        assert page.run("jupyterapp.shell.currentWidget.content.widgets.length") == 1
        assert page.run(f"Boolean({player})")
        page.photograph(tmp_path / "jupyterlab.png")
