"""Bytes for a person, where the exact number is of no interest."""

from labkit.units import format_size

UNITS = ("KiB", "MiB", "GiB", "TiB")


def amount(size: int) -> str:
    """Bytes to about three digits: 25276502016 is "23.5 GiB"; exact where it is a round number."""
    exact = format_size(size)
    if size < 10_000 or (size <= 1 << 30 and len(exact) <= 8):
        return exact
    if size >= 1 << 50:
        return "no limit to speak of"
    value, unit = size / 1024, UNITS[0]
    for larger in UNITS[1:]:
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
