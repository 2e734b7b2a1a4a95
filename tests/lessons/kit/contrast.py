"""What a projector shows of a figure: the contrast of everything drawn as a line, a marker or an arrow with white."""

from collections.abc import Iterator
from typing import Any

from matplotlib import colors
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver


def contrast_with_white(color: Any, alpha: float | None = None) -> float:
    """The ratio of WCAG 2, from 1 (white itself) to 21 (black), of a colour on white paper."""
    *channels, opacity = colors.to_rgba(color, alpha)
    seen = [opacity * channel + 1 - opacity for channel in channels]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in seen)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def faint(figure: Figure, least: float = 3) -> Iterator[str]:
    """A sentence for each line, marker or arrow with less contrast than that."""
    for axes in figure.axes:
        drawn = []
        for line in axes.lines:
            inks = [line.get_color()]
            if line.get_marker() not in ("None", None, ""):
                inks.append(line.get_markeredgecolor())  # a pale marker shows by its edge
            ink = max(inks, key=contrast_with_white)
            drawn.append((ink, line.get_alpha(), f"line {line.get_label()!r}"))
        for arrows in (artist for artist in axes.collections if isinstance(artist, Quiver)):
            drawn += [(color, None, "arrow") for color in arrows.get_facecolor()]
        for color, alpha, name in drawn:
            contrast = contrast_with_white(color, alpha)
            if contrast < least:
                yield f"{axes.get_title(loc='left') or 'axes'}: {name} has a contrast of {contrast:.1f}"
