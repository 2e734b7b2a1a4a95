"""A figure with controls: one kept matplotlib figure, shown as PNG, with a line of text beside it."""

import html
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import matplotlib as mpl
from matplotlib.figure import Figure

from odelab.lessons.kit import style
from odelab.lessons.kit.blitting import Blitter
from odelab.lessons.kit.export import Export, Twin, export, positions

FRAMES = 64


class Explorable(widgets.VBox):
    """Controls, a figure that follows them, and a readout.

    Args:
        figure: drawn and described, see :func:`odelab.lessons.kit.describe`; what moves may be missing yet.
        update: ``update(figure, **settings)`` changes artists in place (``line.set_data`` and the like), and returns
            the text beside the figure. Only these artists are redrawn, which takes a tenth of the time.
        controls: ordinary sliders, dropdowns or checkboxes by the name ``update`` knows them under.
        play: name of an integer slider that gets a play button.
        twin: the same model in JavaScript, for pages where no kernel runs and positions are too many to be drawn.

    ``settings`` maps the names to the controls' values, ``text`` is the readout, ``frame_ms`` the
    time the last change took, and ``figure`` the matplotlib figure at the current settings.

    Raises:
        ValueError: when the figure has no alternative text.
    """

    def __init__(
        self,
        figure: Figure,
        update: Callable[..., str],
        controls: Mapping[str, widgets.ValueWidget],
        *,
        play: str | None = None,
        twin: Twin | None = None,
    ) -> None:
        self.controls = dict(controls)
        self.play, self.twin = play, twin
        self.frame_ms = 0.0
        self.text = ""
        self._update = update
        self._figure = style.describe(figure, str(figure.get_label()))
        self._drawn: tuple[Any, ...] | None = None
        self._frames: OrderedDict[tuple[Any, ...], tuple[bytes, str]] = OrderedDict()
        self._held = False
        self._image = widgets.HTML()  # widgets.Image knows no alternative text
        self._line = widgets.HTML()
        self._line.add_class("odelab-readout")
        panel = widgets.Box(
            self._arranged(play), layout={"display": "flex", "flex_flow": "row wrap", "grid_gap": "0 24px"}
        )
        super().__init__([panel, self._image, self._line], layout={"max_width": "100%", "overflow": "hidden"})
        self.add_class("odelab-explorable")
        for control in self.controls.values():
            control.observe(self._refresh, "value")
        self._rehearse()
        self._refresh()

    @property
    def settings(self) -> dict[str, Any]:
        """Current value of every control."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def figure(self) -> Figure:
        """The matplotlib figure, drawn at the current settings (a cached frame leaves it behind)."""
        if self._drawn != self._key():
            self._render()
        return self._figure

    @property
    def alt(self) -> str:
        """The figure's alternative text."""
        return str(self._figure.get_label())

    @property
    def png(self) -> bytes:
        """The picture at the current settings."""
        return self._frame()[0]

    def drive(self, **values: Any) -> str:
        """Set controls by name, as a reader would by hand, and return the readout.

        Raises:
            KeyError: when there is no such control.
        """
        unknown = values.keys() - self.controls.keys()
        if unknown:
            raise KeyError(f"no control called {sorted(unknown)}; there are: {sorted(self.controls)}")
        with self._hold():
            for name, value in values.items():
                self.controls[name].value = value
        self._refresh()
        return self.text

    def export(self) -> Export:
        """What a page without a kernel needs to move the same sliders; it takes a tenth of a second a position.

        Raises:
            ValueError: when a control has no finite choice of positions and there is no twin.
        """
        return export(self)

    def forget(self) -> None:
        """Drop the remembered frames: the next change is drawn anew."""
        self._frames.clear()

    @contextmanager
    def _hold(self) -> Iterator[None]:
        """Several controls change, the figure follows once."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def _key(self) -> tuple[Any, ...]:
        return tuple(getattr(control, "index", control.value) for control in self.controls.values())

    def _refresh(self, _change: Any = None) -> None:
        if self._held:
            return
        start = time.perf_counter()
        try:
            image, self.text = self._frame()
        except Exception as error:
            # Raised again: a cell that drives the widget must fail, and a browser shows only the readout.
            self._say(f"This setting could not be drawn: {type(error).__name__}: {error}")
            raise
        self._image.value = style.image_html(image, self.alt)
        self._say(self.text)
        self.frame_ms = 1e3 * (time.perf_counter() - start)

    def _frame(self) -> tuple[bytes, str]:
        key = self._key()
        if key not in self._frames:
            self._frames[key] = self._render()
            if len(self._frames) > FRAMES:
                self._frames.popitem(last=False)
        self._frames.move_to_end(key)
        return self._frames[key]

    def _render(self) -> tuple[bytes, str]:
        self._drawn = None
        with mpl.rc_context(style.STYLE):
            text = self._update(self._figure, **self.settings)
            self._blitter.draw_changes()
        self._drawn = self._key()
        return self._blitter.png(), text

    def _rehearse(self) -> None:
        """Move each control, unseen: the blitter learns what moves before the reader waits for it."""
        rest = self.settings
        elsewhere = [
            {name: place}
            for name, control in self.controls.items()
            for place in [place for place in positions(control) if place != rest[name]][:1]
        ]
        with mpl.rc_context(style.STYLE):
            self._update(self._figure, **rest)  # the layout leaves room for what this writes
            self._blitter = Blitter(self._figure)
            for change in [{}, *elsewhere]:
                self._update(self._figure, **{**rest, **change})
                self._blitter.draw_changes()

    def _say(self, text: str) -> None:
        lines = html.escape(text).replace("\n", "<br>")
        self._line.value = f'<div role="status" aria-live="polite">{lines}</div>'

    def _arranged(self, play: str | None) -> list[widgets.Widget]:
        """Controls that share a row where there is room and stack on a phone."""
        row: list[widgets.Widget] = []
        for name, control in self.controls.items():
            if not getattr(control, "description", ""):
                control.description = name
            control.style.description_width = "initial"
            control.layout.flex, control.layout.min_width, control.layout.max_width = "1 1 280px", "240px", "460px"
            row.append(control)
            if name == play:
                button = widgets.Play(
                    value=control.value, min=control.min, max=control.max, step=control.step, interval=250
                )
                widgets.jslink((control, "value"), (button, "value"))
                row.insert(len(row) - 1, button)
        return row

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live widget, and beside it a picture for places without a kernel: GitHub, PDF, the site."""
        live = super()._repr_mimebundle_(**kwargs)
        data, metadata = style.image_bundle(style.shrink(self.png), self.alt)
        return {**live, **data}, metadata
