"""What labkit raises. Every message is one sentence for a person: what was wrong, what is
allowed, what to try."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.harness.run import Run


class LabkitError(Exception):
    """Something that ran could not be done (exit status 1 from the command line)."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a notebook: the sentence, without the way through labkit's code."""
        return [f"{type(self).__name__}: {self}"]


class RequestError(LabkitError, ValueError):
    """The request itself was wrong (exit status 2 from the command line)."""


class Interrupted(KeyboardInterrupt):
    """A comparison was interrupted; `run` is what had been measured, marked as partial.

    `number` is that of the signal.
    """

    def __init__(self, said: str, run: "Run", number: int) -> None:
        super().__init__(said)
        self.run = run
        self.number = number


class BrokenOff(LabkitError):
    """A comparison could not go on; `run` is what had been measured, marked as partial."""

    def __init__(self, said: str, run: "Run") -> None:
        super().__init__(said)
        self.run = run
