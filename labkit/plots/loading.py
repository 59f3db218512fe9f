"""Loads matplotlib, and lets no setting of the user's come between a run and its figures.

Figures are drawn without a backend (`labkit.plots.style.Picture`), so one that is unknown does not
matter, though matplotlib itself would not even load. Where the home folder cannot be written,
matplotlib keeps its fonts in a temporary folder until it ends, and would say so on standard error.
"""

import logging
import os
from contextlib import suppress

_log = logging.getLogger("matplotlib")
_level = _log.level
_backend = os.environ.pop("MPLBACKEND", None)
_log.setLevel(logging.ERROR)
try:
    import matplotlib
    import matplotlib.font_manager
finally:
    _log.setLevel(_level)
    if _backend is not None:
        os.environ["MPLBACKEND"] = _backend

if _backend:
    with suppress(ValueError):  # what loading does with the variable
        matplotlib.rcParams["backend"] = _backend
