"""A figure that is redrawn while a cell runs: what training does, at the moment it does it."""

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from odelab.lessons.kit import style
from odelab.lessons.kit.animation import LARGEST, encode
from odelab.lessons.kit.blitting import Blitter


class Live:
    """Redraws one figure in the output of the running cell, and leaves it there as a moving picture.

        live = Live(figures.training(), figures.update_training)
        for i in range(200):
            ...
            if i % 10 == 0:
                live.redraw(losses, arrows)
        live.rest()

    Args:
        figure: drawn and described, see :func:`odelab.lessons.kit.describe`.
        update: ``update(figure, *state)`` changes its artists in place (``line.set_data`` and the like).

    Raises:
        ValueError: when the figure has no alternative text.
    """

    def __init__(self, figure: Figure, update: Callable[..., object]) -> None:
        self.figure = style.describe(figure, str(figure.get_label()))
        self._update = update
        self._blitter: Blitter | None = None
        self._pictures: list[Image.Image] = []
        self._handle: Any = None

    def redraw(self, *state: Any) -> None:
        """Show the figure as ``update(figure, *state)`` leaves it, in place of what was there."""
        with mpl.rc_context(style.STYLE):
            self._update(self.figure, *state)
            self._blitter = self._blitter or Blitter(self.figure)
            self._blitter.draw_changes()
        self._pictures.append(self._blitter.picture())
        self._show(self._blitter.png())

    def rest(self, pictures: int = 16, *, fps: float = 4) -> None:
        """Put up to so many of the pictures in place of the last one, as an animated PNG that needs no kernel.

        Raises:
            ValueError: when nothing was drawn, or the animation takes more than 400 kB.
        """
        last = len(self._pictures) - 1
        spread = {round(last * k / max(pictures - 1, 1)) for k in range(pictures)}
        image = encode([self._pictures[k] for k in sorted(spread) if last >= 0], fps=fps)
        if len(image) > LARGEST:
            raise ValueError(f"{len(image)} bytes of animation; keep fewer pictures (limit {LARGEST})")
        self._show(image)

    def _show(self, image: bytes) -> None:
        from IPython.display import display  # figures can be drawn where there is no notebook

        data, metadata = style.image_bundle(image, str(self.figure.get_label()))
        if self._handle is None:
            self._handle = display(data, metadata=metadata, raw=True, display_id=True)
        else:
            self._handle.update(data, metadata=metadata, raw=True)
