"""reveal.js, from an installed package that carries it: never from the network.

sphinx-revealjs brings all of it, with its licence, as files; nothing of that package is run.
"""

from importlib.util import find_spec
from pathlib import Path

from labkit.errors import LabkitError

CARRIER = "sphinx_revealjs"
FILES = ("LICENSE", "dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")


def reveal_js() -> dict[str, str]:
    """The text of each of FILES.

    Raises:
        LabkitError: the package is not installed, or is laid out in another way.
    """
    found = find_spec(CARRIER)
    if found is None or found.origin is None:
        raise LabkitError(
            "a deck needs reveal.js, which the package sphinx-revealjs brings: make slides installs"
            " it, and so does pip install sphinx-revealjs."
        )
    base = Path(found.origin).parent / "_static" / "revealjs"
    try:
        return {name: (base / name).read_text(encoding="utf-8") for name in FILES}
    except OSError as error:
        raise LabkitError(
            f"reveal.js is not where sphinx-revealjs 3.2 keeps it ({error.strerror}:"
            f" {error.filename}): install that version."
        ) from error
