"""Decks and pages: what stands on which slide; a failing notebook leaves nothing behind."""

import json
import os
import re
import select
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import labkit
from labkit.errors import RequestError
from labkit.slides.cell_html import code, markdown, outputs, unfold
from labkit.slides.cutting import CUTS, Cut, cut_slides
from labkit.slides.deck import deck_html
from labkit.slides.executing import execute, find, read
from labkit.slides.making import make_decks
from labkit.slides.reveal_js import reveal_js
from labkit.slides.site import make_site

nbformat: Any = import_module("nbformat")  # its functions have no types
ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MINUTES: dict[Cut, float] = {"ten": 12, "fifty": 50}  # the first with a little room for applause
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.stem))


def cell(source: str, kind: str = "", *tags: str, **about: Any) -> Any:
    """A Markdown cell; with `is_code` a code cell."""
    is_code = about.pop("is_code", False)
    new = nbformat.v4.new_code_cell if is_code else nbformat.v4.new_markdown_cell
    metadata: dict[str, Any] = {"slideshow": {"slide_type": kind}} if kind else {}
    if tags:
        metadata["tags"] = list(tags)
    if about:
        metadata["labkit"] = about
    return new(source, metadata=metadata)


def notebook(*cells: Any) -> Any:
    return nbformat.v4.new_notebook(cells=list(cells))


def written(path: Path, *cells: Any) -> Path:
    nbformat.write(notebook(*cells), path)
    return path


class TestCutting:
    def test_slide_types_say_what_belongs_together(self) -> None:
        slides = cut_slides(
            notebook(
                cell("a", "slide"),
                cell("b"),
                cell("c", "fragment"),
                cell("for me", "notes"),
                cell("not this", "skip"),
                cell("d", "subslide"),
                cell("", "slide"),
            ),
            "fifty",
        )
        assert [[(each.source, waits) for each, waits in s.cells] for s in slides] == [
            [("a", False), ("b", False), ("c", True)],
            [("d", False)],
        ]
        assert slides[0].notes == ["for me"]

    def test_tags_say_which_cut(self) -> None:
        whole = notebook(
            cell("a", "slide", "ten", "demo"), cell("b", "slide"), cell("c", "slide", "ten")
        )
        found = {cut: [s.cells[0][0].source for s in cut_slides(whole, cut)] for cut in CUTS}
        assert found == {"ten": ["a", "c"], "fifty": ["a", "b", "c"], "demo": ["a"]}

    def test_without_slide_types_headings_begin_slides(self) -> None:
        slides = cut_slides(notebook(cell("# A"), cell("b"), cell("## C"), cell("### d")), "fifty")
        assert [len(slide.cells) for slide in slides] == [2, 2]

    def test_notes_carry_the_clock(self) -> None:
        about = {"minutes": {"ten": 1, "fifty": 3}, "ask": "Why?", "misconception": "Because."}
        (slide,) = cut_slides(notebook(cell("a", "slide", **about)), "fifty")
        assert slide.spoken("fifty", 4)[0] == "**3 min**, from 4 to 7."
        assert slide.spoken("ten", 0)[0] == "**1 min**, from 0 to 1."
        assert slide.spoken("ten", 0)[1:] == ["**Ask:** Why?", "**Usual misconception:** Because."]

    @each_notebook
    def test_every_notebook_keeps_its_time(self, path: Path) -> None:
        whole = read(path)
        for cut, most in MINUTES.items():
            slides = cut_slides(whole, cut)
            minutes = sum(slide.minutes(cut) for slide in slides)
            assert minutes <= most, f"{path.stem}, {cut}: {minutes:g} minutes"


class TestCells:
    def test_links_to_what_is_not_there_become_words(self) -> None:
        html = markdown(
            "[a](../x.py) [b](02.ipynb) [c](https://example.org)", {"02.ipynb": "2.html"}
        )
        assert "<a href" in html
        assert "../x.py" not in html
        assert 'href="2.html"' in html
        assert 'href="https://example.org"' in html

    def test_what_is_folded_comes_one_step_later(self) -> None:
        html = unfold(markdown("Q\n\n<details><summary>Look</summary>\n\nAnswer\n\n</details>"))
        assert '<div class="fragment lk-answer">' in html
        assert "Answer" in html
        assert "details" not in html

    def test_a_picture_keeps_its_words(self) -> None:
        shown = nbformat.v4.new_output(
            "display_data",
            data={"image/png": "aGk=", "text/html": "<p>", "text/plain": "plain"},
            metadata={"image/png": {"alt": 'a "line" & more'}},
        )
        (html,) = outputs({"outputs": [shown]})
        assert 'alt="a &quot;line&quot; &amp; more"' in html
        assert "data:image/png;base64,aGk=" in html

    def test_dead_buttons_and_progress_are_left_out(self) -> None:
        widget = nbformat.v4.new_output(
            "display_data",
            data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "VBox()"},
        )
        progress = nbformat.v4.new_output("stream", name="stderr", text="10 %")
        said = nbformat.v4.new_output("stream", name="stdout", text="\x1b[1mbold\x1b[0m <b>")
        (html,) = outputs({"outputs": [widget, progress, said]})
        assert html == '<pre class="lk-text">bold &lt;b&gt;</pre>'

    def test_code_is_marked_without_a_style_of_its_own(self) -> None:
        assert '<span class="kn">import</span>' in code("import os")
        assert "style=" not in code("import os")


