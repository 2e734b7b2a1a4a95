"""Explorables of the solvers' lesson: the order of a method, and the steps of an adaptive one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.solvers import figures
from odelab.solvers import TABLEAUS, Solution, solve
from odelab.solvers.stepping import RungeKutta

Field = Callable[[float | Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Problem:
    """y' = field(t, y), y(0) = start, up to ``end``."""

    field: Field
    start: tuple[float, ...]
    end: float

    @cache  # noqa: B019  problems live as long as the module
    def solution(self) -> np.ndarray:
        """y(end) by dopri8 at tolerance 1e-13."""
        y0 = torch.tensor(self.start, dtype=torch.float64)
        t = torch.tensor([0.0, self.end], dtype=torch.float64)
        return solve(self.field, y0, t, method="dopri8", rtol=1e-13, atol=1e-13).y[-1].numpy()


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
    # Where in its step a kink falls is luck: the error is the worst of eleven starts.
    "kink (a ReLU field)": Problem(lambda t, y: -y.clamp(min=0.4), tuple(0.9 + 0.02 * i for i in range(11)), 2.0),
    "stiff": Problem(lambda t, y: -15 * (y - math.cos(float(t))), (1.0,), 4.0),
}
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
    """Error against step size and work, for any method on any of four problems, in two precisions."""

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
