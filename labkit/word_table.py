"""A table of words for a notebook: each cell begins at the left, and none is cut off.

JupyterLab moves the cells of a pandas table to the right, and pandas cuts off what is long. Both
suit numbers; a column of sentences cannot be read that way.
"""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_STYLE = (
    "<style>.labkit-readable table.dataframe :is(td, th)"
    "{text-align:left!important;vertical-align:top!important;max-width:40em}</style>"
)


class Readable:
    """A table that shows itself in full; `table` is what it was made of.

    Args:
        fold: what to click on to see it; "" shows it at once.
    """

    def __init__(self, table: "pd.DataFrame", fold: str = "") -> None:
        self.table = table
        self.fold = fold

    def __repr__(self) -> str:
        return str(self.table.to_string(max_colwidth=None))

    def _repr_html_(self) -> str:
        import pandas as pd

        with pd.option_context("display.max_colwidth", None):
            shown = f'<div class="labkit-readable">{_STYLE}{self.table.to_html(border=0)}</div>'
        if not self.fold:
            return shown
        return f"<details><summary>{escape(self.fold)}</summary>{shown}</details>"
