"""Explorables of the FFJORD lesson: probes for a trace, and densities on their way between data and base."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.flows import CNF, exact_divergence, probes
from odelab.lessons.ffjord import figures
from odelab.lessons.kit.explorable import Explorable
from odelab.solvers import solve

PROBES = (1, 2, 4, 8, 16, 32, 64)
DRAWS = 2000
FRAMES = 9  # times at which a movie shows a flow, both ends included
CELLS = 44  # of the grid, each way
PARTICLES = 400


def predicted_std(matrix: Tensor) -> dict[str, float]:
    """Standard deviation of εᵀBε for both noises: only the symmetric part S of B (d, d) is seen.

    Gaussian: variance 2‖S‖²_F. Rademacher: the same without the diagonal (Hutchinson 1990; Avron and Toledo 2011).
    """
    symmetric = (matrix + matrix.T) / 2
    total, diagonal = symmetric.square().sum().item(), symmetric.diagonal().square().sum().item()
    return {"gaussian": math.sqrt(2 * total), "rademacher": math.sqrt(max(2 * (total - diagonal), 0.0))}


def estimate_errors(matrix: Tensor, seed: int = 0) -> dict[str, np.ndarray]:
    """Mean of εᵀBε over K probes, less tr B, DRAWS times: noise -> (K of PROBES, DRAWS); B (d, d)."""
    generator, values = torch.Generator().manual_seed(seed), {}
    for noise in figures.NOISES:
        e = probes(noise, PROBES[-1], matrix.new_empty(DRAWS, len(matrix)), generator)
        running = ((e @ matrix) * e).sum(-1).cumsum(0)  # (K, DRAWS)
        values[noise] = np.stack([(running[k - 1] / k - matrix.trace()).numpy() for k in PROBES])
    return values


def probe_explorer(matrices: Mapping[str, Tensor]) -> Explorable:
    """Sliders for the matrix and the number of probes; histogram of the estimates with both noises.

    Args:
        matrices: name -> matrix (d, d).
    """
    errors = {name: estimate_errors(matrix) for name, matrix in matrices.items()}
    predicted = {name: predicted_std(matrix) for name, matrix in matrices.items()}
    reach = max(0.3, *(3 * std for both in predicted.values() for std in both.values()))

    def update(fig: Figure, k: int, matrix: str) -> str:
        off, formula, trace = errors[matrix], predicted[matrix], float(matrices[matrix].trace())
        figures.update_estimates(fig, off, formula, PROBES, k)
        at = PROBES.index(k)
        parts = [
            f"{noise} {trace + off[noise][at].mean():.3g} ± {off[noise][at].std():.2g}"
            f" (formula ± {formula[noise] / math.sqrt(k):.2g})"
            for noise in figures.NOISES
        ]
        return f"{matrix}, K = {k}: trace {trace:.3g}; estimates: {'; '.join(parts)}."

    controls = {
        "k": widgets.SelectionSlider(options=PROBES, value=1, description="probes K"),
        "matrix": widgets.Dropdown(options=list(matrices), description="matrix"),
    }
    return Explorable(figures.estimates(PROBES, reach), update, controls)


@dataclass(frozen=True)
class Reel:
    """A flow at FRAMES times from 0 (data) to t1 (base): particles (T, n, 2) and densities (T, CELLS, CELLS)."""

    times: tuple[float, ...]
    particles: np.ndarray
    densities: np.ndarray
    half_width: float

    @property
    def mass(self) -> np.ndarray:
        """Of the density within the window at each time, by the midpoint rule, (T,)."""
        return self.densities.sum((1, 2)) * (2 * self.half_width / CELLS) ** 2


@torch.no_grad()
def film(flow: CNF, half_width: float, *, steps: int = 24, seed: int = 0) -> Reel:
    """What a flow in the plane does on its way, solved by ``steps`` RK4 steps.

    The density at a time t is that of the base after flowing on from t to t1: a grid joins the solve at every time.
    """
    times = torch.linspace(0, float(flow.t1), FRAMES)
    how: dict[str, Any] = {"method": "rk4_classic", "options": {"step_size": float(flow.t1) / steps}}
    side = (torch.arange(CELLS) + 0.5) * 2 * half_width / CELLS - half_width
    y, x = torch.meshgrid(side, side, indexing="ij")
    grid = torch.stack([x, y], -1).reshape(-1, 2)
    z, log_det = grid[:0], grid[:0, 0]
    for span in pairwise(times):
        z, log_det = torch.cat([z, grid]), torch.cat([log_det, torch.zeros(len(grid))])
        path = solve(lambda t, s: exact_divergence(flow.field, t, s[0]), (z, log_det), torch.stack(span), **how).y
        z, log_det = path[0][-1], path[1][-1]
    log_p = flow.base.log_prob(torch.cat([z, grid])) + torch.cat([log_det, torch.zeros(len(grid))])
    start = torch.randn(PARTICLES, 2, generator=torch.Generator().manual_seed(seed))
    particles = torch.as_tensor(solve(flow.field, start, times.flip(0), **how).y).flip(0)
    densities = log_p.exp().reshape(FRAMES, CELLS, CELLS).numpy()
    return Reel(tuple(times.tolist()), particles.numpy(), densities, half_width)


def movie(reels: Mapping[str, Reel]) -> Explorable:
    """A time slider with a play button and a picker of the density; particles and density between data and base."""

    def update(fig: Figure, frame: int, name: str) -> str:
        reel = reels[name]
        figures.update_movie(fig, *frame_of(reel, frame))
        return f"{name} at t = {reel.times[frame]:.2f}: mass in the window {reel.mass[frame]:.3f}."

    controls = {
        "frame": widgets.IntSlider(FRAMES - 1, min=0, max=FRAMES - 1, description="time, data ← → base"),
        "name": widgets.Dropdown(options=list(reels), description="density"),
    }
    figure = figures.movie(*frame_of(next(iter(reels.values())), 0))
    return Explorable(figure, update, controls, play="frame")


def frame_of(reel: Reel, frame: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """What `figures.movie` draws of a reel at one of its times."""
    return reel.particles[frame], reel.densities[frame], reel.times[frame], reel.half_width
