"""Explorables of the FFJORD lesson: a patch that a flow carries, probes for a trace, densities on their way."""

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

STARTS = 13  # places at which a patch may begin, on a line through the data
MOMENTS = 17  # times at which a patch is shown
EDGE = 48  # points of its outline
RADIUS = 0.2
PROBES = (1, 2, 4, 8, 16, 32, 64)
DRAWS = 2000
FRAMES = 9  # times at which a movie shows a flow, both ends included
CELLS = 44  # of the grid, each way
PARTICLES = 400


@dataclass(frozen=True)
class Carried:
    """What a flow does to points and to small discs, at MOMENTS times from 0 (data) to t1 (base).

    Attributes:
        times: (T,); points: (T, n, 2); outlines: of the discs, closed, (T, k, EDGE + 1, 2).
        centres: (T, k, 2); growth: ∫₀ᵗ div f dt along their paths, (T, k); areas: log of area over that at 0, (T, k).
        log_q: of the base at the centres' ends, (k,).
    """

    times: np.ndarray
    points: np.ndarray
    centres: np.ndarray
    outlines: np.ndarray
    growth: np.ndarray
    areas: np.ndarray
    log_q: np.ndarray


def log_areas(outlines: np.ndarray) -> np.ndarray:
    """Logarithm of the area within closed polygons (…, m, 2), relative to the first of them, (…,)."""
    x, y = outlines[..., 0], outlines[..., 1]
    area = np.abs((x[..., :-1] * y[..., 1:] - x[..., 1:] * y[..., :-1]).sum(-1)) / 2
    return np.log(area / area[:1])


@torch.no_grad()
def carry(flow: CNF, points: Tensor, starts: Tensor) -> Carried:
    """Points (n, 2) and discs around starts (k, 2), from data to base, by RK4."""
    times = torch.linspace(0, float(flow.t1), MOMENTS)
    angle = torch.linspace(0, 2 * math.pi, EDGE + 1)
    discs = starts[:, None] + RADIUS * torch.stack([angle.cos(), angle.sin()], -1)
    how: dict[str, Any] = {"method": "rk4_classic", "options": {"step_size": float(flow.t1) / 64}}
    centres, growth = solve(
        lambda t, s: exact_divergence(flow.field, t, s[0]), (starts, torch.zeros(len(starts))), times, **how
    ).y
    moved = torch.as_tensor(solve(flow.field, torch.cat([points, discs.flatten(0, 1)]), times, **how).y)
    outlines = moved[:, len(points) :].reshape(MOMENTS, len(starts), EDGE + 1, 2).double().numpy()
    log_q = flow.base.log_prob(centres[-1]).numpy()
    cloud = moved[:, : len(points)].numpy()
    return Carried(times.numpy(), cloud, centres.numpy(), outlines, growth.numpy(), log_areas(outlines), log_q)


def patch_explorer(flow: CNF, points: Tensor, half_width: float, line: tuple[Tensor, Tensor]) -> Explorable:
    """Sliders for time and for where a small patch begins; its way to the base, and what becomes of its area.

    Args:
        points: data, (n, 2).
        half_width: of the window.
        line: from … to, (2,) each: the patch begins at one of STARTS places between.
    """
    shares = torch.linspace(0, 1, STARTS)[:, None]
    starts = line[0] + shares * (line[1] - line[0])
    carried = carry(flow, points, starts)
    reach = (float(carried.growth.min()) - 0.5, float(carried.growth.max()) + 0.5)

    def update(fig: Figure, frame: int, start: int) -> str:
        now = slice(0, frame + 1)
        figures.update_patch(
            fig,
            carried.points[frame],
            carried.centres[now, start],
            carried.outlines[frame, start],
            carried.times[now],
            carried.growth[now, start],
            carried.areas[now, start],
        )
        x, q, spread = carried.centres[0, start], carried.log_q[start], carried.growth[-1, start]
        return (
            f"x = ({x[0]:.2f}, {x[1]:.2f}): at t = {carried.times[frame]:.2f} the patch is "
            f"{math.exp(carried.growth[frame, start]):.2g} times as large. At the end log q(z) = {q:.2f} and "
            f"∫ div f dt = {spread:+.2f}, so log p(x) = {q + spread:.2f}."
        )

    controls = {
        "frame": widgets.IntSlider(MOMENTS - 1, min=0, max=MOMENTS - 1, description="time, data → Gaussian"),
        "start": widgets.IntSlider(STARTS // 2, min=0, max=STARTS - 1, description="where x lies"),
    }
    return Explorable(figures.patch(half_width, reach), update, controls, play="frame")


#: For one probe in the plane: name -> B.
SMALL = {
    "symmetric, not diagonal": torch.tensor([[0.5, 1.2], [1.2, 0.5]]),
    "diagonal": torch.tensor([[1.8, 0.0], [0.0, -0.8]]),
    "rotation": torch.tensor([[0.0, -1.5], [1.5, 0.0]]),
    "attracting": torch.tensor([[-1.5, 0.4], [-0.6, -1.0]]),
}


def one_probe_explorer() -> Explorable:
    """Sliders for the direction of one probe and for the matrix; what one probe says of the trace."""

    def update(fig: Figure, degrees: int, matrix: str) -> str:
        B = SMALL[matrix]
        figures.update_one_probe(fig, B, degrees)
        corners = [float(B.sum()), float(B.trace() - B[0, 1] - B[1, 0])]  # (1, 1) and (−1, −1); (−1, 1) and (1, −1)
        e = math.sqrt(2) * torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
        return (
            f"{matrix}: this probe gives {float(e @ B @ e):.2f}, the Rademacher probes {corners[0]:.2f} and "
            f"{corners[1]:.2f}, on average {sum(corners) / 2:.2f}; the trace is {float(B.trace()):.2f}."
        )

    controls = {
        "degrees": widgets.IntSlider(30, min=0, max=345, step=15, description="direction of ε, degrees"),
        "matrix": widgets.Dropdown(options=list(SMALL), description="matrix B"),
    }
    return Explorable(figures.one_probe(), update, controls, play="degrees")


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
