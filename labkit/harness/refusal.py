"""Why a cell cannot be measured here, in one sentence with the remedy."""

import errno
import os
from typing import Any

from labkit.harness.payload import WRONG_MESSAGE
from labkit.harness.request import format_size
from labkit.kernel.objects import error_number
from labkit.mechanisms.contract import EXPECTED, FOUND, End, Mechanism

MOST_ERRNO = 4095  # include/linux/err.h

# What no mechanism says anything else about.
REMEDIES = {
    "EPERM": "a sandbox refuses the call (seccomp, or no such right); run labkit outside of it",
    "EACCES": "a sandbox or the rights of a folder refuse it; run labkit outside of it",
    "ENOMEM": "there is not enough memory: ask for smaller messages, or raise `ulimit -v`",
    "EMFILE": "no descriptor is left: raise `ulimit -n`",
    "ENFILE": "the machine has no descriptor left: raise it with `sysctl -w fs.file-max=N`",
    "EAGAIN": "you have as many processes as you may: end some, or raise `ulimit -u`",
}


def not_forked(error: OSError) -> str:
    """Why there are no processes for a cell's ends."""
    name = errno.errorcode.get(error.errno or 0, "")
    words = error.strerror or str(error)
    return f"no process could be forked for its ends ({words}): {REMEDIES.get(name, words)}."


def refused(mechanism: Mechanism, message_size: int, error: BaseException | int) -> str:
    """Why the kernel refused this mechanism or a message of this size.

    Args:
        error: what was raised, or an errno. A note on it takes the place of the mechanism's remedy.
    """
    number = error if isinstance(error, int) else error_number(error)
    limits = {key: value for key, value in mechanism.limits().items() if value is not None}
    if number is None:
        return f"{mechanism.name}: {str(error).rstrip('.') or type(error).__name__}."
    name = errno.errorcode.get(number, str(number))
    words = os.strerror(number) if isinstance(error, int | OSError) else str(error).rstrip(".")
    remedy = mechanism.remedies.get(name) or REMEDIES.get(name, words)
    if notes := getattr(error, "__notes__", None):
        remedy, limits = notes[0], {}
    bounds = ", ".join(f"{key} {value}" for key, value in limits.items())
    return (
        f"{mechanism.name} refused {format_size(message_size)} ({name}"
        + (f"; here {bounds}" if bounds else "")
        + f"): {remedy}."
    )


def wrong_message(end: str, state: object) -> str:
    """What the consumer's check found, from its channel's state words."""
    expected, found = int(state[EXPECTED]), int(state[FOUND])  # type: ignore[index]
    if found == expected:
        what = "a torn one (its first bytes are right, others are not)"
    elif 0 < found < expected:
        what = f"message {found} again or late (repeated or reordered)"
    elif expected < found < expected + (1 << 40):
        what = f"message {found} (one or more lost or reordered)"
    else:
        what = "bytes that are no message of this run"
    return f"the {end} expected message {expected} and found {what}."


def is_wrong_message(status: int) -> bool:
    """Whether a loop's status is the payload check's."""
    return status == WRONG_MESSAGE


def is_refusal(reply: dict[str, Any]) -> bool:
    """Whether an end's reply says that the kernel refused it something."""
    status = reply["status"]
    return "error" not in reply and -MOST_ERRNO <= status < 0 and not is_wrong_message(status)


def why_stopped(
    mechanism: Mechanism, message_size: int, end: End, reply: dict[str, Any], state: object
) -> str:
    """Why an end did not do what it was told.

    Args:
        reply: with a status below 0.
        state: its channel's state words, where the payload check leaves what it found.
    """
    status = reply["status"]
    if is_wrong_message(status):
        return wrong_message(end, state)
    if "error" in reply:
        return f"the {end} stopped with {reply['error']}."
    if is_refusal(reply):
        return refused(mechanism, message_size, -status)
    verbs = "claim or publish" if end == "producer" else "peek or release"
    return (
        f"the {end} got {status} from {verbs}, which is neither an address nor an error's number"
        " with a minus sign."
    )
