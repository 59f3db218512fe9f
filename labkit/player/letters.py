"""How wide words are, without a font at hand.

The widths are those of DejaVu Sans, which is wider than the fonts that browsers take for
"sans-serif" elsewhere: what fits here fits there. They are hundredths of the size of the text.
"""

import unicodedata
from functools import lru_cache

ELLIPSIS = "…"
_MONO = 60.2
_WIDE, _OTHER = 100.0, 84.0  # Chinese, emoji and the like; anything else outside ASCII

# From space to tilde; FT_Load_Char(..., FT_LOAD_NO_HINTING) of the fonts that matplotlib brings.
_PLAIN = [
    *(32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64),
    *(64, 64, 64, 34, 34, 84, 84, 84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86),
    *(75, 79, 60, 79, 69, 63, 61, 73, 68, 99, 69, 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63),
    *(62, 35, 63, 63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59, 59, 52, 64),
    *(34, 64, 84),
]
_BOLD = [
    *(35, 46, 52, 84, 70, 100, 87, 31, 46, 46, 52, 84, 38, 42, 38, 37, 70, 70, 70, 70, 70, 70, 70),
    *(70, 70, 70, 40, 40, 84, 84, 84, 58, 100, 77, 76, 73, 83, 68, 68, 82, 84, 37, 37, 77, 64, 100),
    *(84, 85, 73, 85, 77, 72, 68, 81, 77, 110, 77, 72, 73, 46, 37, 46, 84, 50, 50, 67, 72, 59, 72),
    *(68, 44, 72, 71, 34, 34, 67, 34, 104, 71, 69, 72, 72, 49, 60, 48, 71, 65, 92, 65, 65, 58, 71),
    *(37, 71, 84),
]


def printable(text: str) -> str:
    """The text with what XML cannot carry made visible: control characters, lone surrogates."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def drawable(text: str) -> str:
    """The text as a picture can carry it: printable, and with blanks for tabs."""
    return printable(text).replace("\t", "    ")


def _visible(letter: str) -> str:
    code = ord(letter)
    if code < 0x20 and letter not in "\n\t":
        return f"\\x{code:02x}"
    if code == 0x7F:
        return "\\x7f"
    # C1 controls, surrogates, marks that turn the direction of what follows, non-characters
    if 0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE:
        return "\ufffd"
    if 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
        return "\ufffd"
    return letter


@lru_cache(maxsize=4096)
def width(text: str, size: float, bold: bool = False, mono: bool = False) -> float:
    """The width of one line of text, in the unit of its size; rather too much than too little."""
    known = _BOLD if bold else _PLAIN
    total = 0.0
    for letter in text:
        code = ord(letter)
        if unicodedata.combining(letter):
            continue
        if unicodedata.east_asian_width(letter) in "WF":
            total += _WIDE + 30  # emoji come wider than they say
        elif mono:
            total += _MONO
        elif 32 <= code < 127:
            total += known[code - 32]
        elif letter in "\u2014\u2026":
            total += _WIDE
        elif letter in "\u00b7\u2013\u2019\u2018":
            total += 50
        else:
            total += _OTHER
    return total * size / 100


def shorten(text: str, room: float, size: float, bold: bool = False, mono: bool = False) -> str:
    """The text, or as much of its beginning as there is room for, and an ellipsis."""
    if width(text, size, bold, mono) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width(text[:middle] + ELLIPSIS, size, bold, mono) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + ELLIPSIS


def wrap(text: str, room: float, size: float, bold: bool = False, mono: bool = False) -> list[str]:
    """The text in lines that fit; a single word that does not fit is left for `shorten`."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line.strip() and width(longer, size, bold, mono) > room:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines
