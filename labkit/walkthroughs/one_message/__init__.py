"""One message between the two real ends of a mechanism, with everything that can be seen of it.

The ends are those of the comparison, with its verbs and its rings; only the loops are others
(`loops`). They carry a text instead of a number, and stop where something can be looked at.
`channel` passes a message, `watch` lets the ends go on and writes down what happens, `sight` looks
at buffers and words, and a `passage` is what was found.
"""

from labkit.walkthroughs.one_message.channel import Channel, channel, tried
from labkit.walkthroughs.one_message.loops import MOST_BYTES
from labkit.walkthroughs.one_message.passage import Moment, Passage

__all__ = ["MOST_BYTES", "Channel", "Moment", "Passage", "channel", "tried"]
