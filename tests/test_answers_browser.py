"""A prediction in JupyterLab, in a real browser: the buttons answer, and the answer is kept."""

import json
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
SOURCES = (
    "import labkit",
    "labkit.predict('01-1')",
    "labkit.predict('04-1')",
    "labkit.reveal('01-1', {'mode_switches': 2, 'context_switches': 0})",
)


def test_buttons_answer_and_the_answer_outlives_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    answers = tmp_path / "data" / "labkit" / "answers.json"
    with jupyterlab(tmp_path) as address, chromium(tmp_path / "profile") as page:
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in SOURCES],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, tmp_path / "notebooks" / "ask.ipynb")
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

        assert "No prediction yet" in run_all()
        assert not answers.exists()
        toggle = ".widget-toggle-button"
        page.click(toggle)  # the first: a
        page.photograph(tmp_path / "asked.png")
        page.click(".jupyter-widgets.jupyter-button.mod-primary")
        poll(answers.exists, END_S, "the answer is kept")
        poll(
            lambda: page.run("document.body.innerText.includes('Your first answer')"),
            END_S,
            "the widget says that it was kept",
        )
        page.photograph(tmp_path / "answered.png")
        kept = json.loads(answers.read_text())["questions"]
        assert kept["01-1"]["first"]["answer"] == "a"
        assert set(kept) == {"01-1"}
        assert "You predicted a" in run_all()
        page.photograph(tmp_path / "revealed.png")
