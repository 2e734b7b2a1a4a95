"""Make the README's two pictures: ``make test-browser``, then ``.venv/bin/python docs/make_images.py``.

The screenshot is the one that the browser test takes of lesson 00; the animation is that lesson's explorable, moved
through its depths.
"""

from pathlib import Path

from PIL import Image

from odelab.lessons.kit import use_style
from odelab.lessons.kit.animation import apng
from odelab.lessons.start import figures
from odelab.lessons.start.explorables import scene

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
SCREENSHOT = ROOT / "build" / "browser" / "00_start_here" / "page_01.png"
DEPTHS = [1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]


def animation() -> bytes:
    use_style()
    fig = figures.residual_to_ode(scene())
    fig.set_dpi(90)
    return apng(fig, lambda fig, depth: figures.update_residual_to_ode(fig, scene(), depth), DEPTHS, fps=4)


def main() -> None:
    (IMAGES / "depth.png").write_bytes(animation())
    if SCREENSHOT.exists():
        page = Image.open(SCREENSHOT).convert("RGB")
        page.quantize(128).save(IMAGES / "lesson_00.png", optimize=True)
    for path in sorted(IMAGES.glob("*.png")):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
