"""A table of words in a notebook: whole, from the left, folded away if asked; else one sentence."""

import pandas as pd
import pytest

import labkit

LONG = "a sentence that pandas would cut off after fifty characters, as it does with all of them"


def test_nothing_is_cut_off() -> None:
    table = pd.DataFrame({"why": [LONG, "<b>"]})
    shown = labkit.readable(table)
    html = shown._repr_html_()
    assert LONG in html
    assert "&lt;b&gt;" in html
    assert "<details>" not in html
    assert LONG in repr(shown)


def test_it_can_be_folded_away() -> None:
    html = labkit.readable(pd.DataFrame({"a": [1]}), fold="all <of> it")._repr_html_()
    assert html.startswith("<details><summary>all &lt;of&gt; it</summary>")


@pytest.mark.parametrize("what", [None, 3, "text", [1, 2], pd.Series([1])])
def test_what_is_no_table_is_told(what: object) -> None:
    with pytest.raises(labkit.RequestError, match="is no table of pandas"):
        labkit.readable(what)  # type: ignore[arg-type]
