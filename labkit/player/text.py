"""A walkthrough as text on a terminal, and its options as they are typed there."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from labkit.errors import RequestError
from labkit.player.walk import Walk

WIDTH = 96


def options_from(typed: Iterable[str], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Options typed as NAME=VALUE: numbers and true or false as such, all else as text.

    Args:
        usual: the defaults by name; where one is text, what is typed stays text.

    Raises:
        RequestError: one is not of that form, or given twice.
    """
    options: dict[str, Any] = {}
    for each in typed:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise RequestError(
                f"the option {each[:60]!r} is not of the form NAME=VALUE, such as mechanism=pipe."
            )
        if name in options:
            raise RequestError(f"the option {name[:60]!r} is given twice; once is enough.")
        options[name] = value
        if not isinstance(usual.get(name), str):
            options[name] = _WORDS.get(value, int(value) if _is_number(value) else value)
    return options


_WORDS = {"true": True, "false": False, "none": None}


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= 18


def write(walk: Walk, form: str, out: TextIO) -> None:
    """Write a walkthrough.

    Args:
        form: "text", "json" or "csv".
    """
    if form == "json":
        out.write(walk.json() + "\n")
    elif form == "csv":
        walk.table.to_csv(out, index=False)
    else:
        out.write("\n".join(_lines(walk)) + "\n")
    out.flush()


def _lines(walk: Walk) -> Iterable[str]:
    yield walk.title
    yield walk.question
    for number, step in enumerate(walk.steps, 1):
        yield ""
        yield f"{number}. {step['title']}"
        yield from _wrapped(step["narration"], "   ")
        if step["call"]:
            yield f"   C: {step['call']}"
        for each in step["evidence"]:
            yield from _wrapped(f"{each['what']} ({each['where']}): {each['value']}", "   | ")
        if step["counts"]:
            counts = ", ".join(f"{name} {count}" for name, count in step["counts"].items())
            yield from _wrapped(f"so far: {counts}", "   ")
    yield ""
    for note in walk.notes:
        yield from _wrapped(f"Note: {note}", "")
    yield walk.data()["machine"]


def _wrapped(words: str, indent: str) -> list[str]:
    return textwrap.wrap(
        words, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
