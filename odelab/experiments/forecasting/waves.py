"""The Kuramoto–Sivashinsky equation, and a neural ODE of it with and without a linear damping term.

    u_t = −u u_x − u_xx − u_xxxx,  periodic in x with length 22

The solution is chaotic and stays near a set of low dimension. Across this set there are no data, so nothing tells a
net to come back to it; a damping term does. After Linot, Burby, Tang, Balaprakash, Graham and Maulik (2023).
"""

import math
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from odelab.experiments.forecasting.recipe import DAMPING, LONG_ROLLOUT, NOISES, ROLLOUT
from odelab.nets.fields import perceptron
from odelab.solvers import solve

LENGTH, POINTS = 22.0, 32
GAP = 0.25  # time between samples
STEP = GAP / 40  # of the classical Runge–Kutta method, which is stable up to 0.0066 here
SAMPLES, TRAIN, TEST = 401, 40, 24  # of each path, and the number of paths
SETTLE = 100.0  # time until a path is near the attractor
WIDTH = 128
REACH = 2.0  # a path has left when its norm is so many times the largest one in the data

WAVENUMBERS = 2 * math.pi / LENGTH * torch.arange(POINTS // 2 + 1, dtype=torch.float64)
GROWTH = WAVENUMBERS**2 - WAVENUMBERS**4
SLOPES = -0.5j * WAVENUMBERS * (torch.arange(POINTS // 2 + 1) <= POINTS // 3)  # of u²; the cut avoids aliasing


def waves(t: Tensor | float, u: Tensor) -> Tensor:
    """du/dt (…, 32) of u (…, 32) at evenly spaced places."""
    return torch.fft.irfft(GROWTH * torch.fft.rfft(u) + SLOPES * torch.fft.rfft(u * u), n=POINTS)


@cache
def wave_paths(paths: int = TRAIN + TEST, samples: int = SAMPLES, seed: int = 0) -> Tensor:
    """Paths (samples, paths, 32) on the attractor, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(paths, POINTS, generator=generator, dtype=torch.float64)
    smooth = 0.5 * (WAVENUMBERS < 2) * (WAVENUMBERS > 0)
    u = torch.fft.irfft(torch.fft.rfft(u) * smooth, n=POINTS)
    options = {"step_size": STEP}
    settle = torch.tensor([0.0, SETTLE], dtype=torch.float64)
    u = solve(waves, u, settle, method="rk4_classic", options=options).y[-1]
    times = GAP * torch.arange(samples, dtype=torch.float64)
    return cast(Tensor, solve(waves, u, times, method="rk4_classic", options=options).y)


class DampedField(nn.Module):
    """dz/dt = f(z), −a z + f(z) with a fixed, or C z + f(z) with a learned circular convolution of five weights.

    Args:
        damping: "none", "fixed" or "learned".
    """

    def __init__(self, damping: str, seed: int, width: int = WIDTH) -> None:
        super().__init__()
        if damping not in ("none", "fixed", "learned"):
            raise ValueError(f"damping is {damping!r}; it can be 'none', 'fixed' or 'learned'")
        torch.manual_seed(seed)
        self.damping = damping
        self.net = perceptron(POINTS, POINTS, (width, width), nn.ReLU)
        self.weights = nn.Parameter(torch.zeros(5)) if damping == "learned" else None

    def linear(self, z: Tensor) -> Tensor:
        """The linear term alone, (…, 32)."""
        if self.weights is None:
            return -DAMPING * z if self.damping == "fixed" else torch.zeros_like(z)
        shifted = torch.stack([z.roll(k, -1) for k in range(-2, 3)], -1)
        return shifted @ self.weights

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        return self.net(z) + self.linear(z)


def roll_out(field: nn.Module, z: Tensor, steps: int) -> Tensor:
    """States (steps + 1, n, 32), a sample apart; two Runge–Kutta steps in each gap."""
    path, h = [z], GAP / 2
    for _ in range(steps):
        for _ in range(2):
            first = field(0.0, z)
            second = field(0.0, z + h / 2 * first)
            third = field(0.0, z + h / 2 * second)
            fourth = field(0.0, z + h * third)
            z = z + h / 6 * (first + 2 * second + 2 * third + fourth)
        path.append(z)
    return torch.stack(path)


def train_field(field: DampedField, paths: Tensor, steps: int, seed: int) -> float:
    """Adam on pairs of steps from random samples of paths (samples, n, 32); returns the mean of the last losses."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(field.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=1e-5)
    losses = []
    for _ in range(steps):
        start = torch.randint(len(paths) - 2, (128,), generator=generator)
        which = torch.randint(paths.shape[1], (128,), generator=generator)
        predicted = roll_out(field, paths[start, which], 2)[1:]
        truth = torch.stack([paths[start + 1, which], paths[start + 2, which]])
        loss = (predicted - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses[-50:]) / len(losses[-50:])


def energy(paths: Tensor) -> Tensor:
    """Mean |û_k|² over all but the last dimension, (17,)."""
    return torch.fft.rfft(paths).abs().square().flatten(0, -2).mean(0)


def left(path: Tensor, reach: float) -> Tensor:
    """Whether each of n paths (steps, n, 32) has once a larger norm than the reach, or none: bool (n,)."""
    return ~(path.norm(dim=-1).amax(0) <= reach)


@torch.no_grad()
def judge(field: nn.Module, train: Tensor, test: Tensor, seed: int) -> dict[str, list[float]]:
    """What happens on roll-outs from test states.

    Returns:
        error: root mean square over that of the waves after 10, 25, 50 and 100 steps, from clean states; then for each
        size of noise on the first state the share of paths that leave within 100 and within 1000 steps, and the mean
        distance |log₁₀| of the mean energies of waves 1–8 from the true ones over steps 501–1000, 3 at most.
    """
    reach = REACH * float(train.norm(dim=-1).max())
    starts = range(0, len(test) - ROLLOUT, 50)
    truth = torch.cat([test[start : start + ROLLOUT + 1] for start in starts], 1)
    gap = (roll_out(field, truth[0], ROLLOUT) - truth).square().mean(-1).sqrt() / test.std()
    said: dict[str, list[float]] = {"error": [min(float(gap[step].mean()), 10.0) for step in (10, 25, 50, 100)]}
    generator = torch.Generator().manual_seed(seed)
    clean, right = truth[0], energy(test)
    for name in ("left_100", "left_1000", "spectrum"):
        said[name] = []
    for noise in NOISES:
        path = roll_out(field, clean + noise * torch.randn(clean.shape, generator=generator), LONG_ROLLOUT)
        said["left_100"].append(float(left(path[: ROLLOUT + 1], reach).double().mean()))
        said["left_1000"].append(float(left(path, reach).double().mean()))
        late = path[LONG_ROLLOUT // 2 + 1 :].nan_to_num(1e9, 1e9, -1e9).clamp(-1e9, 1e9)
        said["spectrum"].append(min(float((energy(late) / right)[1:9].log10().abs().mean()), 3.0))
    return said
