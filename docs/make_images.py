"""Make the pictures of README and docs: ``python docs/make_images.py``.

Lesson 00's explorable, moved through its depths; and what an attempted step costs by batch, from the kept benchmark.
"""

from pathlib import Path

from odelab.lessons.kit import use_style
from odelab.lessons.kit.animation import apng
from odelab.lessons.solvers.explorables import stored_costs
from odelab.lessons.solvers.figures import cost_by_batch
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
    use_style()
    cost_by_batch(stored_costs()).savefig(IMAGES / "compiled.png", dpi=75)
    (IMAGES / "depth.png").write_bytes(animation())
