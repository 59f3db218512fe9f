"""Predictions in JupyterLab, in a real browser: by buttons and by drawing, and they are kept."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from test_browser import (
    CHROMIUM,
    CODE_CELLS,
    END_S,
    READY,
    RESTART,
    RESTART_AND_RUN_ALL,
    RUN_S,
    START_S,
    Page,
    _command,
    _finished,
    chromium,
    jupyterlab,
    poll,
)

nbformat: Any = import_module("nbformat")  # its functions have no types
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here; on Debian: apt install chromium"
    ),
]


@contextmanager
def asked(
    folder: Path, patch: pytest.MonkeyPatch, *sources: str
) -> Iterator[tuple[Page, Path, Callable[[], str]]]:
    """A notebook of these cells in JupyterLab; the file of answers, and a run of all cells.

    The run restarts the kernel and returns the text that the last cell has shown.
    """
    patch.setenv("XDG_DATA_HOME", str(folder / "data"))
    with jupyterlab(folder) as address, chromium(folder / "profile") as page:
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in sources],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, folder / "notebooks" / "ask.ipynb")
        before, _, token = address.rpartition("/")[2].partition("?")
        page.call("Page.navigate", url=address.replace(before, "ask.ipynb"))
        assert token
        poll(lambda: page.run(READY), START_S, "the notebook is open and its kernel idle")

        def run_all() -> str:
            page.click(RESTART_AND_RUN_ALL)
            page.click(RESTART)
            poll(lambda: page.run(READY), START_S, "the kernel is idle")
            poll(lambda: _finished(page.run(CODE_CELLS)), RUN_S, "every cell has run")
            cells = page.run(CODE_CELLS)
            assert not [o for c in cells for o in c["outputs"] if o["output_type"] == "error"]
            return str(cells[-1]["outputs"][0]["data"]["text/plain"])

        yield page, folder / "data" / "labkit" / "answers.json", run_all


COMMIT = ".jupyter-widgets.jupyter-button.mod-primary:not(.labkit-plain)"


def says(page: Page, words: str) -> None:
    """Wait until the page says so."""
    said = f"document.body.innerText.includes({json.dumps(words)})"
    poll(lambda: page.run(said), END_S, f"the page says {words!r}")


def test_buttons_answer_and_the_answer_outlives_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with asked(
        tmp_path,
        monkeypatch,
        "import labkit",
        "labkit.predict('01-1')",
        "labkit.predict('04-1')",
        "labkit.reveal('01-1', {'mode_switches': 2, 'context_switches': 0})",
    ) as (page, answers, run_all):
        assert "No prediction yet" in run_all()
        assert not answers.exists()
        page.click(".widget-toggle-button")  # the first: a
        page.photograph(tmp_path / "asked.png")
        page.click(COMMIT)
        poll(answers.exists, END_S, "the answer is kept")
        says(page, "Your first answer")
        page.photograph(tmp_path / "answered.png")
        kept = json.loads(answers.read_text())["questions"]
        assert kept["01-1"]["first"]["answer"] == "a"
        assert set(kept) == {"01-1"}
        assert "You predicted a" in run_all()
        page.photograph(tmp_path / "revealed.png")


PAD = ".labkit-pad svg"
VALUES = "[...document.querySelectorAll('.labkit-pad .point')].map(e => e.ariaValueText)"


def place_of(page: Page, column: float, height: float) -> dict[str, float]:
    """Where on the screen a place of the pad is: the column from 0, the height from 0 to 1."""
    found = page.run(
        f"""(() => {{
            const pad = document.querySelector({json.dumps(PAD)});
            const dots = [...pad.querySelectorAll('.point circle')];
            const at = n => +dots[2 * n].getAttribute('cx');
            const lines = [...pad.querySelectorAll('path')].map(e => e.getBBox().y);
            const [low, high] = [Math.max(...lines), Math.min(...lines)];
            const x = at(0) + (at(1) - at(0)) * {column};
            const y = low + (high - low) * {height};
            return new DOMPoint(x, y).matrixTransform(pad.getScreenCTM()).toJSON();
        }})()"""
    )
    return {"x": found["x"], "y": found["y"]}


def drag(page: Page, *places: tuple[float, float]) -> None:
    """Draw a line with the mouse."""
    at = [place_of(page, *place) for place in places]
    page.call("Input.dispatchMouseEvent", type="mousePressed", button="left", clickCount=1, **at[0])
    for place in at[1:]:
        page.call("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **place)
    page.call(
        "Input.dispatchMouseEvent", type="mouseReleased", button="left", clickCount=1, **at[-1]
    )


def press(page: Page, *keys: str) -> None:
    for key in keys:
        for kind in ("keyDown", "keyUp"):
            page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)


def test_a_prediction_is_drawn_with_the_mouse_and_mended_with_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"factors": [1, 1.1, 3, 60], "least": [1, 1.1, 3, 60], "most": [1, 1.1, 3, 60]}
    with asked(
        tmp_path,
        monkeypatch,
        "import labkit",
        "labkit.predict('06-6')",
        f"labkit.reveal('06-6', {facts})",
    ) as (page, answers, run_all):
        assert "No prediction yet" in run_all()
        poll(lambda: page.run(f"Boolean(document.querySelector('{PAD}'))"), END_S, "the pad")
        page.run(f"void document.querySelector('{PAD}').scrollIntoView({{block: 'center'}})")
        sliders = "document.querySelector('.labkit-without-pad')?.checkVisibility() ?? false"
        assert page.run(sliders) is False
        page.click(COMMIT)
        says(page, "and 4 KiB has none")  # an unfinished line is refused, in a sentence
        assert not answers.exists()

        drag(page, (1, 0.0), (1.5, 0.4), (2, 0.75), (3, 1.0))
        page.photograph(tmp_path / "drawn.png")
        drawn = page.run(VALUES)
        assert drawn[0] == "64 B: 1 times as long"  # so by definition: no stroke moves it
        assert drawn[1] == "4 KiB: 1 times as long"
        assert drawn[3] == "1 MiB: 20,000 times as long"
        page.click(COMMIT)
        poll(answers.exists, END_S, "the drawing is kept")
        kept = json.loads(answers.read_text())["questions"]["06-6"]
        assert kept["first"]["answer"][0] == kept["first"]["answer"][1] == 1
        assert kept["first"]["answer"][3] == 20_000

        # The pad has the focus where the pen came down last; keys move that point, and the next.
        page.run("void document.querySelectorAll('.labkit-pad .point')[1].focus()")
        press(page, "ArrowUp", "ArrowRight", "Home", "ArrowUp", "ArrowUp", "ArrowUp")
        assert page.run(VALUES)[1:3] == ["4 KiB: 2 times as long", "64 KiB: 5 times as long"]
        page.click(COMMIT)
        says(page, "Revised")
        kept = json.loads(answers.read_text())["questions"]["06-6"]
        assert kept["later"][-1]["answer"][:3] == [1, 2, 5]

        told = run_all()
        assert "You then said" in told
        poll(lambda: page.run(f"Boolean(document.querySelector('{PAD}'))"), END_S, "the pad")
        assert page.run(VALUES)[2] == "64 KiB: 5 times as long"  # it goes on from the latest
        page.run("void [...document.querySelectorAll('.lk-drawing')].at(-1).scrollIntoView()")
        page.photograph(tmp_path / "revealed.png")


def test_what_is_on_the_screen_is_kept_although_the_kernel_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a cell runs, front ends hold changes back; a click must not overtake them."""
    with asked(
        tmp_path,
        monkeypatch,
        "import labkit, os, time",
        "labkit.predict('04-1')",
        "while not os.path.exists('free'): time.sleep(0.02)",
    ) as (page, answers, _):
        page.run(_command("notebook:run-all-cells"))
        field = ".widget-text input"
        poll(lambda: page.run(f"Boolean(document.querySelector('{field}'))"), END_S, "the field")
        busy = f"{CODE_CELLS}[2].state === 'running'"
        poll(lambda: page.run(busy), END_S, "the last cell runs")
        page.click(field)
        for letter in "12":
            page.call("Input.insertText", text=letter)
        page.click(COMMIT)
        says(page, "The kernel is busy")
        page.photograph(tmp_path / "busy.png")
        assert not answers.exists()
        (tmp_path / "notebooks" / "free").touch()
        poll(answers.exists, END_S, "the answer is kept")
        assert json.loads(answers.read_text())["questions"]["04-1"]["first"]["answer"] == 12
        poll(lambda: not page.run("document.body.innerText.includes('is busy')"), END_S, "free")
