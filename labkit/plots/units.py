"""Numbers as the ticks and the alt text of a figure say them: two digits, no trailing zeros.

labkit.units has the longer forms, for tables.
"""

from collections.abc import Callable

from labkit.units import RATES, TIMES

MESSAGE_RATES = ((1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s"))

Say = Callable[[float], str]


def time_text(ns: float) -> str:
    """A time in nanoseconds: 8421.3 is "8.4 µs"."""
    return _short(ns, TIMES)


def byte_rate_text(bytes_per_second: float) -> str:
    """A payload rate in bytes per second: 1.23e9 is "1.2 GB/s"."""
    return _short(bytes_per_second, RATES)


def message_rate_text(messages_per_second: float) -> str:
    """A rate of messages, in messages per second: 250000 is "250 k/s"."""
    return _short(messages_per_second, MESSAGE_RATES)


def _short(value: float, units: tuple[tuple[float, str], ...]) -> str:
    # What would round up to 1000 of a unit is 1 of the next.
    scale, unit = next((u for u in units if value >= u[0] * 0.9995), units[-1])
    number = value / scale
    return f"{number:.0f} {unit}" if number >= 99.5 else f"{number:.2g} {unit}"
