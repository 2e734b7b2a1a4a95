"""Make the pictures of README and docs: ``python docs/make_images.py``.

Lesson 00's explorable, moved through its depths; and what an attempted step costs by batch, from the kept benchmark.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt

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


def compiled() -> plt.Figure:
    """µs an attempt of the spiral by batch, of every contestant in data/results/bench_compiled.json."""
    use_style()
    rows = json.loads((ROOT / "data" / "results" / "bench_compiled.json").read_text())["sweep"]
    fig, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for name, marker in zip(rows[0]["us"], "os^Dv", strict=False):
        ax.loglog([row["batch"] for row in rows], [row["us"][name] for row in rows], marker=marker, label=name)
    ax.set(xlabel="batch", ylabel="µs of CPU time an attempted step", title="Spiral, dopri5, one thread")
    ax.legend()
    return fig


if __name__ == "__main__":
    compiled().savefig(IMAGES / "compiled.png", dpi=90)
    (IMAGES / "depth.png").write_bytes(animation())
