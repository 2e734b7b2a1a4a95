"""Explorables: thin shells that bind sliders to the figures of :mod:`odelab.figures`."""

from odelab.widgets.explorable import Explorable

__all__ = ["Explorable"]
