"""Decks in a real browser that is refused the network: every slide fits, players step, it prints.

The screenshots are left in pytest's temporary folder (pytest --basetemp=FOLDER keeps them where you
want): look at them.
"""

import json
import shutil
import time
from base64 import b64decode
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from labkit.slides.browser import NAMES, Page, browser
from labkit.slides.making import make_decks

nbformat: Any = import_module("nbformat")  # its functions have no types
ROOT = Path(__file__).resolve().parent.parent
READY = "document.documentElement?.dataset.deckReady === 'true'"
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
WAIT_S = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not any(map(shutil.which, NAMES)),
        reason="no Chromium here; on Debian: apt install chromium",
    ),
]

# What is drawn of a slide, in the slide's own 1920 x 1080: the words and pictures that reach beyond
# the frame, and the blocks below one another that overlap.
MEASURE = """
(() => {
    const slide = labkitDeck.getCurrentSlide(), body = slide.querySelector('.lk-body');
    const frame = slide.querySelector('.lk-frame').getBoundingClientRect();
    const ratio = frame.width / 1920, out = [], boxes = [];
    const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
    const seen = (box, what) => {
        if (!box.width || !box.height) return;
        const reach = Math.max(frame.left - box.left, frame.top - box.top,
            box.right - frame.right, box.bottom - frame.bottom) / ratio;
        if (reach > 1) out.push([what, Math.round(reach)]);
    };
    while (walker.nextNode()) {
        const range = document.createRange();
        range.selectNodeContents(walker.currentNode);
        for (const box of range.getClientRects())
            seen(box, walker.currentNode.textContent.trim().slice(0, 30));
    }
    for (const image of body.querySelectorAll('img, svg, canvas, .labkit-player'))
        seen(image.getBoundingClientRect(), image.tagName);
    const rest = body.querySelector('.lk-rest');
    const all = [...body.querySelectorAll(':scope > h2'), ...rest.children];
    const blocks = all.map(each => each.getBoundingClientRect());
    const overlaps = blocks.slice(1).filter((box, n) => box.top < blocks[n].bottom - 1).length;
    return {fits: slide.dataset.fits, out, overlaps,
        size: parseFloat(getComputedStyle(body).fontSize),
        pictures: [...body.querySelectorAll('.lk-picture')]
            .map(each => [each.naturalWidth, each.alt.length])};
})()
"""

