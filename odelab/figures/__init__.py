"""Pictures of the course: pure functions from arrays to a matplotlib ``Figure``, in one style."""

from odelab.figures.animation import animate
from odelab.figures.style import COLORS, describe, line_style, new_figure, show, use_style

__all__ = ["COLORS", "animate", "describe", "line_style", "new_figure", "show", "use_style"]
