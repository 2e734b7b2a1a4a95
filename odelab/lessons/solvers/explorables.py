"""Explorables of the solvers' lesson: the slopes in a step, the order of a method, the steps of an adaptive one."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.folders import data_file
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.solvers import figures
from odelab.solvers import TABLEAUS, Solution, solve
from odelab.solvers.stepping import RungeKutta

Field = Callable[[float | Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Problem:
    """y' = field(t, y), y(0) = start, up to ``end``."""

    field: Field
    start: tuple[Any, ...]
    end: float
    tolerance: float = 1e-13  # of the reference; a field with kinks makes the last digits dear

    @cache  # noqa: B019  problems live as long as the module
    def solution(self) -> np.ndarray:
        """y(end) by dopri8."""
        y0 = torch.tensor(self.start, dtype=torch.float64)
        t = torch.tensor([0.0, self.end], dtype=torch.float64)
        return solve(self.field, y0, t, method="dopri8", rtol=self.tolerance, atol=self.tolerance).y[-1].numpy()


def pendulum(t: float | Tensor, y: Tensor) -> Tensor:
    """Angle and angular velocity, shape (2,)."""
    return torch.stack([y[1], -torch.sin(y[0])])


def van_der_pol(t: float | Tensor, y: Tensor) -> Tensor:
    """The relaxation oscillator y'' = 6 (1 − y²) y' − y, shape (2,)."""
    return torch.stack([y[1], 6 * (1 - y[0] ** 2) * y[1] - y[0]])


def lorenz(t: float | Tensor, y: Tensor) -> Tensor:
    """The chaotic butterfly of Lorenz 1963, shape (3,)."""
    return torch.stack([10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]])


def kicked(t: float | Tensor, y: Tensor) -> Tensor:
    """A damped pendulum pushed for a twentieth of a second at t = 5, shape (2,)."""
    push = 20 * torch.exp(-(((torch.as_tensor(t) - 5) / 0.05) ** 2))
    return torch.stack([y[1], push - torch.sin(y[0]) - 0.3 * y[1]])


class NeuralField:
    """y' = W₂ act(W₁ y + b) on the plane, 64 units, with random weights that are the same on every machine.

    Args:
        act: torch.tanh or torch.relu.
        gain: factor on W₁.
    """

    def __init__(self, act: Callable[[Tensor], Tensor], gain: float = 1.5, width: int = 64, seed: int = 3) -> None:
        g = torch.Generator().manual_seed(seed)
        self.act = act
        self.first = gain * torch.randn(2, width, generator=g, dtype=torch.float64)
        self.bias = torch.randn(width, generator=g, dtype=torch.float64)
        self.second = torch.randn(width, 2, generator=g, dtype=torch.float64) / math.sqrt(width)

    def __call__(self, t: float | Tensor, y: Tensor) -> Tensor:
        """y of shape (…, 2) in any precision."""
        first, bias, second = (weight.to(y.dtype) for weight in (self.first, self.bias, self.second))
        return self.act(y @ first + bias) @ second


MOON = 0.012277471  # mass of the Moon, of Earth's and Moon's together
LAUNCH = (0.994, 0.0, 0.0, -2.00158510637908252240)
PERIOD = 17.0652165601579625589


def arenstorf(t: float | Tensor, y: Tensor) -> Tensor:
    """A spacecraft in the rotating frame of Earth and Moon: place and velocity, shape (4,); closed orbit from LAUNCH.

    Source: Arenstorf 1963; numbers from Hairer, Nørsett & Wanner I, Sec. II.0.
    """
    place, velocity = y[:2], y[2:]
    to_earth, to_moon = place + y.new_tensor([MOON, 0]), place - y.new_tensor([1 - MOON, 0])
    pull = (1 - MOON) * to_earth / to_earth.norm() ** 3 + MOON * to_moon / to_moon.norm() ** 3
    sideways = 2 * torch.stack([velocity[1], -velocity[0]])  # Coriolis
    return torch.cat([velocity, place + sideways - pull])


