"""The first notebook in JupyterLab, in a real browser, as a student would run it.

Chromium is driven over its own DevTools protocol through a pair of pipes: no driver, no port that
somebody else on the machine could connect to. The screenshots are left in pytest's temporary
folder (pytest --basetemp=FOLDER keeps them where you want): look at them.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = "06_copy_overhead.ipynb"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
START_S, RUN_S, END_S = 60.0, 120.0, 20.0
SCREEN = (1600, 900)
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # /dev/shm is for what is measured
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium here; on Debian: apt install chromium"
    ),
]

Result = TypeVar("Result")


def poll(what: Callable[[], Result], seconds: float, wanted: str) -> Result:
    """The first true value of `what()`; after the deadline a failure that says what was wanted."""
    deadline = time.monotonic() + seconds
    while not (result := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds:g} s still not: {wanted}")
        time.sleep(0.1)
    return result


def stop(process: "subprocess.Popen[bytes]", polite: signal.Signals) -> None:
    """End a process of ours: politely, and after a deadline not."""
    if process.poll() is None:
        process.send_signal(polite)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Page:
    """A browser's only page, over --remote-debugging-pipe: JSON ended by zero bytes."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands, self._events = commands, events
        self._unread = b""
        self._number = 0
        self._session: str | None = None
        pages = self.call("Target.getTargets")["targetInfos"]
        (target,) = (page["targetId"] for page in pages if page["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        # What has the focus decides which notebook a command is for; headless, nothing has it.
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=SCREEN[0],
            height=SCREEN[1],
            deviceScaleFactor=1,
            mobile=False,
        )

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; events are passed over."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (reply := self._receive()).get("id") != self._number:
            pass
        assert "error" not in reply, f"{method}: {reply}"
        result: dict[str, Any] = reply["result"]
        return result

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, promises awaited."""
        reply = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def click(self, selector: str) -> None:
        """Click with the mouse in the middle of the first element that matches."""
        found = f"document.querySelector({json.dumps(selector)})"
        poll(lambda: self.run(f"Boolean({found})"), END_S, f"an element {selector}")
        self.run(f"void {found}.scrollIntoView({{block: 'center'}})")
        box = self.run(f"{found}.getBoundingClientRect().toJSON()")
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def photograph(self, path: Path) -> None:
        """What the page shows, as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._events], [], [], START_S)
            assert ready, f"Chromium has said nothing for {START_S:g} s"
            read = os.read(self._events, 1 << 20)
            assert read, "Chromium has ended"
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\0")
        reply: dict[str, Any] = json.loads(message)
        return reply


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """JupyterLab on a copy of the notebooks; yields the address that opens one of them."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"]
    if os.geteuid() == 0:
        command += ["--allow-root"]
    with _served(command, folder, folder) as server:
        yield f"{server['url']}lab/tree/notebooks/{NOTEBOOK}?token={server['token']}"


@contextmanager
def made_lab(folder: Path) -> Iterator[str]:
    """JupyterLab as `make lab` starts it; yields its address, which says nothing of a notebook."""
    command = [sys.executable, "-m", "labkit", "lab", "--no-browser"]
    # It is not for a test to set up .venv anew; with conda there is none.
    if subprocess.run(["make", "--question", ".venv/.installed"], cwd=ROOT).returncode == 0:
        command = ["make", "lab", "ARGS=--no-browser"]
    with _served(command, ROOT, folder) as server:
        yield f"{server['url']}?token={server['token']}"


@contextmanager
def _served(command: list[str], where: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """A JupyterLab that keeps all that it writes in a folder; yields what it says of itself."""
    settings = folder / "settings" / "@jupyterlab"
    notices = settings / "apputils-extension" / "notification.jupyterlab-settings"
    notices.parent.mkdir(parents=True)
    notices.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    keeping = settings / "docmanager-extension" / "plugin.jupyterlab-settings"
    keeping.parent.mkdir()
    keeping.write_text('{"autosave": false}')
    config = folder / "config" / "jupyter_lab_config.json"
    config.parent.mkdir()
    config.write_text('{"LabApp": {"expose_app_in_browser": true}}')
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XDG_DATA_HOME": str(folder / "data"),  # nobody's answers
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    with (folder / "jupyterlab.log").open("wb") as log:
        started = subprocess.Popen(
            command, cwd=where, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        lab = None
        try:
            # It finds a free port and invents a token; both stand here once it listens.
            facts = poll(
                lambda: [*folder.glob("runtime/jpserver-*.json")] or started.poll() is not None,
                START_S,
                "JupyterLab listens",
            )
            assert started.poll() is None, (folder / "jupyterlab.log").read_text()
            assert isinstance(facts, list)
            server = poll(lambda: _json(facts[0]), END_S, "its address is written")
            lab = os.pidfd_open(server["pid"])
            yield server
        finally:
            if lab is not None:
                signal.pidfd_send_signal(lab, signal.SIGTERM)
                os.close(lab)
                with suppress(subprocess.TimeoutExpired):
                    started.wait(END_S)
            stop(started, signal.SIGTERM)


def _json(path: Path) -> Any:
    with suppress(ValueError):  # half written
        return json.loads(path.read_text())


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A fresh headless Chromium with one empty page."""
    theirs_in, commands = os.pipe()
    events, theirs_out = os.pipe()
    # Chromium reads from descriptor 3 and writes to 4.
    redirect = f'exec "$@" 3</proc/self/fd/{theirs_in} 4>/proc/self/fd/{theirs_out}'
    switches = [*SWITCHES, f"--user-data-dir={folder}"]
    browser = subprocess.Popen(
        ["/bin/sh", "-c", redirect, "sh", str(CHROMIUM), *switches, "about:blank"],
        pass_fds=(theirs_in, theirs_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(commands, events)
    finally:
        stop(browser, signal.SIGTERM)
        os.close(commands)
        os.close(events)


# What the page is asked. `jupyterapp` is JupyterLab itself; the model knows all cells, also those
# that are not drawn because they are scrolled out of sight.
READY = """
(() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    const kernel = panel?.sessionContext?.session?.kernel;
    return Boolean(panel?.content?.widgets?.length && kernel?.status === 'idle');
})()
"""
CODE_CELLS = """
jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code')
    .map(cell => ({
        source: cell.model.sharedModel.getSource(),
        count: cell.model.sharedModel.execution_count,
        state: cell.model.sharedModel.executionState ?? 'idle',
        outputs: cell.model.sharedModel.getOutputs(),
    }))
"""
# What a new terminal says to a line that is typed into it, up to its last word, 42.
TERMINAL = """
jupyterapp.serviceManager.terminals.startNew().then(terminal => new Promise(done => {
    let said = '';
    terminal.messageReceived.connect((_, message) => {
        if (message.type !== 'stdout') return;
        said += message.content.join('');
        if (/^42/m.test(said)) { terminal.shutdown(); done(said); }
    });
    terminal.send({type: 'stdin', content: [%s]});
}))
"""
RESTART_AND_RUN_ALL = ".jp-NotebookPanel-toolbar [data-command='notebook:restart-run-all']"
RESTART = ".jp-Dialog .jp-mod-accept"
SCROLL = "document.querySelector('.jp-Notebook .jp-WindowedPanel-outer')"
PICTURES = "[...document.querySelectorAll('.jp-OutputArea img')]"
DRAWN = f"{PICTURES}.every(image => image.complete && image.naturalWidth > 0)"


def test_the_notebook_runs_in_a_browser(tmp_path: Path) -> None:
    pictures = tmp_path / "screenshots"
    pictures.mkdir()
    with jupyterlab(tmp_path) as address, chromium(tmp_path / "profile") as page:
        page.call("Page.navigate", url=address)
        poll(lambda: page.run(READY), START_S, "the notebook is open and its kernel idle")
        page.photograph(pictures / "00-opened.png")
        assert all(cell["count"] is None for cell in page.run(CODE_CELLS))

        page.click(RESTART_AND_RUN_ALL)
        page.click(RESTART)
        poll(lambda: _finished(page.run(CODE_CELLS)), RUN_S, "every cell has run")
        cells = page.run(CODE_CELLS)
        for cell in cells:
            kinds = [output["output_type"] for output in cell["outputs"]]
            assert "error" not in kinds, cell
            assert isinstance(cell["count"], int), cell["source"]
        assert sorted(cell["count"] for cell in cells) == list(range(1, len(cells) + 1))

        figures = sum("labkit.plots." in cell["source"] for cell in cells)
        assert len(_photograph_all(page, pictures)) == figures

        page.click(".jp-Notebook details > summary")
        poll(
            lambda: page.run("Boolean(document.querySelector('details[open]'))"), END_S, "an answer"
        )
        page.photograph(pictures / "99-an-answer.png")


def test_make_lab_opens_the_first_notebook_and_takes_its_first_prediction(tmp_path: Path) -> None:
    with made_lab(tmp_path) as address, chromium(tmp_path / "profile") as page:
        page.call("Page.navigate", url=address)
        poll(lambda: page.run(READY), START_S, "a notebook is open and its kernel idle")
        opened = "jupyterapp.shell.currentWidget.context.path"
        assert page.run(opened) == "notebooks/00_start_here.ipynb"
        page.run(_command("notebook:run-all-cells"))
        field = ".widget-text input"
        _until(page, f"Boolean(document.querySelector('{field}'))", "the first prediction is asked")
        page.click(field)
        page.call("Input.insertText", text="2")
        page.click(".jupyter-widgets.jupyter-button.mod-primary:not(.labkit-plain)")
        answers = tmp_path / "data" / "labkit" / "answers.json"
        poll(lambda: _finished(page.run(CODE_CELLS)), RUN_S, "every cell has run")
        poll(  # a kernel comes to what was clicked after the cells that waited before
            lambda: answers.exists() and "00-1" in json.loads(answers.read_text())["questions"],
            END_S,
            "the prediction is kept",
        )
        page.photograph(tmp_path / "predicted.png")
        assert json.loads(answers.read_text())["questions"]["00-1"]["first"]["answer"] == 2
        for cell in page.run(CODE_CELLS):
            assert "error" not in [output["output_type"] for output in cell["outputs"]], cell
        page.run(_command("kernelmenu:shutdown"))
        # Handing in is done in a terminal, which finds the command.
        found = page.run(TERMINAL % json.dumps("labkit --version; echo $((40 + 2))\r"))
        assert "labkit, version" in found or "labkit 0" in found, found


OTHERS = sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb") if p.name != NOTEBOOK)
PLAYER = "document.querySelector('.jp-Notebook .labkit-player')"
INSIDE = f"{PLAYER}?.shadowRoot"
COUNTER = f"{INSIDE}?.querySelector('.counter')?.textContent"


def test_the_other_notebooks_run_in_a_browser_and_a_walkthrough_steps(tmp_path: Path) -> None:
    pictures = tmp_path / "screenshots"
    pictures.mkdir()
    with jupyterlab(tmp_path) as address, chromium(tmp_path / "profile") as page:
        page.call("Page.navigate", url=address.replace(f"/tree/notebooks/{NOTEBOOK}", ""))
        poll(lambda: page.run("Boolean(window.jupyterapp?.restored)"), START_S, "JupyterLab")
        page.run("jupyterapp.restored.then(() => null)")
        for name in OTHERS:
            path = f"notebooks/{name}"
            opened = f"jupyterapp.shell.currentWidget?.context?.path === {json.dumps(path)}"
            page.run(_command("docmanager:open", path=path))
            _until(page, opened, f"{name} is open")
            _until(page, READY, f"{name}: its kernel is idle")
            page.run(_command("notebook:run-all-cells"))
            poll(lambda: _finished(page.run(CODE_CELLS)), RUN_S, f"{name}: every cell has run")
            for cell in page.run(CODE_CELLS):
                kinds = [output["output_type"] for output in cell["outputs"]]
                assert "error" not in kinds, (name, cell)
            _photograph_all(page, _made(pictures / name.partition(".")[0]))
            if name.startswith("04"):
                _step_through(page, pictures)
            page.run(_command("kernelmenu:shutdown"))
            page.run("void jupyterapp.shell.currentWidget.dispose()")


def _until(page: Page, script: str, wanted: str) -> None:
    """Wait until a JavaScript expression is true."""
    poll(lambda: page.run(script), START_S, wanted)


def _command(id: str, **arguments: str) -> str:
    """JavaScript that has JupyterLab do something; its result is not waited for."""
    return f"void jupyterapp.commands.execute({json.dumps(id)}, {json.dumps(arguments)})"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _step_through(page: Page, pictures: Path) -> None:
    """A click on its button and a key move a walkthrough on, and it tells so."""
    page.run(f"void ({SCROLL}.scrollTop = 0)")
    for _ in range(100):  # what is out of sight may not be there
        if page.run(f"Boolean({COUNTER})"):
            break
        page.run(f"void {SCROLL}.scrollBy(0, {SCROLL}.clientHeight * 0.5)")
        page.run("new Promise(done => setTimeout(done, 50))")
    page.run(f"void {INSIDE}.querySelector('.next').scrollIntoView({{block: 'center'}})")
    assert page.run(COUNTER).startswith("1 ")
    box = page.run(f"{INSIDE}.querySelector('.next').getBoundingClientRect().toJSON()")
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)
    poll(lambda: page.run(COUNTER).startswith("2 "), END_S, "a click shows the next step")
    for kind in ("keyDown", "keyUp"):
        page.call(
            "Input.dispatchKeyEvent",
            type=kind,
            key="ArrowRight",
            code="ArrowRight",
            windowsVirtualKeyCode=39,
        )
    poll(lambda: page.run(COUNTER).startswith("3 "), END_S, "a key shows the one after")
    page.photograph(pictures / "98-third-step.png")


def _finished(cells: list[dict[str, Any]]) -> bool:
    """Whether every cell has been run, or one has failed, after which the others never are."""
    if any(output["output_type"] == "error" for cell in cells for output in cell["outputs"]):
        return True
    return all(cell["count"] is not None and cell["state"] == "idle" for cell in cells)


def _photograph_all(page: Page, folder: Path) -> set[str]:
    """Photograph the notebook screen by screen; returns the pictures that were drawn in it."""
    seen: set[str] = set()
    page.run(f"void ({SCROLL}.scrollTop = 0)")
    for number in range(1, 100):
        poll(lambda: page.run(DRAWN), END_S, "all pictures are drawn")
        page.photograph(folder / f"{number:02}.png")
        seen |= set(page.run(f"{PICTURES}.map(image => image.src)"))
        before = page.run(f"{SCROLL}.scrollTop")
        page.run(f"void {SCROLL}.scrollBy(0, {SCROLL}.clientHeight * 0.8)")
        if page.run(f"{SCROLL}.scrollTop") == before:
            return seen
    raise AssertionError("the notebook has no end")
