"""Moving pictures that need no kernel: animated PNGs, which GitHub, nbconvert and JupyterLab show like any image."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from odelab.lessons.kit.blitting import Blitter
from odelab.lessons.kit.style import describe, display_image, few_colors

LARGEST = 400_000  # bytes; a lesson has 1.5 MB for everything
COLORS_KEPT = 128


def animate(
    fig: Figure, update: Callable[[Figure, Any], object], frames: Sequence[Any], alt: str, *, fps: float = 10
) -> None:
    """Show ``fig`` moving through ``frames`` three times; it rests on the last one, which a PDF shows too.

    Args:
        fig: the figure, drawn for the first frame.
        update: ``update(fig, frame)`` changes its artists in place (``line.set_data`` and the like).
        frames: one value per picture; around 30 pictures stay well below the limit.
        alt: what moves and how, at least 20 characters.
        fps: pictures per second.

    Raises:
        ValueError: when there are no frames, no alternative text, or more than 400 kB of pictures.
    """
    describe(fig, alt)
    image = apng(fig, update, frames, fps=fps)
    if len(image) > LARGEST:
        raise ValueError(f"{len(image)} bytes of animation; take fewer frames or a smaller figure (limit {LARGEST})")
    display_image(image, str(fig.get_label()))


def apng(
    fig: Figure, update: Callable[[Figure, Any], object], frames: Sequence[Any], *, fps: float = 10, rounds: int = 3
) -> bytes:
    """``fig`` at each of ``frames`` as one animated PNG with a common palette, played ``rounds`` times."""
    return encode(list(_pictures(fig, update, frames)), fps=fps, rounds=rounds)


def encode(pictures: Sequence[Image.Image], *, fps: float = 10, rounds: int = 3) -> bytes:
    """Pictures of one size as one animated PNG with a common palette, played ``rounds`` times.

    Raises:
        ValueError: when there are none.
    """
    if not pictures:
        raise ValueError("an animation needs at least one frame")
    palette = _palette([pictures[0], pictures[len(pictures) // 2], pictures[-1]])
    small = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    buffer = io.BytesIO()
    # Where nothing moves, on paper, the default image shows: the last one, which the animation rests on.
    small[-1].save(
        buffer, "png", save_all=True, default_image=True, append_images=small, duration=1000 / fps, loop=rounds
    )
    return buffer.getvalue()


def _pictures(fig: Figure, update: Callable[[Figure, Any], object], frames: Sequence[Any]) -> Iterator[Image.Image]:
    blitter = Blitter(fig)
    for frame in frames:
        update(fig, frame)
        blitter.draw_changes()
        yield blitter.picture()


def _palette(pictures: Sequence[Image.Image]) -> Image.Image:
    """Colours that serve all the pictures, chosen from a strip of them."""
    width, height = pictures[0].size
    strip = Image.new("RGB", (width * len(pictures), height))
    for place, picture in enumerate(pictures):
        strip.paste(picture, (place * width, 0))
    return few_colors(strip, COLORS_KEPT)