PROBLEMS = {
    "forced decay": Problem(lambda t, y: math.cos(float(t)) - y, (1.0,), 4.0),
    "pendulum": Problem(pendulum, (1.0, 0.0), 3.0),
    "neural field (tanh)": Problem(NeuralField(torch.tanh), (1.0, 0.0), 4.0),
    # Where in its step a kink falls is luck: the error is the worst of eleven starts.
    "neural field (ReLU)": Problem(
        NeuralField(torch.relu, gain=0.7), tuple((1 + 0.05 * i, 0.0) for i in range(11)), 2.0, tolerance=1e-10
    ),
    "one kink": Problem(lambda t, y: -y.clamp(min=0.4), tuple(0.9 + 0.02 * i for i in range(11)), 2.0),
    "stiff": Problem(lambda t, y: -15 * (y - math.cos(float(t))), (1.0,), 4.0),
}


def rises_and_falls(t: float, y: float) -> float:
    """y' = 1.5 y cos t, a field whose slope changes much within one step."""
    return 1.5 * y * math.cos(t)


def one_step(method: str, h: float, shown: int = 4, fig: Figure | None = None) -> tuple[Figure, list[float], float]:
    """The step from (0, 1) on :func:`rises_and_falls`: its figure, the slopes, and where it ends.

    Args:
        shown: how many of the slopes are drawn; where there are fewer than all, the step is not drawn.
    """
    tableau = TABLEAUS[method]
    places: list[tuple[float, float]] = []
    k: list[float] = []
    for c, row in zip(tableau.c, tableau.a, strict=True):
        places.append((c * h, 1 + h * sum(a * slope for a, slope in zip(row, k, strict=True))))
        k.append(rises_and_falls(*places[-1]))
    end = 1 + h * sum(b * slope for b, slope in zip(tableau.b, k, strict=True))
    fig = fig or figures.slopes(end=1.8, top=6.6)
    t = np.linspace(0, h, 100)
    drawn = min(shown, len(k))
    figures.update_slopes(
        fig,
        t,
        np.exp(1.5 * np.sin(t)),
        np.array(places[:drawn]),
        np.array(k[:drawn]),
        (h, end) if shown >= len(k) else None,
        bar=0.18,
    )
    return fig, k, end


def slope_explorer() -> Explorable:
    """One step of a Runge–Kutta method, its slopes one after the other."""

    def update(fig: Figure, method: str, shown: int, h: float) -> str:
        _, k, end = one_step(method, h, shown, fig)
        values = ", ".join(f"k{'₁₂₃₄'[i]} = {slope:.2f}" for i, slope in enumerate(k[:shown]))
        if shown < len(k):
            return f"{method}, h = {h:.1f}: {values}"
        exact = math.exp(1.5 * math.sin(h))
        return (
            f"{method}, h = {h:.1f}: {values}. The step ends at {end:.3f}, the solution at {exact:.3f}; "
            f"error {abs(end - exact):.1e}."
        )

    controls = {
        "method": widgets.Dropdown(options=["euler", "midpoint", "heun3", "rk4_classic"], value="rk4_classic"),
        "shown": widgets.IntSlider(value=4, min=1, max=4, description="slopes shown"),
        "h": widgets.FloatSlider(value=1.6, min=0.2, max=1.6, step=0.2, description="step h"),
    }
    return Explorable(figures.slopes(end=1.8, top=6.6), update, controls)


FIXED = ("euler", "midpoint", "heun3", "rk4_classic", "dopri5")
STEPS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
FLOORS = {torch.float64: 1e-13, torch.float32: 3e-6}  # below these, rounding


def march(field: Field, y: Tensor, end: float, steps: int, method: str) -> tuple[Tensor, int]:
    """``steps`` equal steps of a Runge–Kutta method, without any control: (y(end), evaluations of the field)."""
    tableau = TABLEAUS[method]
    rule, h, slope = RungeKutta(tableau), end / steps, None
    for i in range(steps):
        step = rule.step(field, i * h, i * h + h, h, y, slope)
        y, slope = step.y1, step.slope1
    return y, steps * tableau.stages - (steps - 1 if tableau.fsal else 0)


@cache
@torch.no_grad()
def errors(problem: str, precision: torch.dtype) -> figures.Measured:
    """method -> (step sizes, evaluations, error at the end), by solving the problem with every method and step."""
    case = PROBLEMS[problem]
    measured = {}
    for method in FIXED:
        rows = []
        for steps in STEPS:
            y, nfe = march(case.field, torch.tensor(case.start, dtype=precision), case.end, steps, method)
            error = float(np.abs(y.double().numpy() - case.solution()).max())
            rows.append((case.end / steps, nfe, min(error, 1e6) if math.isfinite(error) else math.nan))
        step, nfe, error = np.array(rows).T
        measured[method] = (step, nfe, error)
    return measured


