"""Text in a box: a title and lines, wrapped where there is room, shortened where there is none."""

from collections.abc import Sequence
from dataclasses import replace

from labkit.player.letters import ELLIPSIS, shorten, wrap
from labkit.player.marks import Words

TEXT, LINE = 24.0, 32.0  # the least size of text and the height of its line, in units


def fitted(words: Words, room: float) -> Words:
    """One line in its room: at the least size, and shortened, if it has to be."""
    if shorten(words.text, room, words.size, words.bold, words.mono) == words.text:
        return words
    short = shorten(words.text, room, TEXT, words.bold, words.mono)
    full = words.text if short != words.text else ""
    return replace(words, text=short, size=TEXT, full=full)


def below(lines: Sequence[str], first: Words, room: float, last: float) -> list[Words]:
    """Lines of text below each other, wrapped; what has no room is told by an ellipsis.

    Args:
        lines: what to write.
        first: where and how; its text does not matter.
        room: the width there is.
        last: no baseline lies below this one.
    """
    flowing = [
        part for line in lines for part in wrap(line, room, first.size, first.bold, first.mono)
    ]
    rows = max(int((last - first.y) // LINE) + 1, 1)
    written = [
        fitted(replace(first, y=first.y + number * LINE, text=part), room)
        for number, part in enumerate(flowing[:rows])
    ]
    if len(flowing) > rows:
        end = written[-1]
        text = end.text.removesuffix(ELLIPSIS)
        while text and shorten(text + ELLIPSIS, room, end.size, end.bold, end.mono) != (
            text + ELLIPSIS
        ):
            text = text[:-1]
        whole = " ".join(flowing[rows - 1 :])
        written[-1] = replace(end, text=text.rstrip() + ELLIPSIS, full=whole)
    return written


def centred(
    text: str, like: Words, place: tuple[float, float, float, float], room: float
) -> list[Words]:
    """Text in the middle of a place, on as many lines as fit."""
    x, y, w, h = place
    rows = max(1, int((h - 12) // LINE))
    count = min(len(wrap(text, room, like.size, like.bold, like.mono)), rows)
    first = y + h / 2 - (count - 1) * LINE / 2 + like.size * 0.35
    at = replace(like, x=x + w / 2, y=first, anchor="middle")
    return below([text], at, room, first + (count - 1) * LINE + 1)


def cut(written: Sequence[Words]) -> tuple[str, ...]:
    """The texts that were shortened."""
    return tuple(words.full for words in written if words.full)
