"""A ratio of two measured times, and how far it may be off: what a question about times rests on.

Kept among a question's facts as three numbers: of the medians, and the least and the most that
their 95 % intervals allow. Without intervals, as after fewer than five repeats, those are NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from labkit.answers.question import Undecided

Ratio = Sequence[float]
TOO_FEW = "Too few repeats for intervals: measure again with a larger `budget`."


def ratio(above: Mapping[str, Any], below: Mapping[str, Any]) -> list[float]:
    """How many times as long one cell takes as another.

    Args:
        above, below: rows of a run's summary.
    """
    parts = (
        (above["ns_per_message"], below["ns_per_message"]),
        (above["ns_low"], below["ns_high"]),
        (above["ns_high"], below["ns_low"]),
    )
    return [round(float(one) / float(other), 3) for one, other in parts]


def divided(one: Ratio, other: Ratio) -> list[float]:
    """The ratio of two ratios."""
    return [one[0] / other[0], one[1] / other[2], one[2] / other[1]]


def decided(found: Ratio, rule: Callable[[float], str]) -> str:
    """What a rule says of a ratio.

    Raises:
        Undecided: there is no interval, or it leaves open what the rule says.
    """
    middle, least, most = found
    if not (isfinite(least) and isfinite(most)):
        raise Undecided(TOO_FEW)
    if len({rule(each) for each in (least, middle, most)}) > 1:
        raise Undecided(
            f"It may be {least:.2f} to {most:.2f} times, which leaves the answer open: measure"
            " again with a larger `budget`, with nothing else running."
        )
    return rule(middle)
