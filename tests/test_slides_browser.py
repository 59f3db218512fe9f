"""Decks in a real browser that is refused the network: every slide fits, players step, it prints.

The screenshots are left in pytest's temporary folder (pytest --basetemp=FOLDER keeps them where you
want): look at them.
"""

import json
import shutil
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
    const blocks = [...body.children].map(each => each.getBoundingClientRect());
    const overlaps = blocks.slice(1).filter((box, n) => box.top < blocks[n].bottom - 1).length;
    return {fits: slide.dataset.fits, out, overlaps,
        size: parseFloat(getComputedStyle(body).fontSize),
        pictures: [...body.querySelectorAll('.lk-picture')]
            .map(each => [each.naturalWidth, each.alt.length])};
})()
"""


def open_deck(page: Page, deck: Path, query: str = "") -> None:
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=1920,
        height=1080,
        deviceScaleFactor=1,
        mobile=False,
    )
    page.call("Emulation.setFocusEmulationEnabled", enabled=True)
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
    page.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


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
                    assert found["size"] >= 24, (deck.stem, number)
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
