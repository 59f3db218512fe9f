"""Running a mechanism of somebody's own: only ever in the clean helper process and its ends.

The text becomes a module under the file's name. Where it goes wrong is told by that file's lines.
"""

import contextlib
import ctypes
import hashlib
import linecache
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType

from labkit.errors import LabkitError, RequestError
from labkit.kernel.compiler import cache_folder, measured
from labkit.mechanisms.contract import Channel, Mechanism, Verbs
from labkit.mechanisms.own import FAMILIES, VERBS, Own

PATIENCE_S = 10.0  # for a stretch of somebody's code that is no message
PR_SET_PDEATHSIG = 1  # linux/prctl.h
MOST_KEPT = 16  # versions of files whose machine code is kept
_FILES: dict[str, str] = {}  # path of a text that runs here -> what the file is called


class TookTooLong(BaseException):
    """Somebody's code does not come to its end. No Exception, so that it isn't caught there."""


def load(own: Own) -> Mechanism:
    """Run the file and make a mechanism of what it defines.

    Raises:
        RequestError: in which line it went wrong, or what it lacks.
    """
    path = _keep(own)
    _FILES[path] = own.file
    linecache.cache[path] = (len(own.source), None, own.source.splitlines(True), path)
    module = ModuleType(f"own_{own.name}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # numba looks a function's module up there
    with guarded(own.file):
        exec(compile(own.source, path, "exec"), vars(module))
    for value in list(vars(module).values()):
        if isinstance(value, FunctionType) and value.__module__ == module.__name__:
            measured(value)
    verbs = {name: vars(module).get(name) for name in VERBS}
    for name, verb in verbs.items():
        if not isinstance(verb, FunctionType) or verb.__code__.co_argcount != 2:
            raise RequestError(f"{own.file}: {name} is to be a function of (ch, n).")
    if own.family not in FAMILIES:
        raise RequestError(f"{own.file}: there is no family {own.family!r}.")
    return Mechanism(
        name=own.name,
        title=own.title,
        family=own.family,
        persistence="process",
        rendezvous="inherited over fork",
        verbs=Verbs(**verbs),  # type: ignore[arg-type]
        channel=_channel(own, module),
        limits=lambda: {},
        remedies={},
        channels_at_once=12,
    )


def _channel(own: Own, module: ModuleType) -> type[Channel]:
    """The class that makes its channels: the last one that the file defines."""
    found = [
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Channel)
        and each.__module__ == module.__name__
    ]
    if not found:
        raise RequestError(
            f"{own.file} has no channel: a class that derives from OwnChannel, with create(self)"
            " and open(self, end, state)."
        )
    if missing := sorted(getattr(found[-1], "__abstractmethods__", ())):
        raise RequestError(f"{own.file}: the channel {found[-1].__name__} lacks {missing[0]}().")
    return found[-1]


def _keep(own: Own) -> str:
    """Where the text is kept: numba caches machine code only for files, and by their place.

    The place is named by the text, so that another text is another place.
    """
    digest = hashlib.sha256(own.source.encode()).hexdigest()[:16]
    base = cache_folder() / "own"
    folder = base / digest
    path = folder / own.file
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            aside = folder / f".{os.getpid()}"
            aside.write_text(own.source, encoding="utf-8")
            aside.rename(path)
        os.utime(folder)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home at all
        return own.file
    with contextlib.suppress(OSError):  # another process of ours may be doing the same
        _forget_old(base)
    return str(path)


def _forget_old(base: Path) -> None:
    """Remove all but the latest texts, each with the machine code that numba keeps beside them."""
    for old in sorted(base.iterdir(), key=lambda each: each.stat().st_mtime)[:-MOST_KEPT]:
        for each in (old, *base.parent.glob(f"{old.name}_*")):
            shutil.rmtree(each, ignore_errors=True)


@contextmanager
def guarded(
    file: str, doing: str = "", allowed: tuple[type[BaseException], ...] = ()
) -> Iterator[None]:
    """Run somebody's code here, with a deadline; whatever comes of it is told in one sentence.

    Args:
        doing: what of it runs, "create()".
        allowed: what goes through, because others know what to say to it.

    Raises:
        RequestError: it raised something, or took too long; says in which line.
    """
    told = f" in {doing}" if doing else ""
    try:
        with _deadline():
            yield
    except allowed:
        raise
    except TookTooLong as late:
        raise RequestError(
            f"{located(late, file)}it did not come to its end within {PATIENCE_S:.0f} s."
        ) from None
    except BaseException as error:
        if isinstance(error, LabkitError) and not isinstance(error, RequestError):
            raise
        where = located(error)
        place = where or f"{file}{told}: "
        raise RequestError(f"{place}{described(error)}.") from None