class TestDeck:
    def test_it_carries_everything_and_asks_nobody(self) -> None:
        slides = cut_slides(
            notebook(cell("# T", "slide", ask="<b>Why</b>"), cell("print(1)", is_code=True)),
            "fifty",
        )
        html = deck_html(slides, "T & co", "foot")
        assert "<title>T &amp; co</title>" in html
        assert "Permission is hereby granted" in html  # reveal.js's licence stays with it
        assert "reveal.js 5" in html
        assert '<aside class="notes">' in html
        loads = re.findall(
            r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=", html.split("<script>")[0]
        )
        assert loads == []
        assert "@import" not in html.split("<script>")[0].replace("@import url(data:", "")
        assert len(html.split("</script>")) == 2

    def test_reveal_js_is_whole(self) -> None:
        parts = reveal_js()
        assert all(len(text) > 500 for text in parts.values())

    def test_without_reveal_js_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("labkit.slides.reveal_js.CARRIER", "no_such_package")
        with pytest.raises(labkit.LabkitError, match="pip install sphinx-revealjs"):
            make_decks([str(NOTEBOOKS[0])], execute=False)

    def test_committed_results_are_used_when_nothing_is_run(self, tmp_path: Path) -> None:
        source = cell("1 + 1", "slide", is_code=True)
        source.outputs = [
            nbformat.v4.new_output("execute_result", data={"text/plain": "two, really"})
        ]
        path = written(tmp_path / "n.ipynb", source)
        (deck,) = make_decks([str(path)], tmp_path / "out", execute=False)
        assert "two, really" in deck.read_text()

    def test_a_cut_without_slides_makes_no_deck(self, tmp_path: Path) -> None:
        path = written(tmp_path / "n.ipynb", cell("# A", "slide"))
        told: list[str] = []
        assert (
            make_decks([str(path)], tmp_path / "o", execute=False, cut="demo", tell=told.append)
            == []
        )
        assert "no slide of it belongs to the cut 'demo'" in told[-1]


class TestRefusals:
    def test_what_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        damaged = tmp_path / "damaged.ipynb"
        damaged.write_text('{"cells": [')
        (tmp_path / "text.md").write_text("hello")
        for name, said in {
            "damaged.ipynb": "is not a whole notebook",
            "missing.ipynb": "does not exist",
            "text.md": "is not a notebook",
        }.items():
            with pytest.raises(labkit.RequestError, match=said) as refused:
                make_decks([str(tmp_path / name)], tmp_path / "out")
            assert name in str(refused.value)
        assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        path = written(tmp_path / "n.ipynb", cell("# A", "slide"))
        (tmp_path / "file").write_text("")
        for make in (make_decks, make_site):
            with pytest.raises(labkit.RequestError, match="cannot be made"):
                make([str(path)], tmp_path / "file" / "out", execute=False)
        with pytest.raises(labkit.RequestError, match="there is no cut 'five'"):
            make_decks([str(path)], tmp_path / "out", cut="five")  # type: ignore[arg-type]

    def test_all_notebooks_are_found_from_anywhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert find([]) == NOTEBOOKS


