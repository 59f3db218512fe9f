"""Figure: how much goes through in a second, one way, by message size."""

from typing import Literal, Unpack

import pandas as pd

from labkit.errors import RequestError
from labkit.harness.request import shown
from labkit.plots.choice import Only, Run, cells, factor
from labkit.plots.line_chart import Chart, draw
from labkit.plots.lines import TOGETHER
from labkit.plots.style import Picture
from labkit.plots.units import byte_rate_text, message_rate_text

HANDED_OVER = "In-place with touch=ends is left out: it hands messages over and moves no payload."


def throughput(
    run: Run,
    *,
    rate: Literal["bytes", "messages"] = "bytes",
    together: float = TOGETHER,
    **only: Unpack[Only],
) -> Picture:
    """Draw what goes through in a second over message size, one panel a placement.

    Args:
        run: what was measured; its throughput rows are drawn.
        rate: "bytes" of payload, or "messages", a second. In-place rows with touch=ends have no
            rate of bytes, because they hand messages over without moving them.
        together: shared-memory segments whose medians stay within this factor of one another, or
            whose intervals reach that far, are one line with a band; 1 keeps them apart.
        only: columns of the cell with the value, or list of values, to draw, for example
            placement="same-cpu" or mechanism=["pipe", "tcp"].

    Raises:
        RequestError: no such stream was measured, or none that has the rate asked for.
    """
    rows = cells(run, "throughput", only)
    if isinstance(rate, str) and rate == "messages":
        chart = Chart(
            title="Messages per second, one way",
            measure="messages per second",
            values=_messages,
            say=message_rate_text,
        )
        return draw(chart, rows, run.machine, factor(together))
    if not isinstance(rate, str) or rate != "bytes":
        raise RequestError(f"A rate of {shown(rate)} isn't known; it can be 'bytes' or 'messages'.")
    handed = (rows["status"] == "ok") & rows["bytes_per_second"].isna()
    rows = rows[~handed]
    if not (rows["status"] == "ok").any():
        raise RequestError(
            "All streams asked for are in-place with touch=ends, which moves no payload;"
            " try rate='messages', or measure with touch='all'."
        )
    chart = Chart(
        title="Payload moved per second, one way",
        measure="payload rate",
        values=_bytes,
        say=byte_rate_text,
        notes=(HANDED_OVER,) if handed.any() else (),
    )
    return draw(chart, rows, run.machine, factor(together))


def _messages(rows: pd.DataFrame) -> pd.DataFrame:
    return 1e9 / rows[["ns_per_message", "ns_high", "ns_low"]]  # the slowest is the lowest rate


def _bytes(rows: pd.DataFrame) -> pd.DataFrame:
    return _messages(rows).mul(rows["message_size"], axis=0)
