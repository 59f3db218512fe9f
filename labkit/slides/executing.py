"""Read a notebook and run it, as "Run all" would, with a deadline for each cell."""

import os
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from labkit.answers.card import SHOWN_AS, Shown
from labkit.errors import LabkitError, RequestError

CELL_S = 180  # for one cell; a whole notebook is to run within a minute
START_S = 60  # for the kernel
FOLDER = Path("notebooks")
MOST_SAID = 300  # letters of an error's own words
LOOK_S = 0.1
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
            if what := _wrong(path):
                raise RequestError(
                    f"{ascii(str(path))[1:-1][:80]} {what}: name one as in labkit slides"
                    f" {FOLDER}/06_copy_overhead.ipynb."
                )
        return list(dict.fromkeys(paths))
    for base in here:
        found = sorted((base / FOLDER).glob("*.ipynb"))
        if found:
            return found
    raise RequestError(
        f"there are no notebooks in {FOLDER}/ here: go to the folder that you cloned labkit into,"
        " or name a notebook."
    )


def _wrong(path: Path) -> str:
    """Why a path is no notebook; "" if it is one."""
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    return "" if stat.S_ISREG(kind) and path.suffix == ".ipynb" else "is not a notebook (.ipynb)"


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
            _interruptible(client)
    except CellExecutionError as error:
        value = " ".join(str(error.evalue)[:MOST_SAID].split())
        raise LabkitError(
            f"{path}: {_stopped(notebook, begun[-1])} ({error.ename}: {value})."
        ) from None
    except CellTimeoutError:
        raise LabkitError(
            f"{path}: {_stopped(notebook, begun[-1])} (it took more than {cell_s} s)."
        ) from None
    except DeadKernelError:
        raise LabkitError(f"{path}: {_stopped(notebook, begun[-1])} (its kernel died).") from None
    except (RuntimeError, OSError) as error:
        said = " ".join(str(error).split())
        raise LabkitError(f"{path}: no kernel could be started for it ({said}).") from None


def _interruptible(client: Any) -> None:
    """Run it in a thread, so that a signal ends the wait here; then its kernel is ended, too.

    In the main thread nbclient would handle the signals itself, and trip over its own handler.
    """
    with ThreadPoolExecutor(1) as pool:
        # A kernel's own log is no concern of whoever makes a deck; its errors come back here.
        done = pool.submit(client.execute, stderr=subprocess.DEVNULL)
        try:
            done.result()
        except BaseException:
            while not done.done():
                process = getattr(getattr(client.km, "provisioner", None), "process", None)
                if process is not None:
                    with suppress(ProcessLookupError):
                        process.kill()
                wait([done], LOOK_S)
            raise


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
