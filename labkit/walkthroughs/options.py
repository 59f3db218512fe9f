"""What a reader may ask of a walkthrough, checked before its experiment begins."""

from collections.abc import Sequence

from labkit.errors import RequestError
from labkit.harness.request import nearest


def showable(message: object, longest: int) -> str:
    """A message that a walkthrough carries, if it can be drawn.

    Args:
        longest: characters that there is room for.

    Raises:
        RequestError: it cannot.
    """
    fits = isinstance(message, str) and message.isascii() and message.isprintable()
    if not fits or not 1 <= len(str(message)) <= longest:
        raise RequestError(
            f"the message must be a text of 1 to {longest} ASCII characters, such as 'hello'."
        )
    return str(message)


def known(what: str, name: object, among: Sequence[str]) -> str:
    """A name, if it is one of those that there are.

    Raises:
        RequestError: it is not; says which there are, and which may have been meant.
    """
    if isinstance(name, str) and name in among:
        return name
    near = nearest(name, among) if isinstance(name, str) else None
    meant = f" (did you mean '{near}'?)" if near else ""
    raise RequestError(f"there is no {what} {name!r:.60}{meant}; it is one of {', '.join(among)}.")