def error_explorer() -> Explorable:
    """Error against step size and work, for any method on any of six problems, in two precisions."""

    def update(fig: Figure, method: str, problem: str, precision: torch.dtype) -> str:
        measured, floor = errors(problem, precision), FLOORS[precision]
        figures.update_convergence(fig, measured, method, floor)
        step, nfe, error = measured[method]
        slope, _ = figures.power_law(step, error, floor=floor)
        best = int(np.nanargmin(error))
        order = f"fitted slope {slope:.2f}" if math.isfinite(slope) else "no clean slope to fit"
        return (
            f"{method} (order {TABLEAUS[method].order}) on {problem}: {order}; "
            f"smallest error {error[best]:.1e} at h = {step[best]:.3g} with {nfe[best]:.0f} evaluations of f."
        )

    for name in PROBLEMS:
        for dtype in FLOORS:
            errors(name, dtype)  # two seconds now, so that no slider waits
    controls = {
        "method": widgets.SelectionSlider(options=FIXED, value="euler"),
        "problem": widgets.Dropdown(options=list(PROBLEMS)),
        "precision": widgets.Dropdown(options=[("float64", torch.float64), ("float32", torch.float32)]),
    }
    return Explorable(figures.convergence(FIXED), update, controls)


END = 13.0
TIMES = torch.linspace(0, END, 400, dtype=torch.float64)
ADAPTIVE = {
    "van der Pol": Problem(van_der_pol, (2.0, 0.0), END),
    "kicked pendulum": Problem(kicked, (1.0, 0.0), END),
    "pendulum": Problem(pendulum, (3.0, 0.0), END),
    "neural field": Problem(NeuralField(torch.tanh, gain=2.0, seed=9), (1.0, 0.0), END),
}
DIGITS = range(2, 8)


@cache
def adaptive_run(problem: str, method: str, digits: int) -> tuple[Solution, float]:
    """The solution at :data:`TIMES` with rtol = atol = 10^−digits, and its error at the end."""
    case, tolerance = ADAPTIVE[problem], 10.0**-digits
    y0 = torch.tensor(case.start, dtype=torch.float64)
    with torch.no_grad():
        solution = solve(case.field, y0, TIMES, method=method, rtol=tolerance, atol=tolerance)
    return solution, float(np.abs(solution.y[-1].numpy() - case.solution()).max())


def tolerance_explorer() -> Explorable:
    """The steps an adaptive method takes at a tolerance, accepted and rejected."""

    def update(fig: Figure, digits: int, method: str, problem: str) -> str:
        solution, error = adaptive_run(problem, method, digits)
        tried = solution.stats.steps
        start, dt = (np.array([getattr(step, name) for step in tried]) for name in ("t", "dt"))
        accepted = np.array([step.accepted for step in tried])
        y = torch.as_tensor(solution.y)[:, 0].numpy()
        figures.update_step_control(fig, TIMES.numpy(), y, start, dt, accepted)
        return (
            f"tolerance 1e-{digits}: {accepted.sum()} steps accepted, {(~accepted).sum()} rejected, "
            f"{solution.stats.nfe} evaluations of f; error at the end {error:.1e}, {error * 10**digits:.2g} times the "
            "tolerance."
        )

    for method in ("bosh3", "dopri5"):
        for problem in ADAPTIVE:
            for digits in DIGITS:
                adaptive_run(problem, method, digits)  # as above
    controls = {
        "digits": widgets.IntSlider(value=4, min=DIGITS[0], max=DIGITS[-1], description="tolerance 10^−"),
        "method": widgets.Dropdown(options=["dopri5", "bosh3"]),
        "problem": widgets.Dropdown(options=list(ADAPTIVE)),
    }
    return Explorable(figures.step_control(END), update, controls)


def stored_costs() -> dict[str, dict[int, float]]:
    """µs of CPU time for one attempted step of dopri5 on the spiral, by program and batch, as it was kept."""
    rows = json.loads(data_file("results/bench_compiled.json").read_text(encoding="utf-8"))["sweep"]
    names = {"compiled": "odelab, compiled", "odelab": "odelab, as usual", "diffrax": "diffrax (compiled, JAX)"}
    return {names.get(key, key): {row["batch"]: row["us"][key] for row in rows} for key in rows[0]["us"]}
