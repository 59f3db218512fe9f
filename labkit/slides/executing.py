"""Read a notebook and run it, as "Run all" would, with a deadline for each cell."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.answers.card import SHOWN_AS, Shown
from labkit.errors import LabkitError, RequestError

CELL_S = 180  # for one cell; a whole notebook is to run within a minute
START_S = 60  # for the kernel
FOLDER = Path("notebooks")
_SHOWN = 60


def find(names: tuple[str, ...] | list[str]) -> list[Path]:
    """The notebooks that are named; all of `notebooks/`, here or beside labkit, if none is.

    Raises:
        RequestError: one does not exist, or there are none.
    """
    here = [Path(), Path(__file__).resolve().parent.parent.parent]
    if names:
        paths = [Path(name) for name in names]
        for path in paths:
            if not path.is_file() or path.suffix != ".ipynb":
                what = "is not a notebook (.ipynb)" if path.exists() else "does not exist"
                raise RequestError(
                    f"{path} {what}: name one as in labkit slides {FOLDER}/06_copy_overhead.ipynb."
                )
        return paths
    for base in here:
        found = sorted((base / FOLDER).glob("*.ipynb"))
        if found:
            return found
    raise RequestError(
        f"there are no notebooks in {FOLDER}/ here: go to the folder that you cloned labkit into,"
        " or name a notebook."
    )


def read(path: Path) -> Any:
    """A notebook of format 4, checked.

    Raises:
        RequestError: it is damaged; says how.
    """
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror}).") from error
    except Exception as error:  # whatever a damaged file sets off in there
        said = " ".join(str(error).split())[:_SHOWN]
        raise RequestError(
            f"{path} is not a whole notebook ({said}); open it in JupyterLab, or restore it."
        ) from None
    return notebook


def execute(notebook: Any, path: Path, shown_as: Shown, cell_s: int = CELL_S) -> None:
    """Run all cells in a fresh kernel of this Python, in the notebook's own folder.

    Args:
        notebook: its outputs are replaced.
        path: where it was read from.
        shown_as: for whom it is run: nobody's answers are shown.
        cell_s: deadline of each cell, seconds.

    Raises:
        LabkitError: a cell failed or took too long, or the kernel died; names the cell.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    begun = [0]

    def begin(cell: Any, cell_index: int) -> None:
        begun.append(cell_index)

    client = NotebookClient(
        notebook,
        on_cell_execute=begin,
        timeout=cell_s,
        startup_timeout=START_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent.resolve())}},
    )
    try:
        with _for(shown_as):
            # A kernel's own log is no concern of whoever makes a deck; its errors come back here.
            client.execute(stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        value = " ".join(str(error.evalue).split())
        raise LabkitError(
            f"{path}: {_stopped(notebook, begun[-1])} ({error.ename}: {value})."
        ) from None
    except CellTimeoutError:
        raise LabkitError(
            f"{path}: {_stopped(notebook, begun[-1])} (it took more than {cell_s} s)."
        ) from None
    except DeadKernelError:
        raise LabkitError(f"{path}: {_stopped(notebook, begun[-1])} (its kernel died).") from None
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise LabkitError(f"{path}: no kernel could be started for it ({said}).") from None


def _stopped(notebook: Any, index: int) -> str:
    """The words for a cell that was not done; a dying kernel may not even say that it began."""
    number = index + 1
    source = " ".join(notebook.cells[index].source.split())
    shown = source if len(source) <= _SHOWN else f"{source[: _SHOWN - 3]}..."
    return f"cell {number} failed, {shown!r}"


@contextmanager
def _for(shown_as: Shown) -> Iterator[None]:
    """The kernel inherits the word for whom it runs."""
    before = os.environ.get(SHOWN_AS)
    os.environ[SHOWN_AS] = shown_as
    try:
        yield
    finally:
        if before is None:
            del os.environ[SHOWN_AS]
        else:
            os.environ[SHOWN_AS] = before