# Of every text that is to be seen on a slide, in its players too: how large it appears, how it
# stands out from what it stands on, and how much of it is cut off. Values of evidence may end early
# (they stand in full in the notebook); the letters in a player's picture, whose colours do not
# depend on the page, are held to their contrast in test_player.py.
READ = """
(() => {
    const slide = labkitDeck.getCurrentSlide(), out = [];
    const ratio = slide.querySelector('.lk-frame').getBoundingClientRect().width / 1920;
    const up = e => e.parentElement ?? e.getRootNode().host;
    const rgba = text => [...text.match(/[0-9.]+/g).map(Number), 1].slice(0, 4);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
    const over = (top, share, below) => top.map((v, n) => v * share + below[n] * (1 - share));
    const ground = e => {
        const layers = [];
        for (let at = e; at; at = up(at)) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3]) layers.push(colour);
            if (colour[3] === 1) break;
        }
        return layers.reduceRight((below, colour) =>
            over(colour.slice(0, 3), colour[3], below), [255, 255, 255]);
    };
    const look = root => {
        const shown = NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT;
        const walker = document.createTreeWalker(root, shown);
        for (let node; (node = walker.nextNode());) {
            if (node.shadowRoot) look(node.shadowRoot);
            if (node.nodeType !== Node.TEXT_NODE || !node.data.trim()) continue;
            const holder = node.parentElement, style = getComputedStyle(holder);
            if (holder.closest('style, script, title, aside, details, [hidden], .heard')) continue;
            if (holder.closest('.labkit-player') || style.visibility === 'hidden') continue;
            const range = document.createRange();
            range.selectNodeContents(node);
            const boxes = [...range.getClientRects()].filter(box => box.width && box.height);
            if (!boxes.length) continue;
            const drawn = holder.closest('.canvas'), size = parseFloat(style.fontSize);
            const block = 'p, li, dt, dd, td, th, pre, h2, h5, button, div';
            const place = drawn ?? holder.closest(block);
            const scale = drawn ? drawn.getBoundingClientRect().width / 1600
                : place.getBoundingClientRect().width / (place.offsetWidth || 1);
            const told = {text: node.data.trim().slice(0, 40), player: root instanceof ShadowRoot,
                size: size * scale / ratio};
            if (!drawn && !holder.closest('[aria-disabled=true]')) {
                let share = rgba(style.color)[3];
                for (let at = holder; at; at = up(at)) share *= getComputedStyle(at).opacity;
                const below = ground(holder);
                const ink = over(rgba(style.color).slice(0, 3), share, below);
                const [a, b] = [light(below), light(ink)].sort((x, y) => y - x);
                told.contrast = (a + 0.05) / (b + 0.05);
            }
            for (let at = holder; at !== slide && !told.cut; at = up(at)) {
                if (at.matches('.evidence dd')) break;
                const flow = getComputedStyle(at);
                if (!/hidden|auto|scroll|clip/.test(flow.overflowX + flow.overflowY)) continue;
                const edge = at.getBoundingClientRect();
                const cut = Math.max(...boxes.map(box => Math.max(box.bottom - edge.bottom,
                    edge.top - box.top, box.right - edge.right, edge.left - box.left)));
                if (cut > 3) told.cut = cut;
            }
            out.push(told);
        }
    };
    look(slide);
    return out;
})()
"""
WORDS_PX, PLAYER_PX, CONTRAST = 24.0, 18.0, 4.5


def unreadable(page: Page) -> list[Any]:
    """The texts of the slide that is shown that are too small, too faint or cut off."""
    found = page.value(READ)
    slide = "labkitDeck.getCurrentSlide()"
    assert found or page.value(f"Boolean({slide}.querySelector('.lk-picture'))")
    return [
        each
        for each in found
        if each["size"] < (PLAYER_PX if each["player"] else WORDS_PX) - 0.05
        or each.get("contrast", CONTRAST) < CONTRAST
        or "cut" in each
    ]


def steps_of(page: Page) -> int:
    """How many steps the slide's player has; 0 if there is none."""
    jumps = "labkitDeck.getCurrentSlide().querySelector('.labkit-player')?.shadowRoot"
    return int(page.value(f"{jumps}?.querySelectorAll('.jump').length ?? 0"))


def open_deck(page: Page, deck: Path, query: str = "") -> None:
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=1920,
        height=1080,
        deviceScaleFactor=1,
        mobile=False,
    )
    page.call("Emulation.setFocusEmulationEnabled", enabled=True)
    still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.call("Emulation.setEmulatedMedia", features=still)
    page.call("Network.enable")
    page.call("Network.setBlockedURLs", urls=["http://*", "https://*", "ws://*", "wss://*"])
    page.call("Page.navigate", url=f"{deck.as_uri()}{query}")
    page.wait_for(READY, WAIT_S, "the deck is ready")


def show(page: Page, number: int) -> None:
    """Go to a slide and let all its fragments appear."""
    page.value(f"void labkitDeck.slide({number}, 0)")
    page.value(
        "void (() => { for (let n = 0; n < 30 && labkitDeck.availableFragments().next; n++)"
        " labkitDeck.nextFragment(); })()"
    )
    page.value(DRAWN)


def photograph(page: Page, path: Path) -> None:
    path.write_bytes(b64decode(page.call("Page.captureScreenshot")["data"]))


