"""The first explorable: one slider turns a residual network into an ODE."""

from functools import cache

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.start import figures

DEEPEST = 64
INPUTS = np.linspace(-2.0, 2.0, 11)
FINE = 4096  # layers that stand for infinitely many; the drawn curves keep every 32nd


def rule(t: float | np.ndarray, z: np.ndarray) -> np.ndarray:
    """dz/dt of a state z at depth t: two tanh neurons and a drift, the whole network of lesson 00. Any shape."""
    return 2 * np.tanh(3 * z - 3 + 6 * t) - 2 * np.tanh(2 * z + 2 - 3 * t) + 2.5 * np.cos(5 * t)


def residual_states(depth: int) -> np.ndarray:
    """States of every input before and after each of ``depth`` layers z ← z + f(t, z) / depth, (depth + 1, inputs)."""
    states = [INPUTS]
    for layer in range(depth):
        states.append(states[-1] + rule(layer / depth, states[-1]) / depth)
    return np.stack(states)


@cache
def scene() -> figures.DepthScene:
    """All depths of the slider, and the ODE from two very deep networks by Richardson's rule."""
    ode = 2 * residual_states(2 * FINE)[::64] - residual_states(FINE)[::32]  # error O(1/FINE²), lesson 01, exercise 4
    t, z = np.meshgrid(np.linspace(0.0, 1.0, 21), np.linspace(-2.9, 3.2, 18))
    return figures.DepthScene(
        networks={depth: residual_states(depth) for depth in range(1, DEEPEST + 1)},
        t=np.linspace(0.0, 1.0, len(ode)),
        ode=ode,
        arrow_t=t.ravel(),
        arrow_z=z.ravel(),
        slope=rule(t, z).ravel(),
    )


def residual_to_ode() -> Explorable:
    """Depth slider over the paths of eleven inputs; the readout tells the gap to the ODE."""

    def update(fig: Figure, depth: int) -> str:
        figures.update_residual_to_ode(fig, scene(), depth)
        gap, order = scene().gap(depth), int(np.sum(np.diff(scene().networks[depth][-1]) <= 0))
        crossed = f"{order} neighbours have changed places" if order else "no two inputs have changed places"
        return (
            f"{depth} layer{'s' if depth > 1 else ''}: every output is within {gap:.2g} of the ODE's; "
            f"layers × gap = {depth * gap:.2g}; {crossed}."
        )

    controls = {"depth": widgets.IntSlider(value=4, min=1, max=DEEPEST, description="layers L")}
    return Explorable(figures.residual_to_ode(scene()), update, controls, play="depth")
