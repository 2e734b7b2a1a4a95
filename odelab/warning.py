"""Warnings that point at the line of the caller, wherever in odelab they arise."""

import sys
import warnings


def warn(what: str) -> None:
    """Warn, and name the line that called odelab: the nearest one outside odelab and torch."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("odelab", "torch"):
        frame, level = frame.f_back, level + 1
    warnings.warn(what, stacklevel=level)
