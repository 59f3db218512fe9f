"""The player of walkthroughs: a walk's steps as one self-contained piece of HTML."""

from labkit.player.drawing import faults
from labkit.player.page import html

__all__ = ["faults", "html"]
