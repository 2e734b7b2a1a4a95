"""Make the README's picture, ``python docs/make_images.py``: lesson 00's explorable, moved through its depths."""

from pathlib import Path

from odelab.lessons.kit import use_style
from odelab.lessons.kit.animation import apng
from odelab.lessons.start import figures
from odelab.lessons.start.explorables import scene

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
DEPTHS = [1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]


def animation() -> bytes:
    use_style()
    fig = figures.residual_to_ode(scene())
    fig.set_dpi(90)
    return apng(fig, lambda fig, depth: figures.update_residual_to_ode(fig, scene(), depth), DEPTHS, fps=4)


if __name__ == "__main__":
    (IMAGES / "depth.png").write_bytes(animation())
