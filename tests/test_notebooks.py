"""The notebooks: committed clean, thin, and good from top to bottom on the real kernel."""

import ast
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import labkit
from labkit.mechanisms import own

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PATIENCE_S = 300  # for a cell: a busy machine is slow, and how slow is no matter of a test
MOST_LINES = 10  # of one code cell
GONE_SECONDS = 90  # a run of somebody else's is over by then, and its objects are gone

# Anything that decides or repeats belongs in labkit, where it is tested.
LOGIC = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.If,
    ast.IfExp,
    ast.For,
    ast.While,
    ast.Try,
    ast.With,
    ast.comprehension,
)

# A file that a reader writes and changes: a mechanism of their own, with its verbs.
WRITES_FILE = re.compile(r"%%writefile (\w+\.py)\n")
MOST_LINES_OF_FILE = 45

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.stem))


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def cells(notebook: Any, kind: str) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def written_files(notebook: Any) -> dict[str, str]:
    """The files that a notebook's cells write for its readers to change: name and text."""
    found = {}
    for cell in cells(notebook, "code"):
        if match := WRITES_FILE.match(cell.source):
            found[match[1]] = cell.source[match.end() :]
    return found


def test_the_first_notebook_is_there() -> None:
    assert (ROOT / "notebooks" / "00_start_here.ipynb") in NOTEBOOKS


def test_a_reference_run_is_found_by_its_name_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder, *_) = sorted((ROOT / "data" / "reference").iterdir())
    monkeypatch.chdir(tmp_path)
    assert labkit.load(folder.name).machine["kernel"]
    for name in ("no-such-run", "..", "", "a\0b"):
        with pytest.raises(labkit.RequestError):
            labkit.load(name)


def test_it_is_found_in_the_checkout_one_is_in_where_labkit_is_installed_elsewhere(
    tmp_path: Path,
) -> None:
    """As on a hub: the package in its image, and a checkout for each student."""
    (folder, *_) = sorted((ROOT / "data" / "reference").iterdir())
    image, checkout = tmp_path / "image", tmp_path / "checkout"
    shutil.copytree(ROOT / "labkit", image / "labkit")
    shutil.copytree(folder, checkout / "data" / "reference" / folder.name)
    (checkout / "notebooks").mkdir()
    load = f"import labkit; print(len(labkit.load({folder.name!r}).summary), labkit.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", load],
        cwd=checkout / "notebooks",
        env=os.environ | {"PYTHONPATH": str(image)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows, file = done.stdout.split()
    assert int(rows) > 0
    assert file.startswith(str(image))


@each_notebook
class TestAsCommitted:
    def test_it_is_valid_and_for_any_python_3(self, path: Path) -> None:
        notebook = read(path)
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"
        assert "version" not in notebook.metadata.language_info

    def test_it_holds_no_results(self, path: Path) -> None:
        for cell in cells(read(path), "code"):
            assert cell.outputs == []
            assert cell.execution_count is None
        assert not any("attachments" in cell for cell in read(path).cells)

    def test_its_code_is_thin(self, path: Path) -> None:
        for name, text in written_files(read(path)).items():
            assert len(text.splitlines()) <= MOST_LINES_OF_FILE
            own.from_source(own.check_name(Path(name)), text)  # a mechanism, and nothing else
        for cell in cells(read(path), "code"):
            if WRITES_FILE.match(cell.source):
                continue
            assert len(cell.source.splitlines()) <= MOST_LINES, cell.source
            logic = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, LOGIC)]
            assert not logic, cell.source

    def test_its_links_lead_somewhere(self, path: Path) -> None:
        text = "\n".join(cell.source for cell in cells(read(path), "markdown"))
        targets = re.findall(r"\]\(([^)#\s]+)\)", text)
        missing = [each for each in targets if not (path.parent / each).exists()]
        assert missing == []

    def test_its_answers_are_folded_away(self, path: Path) -> None:
        for cell in cells(read(path), "markdown"):
            opened = len(re.findall(r"^<details><summary>[^<]+</summary>\n\n", cell.source, re.M))
            assert opened == len(re.findall(r"\n\n</details>$", cell.source, re.M))
            assert opened == cell.source.count("<details") == cell.source.count("</details>")


class Objects:
    """Which kernel objects outlive their makers, at one moment. svipc(7), mq_overview(7)"""

    def __init__(self, *folders: Path) -> None:
        self.folders = folders

    def now(self) -> set[str]:
        found = set()
        for kind in ("shm", "sem", "msg"):
            table = Path("/proc/sysvipc") / kind
            if table.exists():
                rows = [line.split() for line in table.read_text().splitlines()[1:]]
                found |= {f"{kind} key {key} id {number}" for key, number, *_ in rows}
        for folder in self.folders:
            if folder.is_dir():
                found |= {str(entry) for entry in folder.iterdir() if "labkit" in entry.name}
        return found

    @contextmanager
    def none_left(self) -> Iterator[None]:
        """What came into being meanwhile goes again; another run beside this one needs time."""
        before = self.now()
        yield
        new = self.now() - before
        assert poll(lambda: not new & self.now(), GONE_SECONDS), new & self.now()


def poll(met: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition is met within so many seconds."""
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def only_one_cpu(alone: bool) -> Iterator[None]:
    allowed = os.sched_getaffinity(0)
    if alone:
        os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.slow
@each_notebook
@pytest.mark.parametrize("alone", [False, True], ids=["all-cpus", "one-cpu"])
def test_it_runs_from_top_to_bottom(
    path: Path, alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # as good as installed
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "answers"))  # nobody's
    folder = tmp_path / "folder"
    folder.mkdir()
    notebook = read(path)
    client = NotebookClient(
        notebook, timeout=PATIENCE_S, resources={"metadata": {"path": str(folder)}}
    )
    objects = Objects(Path("/dev/shm"), Path("/dev/mqueue"), temporary)
    with objects.none_left(), only_one_cpu(alone):
        client.execute()
    assert {each.name for each in folder.iterdir()} == set(written_files(notebook))
    shown = 0
    for cell in cells(notebook, "code"):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
        if cell.source.splitlines()[-1].startswith("labkit.plots."):
            shown += 1
            assert figures(cell) == 1, cell.source
        shown += any(
            "<svg" in str(each.get("data", {}).get("text/html", "")) for each in cell.outputs
        )
        shown += any(
            "<table" in str(each.get("data", {}).get("text/html", "")) for each in cell.outputs
        )
    assert shown  # a figure, a player or a table


def figures(cell: Any) -> int:
    """How many pictures with a description a cell shows."""
    shown = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    for output in shown:
        assert len(output.metadata["image/png"]["alt"]) > 80
    return len(shown)
