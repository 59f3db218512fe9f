"""A mechanism in a file of somebody's own: read and looked over, never run, where it is asked for.

Its text goes to the helper process and runs there (`labkit.harness.rehearsal`). What a request has
to know of it beforehand, its name, its family, and that the verbs are there, stands in its syntax
tree: a notebook must not run somebody's half-finished code to learn it.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit import mechanisms
from labkit.errors import RequestError

if TYPE_CHECKING:
    from labkit.mechanisms.contract import Family

VERBS = ("claim", "publish", "peek", "release")
FAMILIES: tuple["Family", ...] = ("kernel-copied", "shared-memory")
MOST_BYTES = 64 * 1024
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,29}")
NAME_ALLOWED = "up to 30 letters, digits and underscores, a letter first"
# A file of such a name beside a notebook would be imported in place of the module.
TAKEN = {"labkit", "numba", "llvmlite", "numpy", "pandas", "posix_ipc", "sysv_ipc"}


@dataclass(frozen=True)
class Own:
    """A mechanism in a file of its own, as text.

    Attributes:
        name: the file's name without `.py`: what tables and figures call it.
        family: as the file says.
        title: the first line of its docstring.
        source: the whole file.
    """

    name: str
    family: "Family"
    title: str
    source: str

    @property
    def file(self) -> str:
        """What sentences about it call the file."""
        return f"{self.name}.py"

    @property
    def waiting(self) -> str:
        """Its way to wait, as the tables have it: its verbs know no other."""
        return "kernel" if self.family == "kernel-copied" else "own"


def is_path(name: str) -> bool:
    """Whether what is asked for is a file, and no name that labkit knows."""
    return os.sep in name or name.endswith(".py")


def read(path: str) -> Own:
    """A mechanism from its file.

    Args:
        path: of the file; `~` is your home.

    Raises:
        RequestError: it cannot be read, or is no mechanism; says in which line.
    """
    place = Path(path)
    try:
        place = place.expanduser()
        if not place.is_file():
            what = "is a folder" if place.is_dir() else "does not exist"
            raise RequestError(
                f"the mechanism {path!r:.80} {what}: give the file with its four verbs;"
                " `labkit mechanism new my_mechanism.py` writes one to begin with."
            )
        if place.stat().st_size > MOST_BYTES:
            raise RequestError(f"{place.name} is too long for a mechanism (at most 64 KiB).")
        source = place.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RequestError(f"{place.name} is no Python file: it is not text (UTF-8).") from None
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, RequestError):
            raise
        why = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"the mechanism {path!r:.80} cannot be read ({why}).") from None
    return from_source(check_name(place), source)


def check_name(place: Path) -> str:
    """The name of the mechanism in a file: that of the file.

    Raises:
        RequestError: it can be no mechanism's name.
    """
    name = place.stem
    if place.suffix != ".py":
        raise RequestError(f"a mechanism's file ends in .py, and {place.name!r:.60} does not.")
    if NAME.fullmatch(name) is None:
        raise RequestError(
            f"{place.name!r:.60} gives a mechanism its name, which has {NAME_ALLOWED}:"
            " rename the file."
        )
    if name in mechanisms.names(extra=True):
        raise RequestError(f"{name} is a mechanism of labkit's: rename {place.name}.")
    if name in TAKEN or name in sys.stdlib_module_names:
        raise RequestError(
            f"Python has a module {name}, which a file {place.name} would hide: rename the file."
        )
    return name


def from_source(name: str, source: str) -> Own:
    """A mechanism from its text.

    Raises:
        RequestError: what is wrong with it, and in which line.
    """
    file = f"{name}.py"
    try:
        tree = ast.parse(source, file)
    except SyntaxError as error:
        where = f", line {error.lineno}" if error.lineno else ""
        raise RequestError(f"{file}{where}: {error.msg}.") from None
    except (ValueError, RecursionError, MemoryError):
        raise RequestError(f"{file} is no Python that could be read.") from None
    bound = dict(_bound(tree.body))
    missing = [verb for verb in VERBS if verb not in bound]
    if missing:
        lacks = "verb " + missing[0] if len(missing) == 1 else "verbs " + ", ".join(missing)
        raise RequestError(
            f"{file} lacks the {lacks}: a mechanism has the functions {', '.join(VERBS)} of"
            " (ch, n)."
        )
    for verb in VERBS:
        _check_verb(file, verb, bound[verb])
    about = (ast.get_docstring(tree) or name).strip().splitlines()
    title = about[0].strip().rstrip(".")[:80] if about else name
    return Own(name, _family(file, tree.body), title or name, source)


def _bound(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The names that a module has in the end, and the statement that made each."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name, statement
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            for each in statement.names:
                yield (each.asname or each.name), statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name):
                        yield part.id, statement


def _check_verb(file: str, verb: str, made: ast.stmt) -> None:
    if isinstance(made, ast.AsyncFunctionDef | ast.ClassDef):
        raise RequestError(f"{file}, line {made.lineno}: {verb} is to be a plain function.")
    if not isinstance(made, ast.FunctionDef):
        return  # imported, or another name of something: seen when it runs
    takes = made.args
    several = takes.vararg or takes.kwarg or takes.kwonlyargs
    count = len(takes.posonlyargs) + len(takes.args)
    if several or count != 2:
        raise RequestError(
            f"{file}, line {made.lineno}: {verb} takes {count} argument{'s' * (count != 1)}"
            f"{' and others' if several else ''}; it takes two, (ch, n): the channel's words and"
            " the size of a message."
        )


def _family(file: str, body: list[ast.stmt]) -> "Family":
    allowed = 'FAMILY = "shared-memory" or FAMILY = "kernel-copied"'
    for statement in body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if not any(isinstance(each, ast.Name) and each.id == "FAMILY" for each in targets):
            continue
        value = statement.value
        for family in FAMILIES:
            if isinstance(value, ast.Constant) and value.value == family:
                return family
        raise RequestError(f"{file}, line {statement.lineno}: say who moves the bytes, {allowed}.")
    raise RequestError(f"{file} does not say who moves the bytes: give it a line {allowed}.")
