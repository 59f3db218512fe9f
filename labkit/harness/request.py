"""What is to be measured: names and sizes as people give them, checked, and the cells they make.

Importing this costs next to nothing, so that a wrong request is answered at once.
"""

import difflib
import math
import operator
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, SupportsIndex

from labkit import mechanisms as known
from labkit.errors import RequestError
from labkit.mechanisms.own import Own, is_path, read
from labkit.units import format_size

PATTERNS = ("latency", "throughput")
PLACEMENTS = ("same-cpu", "cross-cpu", "free")
WAITINGS = ("spin", "futex", "posix_sem", "sysv_sem", "eventfd")
COPIES = ("copy", "in-place")
TOUCHES = ("ends", "all")
ENGINES = ("compiled", "python")
VERIFICATIONS = ("ends", "full")

DEFAULT_SIZES = (8, 64, 512, 4096, 65536, 1 << 20)
THOROUGH_SIZES = (64, 4096, 65536, 1 << 20)  # with six, five minutes are four repeats
DEFAULT_PLACEMENTS = ("same-cpu", "cross-cpu")
DEFAULT_WAITINGS = ("futex", "spin")
DEFAULT_BUDGET = 60.0  # seconds
THOROUGH_BUDGET = 255.0  # with compiling, tracing and figures it is done in five minutes

LEAST_SIZE = 8  # bytes: one sequence number
MOST_SIZE = 1 << 26
MOST_BUDGET = 86_400.0  # seconds: a day

_SCALES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"\+?([0-9]+) ?(?:([kmgt])(?:ib)?|b)?", re.IGNORECASE | re.ASCII)
_SIZES_ALLOWED = f"a size is {LEAST_SIZE} B to {format_size(MOST_SIZE)}, written like 64, 4K or 1M"

Names = str | Iterable[str] | None
Sizes = str | SupportsIndex | Iterable[str | SupportsIndex] | None

__all__ = [
    "COPIES",
    "ENGINES",
    "PATTERNS",
    "PLACEMENTS",
    "TOUCHES",
    "VERIFICATIONS",
    "WAITINGS",
    "Cell",
    "Request",
    "build_request",
    "format_size",
    "parse_size",
    "shown",
]


@dataclass(frozen=True)
class Cell:
    """One combination that is measured on its own: a row of the summary."""

    mechanism: str
    waiting: str  # "kernel" for kernel-copied mechanisms
    pattern: str
    placement: str
    copy: str
    touch: str
    engine: str
    message_size: int  # bytes of payload

    def impossible(self) -> str | None:
        """Why no machine can measure this, in one sentence; None if it is worth trying."""
        if self.waiting == "kernel" and self.copy == "in-place":
            if self.mechanism in known.names(extra=True)[len(known.names()) :]:
                return (
                    "the kernel copies every message to the consumer, so nothing can be consumed"
                    " where it was produced."
                )
            return (
                "the kernel copies every message into and out of itself, so nothing can be"
                " produced or consumed in place."
            )
        if self.waiting == "spin" and self.placement == "same-cpu":
            return "a spinning waiter would hold the only CPU that its partner needs."
        return None