def press(page: Page, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        page.call(
            "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
        )


@pytest.fixture(scope="module")
def decks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """A deck of every notebook, run on this kernel."""
    folder = tmp_path_factory.mktemp("decks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        patch.setenv("XDG_DATA_HOME", str(folder / "answers"))
        yield make_decks((), folder / "out")


def test_every_slide_of_every_deck_fits_its_frame(decks: list[Path], tmp_path: Path) -> None:
    assert decks
    wrong: list[Any] = []
    for deck in decks:
        with browser() as page:
            for theme in ("light", "dark"):
                open_deck(page, deck, f"?theme={theme}")
                requests = page.value("performance.getEntriesByType('resource').map(e => e.name)")
                assert [each for each in requests if not each.startswith("data:")] == []
                for number in range(int(page.value("labkitDeck.getTotalSlides()"))):
                    show(page, number)
                    found = page.value(MEASURE)
                    photograph(page, tmp_path / f"{deck.stem}-{theme}-{number:02}.png")
                    if found["fits"] != "true" or found["out"] or found["overlaps"]:
                        wrong.append((deck.stem, number, found))
                    wrong += [(deck.stem, theme, number, each) for each in unreadable(page)]
                    for step in range(steps_of(page)):
                        player = "labkitDeck.getCurrentSlide().querySelector('.labkit-player')"
                        jump = f"{player}.shadowRoot.querySelectorAll('.jump')[{step}]"
                        page.value(f"void {jump}.click()")
                        page.value(DRAWN)
                        here = (deck.stem, theme, number, step + 1)
                        wrong += [(*here, each) for each in unreadable(page)]
                        name = f"{deck.stem}-{theme}-{number:02}-{step + 1:02}.png"
                        photograph(page, tmp_path / name)
                    for width, words in found["pictures"]:
                        assert width > 0
                        assert words > 20, (deck.stem, number, "a picture without alt text")
    assert wrong == []


def test_a_slide_with_too_much_on_it_says_so(tmp_path: Path) -> None:
    """The measure that the decks are held to can fail."""
    cell = nbformat.v4.new_markdown_cell
    slides = {"slideshow": {"slide_type": "slide"}}
    long = "\n\n".join(
        f"Paragraph {n} says something that takes a line of its own." for n in range(60)
    )
    wide = "`" + "x" * 400 + "`"
    notebook = nbformat.v4.new_notebook(
        cells=[cell(text, metadata=slides) for text in ("# Short", f"# Long\n\n{long}", wide)]
    )
    path = tmp_path / "n.ipynb"
    nbformat.write(notebook, path)
    (deck,) = make_decks([str(path)], tmp_path / "out", execute=False)
    with browser() as page:
        open_deck(page, deck)
        told = []
        for number in range(3):
            show(page, number)
            found = page.value(MEASURE)
            told.append((found["fits"], bool(found["out"])))
    assert told == [("true", False), ("false", True), ("false", True)]


def test_letters_too_small_too_faint_or_cut_off_are_found(tmp_path: Path) -> None:
    """The second measure that the decks are held to can fail, too."""
    slides = {"slideshow": {"slide_type": "slide"}}
    cells = [
        nbformat.v4.new_markdown_cell(text, metadata=slides)
        for text in (
            "## Fine\n\nAll of it can be read.",
            '<p style="font-size: 20px">small</p>',
            '<p style="color: #999; background: #fff">faint</p>',
            '<p style="height: .5em; overflow: hidden">cut off</p>',
        )
    ]
    path = tmp_path / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    (deck,) = make_decks([str(path)], tmp_path / "out", execute=False)
    with browser() as page:
        open_deck(page, deck, "?theme=light")
        told = []
        for number in range(len(cells)):
            show(page, number)
            told.append([each["text"] for each in unreadable(page)])
    assert told == [[], ["small"], ["faint"], ["cut off"]]


def test_evidence_that_has_no_room_on_a_slide_is_counted(tmp_path: Path) -> None:
    from made_up_walks import pipe_walk

    from labkit.player.page import html

    data = pipe_walk()
    data["steps"][1]["evidence"] *= 12
    source = nbformat.v4.new_code_cell("walk", metadata={"tags": ["remove-input"]})
    source.outputs = [nbformat.v4.new_output("display_data", data={"text/html": html(data)})]
    path = tmp_path / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[source]), path)
    (deck,) = make_decks([str(path)], tmp_path / "out", execute=False)
    inside = "document.querySelector('.labkit-player').shadowRoot"
    lines = f"[...{inside}.querySelectorAll('.evidence dl > div')].filter(e => !e.hidden).length"
    more = f"{inside}.querySelector('.evidence .more')?.textContent ?? ''"
    with browser() as page:
        open_deck(page, deck)
        show(page, 0)
        assert page.value(more) == ""
        page.value(f"void {inside}.querySelectorAll('.jump')[1].click()")
        page.value(DRAWN)
        photograph(page, tmp_path / "crowded.png")
        left = len(data["steps"][1]["evidence"]) - page.value(lines)
        assert left > 0
        assert page.value(more) == f"and {left} more, in the notebook"
        assert unreadable(page) == []
        page.value(f"void {inside}.querySelectorAll('.jump')[0].click()")
        page.value(DRAWN)
        assert page.value(more) == ""


