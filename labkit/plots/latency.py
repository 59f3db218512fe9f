"""Figure: how long a message takes there and back, by its size."""

from typing import Unpack

from labkit.plots.choice import Only, Run, cells, factor
from labkit.plots.line_chart import Chart, draw
from labkit.plots.lines import TOGETHER
from labkit.plots.style import Picture
from labkit.plots.units import time_text


def latency(run: Run, *, together: float = TOGETHER, **only: Unpack[Only]) -> Picture:
    """Draw the round trip time over message size, one panel a placement.

    Args:
        run: what was measured; its latency rows are drawn.
        together: shared-memory segments whose medians stay within this factor of one another, or
            whose intervals reach that far, are one line with a band; 1 keeps them apart.
        only: columns of the cell with the value, or list of values, to draw, for example
            placement="same-cpu" or mechanism=["pipe", "tcp"].

    Raises:
        RequestError: no such round trip was measured; the sentence says what is there.
    """
    chart = Chart(
        title="Round trip time of one message, there and back",
        measure="round trip time",
        values=lambda rows: rows[["ns_per_message", "ns_low", "ns_high"]],
        say=time_text,
    )
    return draw(chart, cells(run, "latency", only), run.machine, factor(together))
