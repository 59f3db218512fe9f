"""Numbers as people say them: 6.91 µs, 64 KiB, 1.23 GB/s. Sizes count in 1024s, rates in 1000s."""

import math

TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
RATES = ((1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s"))
SIZES = ((1 << 20, "MiB"), (1 << 10, "KiB"))


def format_size(size: int) -> str:
    """A number of bytes, exactly: 4096 is "4 KiB", 4097 is "4097 B"."""
    for scale, unit in SIZES:
        if size >= scale and size % scale == 0:
            return f"{size // scale} {unit}"
    return f"{size} B"


def format_time(ns: float) -> str:
    """A time in nanoseconds, to three digits: 8421.3 is "8.42 µs". Nothing for NaN."""
    return _scaled(ns, TIMES)


def format_rate(bytes_per_second: float) -> str:
    """A payload rate in bytes per second, to three digits: "1.23 GB/s". Nothing for NaN."""
    return _scaled(bytes_per_second, RATES)


def format_count(count: float) -> str:
    """A number of something for each message: "2", "0.031", "0". Nothing for NaN."""
    if not math.isfinite(count):
        return ""
    return f"{count:.0f}" if count >= 99.5 else f"{count:.2g}"


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    if not math.isfinite(value):
        return ""
    # A value that would round up to 1000 of a unit is 1 of the next.
    scale, unit = next((u for u in units if value >= u[0] * 0.9995), units[-1])
    number = value / scale
    if number >= 99.95:
        return f"{number:.0f} {unit}"
    return f"{number:.{1 if number >= 9.995 else 2}f} {unit}"
