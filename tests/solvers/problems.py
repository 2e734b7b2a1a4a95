"""Problems with closed-form solutions, and small measures of a solve."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from odelab.solvers import METHODS, Stats
from odelab.solvers.inputs import VectorField

FIXED = [name for name, make in METHODS.items() if not make({}).adaptive]
ADAPTIVE = [name for name, make in METHODS.items() if make({}).adaptive and name != "scipy_solver"]
SYMPLECTIC = ["leapfrog", "yoshida4"]
ADAMS = ["explicit_adams", "implicit_adams", "fixed_adams"]
IMPLICIT = [name for name, make in METHODS.items() if make({}).family == "implicit"]
RUNGE_KUTTA = [name for name, make in METHODS.items() if make({}).family == "runge_kutta"]


def tensor(*values: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype)


def times(end: float = 1.0, n: int = 2, start: float = 0.0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.linspace(start, end, n, dtype=dtype)


class LimitCycle(nn.Module):
    """Coupled, nonlinear and nonautonomous, so that no order condition is met by accident.

    In polar coordinates r' = r (1 − r²) and angle' = 1 + cos t: r = (1 + 3 e^(−2t))^(−½) from r(0) = ½, and
    angle = t + sin t.
    """

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x, z = y.unbind(-1)
        pull, turn = 1 - x**2 - z**2, 1 + torch.cos(t)
        return torch.stack([pull * x - turn * z, pull * z + turn * x], dim=-1)

    def exact(self, t: Any) -> Tensor:
        """() -> (2,), (n,) -> (n, 2)."""
        t = torch.as_tensor(t, dtype=torch.float64)
        radius = 1 / torch.sqrt(1 + 3 * torch.exp(-2 * t))
        angle = t + torch.sin(t)
        return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1)


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


def field_of(func: Callable[..., Tensor], y0: Tensor) -> VectorField:
    """func as methods see it: with float times."""
    return VectorField(func, y0, Stats())


@torch.no_grad()
def march(name: str, func: Callable[..., Tensor], y0: Tensor, end: float, n: int, **options: Any) -> Tensor:
    """y(end) after n equal steps of the method alone: no controller, no interpolation."""
    method, f, y = METHODS[name](options).fresh(), field_of(func, y0), y0
    for i in range(n):
        y = method.step(f, end * i / n, end * (i + 1) / n, end / n, y).y1
    return y


def slopes(errors: Sequence[float]) -> list[float]:
    """Observed orders from errors at steps that halve each time."""
    return [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