def test_the_speakers_window_works_from_a_file(tmp_path: Path) -> None:
    """Notes, the next slide, a clock, and players that follow, without a server or a network."""
    from made_up_walks import pipe_walk

    from labkit.player.page import html

    def slide(text: str, ask: str) -> Any:
        about = {"minutes": 2, "ask": ask, "misconception": f"Nobody {ask.lower()}"}
        kind = {"slide_type": "slide"}
        return nbformat.v4.new_markdown_cell(text, metadata={"slideshow": kind, "labkit": about})

    source = nbformat.v4.new_code_cell("walk", metadata={"tags": ["remove-input"]})
    shown = nbformat.v4.new_output("display_data", data={"text/html": html(pipe_walk())})
    source.outputs = [shown]
    cells = [slide("## One", "First?"), slide("## Two", "Second?"), source, slide("## End", "So?")]
    path = tmp_path / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    (deck,) = make_decks([str(path)], tmp_path / "out", execute=False)
    with browser() as page:
        open_deck(page, deck)
        press(page, "s", 83)
        deadline = time.monotonic() + WAIT_S
        while not page.turn_to("reveal.js - Speaker View"):
            assert time.monotonic() < deadline, "no speaker's window was opened"
            time.sleep(0.05)  # until the browser has opened it; there is nothing to wait on
        notes = "document.querySelector('.speaker-controls-notes .value')?.textContent ?? ''"
        page.wait_for(f"({notes}).includes('First?')", WAIT_S, "the first slide's notes")
        said = page.value(notes)
        assert "2 min, from 0 to 2." in said
        assert "Nobody first?" in said
        pacing = "document.querySelector('.pacing-title').style.display"
        page.wait_for(f"{pacing} !== 'none'", WAIT_S, "the pace is shown")
        status = "getComputedStyle(document.querySelector('#connection-status')).display"
        assert page.value(status) == "none"
        assert frames(page) == [["One", None], ["Two", "1"]]
        page.call("Page.bringToFront")
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        press(page, "ArrowRight", 39)  # from here the deck is led as well
        page.wait_for(f"({notes}).includes('Second?')", WAIT_S, "the second slide's notes")
        photograph(page, tmp_path / "speaker.png")
        assert page.turn_to("n")  # back to the deck itself
        page.wait_for("labkitDeck.getIndices().h === 1", WAIT_S, "the deck has followed")
        player = "document.querySelector('.labkit-player')"
        page.value(f"void {player}.shadowRoot.querySelector('.next').click()")
        assert page.turn_to("reveal.js - Speaker View")
        deadline = time.monotonic() + WAIT_S
        while frames(page)[0] != ["Two", "2"]:
            assert time.monotonic() < deadline, "the speaker's player did not follow"
            time.sleep(0.05)


