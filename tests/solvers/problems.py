"""Problems with closed-form solutions, and the routes by which a gradient can be computed."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from odelab import solve
from odelab.solvers import METHODS

FIXED = [name for name, make in METHODS.items() if not make({}).adaptive]
ADAPTIVE = [name for name, make in METHODS.items() if make({}).adaptive and name != "scipy_solver"]
SYMPLECTIC = ["leapfrog", "yoshida4"]


def tensor(*values: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype)


def times(end: float = 1.0, n: int = 2, start: float = 0.0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.linspace(start, end, n, dtype=dtype)


class Forced(nn.Module):
    """y' = −y cos t + y² sin(t)/2 in one dimension is 1/y linear; no symmetry hides a wrong order term.

    With u = 1/y: u' = u cos t − sin(t)/2, whose solution needs an integral; so take y' = y cos t instead of it, which
    has y = y0 exp(sin t), beside an oscillator driven at another frequency.
    """

    omega, drive = 2.0, 1.3

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        a, x, v = y.unbind(-1)
        force = torch.cos(self.drive * t)
        return torch.stack([a * torch.cos(t), v, force - self.omega**2 * x], dim=-1)

    def exact(self, t: Tensor, y0: Tensor) -> Tensor:
        """(n,) times -> (n, 3), starting from y0 at t = 0."""
        a0, x0, v0 = y0.tolist()
        gain = 1 / (self.omega**2 - self.drive**2)
        free = x0 - gain
        x = free * torch.cos(self.omega * t) + v0 / self.omega * torch.sin(self.omega * t)
        v = -free * self.omega * torch.sin(self.omega * t) + v0 * torch.cos(self.omega * t)
        x = x + gain * torch.cos(self.drive * t)
        v = v - gain * self.drive * torch.sin(self.drive * t)
        return torch.stack([a0 * torch.exp(torch.sin(t)), x, v], dim=-1)


class Linear(nn.Module):
    """y' = A y + b sin t; nothing but the matrix exponential is needed to solve it, see `exact`."""

    def __init__(self, dim: int = 3, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.A = nn.Parameter(torch.randn(dim, dim, generator=generator, dtype=dtype) * 0.6)
        self.b = nn.Parameter(torch.randn(dim, generator=generator, dtype=dtype))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y @ self.A.mT + self.b * torch.sin(t)

    def exact(self, y0: Tensor, t: Tensor) -> Tensor:
        """(n,) -> (n, dim), differentiable in y0, t, A and b: (y, sin, cos) obey a linear system without forcing."""
        dim = len(y0)
        top = torch.cat([self.A, self.b[:, None], torch.zeros_like(self.b)[:, None]], dim=1)
        turn = torch.zeros(2, dim + 2, dtype=top.dtype)
        turn[0, dim + 1], turn[1, dim] = 1.0, -1.0
        system = torch.cat([top, turn])
        state = torch.cat([y0, torch.sin(t[0])[None], torch.cos(t[0])[None]])
        return torch.stack([(torch.linalg.matrix_exp(system * (x - t[0])) @ state)[:dim] for x in t])


class Network(nn.Module):
    """The spiral's vector field, a small multilayer perceptron of y³."""

    def __init__(self, width: int = 16, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2)).to(dtype)
        for p in self.net.parameters():
            p.data = torch.randn(p.shape, generator=generator, dtype=dtype) * 0.3

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y**3) + 0.1 * torch.cos(t)


def gradients(loss: Tensor, *inputs: Tensor) -> list[Tensor]:
    """∂loss/∂input for each, zeros where there is none."""
    grads = torch.autograd.grad(loss, inputs, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True)]


def observed_order(error, sizes: list[float]) -> float:
    """Slope of log error against log step between the last two sizes."""
    first, last = (float(error(size)) for size in sizes[-2:])
    return math.log(first / last) / math.log(sizes[-2] / sizes[-1])


def counted(func):
    """func and a list whose one entry counts its evaluations."""
    count = [0]

    def field(t, y):
        count[0] += 1
        return func(t, y)

    return field, count


def final(func, y0, end: float, method: str, **options) -> Tensor:
    """y(end) from y(0) = y0 by solve."""
    return solve(func, y0, times(end), method=method, options=options).y[-1]