@pytest.mark.slow
class TestRunning:
    """Kernels of their own; what they leave is looked at."""

    @pytest.fixture(autouse=True)
    def surroundings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def test_what_is_wrong_is_said_before_anything_runs(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        paths = [str(tmp_path / name) for name in ("same.ipynb", "a/same.ipynb")]
        for path in paths:
            nbformat.write(notebook(cell("1", is_code=True)), path)
        with pytest.raises(RequestError, match=r"would both become same\.html"):
            make_decks(paths, tmp_path / "out")
        assert len(make_decks(paths[:1] * 2, tmp_path / "out", execute=False)) == 1
        with pytest.raises(RequestError, match="cannot be read"):
            make_decks([f"{'a' * 300}.ipynb"], tmp_path / "out")
        with pytest.raises(RequestError, match="cannot be made"):
            make_decks(paths[:1], f"{'a' * 300}")

    def test_metadata_that_were_edited_by_hand(self, tmp_path: Path) -> None:
        about = [{"labkit": 5}, {"labkit": {"minutes": 1e308, "ask": ["x"]}}, {"slideshow": 5}]
        about += [{"labkit": {"minutes": -1}}]
        cells = [
            nbformat.v4.new_markdown_cell(f"# {n}", metadata=each) for n, each in enumerate(about)
        ]
        path = tmp_path / "n.ipynb"
        path.write_text(json.dumps(nbformat.v4.new_notebook(cells=cells)))
        assert make_decks([str(path)], tmp_path / "out", execute=False)
        assert make_site([str(path)], tmp_path / "site", execute=False)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_ends_at_a_signal_with_its_kernel(self, tmp_path: Path, number: int) -> None:
        begun = tmp_path / "begun"
        source = (
            f"import os, time\nopen({str(begun)!r}, 'w').write(str(os.getpid()))\ntime.sleep(99)"
        )
        path = tmp_path / "n.ipynb"
        nbformat.write(notebook(cell(source, is_code=True)), path)
        command = [
            sys.executable,
            "-m",
            "labkit",
            "slides",
            str(path),
            "--out",
            str(tmp_path / "o"),
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while not (begun.exists() and begun.read_text()):
            assert process.poll() is None
        kernel = os.pidfd_open(int(begun.read_text()))
        process.send_signal(number)
        assert select.select([kernel], [], [], 60)[0]  # it has ended
        os.close(kernel)
        _, said = process.communicate(timeout=60)
        assert "Traceback" not in said
        assert said.splitlines()[-1].startswith("labkit: interrupted")
        assert list((tmp_path / "o").iterdir()) == []

    def test_a_failing_notebook_is_named_and_the_others_are_made(self, tmp_path: Path) -> None:
        bad = written(
            tmp_path / "bad.ipynb",
            cell("# Bad", "slide"),
            cell("1 / 0", is_code=True),
            cell("print('never')", is_code=True),
        )
        good = written(tmp_path / "good.ipynb", cell("# G", "slide"), cell("6 * 7", is_code=True))
        with pytest.raises(labkit.LabkitError) as failed:
            make_decks([str(bad), str(good)], tmp_path / "out")
        said = str(failed.value)
        assert "bad.ipynb: cell 2 failed, '1 / 0' (ZeroDivisionError: division by zero)." in said
        assert "\n" not in said
        assert [each.name for each in (tmp_path / "out").iterdir()] == ["good.html"]
        assert "42" in (tmp_path / "out" / "good.html").read_text()

    def test_an_endless_or_dying_cell_is_named(self, tmp_path: Path) -> None:
        for source, said in {
            "while True: pass": "took more than 2 s",
            "import os; os._exit(3)": "its kernel died",
        }.items():
            path = written(
                tmp_path / "n.ipynb", cell("x = 1", is_code=True), cell(source, is_code=True)
            )
            with pytest.raises(labkit.LabkitError, match="cell 2 failed") as failed:
                execute(read(path), path, "deck", cell_s=2)
            assert said in str(failed.value)

    def test_nobodys_answers_get_into_a_deck(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        labkit.answer("01-1", "a")
        before = (tmp_path / "data/labkit/answers.json").read_bytes()
        path = written(
            tmp_path / "n.ipynb",
            cell("# Q", "slide"),
            cell("import labkit\nlabkit.predict('01-1')", is_code=True),
            cell("labkit.answer('01-1', 'c')", is_code=True),
            cell(
                "labkit.reveal('01-1', {'mode_switches': 2, 'context_switches': 0})", is_code=True
            ),
        )
        (deck,) = make_decks([str(path)], tmp_path / "out")
        html = deck.read_text()
        assert "two mode switches, no context switch" in html
        assert "2 mode switches and 0 context switches" in html
        assert "You predicted" not in html
        make_site([str(path)], tmp_path / "site")
        page = (tmp_path / "site" / "n.html").read_text()
        assert "What this machine showed" in page
        assert 'href="n.html"' in (tmp_path / "site" / "index.html").read_text()
        assert (tmp_path / "data/labkit/answers.json").read_bytes() == before

    def test_the_command_says_what_it_wrote(self, tmp_path: Path) -> None:
        path = written(tmp_path / "n.ipynb", cell("# A", "slide"), cell("1 / 0", is_code=True))
        for args, status in ((["--no-execute"], 0), ([], 1)):
            done = subprocess.run(
                [sys.executable, "-m", "labkit", "slides", str(path), "--out", "out", *args],
                cwd=tmp_path,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == status, done.stderr
            assert "Traceback" not in done.stderr
        assert "ZeroDivisionError" in done.stderr


def test_notebooks_say_in_metadata_what_decks_read() -> None:
    for path in NOTEBOOKS:
        for each in json.loads(path.read_text())["cells"]:
            kind = each["metadata"].get("slideshow", {}).get("slide_type", "-")
            assert kind in ("slide", "subslide", "fragment", "notes", "skip", "-")
            assert set(each["metadata"].get("tags", [])) <= {
                "ten",
                "demo",
                "remove-input",
                "remove-output",
            }