def frames(page: Page) -> list[list[Any]]:
    """Of the slide now and the slide to come: the heading, and the step of its player."""
    ask = "[document.querySelector('section.present h2')?.textContent ?? null,"
    ask += " document.querySelector('section.present .labkit-player')?.dataset.step ?? null]"
    found = []
    for child in page.call("Page.getFrameTree")["frameTree"].get("childFrames", []):
        world = page.call("Page.createIsolatedWorld", frameId=child["frame"]["id"])
        reply = page.call(
            "Runtime.evaluate",
            expression=ask,
            contextId=world["executionContextId"],
            returnByValue=True,
        )
        found.append(reply["result"].get("value"))
    return found


def test_keys_fragments_theme_and_print(tmp_path: Path) -> None:
    cell = nbformat.v4.new_markdown_cell
    slide = {"slideshow": {"slide_type": "slide"}, "labkit": {"ask": "Anybody?"}}
    hidden = "Ask\n\n<details><summary>Look</summary>\n\nAnswer\n\n</details>"
    notebook = nbformat.v4.new_notebook(
        cells=[cell("# One", metadata=slide), cell(hidden, metadata=slide)]
    )
    path = tmp_path / "n.ipynb"
    nbformat.write(notebook, path)
    deck, pdf = make_decks([str(path)], tmp_path / "out", execute=False, pdf=True)
    data = pdf.read_bytes()
    assert data.startswith(b"%PDF")
    assert data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") == 2
    with browser() as page:
        open_deck(page, deck, "?theme=light")
        here = "[labkitDeck.getIndices().h, labkitDeck.getIndices().f ?? null]"
        assert page.value(here) == [0, None]
        press(page, "ArrowRight", 39)
        assert page.value(here) == [1, -1]
        answer = "getComputedStyle(document.querySelector('.lk-answer')).visibility"
        assert page.value(answer) == "hidden"
        press(page, "ArrowRight", 39)
        assert page.value(here) == [1, 0]
        page.wait_for(f"{answer} === 'visible'", WAIT_S, "the answer appears")
        background = "getComputedStyle(document.body).backgroundColor"
        light = page.value(background)
        press(page, "t", 84)
        assert page.value(background) != light
        assert page.value("document.querySelector('aside.notes').innerText") is not None
        assert "Anybody?" in page.value("document.querySelector('aside.notes').textContent")


def test_a_player_steps_within_a_deck_and_keeps_its_keys(tmp_path: Path) -> None:
    from made_up_walks import pipe_walk

    from labkit.player.page import html

    data = pipe_walk()
    source = nbformat.v4.new_code_cell("walk", metadata={"tags": ["remove-input"]})
    source.outputs = [nbformat.v4.new_output("display_data", data={"text/html": html(data)})]
    head = nbformat.v4.new_markdown_cell(
        "## Step by step", metadata={"slideshow": {"slide_type": "slide"}}
    )
    path = tmp_path / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[head, source]), path)
    (deck,) = make_decks([str(path)], tmp_path / "out", execute=False)
    with browser() as page:
        open_deck(page, deck)
        show(page, 0)
        photograph(page, tmp_path / "player.png")
        found = page.value(MEASURE)
        assert found["fits"] == "true", json.dumps(found)
        assert found["out"] == []
        player = "document.querySelector('.labkit-player')"
        counter = f"{player}.shadowRoot.querySelector('.counter').textContent"
        before = page.value(counter)
        page.value(f"void {player}.focus()")
        press(page, "ArrowRight", 39)
        page.wait_for(f"{counter} !== {json.dumps(before)}", WAIT_S, "the player's next step")
        assert page.value("labkitDeck.getIndices().h") == 0
