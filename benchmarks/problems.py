"""What is solved: the vector fields, states and tolerances of the comparison, and the ratios to reach."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from odelab.nets import ConvField

NumpyField = Callable[[float, np.ndarray], np.ndarray]


class Decay(nn.Module):
    """dy/dt = rate · y, one operation: nearly all that is timed is the solver."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor([-1.0, -0.5]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.rate * y


class Spiral(nn.Module):
    """A perceptron 2–50–2 of y³, the field of torchdiffeq's `ode_demo`, fitted to the spiral dy/dt = y³ A there.

    Unfitted it contracts so fast that no continuous adjoint finds its way back.
    """

    def __init__(self, iterations: int = 500) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1 if parameter.ndim == 2 else 0.0, generator=generator)
        matrix = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        for _ in range(iterations):
            cubes = (torch.rand(256, 2, generator=generator) * 4 - 2) ** 3
            optimizer.zero_grad()
            (self.net(cubes) - cubes @ matrix).abs().mean().backward()
            optimizer.step()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y**3)


@dataclass(frozen=True)
class Problem:
    """An initial value problem with its tolerances.

    Attributes:
        targets: the ratio to reach per column, see `solvers.COLUMNS`.
        reference_by: SciPy's method and tolerance for the reference; ReLUs in f make a high order pointless.
        numpy_field: the same field for SciPy, on the flat state, where somebody would write it so.
    """

    name: str
    title: str
    func: nn.Module
    y0: Tensor
    t: Tensor
    rtol: float
    atol: float
    targets: dict[str, float] = field(default_factory=dict)
    reference_by: tuple[str, float] = ("DOP853", 1e-11)
    numpy_field: NumpyField | None = None

    @property
    def tolerances(self) -> dict[str, Any]:
        return {"rtol": self.rtol, "atol": self.atol}

    def reference(self) -> Tensor:
        """States at the output times to far below the tolerances, by SciPy in float64."""
        func = copy.deepcopy(self.func).double()

        @torch.no_grad()
        def flat(t: float, y: np.ndarray) -> np.ndarray:
            slope = func(torch.tensor(t, dtype=torch.float64), torch.from_numpy(y).view(self.y0.shape))
            return slope.reshape(-1).numpy()

        start, end = float(self.t[0]), float(self.t[-1])
        y0 = self.y0.double().reshape(-1).numpy()
        method, tol = self.reference_by
        times = self.t.double().numpy().clip(start, end)
        solution = solve_ivp(flat, (start, end), y0, t_eval=times, method=method, rtol=tol, atol=tol)
        return torch.from_numpy(solution.y.T).reshape(len(self.t), *self.y0.shape)


def decay() -> Problem:
    func = Decay()
    rate = func.rate.detach().double().numpy()
    return Problem(
        "decay",
        "linear decay, dim 2",
        func,
        torch.tensor([1.0, 2.0]),
        torch.linspace(0, 5, 10),
        1e-7,
        1e-9,
        targets={"forward": 3.0, "backprop": 2.0, "checkpoint": 5.0, "adjoint": 3.0},
        numpy_field=lambda t, y: rate * y,
    )


def spiral(batch: int, targets: dict[str, float]) -> Problem:
    func = Spiral()
    w1, b1, w2, b2 = (parameter.detach().double().numpy() for parameter in func.parameters())
    y0 = torch.rand(batch, 2, generator=torch.Generator().manual_seed(1)) * 4 - 2

    def numpy_field(t: float, y: np.ndarray) -> np.ndarray:
        return (np.tanh(y.reshape(-1, 2) ** 3 @ w1.T + b1) @ w2.T + b2).reshape(-1)

    return Problem(
        f"spiral{batch}",
        f"spiral MLP, batch {batch}",
        func,
        y0,
        torch.linspace(0, 25, 10),
        1e-5,
        1e-6,
        targets=targets,
        numpy_field=numpy_field,
    )


def convolution(batch: int = 128, channels: int = 64) -> Problem:
    torch.manual_seed(0)
    func = ConvField(channels, groups=min(32, channels))
    y0 = torch.randn(batch, channels, 7, 7, generator=torch.Generator().manual_seed(1))
    return Problem(
        "conv",
        f"ConvODE {batch}×{channels}×7×7",
        func,
        y0,
        torch.tensor([0.0, 1.0]),
        1e-3,
        1e-3,
        targets=dict.fromkeys(("forward", "backprop", "checkpoint", "adjoint"), 1.0),
        reference_by=("RK45", 1e-5),
    )


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "decay": decay,
    "spiral20": lambda: spiral(20, {"forward": 2.5, "backprop": 2.0, "checkpoint": 3.5, "adjoint": 2.3}),
    # At this size tanh takes most of the time, the same for both, so the ratio depends on the processor's tanh: the
    # adjoint's was 2.0 on an Intel Xeon and is 1.6 on an AMD EPYC, with the same code.
    "spiral1000": lambda: spiral(1000, {"forward": 1.5, "backprop": 1.3, "checkpoint": 1.7, "adjoint": 1.4}),
    "conv": convolution,
}
