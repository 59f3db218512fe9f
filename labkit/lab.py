"""JupyterLab on the notebooks: opened on the first one, with the `labkit` command in its terminals.

What can be known beforehand to go wrong is said before it starts, in a sentence each: no screen for
a browser, a folder that nothing can be saved in.
"""

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from labkit.errors import LabkitError

FIRST_NOTEBOOK = Path("notebooks/00_start_here.ipynb")

# What webbrowser(3) in Python looks for; WSL hands a page to the browser of Windows.
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME")


def open_lab(port: int | None, browser: bool, tell: Callable[[str], None]) -> None:
    """Become JupyterLab, on the notebooks here or beside labkit itself.

    Args:
        port: where it listens; the next free one if it is taken. None for 8888.
        browser: whether to open one, if there is a screen.
        tell: is told what somebody should know before it starts, a sentence at a time.

    Raises:
        LabkitError: there are no notebooks, or no JupyterLab.
    """
    beside = [Path.cwd(), Path(__file__).resolve().parent.parent]
    root = next((place for place in beside if (place / FIRST_NOTEBOOK).is_file()), None)
    if root is None:
        raise LabkitError(
            f"{FIRST_NOTEBOOK} is neither here nor beside labkit itself: go to the folder that"
            " you cloned labkit into."
        )
    if find_spec("jupyterlab") is None:
        raise LabkitError(
            "JupyterLab is not installed for this Python: make lab installs and opens it."
        )
    for sentence in _beforehand(root, browser):
        tell(sentence)
    sys.stdout.flush()
    os.chdir(root)
    # A terminal in JupyterLab finds the same labkit, which is often in a .venv.
    here = os.path.dirname(sys.executable)
    os.environ["PATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PATH", "")]))
    options = _options(root, port, browser and _screen())
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *options])


def _beforehand(root: Path, browser: bool) -> list[str]:
    said = []
    if not os.access(root / FIRST_NOTEBOOK.parent, os.W_OK):
        said.append(
            f"{root / FIRST_NOTEBOOK.parent} cannot be written to: cells run, but what you change"
            f" is not kept; copy {root} to a folder of yours to keep it."
        )
    if browser and not _screen():
        said.append(
            "no screen is known here (DISPLAY is not set), so no browser is started: open the"
            " address below; from another computer, log in with ssh -L 8888:localhost:8888 first,"
            " with the port that stands in the address."
        )
    return [*said, "JupyterLab runs until you press Ctrl-C here, twice."]


def _screen() -> bool:
    return any(os.environ.get(name) for name in _SCREENS)


def _options(root: Path, port: int | None, browser: bool) -> list[str]:
    # Not the notebook's own folder as the root: data/ should be in sight, too.
    options = [f"--ServerApp.root_dir={root}", f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}"]
    options += ["--allow-root"] * (os.geteuid() == 0) + ["--no-browser"] * (not browser)
    options += [f"--port={port}"] * (port is not None)
    # A login shell, the default, sets PATH anew, and `labkit` is not found in a terminal any more.
    shell = os.environ.get("SHELL") or "/bin/sh"
    options.append(f"--ServerApp.terminado_settings={ {'shell_command': [shell]}!r}")
    # No question about news before the first cell, no call home, and only what matters on screen.
    options += [
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--log-level=WARN",
    ]
    return options
