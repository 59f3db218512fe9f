"""A deck as PDF, through a Chromium that is installed: one page a slide, everything shown."""

from base64 import b64decode
from pathlib import Path

from labkit.errors import LabkitError
from labkit.slides.browser import browser
from labkit.whole_file import write_file

READY_S = 60.0
INCHES = (20.0, 11.25)  # 1920 x 1080 CSS pixels


def print_pdf(deck: Path, out: Path) -> Path:
    """Print a deck.

    Args:
        deck: an HTML file that `labkit.slides.deck` made.
        out: the PDF; one that exists is replaced.

    Raises:
        LabkitError: Chromium is not there, or could not; an older PDF stays as it is.
    """
    try:
        with browser() as page:
            page.call("Page.navigate", url=f"{deck.resolve().as_uri()}?print-pdf")
            ready = "document.documentElement?.dataset.deckReady === 'true'"
            page.wait_for(ready, READY_S, "the deck is laid out")
            printed = page.call(
                "Page.printToPDF",
                printBackground=True,
                preferCSSPageSize=True,
                paperWidth=INCHES[0],
                paperHeight=INCHES[1],
                marginTop=0,
                marginBottom=0,
                marginLeft=0,
                marginRight=0,
            )
    except OSError as error:
        raise LabkitError(f"{deck} was not printed ({error.strerror or error}).") from error
    return write_file(out, b64decode(printed["data"]), replace=True)