@dataclass(frozen=True)
class Request:
    """A checked request. Made by `build_request`."""

    mechanisms: tuple[str, ...]
    sizes: tuple[int, ...]  # bytes
    patterns: tuple[str, ...]
    placements: tuple[str, ...]
    waiting: tuple[str, ...]
    copy: tuple[str, ...]
    touch: tuple[str, ...]
    engines: tuple[str, ...]
    budget: float  # seconds
    verify: str
    cpus: int  # how many this process may use
    seed: int = 1  # of the bootstrap, so that the same samples give the same intervals
    thorough: bool = False  # see `build_request`
    own: tuple[Own, ...] = ()  # those mechanisms that came in a file of somebody's own

    def cells(self) -> list[Cell]:
        """Every cell of the request, also those that will be skipped with a reason."""
        every = self._every_cell()
        if not self.thorough:
            return every
        # What no machine can measure would be a fourth of the rows. What the interpreter costs does
        # not depend on the size, and shows best at the smallest.
        return [
            cell
            for cell in every
            if cell.impossible() is None
            and (cell.engine == "compiled" or cell.message_size == min(self.sizes))
        ]

    def _every_cell(self) -> list[Cell]:
        return [
            Cell(mechanism, waiting, pattern, placement, copy, touch, engine, size)
            for pattern in self.patterns
            for placement in self.placements
            for mechanism in self.mechanisms
            for waiting in self._waiting_of(mechanism)
            for copy in self.copy
            for touch in self.touch
            for engine in self.engines
            for size in self.sizes
        ]

    def impossible(self, cell: Cell) -> str | None:
        """Why this cell cannot be measured with the CPUs there are; None if it is worth trying."""
        if self.cpus < 2 and cell.placement == "cross-cpu":
            return "this process may use only one CPU, and two ends on two CPUs need two."
        if self.cpus < 2 and cell.waiting == "spin":
            return "a spinning waiter would hold the only CPU that its partner needs."
        return cell.impossible()

    def settings(self) -> dict[str, Any]:
        """The request as plain values, for machine.json."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name != "own" or value
        }

    def _waiting_of(self, mechanism: str) -> tuple[str, ...]:
        for own in self.own:
            if own.name == mechanism:
                return (own.waiting,)
        return ("kernel",) if known.family(mechanism) == "kernel-copied" else self.waiting


def build_request(
    mechanisms: Names = None,
    sizes: Sizes = None,
    patterns: Names = None,
    placements: Names = None,
    waiting: Names = None,
    copy: Names = None,
    touch: Names = None,
    engine: Names = None,
    budget: float | str = DEFAULT_BUDGET,
    verify: str = "ends",
    *,
    thorough: bool = False,
    cpus: int | None = None,
    seed: int = 1,
) -> Request:
    """Check what was asked for and fill in the rest.

    Names and sizes may be one string, also with commas ("pipe,fifo"), or several; None means the
    defaults, and "all" (but for sizes and touch, whose "all" is a name of its own) whatever
    there is. What is given twice counts once.

    Args:
        mechanisms: names; one with a slash, or that ends in .py, is a file of somebody's own.
        sizes: bytes of payload: 64, "64", "4K", "1M".
        waiting: for shared memory; kernel-copied mechanisms always wait in the kernel.
        budget: seconds for the whole run; a thorough one should have THOROUGH_BUDGET.
        verify: "ends" checks the sequence numbers at both ends of each payload, "full" every
            byte, for which all of them have to be touched.
        thorough: whatever is left out is all there is instead of the usual choice: every mechanism,
            placement, way to wait, copy and engine. What no machine can measure is left out, and
            the interpreter is measured at the smallest size only.
        cpus: how many CPUs the ends may use; by default as many as this process,
            sched_getaffinity(2).
        seed: of the bootstrap of the intervals.

    Raises:
        RequestError: something is unknown, out of bounds or impossible; says what is allowed.
    """
    if cpus is None:
        cpus = len(os.sched_getaffinity(0))
    verifications = _names("verify", [verify], VERIFICATIONS, VERIFICATIONS[:1])
    if len(verifications) != 1:
        raise RequestError(f"verify is one of {' or '.join(VERIFICATIONS)}, not both.")
    (verification,) = verifications
    touches = _names("touch", touch, TOUCHES, TOUCHES[:1])
    if verification == "full":
        if touch is not None and touches != ("all",):
            raise RequestError(
                "verify 'full' reads every byte, which touch 'ends' rules out: leave touch out"
                " or set it to 'all'."
            )
        touches = ("all",)
    usual = PLACEMENTS if thorough else DEFAULT_PLACEMENTS
    chosen_placements = _names("placement", placements, PLACEMENTS, usual)
    by_name = placements is not None and chosen_placements != PLACEMENTS
    if by_name and "cross-cpu" in chosen_placements and cpus < 2:
        raise RequestError(
            "placement 'cross-cpu' needs two CPUs and this process may use only one: allow it"
            " more (taskset, the container's or virtual machine's settings) or ask for"
            " 'same-cpu' or 'free'."
        )
    chosen, own = _mechanisms(mechanisms, known.names(extra=thorough))
    return Request(
        mechanisms=chosen,
        sizes=_sizes(sizes, THOROUGH_SIZES if thorough else DEFAULT_SIZES),
        patterns=_names("pattern", patterns, PATTERNS, PATTERNS),
        placements=chosen_placements,
        waiting=_names("waiting", waiting, WAITINGS, WAITINGS if thorough else DEFAULT_WAITINGS),
        copy=_names("copy", copy, COPIES, COPIES if thorough else COPIES[:1]),
        touch=touches,
        engines=_names("engine", engine, ENGINES, ENGINES if thorough else ENGINES[:1]),
        budget=_budget(budget),
        verify=verification,
        cpus=cpus,
        seed=seed,
        thorough=thorough,
        own=own,
    )


def parse_size(size: str | SupportsIndex) -> int:
    """Bytes of payload: "64", "4K" and "4KiB" (4096), "1M" (1048576), or a whole number.

    Raises:
        RequestError: it is no size, or not within 8 B to 64 MiB.
    """
    if isinstance(size, str):
        match = _SIZE.fullmatch(size.strip())
        if match is None:
            if re.fullmatch(r"-[0-9].*", size.strip(), re.DOTALL):
                raise RequestError(f"size {shown(size)} is negative; {_SIZES_ALLOWED}.")
            raise RequestError(f"{shown(size)} is not a size; {_SIZES_ALLOWED}.")
        digits = match[1].lstrip("0") or "0"
        # Far more digits than any size has are not worth turning into a number.
        number = int(digits) if len(digits) < 20 else MOST_SIZE + 1
        number *= _SCALES[(match[2] or "").lower()]
    else:
        try:
            if isinstance(size, bool):
                raise TypeError
            number = operator.index(size)
        except TypeError:
            raise RequestError(f"{shown(size)} is not a size; {_SIZES_ALLOWED}.") from None
    if number < LEAST_SIZE:
        raise RequestError(
            f"size {shown(size)} is too small, as a message carries its number in"
            f" {LEAST_SIZE} bytes; {_SIZES_ALLOWED}."
        )
    if number > MOST_SIZE:
        raise RequestError(f"size {shown(size)} is too large; {_SIZES_ALLOWED}.")
    return number


def nearest(name: str, allowed: Sequence[str]) -> str | None:
    """The allowed name that looks most like this one, if any does."""
    found = difflib.get_close_matches(name.strip().lower()[:80], allowed, n=1, cutoff=0.5)
    return found[0] if found else None


def _names(
    kind: str, given: Names, allowed: Sequence[str], default: Sequence[str]
) -> tuple[str, ...]:
    """Known names, in the order given, each once."""
    if given is None:
        return tuple(default)
    chosen: list[str] = []
    for name in _split(kind, given):
        if name == "all" and name not in allowed:
            chosen += allowed
        elif name in allowed:
            chosen.append(name)
        else:
            raise _unknown(kind, name, allowed)
    return tuple(dict.fromkeys(chosen))


def _mechanisms(given: Any, default: Sequence[str]) -> tuple[tuple[str, ...], tuple[Own, ...]]:
    """Names in the order given, and the mechanisms among them that are files."""
    if given is None:
        return tuple(default), ()
    if isinstance(given, os.PathLike):
        given = [given]
    if isinstance(given, list | tuple):
        given = [os.fspath(each) if isinstance(each, os.PathLike) else each for each in given]
    asked = _split("mechanism", given)
    allowed = known.names(extra=True)
    files = {each: read(each) for each in asked if each not in allowed and is_path(each)}
    own: dict[str, Own] = {}
    for each in files.values():
        if own.setdefault(each.name, each) != each:
            raise RequestError(f"two files are called {each.file}: rename one of them.")
    names = [files[each].name if each in files else each for each in asked]
    return _names("mechanism", names, (*allowed, *own), ()), tuple(own.values())


def _split(kind: str, given: str | Iterable[str]) -> list[str]:
    """One or several strings, each maybe with commas, as single names."""
    try:
        # Bytes would come apart into numbers.
        parts: list[Any] = [given] if isinstance(given, str | bytes | bytearray) else list(given)
    except TypeError:
        raise RequestError(f"{kind} {shown(given)} is not a name or a list of names.") from None
    for part in parts:
        if not isinstance(part, str):
            raise RequestError(f"{kind} {shown(part)} is not a name.")
    names = [name.strip() for part in parts for name in part.split(",")]
    if not names:
        raise RequestError(f"no {kind} was given: name one, or leave it out for the usual choice.")
    return names


def _unknown(kind: str, name: str, allowed: Sequence[str]) -> RequestError:
    near = nearest(name, allowed)
    meant = f" (did you mean '{near}'?)" if near else ""
    listed = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
    return RequestError(f"there is no {kind} {shown(name)}{meant}; it is one of {listed}.")


def _sizes(given: Sizes, default: tuple[int, ...]) -> tuple[int, ...]:
    if given is None:
        return default
    several = isinstance(given, Iterable) and not isinstance(given, str | bytes | bytearray)
    parts: list[Any] = list(given) if several else [given]  # type: ignore[arg-type]
    sizes: list[int] = []
    for part in parts:
        sizes += [parse_size(p) for p in (part.split(",") if isinstance(part, str) else [part])]
    if not sizes:
        raise RequestError(f"no size was given; {_SIZES_ALLOWED}.")
    return tuple(dict.fromkeys(sizes))


def _budget(given: float | str) -> float:
    allowed = f"it is a number of seconds above 0, up to {MOST_BUDGET:.0f} (a day)"
    try:
        if isinstance(given, bool | bytes | bytearray):
            raise TypeError
        budget = float(given)
    except (TypeError, ValueError, OverflowError):
        raise RequestError(f"budget {shown(given)} is not a number; {allowed}.") from None
    if not (math.isfinite(budget) and 0 < budget <= MOST_BUDGET):
        raise RequestError(f"budget {shown(given)} is out of bounds; {allowed}.")
    return budget


def shown(value: object) -> str:
    """What was given, quoted, on one line and not too long, for a sentence about it."""
    try:
        text = repr(value)
    except Exception:  # somebody else's object, or a number of too many digits
        text = f"of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
