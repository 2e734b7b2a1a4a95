"""Redraw only what moved: the rest of the figure is kept as pixels."""

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.spines import Spine
from PIL import Image


class Blitter:
    """Draws a figure whole once, and afterwards only the artists that changed since.

    matplotlib marks an artist as ``stale`` when it is given new data. An artist that was stale once
    is moving: it is taken out of the kept background and drawn on top of it from then on. A new
    artist, or an axis with other limits or ticks, makes the whole figure be drawn again.
    """

    def __init__(self, figure: Figure) -> None:
        """The figure is laid out and drawn; its panels keep their places, and nothing counts as moving yet."""
        self.figure = figure
        self.canvas = FigureCanvasAgg(figure)
        self._moving: list[Artist] = []
        self._top: list[Artist] = []
        self._legends: list[Any] = []
        self._background: Any = None
        self._frame: tuple[Any, ...] = ()
        figure.set_layout_engine("constrained")
        self.canvas.draw()
        figure.set_layout_engine("none")  # computing it again would double the time

    def draw_changes(self) -> None:
        """Draw the artists that changed since the last call on top of the kept background."""
        changed = [artist for artist in self._artists() if artist.stale and artist not in self._moving]
        drawn = [axes for axes in self.figure.axes if axes.axison]  # axes that are off stay stale for ever
        axes_changed = any(axis.stale for axes in drawn for axis in (axes.xaxis, axes.yaxis))
        frame = self._measure()
        if self._background is None or changed or axes_changed or frame != self._frame:
            self._moving = [artist for artist in self._artists() if artist in (*self._moving, *changed)]
            self._keep_background()
            self._frame = frame
        self.canvas.restore_region(self._background)
        renderer = self.canvas.get_renderer()
        for artist in self._top:
            artist.draw(renderer)
        for box in self._legends:
            self.canvas.restore_region(box)

    def picture(self) -> Image.Image:
        """What was drawn last."""
        return Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3].copy())

    def png(self) -> bytes:
        """What was drawn last. The palette of `style.shrink` would take longer than the frame."""
        buffer = io.BytesIO()
        self.picture().save(buffer, "png", compress_level=1)
        return buffer.getvalue()

    def _keep_background(self) -> None:
        """Draw what stays, without what moves and what lies above that; list those in drawing order."""
        self._top, still = [], []
        parents: list[Axes | Figure] = [*self.figure.axes, self.figure]
        for parent in parents:
            children = [each for each in parent.get_children() if not isinstance(each, (Axis, Axes))]
            children.remove(parent.patch)  # the ground that everything stands on, whatever its zorder says
            lowest = min((child.get_zorder() for child in children if child in self._moving), default=math.inf)
            above = [child for child in children if child in self._moving or child.get_zorder() > lowest]
            still += [child for child in above if isinstance(child, Legend) and child not in self._moving]
            self._top += sorted((child for child in above if child not in still), key=Artist.get_zorder)
        for artist in self._top:
            artist.set_animated(True)  # a whole drawing leaves these out
        self.canvas.draw()
        self._background = self.canvas.copy_from_bbox(self.figure.bbox)
        # Text is slow: a legend is a box of pixels put back over whatever moved beneath it.
        self._legends = [self.canvas.copy_from_bbox(legend.get_window_extent()) for legend in still]

    def _artists(self) -> Iterator[Artist]:
        """Everything that can move: neither axes nor their frames."""
        fixed = {self.figure.patch, *self.figure.axes, *(axes.patch for axes in self.figure.axes)}
        for parent in (self.figure, *self.figure.axes):
            for artist in parent.get_children():
                if artist not in fixed and not isinstance(artist, (Axis, Spine)):
                    yield artist

    def _measure(self) -> tuple[Any, ...]:
        """What the background depends on: which artists there are, and the limits of every axes."""
        limits = tuple(tuple(axes.viewLim.bounds) for axes in self.figure.axes)
        return (*(id(artist) for artist in self._artists()), *limits)
