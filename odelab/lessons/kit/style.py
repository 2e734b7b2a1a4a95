"""One style for every figure, and the one way a notebook shows a figure: with alternative text.

Colours are those of Okabe and Ito (2008), told apart by readers with any colour vision; a second channel (dash or
marker) repeats what the colour says. Their orange and sky blue are darkened here, so that every colour has a contrast
of at least 3:1 with white and a thin line survives a projector.
"""

import base64
import html
import io
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

COLORS = {
    "blue": "#0072B2",
    "orange": "#B98000",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#4999C6",
    "black": "#000000",
    "grey": "#8C8C8C",
    "dark grey": "#5F5F5F",
}
GROUNDS = {"yellow": "#F0E442", "pale blue": "#DCEBF6"}  # of areas, with something darker drawn on them
GUIDE: dict[str, Any] = {
    "color": COLORS["grey"],
    "linestyle": (0, (6, 3)),
    "linewidth": 1.3,
}  # what curves are held against
CYCLE = ("blue", "vermillion", "green", "purple", "orange", "sky", "black")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: Any = {
    "figure.dpi": 110,
    "figure.figsize": (8.0, 3.6),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.prop_cycle": cycler(color=[COLORS[name] for name in CYCLE]) + cycler(linestyle=DASHES),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "font.size": 11,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.8,
    "image.cmap": "cividis",
    "legend.fontsize": 10,
    "legend.frameon": True,  # an opaque box: its words stay readable where a curve runs behind them
    "legend.framealpha": 1.0,
    "legend.edgecolor": "white",
    "legend.fancybox": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}
SHORTEST_ALT = 20


def use_style() -> None:
    """Make the course's style the default of this session; a lesson's set-up cell calls it."""
    mpl.rcParams.update(STYLE)


def line_style(index: int) -> dict[str, Any]:
    """Keywords for the ``index``-th curve: a colour, and the dash and marker that repeat it."""
    k = index % len(CYCLE)
    return {"color": COLORS[CYCLE[k]], "linestyle": DASHES[k], "marker": MARKERS[k]}


def polylines(paths: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Paths (n, points, 2) as one x and one y with NaN after each path: one artist draws faster than n."""
    paths = np.asarray(paths, float)
    gap = np.full((len(paths), 1, 2), np.nan)
    x, y = np.concatenate([paths, gap], axis=1).reshape(-1, 2).T
    return x, y


def new_figure(size: tuple[float, float] = (8.0, 3.6)) -> Figure:
    """A figure of ``size`` inches, unknown to pyplot."""
    return Figure(figsize=size, dpi=STYLE["figure.dpi"], layout="constrained")


def describe(fig: Figure, alt: str) -> Figure:
    """Attach alternative text: what a reader who cannot see the figure has to know.

    Raises:
        ValueError: when the text is missing or too short to describe a figure.
    """
    alt = " ".join(alt.split())
    if len(alt) < SHORTEST_ALT:
        raise ValueError(f"alt text {alt!r} is too short: say in a sentence what the figure shows")
    fig.set_label(alt)
    return fig


def show(fig: Figure, alt: str | None = None) -> None:
    """Display ``fig`` in the notebook as a small PNG with alternative text, and close it.

    Args:
        fig: any matplotlib figure.
        alt: alternative text of at least 20 characters; may be left out after :func:`describe`.

    Raises:
        ValueError: when there is no alternative text, or too little of it.
    """
    describe(fig, alt if alt is not None else str(fig.get_label()))
    display_image(png(fig, small=True), str(fig.get_label()))
    close(fig)


def display_image(image: bytes, alt: str) -> None:
    """Make a PNG with alternative text an output of the running cell."""
    from IPython.display import display  # figures can be drawn where there is no notebook

    data, metadata = image_bundle(image, alt)
    display(data, metadata=metadata, raw=True)


def close(fig: Figure) -> None:
    """Forget ``fig``, so that the notebook does not display it a second time."""
    if getattr(fig, "number", None) is not None:
        from matplotlib import pyplot

        pyplot.close(fig)


def png(fig: Figure, small: bool = False) -> bytes:
    """``fig`` as PNG. ``small`` spends 50 ms on a palette of 256 colours that makes it 3 to 4 times smaller."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", pil_kwargs={"compress_level": 1})
    return shrink(buffer.getvalue()) if small else buffer.getvalue()


def shrink(image: bytes) -> bytes:
    """A PNG with a palette of 256 colours."""
    buffer = io.BytesIO()
    few_colors(Image.open(io.BytesIO(image)).convert("RGB")).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def few_colors(picture: Image.Image, count: int = 256) -> Image.Image:
    """``picture`` with a palette of at most ``count`` colours, white among them."""
    small = picture.quantize(count, method=Image.Quantize.FASTOCTREE)
    palette = small.getpalette() or []
    for k in range(0, len(palette), 3):
        if min(palette[k : k + 3]) >= 252:  # the octree's bins turn white paper into 254, a grey on a white page
            palette[k : k + 3] = [255, 255, 255]
    small.putpalette(palette)
    return small


def image_bundle(image: bytes, alt: str) -> tuple[dict[str, str], dict[str, Any]]:
    """A PNG and its alternative text as (data, metadata) of a notebook output.

    JupyterLab and nbconvert show ``image/png`` without the alternative text in its metadata, so while the notebook
    runs they get HTML, which they prefer. GitHub and PDF want the PNG: the file keeps that alone, see
    :mod:`odelab.lessons.kit.refresh`.
    """
    data = {
        "image/png": base64.b64encode(image).decode(),
        "text/html": image_html(image, alt),
        "text/plain": alt,
    }
    return data, {"image/png": {"alt": alt}}


def image_html(image: bytes, alt: str) -> str:
    """A PNG as an HTML element that shrinks to the width of a phone and keeps its place while it changes."""
    width, height = Image.open(io.BytesIO(image)).size
    return (
        f'<img class="odelab-figure" alt="{html.escape(alt, quote=True)}" width="{width}" height="{height}" '
        f'style="max-width:100%;height:auto" decoding="sync" '
        f'src="data:image/png;base64,{base64.b64encode(image).decode()}">'
    )
