"""Explorables of the adjoint's lesson: a reconstruction that fails, three gradients against a closed form, memory."""

import math
from typing import Any

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.lessons.adjoint import figures
from odelab.lessons.kit.explorable import Explorable
from odelab.solvers import solve

TIMES = torch.linspace(0.0, 1.0, 31, dtype=torch.float64)
START = torch.tensor([1.0, 0.0], dtype=torch.float64)
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
RATES = (2, 8, 14, 20, 26)


def there_and_back(rate: float, tolerance: float) -> tuple[Tensor, Tensor]:
    """y' = −rate · y from y(0) = 1 at :data:`TIMES`, and the same solved back from the y(1) it reached; (31,) each."""

    def decay(t: Tensor, y: Tensor) -> Tensor:
        return -rate * y

    with torch.no_grad():
        forward = torch.as_tensor(solve(decay, START[:1], TIMES, rtol=tolerance, atol=tolerance).y)
        backward = torch.as_tensor(solve(decay, forward[-1], TIMES.flip(0), rtol=tolerance, atol=tolerance).y)
    return forward[:, 0], backward.flip(0)[:, 0]


def reconstruction(rate: int = 8, tolerance: float = 1e-6) -> Explorable:
    """Sliders for decay rate and tolerance; forward path, backward reconstruction and their gap."""

    def update(fig: Figure, rate: int, tolerance: float) -> str:
        forward, backward = there_and_back(rate, tolerance)
        figures.update_reconstruction(fig, TIMES, forward, backward, tolerance * torch.exp(rate * (1 - TIMES)))
        start = float(backward[0])
        return (
            f"λ = {rate}, tolerance {tolerance:.0e}: the way back reaches y(0) = {start:.4g} instead of 1, a gap of "
            f"{abs(start - float(forward[0])):.1e}; tolerance · exp(λ) = {tolerance * math.exp(rate):.1e}."
        )

    controls = {
        "rate": widgets.IntSlider(rate, min=0, max=24, step=1, description="decay rate λ"),
        "tolerance": widgets.SelectionSlider(
            options=[(f"{tol:.0e}", tol) for tol in TOLERANCES[:-1]], value=tolerance, description="tolerance"
        ),
    }
    return Explorable(figures.reconstruction(), update, controls)


def gradient_error(rate: float, tolerance: float, gradient: str) -> float:
    """Relative error of ∂A(1)/∂λ for c' = −λ c, A' = c, c(0) = 1, A(0) = 0, against its closed form."""
    parameter = torch.tensor(float(rate), dtype=torch.float64, requires_grad=True)

    def dose(t: Tensor, z: Tensor) -> Tensor:
        return torch.stack((-parameter * z[0], z[0]))

    how: dict[str, Any] = {"rtol": tolerance, "atol": tolerance, "gradient": gradient, "params": (parameter,)}
    path = torch.as_tensor(solve(dose, START, TIMES[[0, -1]], **how).y)
    (measured,) = torch.autograd.grad(path[-1, 1], parameter)
    exact = (math.exp(-rate) * (rate + 1) - 1) / rate**2
    return abs(float(measured) / exact - 1)


def three_gradients(rate: int = 8) -> Explorable:
    """A slider for the decay rate; error of backprop, adjoint and checkpoint against tolerance.

    All settings are solved on construction, so that the slider only moves lines.
    """
    errors = {
        chosen: {name: [gradient_error(chosen, tol, name) for tol in TOLERANCES] for name in figures.GRADIENTS}
        for chosen in RATES
    }

    def update(fig: Figure, rate: int) -> str:
        figures.update_three_gradients(fig, TOLERANCES, errors[rate], rate)
        at = TOLERANCES.index(1e-6)
        values = ", ".join(f"{name} {errors[rate][name][at]:.1e}" for name in figures.GRADIENTS)
        return f"λ = {rate}, tolerance 1e-06, relative error of ∂A/∂λ: {values}."

    controls = {"rate": widgets.SelectionSlider(options=RATES, value=rate, description="decay rate λ")}
    return Explorable(figures.three_gradients(), update, controls)


def memory(measured: figures.Measured) -> Explorable:
    """A slider over what the lesson measured: bytes kept and seconds spent by each gradient.

    Args:
        measured: number of solver steps -> "backprop", "adjoint", "checkpoint" -> (bytes, seconds).
    """

    def update(fig: Figure, steps: int) -> str:
        figures.update_memory(fig, steps)
        row = measured[steps]
        parts = [f"{name} {_size(row[name][0])} in {1e3 * row[name][1]:.0f} ms" for name in figures.GRADIENTS]
        return f"{steps} steps: " + ", ".join(parts) + "."

    controls = {"steps": widgets.SelectionSlider(options=list(measured), description="steps")}
    return Explorable(figures.memory(measured), update, controls)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
