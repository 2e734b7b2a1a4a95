"""Explorables of the adjoint's lesson: a nudge and its price, a way back that fails, three gradients, memory."""

import itertools
import math
import warnings
from typing import Any

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.lessons.adjoint import figures
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.kit.export import Twin
from odelab.solvers import solve

TIMES = torch.linspace(0.0, 1.0, 61, dtype=torch.float64)
START = torch.tensor([1.0, 0.0], dtype=torch.float64)
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
RATES = (2, 8, 14, 20)
DECAYS = range(4, 21, 2)  # of the slider
STORED = (2, 3, 4, 5, 7, 11)  # spans of equal length between them


Span = tuple[Tensor, Tensor, Tensor]  # between two stored states: times, the way there, the way back
SWING = torch.linspace(0.0, 3.0, 31, dtype=torch.float64)
SWING_START = torch.tensor([1.2, 0.0], dtype=torch.float64)
TARGET = torch.tensor([0.5, -0.5], dtype=torch.float64)
SIZES = (0.6, 0.3, 0.1, 0.03)


def pendulum(t: Tensor, z: Tensor) -> Tensor:
    """z = (angle, velocity), (..., 2); stiffness 4, friction 0.3."""
    angle, velocity = z.unbind(-1)
    return torch.stack((velocity, -4.0 * torch.sin(angle) - 0.3 * velocity), dim=-1)


def swing_adjoint() -> tuple[Tensor, Tensor]:
    """The path at :data:`SWING` and ∂𝓛/∂z there, (31, 2) each, for 𝓛 = ½‖z(3) − target‖², as in (3.5)."""
    path = torch.as_tensor(solve(pendulum, SWING_START, SWING).y)

    def back(t: Tensor, state: Tensor) -> Tensor:
        """(z, a), (4,): Algorithm 1 with the Jacobian written out."""
        angle, velocity, by_angle, by_velocity = state
        return torch.stack(
            (
                velocity,
                -4.0 * torch.sin(angle) - 0.3 * velocity,
                4.0 * torch.cos(angle) * by_velocity,
                0.3 * by_velocity - by_angle,
            )
        )

    end = torch.cat((path[-1], path[-1] - TARGET))
    adjoint = torch.as_tensor(solve(back, end, SWING.flip(0)).y).flip(0)[:, 2:]
    return path, adjoint


def nudge(back: int = 18, direction: int = 30, size: float = 0.3) -> Explorable:
    """Sliders for time (tenths of a second before the end), direction and size of a nudge; its price two ways."""
    path, adjoint = swing_adjoint()
    loss = (path[-1] - TARGET).square().sum() / 2

    def update(fig: Figure, back: int, direction: int, size: float) -> str:
        angle = math.radians(direction)
        unit = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        now = len(SWING) - 1 - back
        # The pendulum ignores the clock: one solve of all nudged states, each read after the time that it has left.
        later = torch.as_tensor(solve(pendulum, path[now:] + size * unit, SWING, rtol=1e-8, atol=1e-10).y)
        ends = torch.stack([later[back - k, k] for k in range(back + 1)])
        measured = ((ends - TARGET).square().sum(-1) / 2 - loss) / size
        predicted = adjoint[now:] @ unit
        states = torch.cat((path[now : now + 1], later[: back + 1, 0]))
        figures.update_nudge(fig, states, adjoint[now], SWING[now:], predicted, measured)
        t, a, d = float(SWING[now]), adjoint[now].tolist(), (size * unit).tolist()
        return (
            f"t = {t:.1f}: nudge δz = ({d[0]:+.2f}, {d[1]:+.2f}), adjoint a(t) = ({a[0]:+.2f}, {a[1]:+.2f}). "
            f"Predicted a(t)·δz = {size * float(predicted[0]):+.4f}, measured Δ𝓛 = {size * float(measured[0]):+.4f}."
        )

    controls = {
        "back": widgets.IntSlider(back, min=0, max=30, description="tenths of a second before the end"),
        "direction": widgets.IntSlider(direction, min=0, max=345, step=15, description="direction, degrees"),
        "size": widgets.SelectionSlider(options=SIZES, value=size, description="size of the nudge"),
    }
    constants = {"path": path.tolist(), "adjoint": adjoint.tolist(), "target": TARGET.tolist(), "loss": float(loss)}
    twin = Twin("nudge", constants)
    return Explorable(figures.nudge(path, TARGET, SWING), update, controls, play="back", twin=twin)


