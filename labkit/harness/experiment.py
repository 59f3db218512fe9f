"""Run an experiment in a clean process of its own, from a notebook or the command line.

The process that asks may have threads, so it must not fork; the experiment may fork, exec, crash
and fault as it likes, on a stage (`labkit.harness.stage`) that is started afresh for it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from labkit.errors import LabkitError
from labkit.harness.session import HelperDied, Session
from labkit.kernel.cleaning import clean
from labkit.progress import Progress

STAGE = "labkit.harness.stage"


class Result(NamedTuple):
    """What an experiment returned, and what it could not show, sentence by sentence."""

    value: Any
    notes: list[str]


def run(
    function: str,
    arguments: dict[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Run an experiment and return what it found.

    Args:
        function: "module:name" of a function that takes a `labkit.harness.stage.Stage`.
        arguments: what it is given besides, by name; as JSON can carry it.
        progress: told how far it is, where the experiment tells.

    Raises:
        LabkitError: it could not be done, or its process died.
    """
    found: Result | None = None
    notes: list[str] = []
    trying: dict[str, str] = {}  # whose own file, and what the stage is doing with it
    try:
        with Session({"function": function, "arguments": arguments or {}}, STAGE) as session:
            for event in session.events():
                if event["event"] == "value":
                    found = Result(event["value"], event["notes"])
                elif event["event"] == "note":
                    notes.append(event["text"])
                elif event["event"] == "trying":
                    trying = {name: event[name] for name in ("file", "doing")}
                elif event["event"] == "stage" and progress is not None:
                    done, total = event["done"], event["total"]
                    progress(Progress(event["stage"], done, total, None, event["detail"]))
    except BaseException as stop:
        clean()  # a stage that was killed could not remove its objects itself
        if isinstance(stop, HelperDied) and trying.get("file"):
            raise stop.while_trying(**trying) from None
        raise
    if found is None:
        raise LabkitError("the experiment ended without a result.")
    return Result(found.value, found.notes + notes)