@contextmanager
def _deadline() -> Iterator[None]:
    def late(*_: object) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # whoever catches this does not live long
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S, PATIENCE_S / 2)
    dog = _watchdog(2 * PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if dog:
            with contextlib.suppress(OSError):  # somebody's code may have reaped it
                os.kill(dog, signal.SIGKILL)
                os.waitpid(dog, 0)


def _watchdog(patience_s: float) -> int:
    """A process that kills this one: code that is deaf to the alarm does not get away with it.

    It does so, too, when nobody is left who waits for this one. It dies with it.

    Returns:
        Its number; 0 where no process is to be had, and the alarm has to do.
    """
    watched = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        return 0
    if pid:
        return pid
    os.closerange(0, 4096)  # nobody is to take it for the other side of a pipe or socket
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == watched:
        time.sleep(patience_s)
        os.kill(watched, signal.SIGKILL)
    os._exit(0)


def described(error: BaseException) -> str:
    """An error in a few words, on one line."""
    if isinstance(error, SystemError) and error.__cause__ is not None:
        error = error.__cause__  # raised in compiled code, and noticed only after it
    if isinstance(error, SyntaxError):
        return str(error.msg)
    words = " ".join(str(error).split())[:200].rstrip(".")
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def told(error: BaseException) -> str:
    """An error of an end, for the end of a sentence; with the line, if it is somebody's own."""
    where = located(error).rstrip(" :")
    return described(error) + (f" ({where})" if where else "")


def located(error: BaseException, file: str = "") -> str:
    """The line of somebody's file that an error comes from, as a sentence begins; "" if none."""
    lines = [
        (_FILES[frame.filename], frame.lineno, frame.name)
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename in _FILES
    ]
    if isinstance(error, SyntaxError) and error.filename in _FILES:
        lines.append((_FILES[error.filename], error.lineno, "<module>"))
    if not lines:
        return f"{file}: " if file else ""
    name, line, function = lines[-1]
    inside = "" if function.startswith("<") else f" in {function}"
    return f"{name}, line {line}{inside}: "


@contextmanager
def translated(own: Own) -> Iterator[None]:
    """What the compiler has to say against the verbs, as one sentence with the line.

    Raises:
        RequestError: they cannot be compiled.
    """
    from numba.core.errors import NumbaError

    try:
        yield
    except NumbaError as error:
        raise RequestError(_refusal(own, str(error))) from None
    except (NameError, NotImplementedError, AssertionError, KeyError, TypeError) as error:
        raise RequestError(f"{own.file}: the compiler stopped with {described(error)}.") from None


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NOISE = ("Failed in nopython", "File ", "During:", "Invalid use", "There are", "[", "- ", "<")


def _refusal(own: Own, text: str) -> str:
    text = _COLOURS.sub("", text)
    lines = [
        int(number)
        for path, number in re.findall(r'File "([^"]+)", line (\d+)', text)
        if Path(path).name == own.file
    ]
    lines += [int(number) for number in re.findall(rf"{re.escape(own.file)} \((\d+)\)", text)]
    said = [line.strip() for line in text.splitlines()]
    told = [line for line in said if line and not line.startswith(_NOISE)]
    words = told[0].rstrip(".:") if told else "it is not in the part of Python that can be compiled"
    words = re.sub(r" for '\$[^']*', defined at None|: i8\* null", "", words)
    code = own.source.splitlines()
    if not lines and (name := re.search(r"name '(\w+)' is not defined", words)):
        lines = [n for n, line in enumerate(code, 1) if re.search(rf"\b{name[1]}\b", line)][:1]
    where = f", line {lines[-1]}" if lines else ""
    quoted = f" in `{code[lines[-1] - 1].strip()}`" if lines and lines[-1] <= len(code) else ""
    return (
        f"{own.file}{where}: this cannot be compiled{quoted}: {words[:200]}; verbs know 64-bit"
        " integers, what labkit.mechanisms.your_own offers, and each other."
    )


def check_compiled(own: Own, verbs: Verbs) -> None:
    """See that what was compiled gives numbers back.

    Raises:
        RequestError: a verb never does.
    """
    for name in VERBS:
        given = [str(each.return_type) for each in getattr(verbs, name).nopython_signatures]
        if given != ["int64"]:
            raise RequestError(
                f"{own.file}: {name} never returns a number: claim and peek return an address, "
                "publish and release 0, and each of them a negative errno when it has to refuse."
            )