def there_and_back(rate: float, tolerance: float, stored: int = 2) -> tuple[Tensor, list[Span]]:
    """y' = −rate · y from y(0) = 1 and the same solved back, anew from each of the stored states.

    Returns:
        the way there at :data:`TIMES`, (61,), and for each span between two stored states, the first span first:
        its times, the way there, and the way back from the span's right end.
    """

    def decay(t: Tensor, y: Tensor) -> Tensor:
        return -rate * y

    forward = torch.as_tensor(solve(decay, START[:1], TIMES, rtol=tolerance, atol=tolerance).y)[:, 0]
    length = (len(TIMES) - 1) // (stored - 1)
    spans = []
    for first in range(0, len(TIMES) - 1, length):
        times, there = TIMES[first : first + length + 1], forward[first : first + length + 1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that y is far smaller than atol, which is shown here
            back = torch.as_tensor(solve(decay, there[-1:], times.flip(0), rtol=tolerance, atol=tolerance).y)
        spans.append((times, there, back.flip(0)[:, 0]))
    return forward, spans


def reconstruction(rate: int = 14, tolerance: float = 1e-5, stored: int = 2) -> Explorable:
    """Sliders for decay rate, tolerance and number of stored states; the way there, the way back, and their gap."""

    def update(fig: Figure, rate: int, tolerance: float, stored: int) -> str:
        forward, spans = there_and_back(rate, tolerance, stored)
        expected = [tolerance * torch.exp(rate * (times[-1] - times)) for times, _, _ in spans]
        limits = (tolerance, tolerance * math.exp(rate))
        figures.update_reconstruction(fig, TIMES, forward, spans, expected, limits)
        start, worst = float(spans[0][2][0]), max(float((back - there).abs().max()) for _, there, back in spans)
        return (
            f"λ = {rate}, tolerance {tolerance:.0e}, {stored} stored states: the way back reaches y(0) = {start:.4g} "
            f"instead of 1; largest gap {worst:.1e}, and tolerance · exp(λ/{stored - 1}) = "
            f"{tolerance * math.exp(rate / (stored - 1)):.1e}."
        )

    controls = {
        "rate": widgets.IntSlider(rate, min=DECAYS[0], max=DECAYS[-1], step=DECAYS.step, description="decay rate λ"),
        "tolerance": widgets.SelectionSlider(
            options=[(f"{tol:.0e}", tol) for tol in TOLERANCES[:-1]], value=tolerance, description="tolerance"
        ),
        "stored": widgets.SelectionSlider(options=STORED, value=stored, description="stored states"),
    }
    return Explorable(figures.reconstruction(), update, controls, twin=Twin("reconstruction", reconstructions))


def reconstructions() -> dict[str, Any]:
    """What the twin of :func:`reconstruction` draws: ways there, and how far ways back are from them, at all positions.

    "forward" by rate and tolerance, "gaps" with their signs and "told", the state reached and the largest gap, by
    rate, tolerance and stored states; the two curves rounded to what a screen shows.
    """
    tolerances = TOLERANCES[:-1]
    forward: dict[str, list[float]] = {}
    gaps: dict[str, list[list[float]]] = {}
    told: dict[str, list[float]] = {}
    for rate, tolerance, stored in itertools.product(DECAYS, tolerances, STORED):
        there, spans = there_and_back(rate, tolerance, stored)
        off = [back - way for _, way, back in spans]
        place = f"{rate} {tolerances.index(tolerance)}"
        forward[place] = [float(f"{y:.5g}") for y in there.tolist()]
        gaps[f"{place} {stored}"] = [[float(f"{gap:.4g}") for gap in span.tolist()] for span in off]
        told[f"{place} {stored}"] = [float(spans[0][2][0]), max(float(gap.abs().max()) for gap in off)]
    return {"tolerances": tolerances, "forward": forward, "gaps": gaps, "told": told}


def gradient_error(rate: float, tolerance: float, gradient: str, stored: int = 2) -> float:
    """Relative error of dE(1)/dλ for c' = −λ c, E' = c, c(0) = 1, E(0) = 0, against its closed form.

    ``stored`` output times, evenly spaced from 0 to 1, are where the adjoint starts anew from a stored state.
    """
    parameter = torch.tensor(float(rate), dtype=torch.float64, requires_grad=True)

    def dose(t: Tensor, z: Tensor) -> Tensor:
        return torch.stack((-parameter * z[0], z[0]))

    how: dict[str, Any] = {"rtol": tolerance, "atol": tolerance, "gradient": gradient, "params": (parameter,)}
    path = torch.as_tensor(solve(dose, START, torch.linspace(0, 1, stored, dtype=torch.float64), **how).y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the solver says that y came back astray, which is measured here
        (measured,) = torch.autograd.grad(path[-1, 1], parameter)
    exact = (math.exp(-rate) * (rate + 1) - 1) / rate**2
    return abs(float(measured) / exact - 1)


def three_gradients(rate: int = 14) -> Explorable:
    """A slider for the decay rate; error of backprop, adjoint and checkpoint against tolerance.

    All settings are solved on construction, so that the slider only moves lines.
    """
    how = [(name, 2) for name in figures.GRADIENTS] + [("adjoint", 5)]
    errors = {
        chosen: {
            label: [gradient_error(chosen, tol, *settings) for tol in TOLERANCES]
            for label, settings in zip(figures.ERRORS, how, strict=True)
        }
        for chosen in RATES
    }

    def update(fig: Figure, rate: int) -> str:
        figures.update_three_gradients(fig, TOLERANCES, errors[rate])
        at = TOLERANCES.index(1e-6)
        values = ", ".join(f"{name}: {errors[rate][name][at]:.1e}" for name in figures.ERRORS)
        return f"λ = {rate}, tolerance 1e-06, relative error of dE/dλ. {values}."

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
