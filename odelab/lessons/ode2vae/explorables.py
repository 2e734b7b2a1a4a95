"""Explorables of the ODE²VAE lesson: the phase portraits of flows of order 1 and 2."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.latent import DrawnField, flow
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.ode2vae import figures

Field = Callable[[Tensor | float, Tensor], Tensor]
POSITIONS = tuple(0.5 * k for k in range(-4, 5))
VELOCITIES = tuple(0.5 * k for k in range(-2, 3))


@torch.no_grad()
def portraits(truth: Field, position_only: Field, second_order: Field, times: Tensor) -> dict[tuple, figures.Portrait]:
    """What three systems with one position do from every start (s, v) of a grid.

    Args:
        truth, second_order: fields of z = (s, v); position_only: field of s. All (t, z) -> dz/dt.
        times: (T,), close enough for one step between each two.
    """
    starts = torch.cartesian_prod(torch.tensor(POSITIONS), torch.tensor(VELOCITIES))
    s = flow(position_only, starts[:, :1], times)
    paths = {
        "truth": flow(truth, starts, times),
        "position only": torch.cat((s, position_only(0.0, s)), -1),
        "second order": flow(second_order, starts, times),
    }
    line = torch.linspace(-figures.SPAN, figures.SPAN, 101)
    graph = line.numpy(), position_only(0.0, line[:, None])[:, 0].numpy()
    arrays = {name: path.numpy() for name, path in paths.items()}
    return {
        tuple(start): figures.Portrait(
            times.numpy(),
            {name: path[k, :, 0] for name, path in arrays.items()},
            {name: path[k, :, 1] for name, path in arrays.items()},
            graph,
        )
        for k, start in enumerate(starts.tolist())
    }


def turning_points(s: np.ndarray, least: float = 1e-3) -> int:
    """How often a path (T,) changes its direction; moves smaller than ``least`` do not count."""
    moves = np.diff(s)
    signs = np.sign(moves[np.abs(moves) > least])
    return int((signs[1:] != signs[:-1]).sum())


def portrait_explorer(data: dict[tuple, figures.Portrait]) -> Explorable:
    """Sliders for the start; position against time and the phase plane, for the truth and both learned flows."""

    def draw(fig: Figure, s0: float, v0: float) -> None:
        figures.portrait(data[s0, v0], fig=fig)

    def update(fig: Figure, s0: float, v0: float) -> None:
        figures.update_portrait(fig, data[s0, v0])

    def readout(s0: float, v0: float) -> str:
        chosen = data[s0, v0]
        path = {name: np.asarray(chosen.position[name]) for name in figures.ORDERS}
        parts = [
            f"{name}: turns {turning_points(path[name])} times, off by {np.abs(path[name] - path['truth']).mean():.2f}"
            for name in ("position only", "second order")
        ]
        return f"The truth turns {turning_points(path['truth'])} times. {'; '.join(parts)} on average."

    controls = {
        "s0": widgets.SelectionSlider(options=POSITIONS, value=1.5, description="position at the start"),
        "v0": widgets.SelectionSlider(options=VELOCITIES, value=0.0, description="velocity at the start"),
    }
    alt = "Position against time and the phase plane, for a pendulum and for learned flows of order 1 and 2."
    return Explorable(draw, controls, alt=alt, readout=readout, update=update, size=(9.6, 3.8))


@torch.no_grad()
def cut(field: DrawnField, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Positions (count,) and each drawn function's acceleration at rest there (K, count); z = (s, v) of size 2."""
    s = torch.linspace(-2.5, 2.5, count)
    states = torch.stack((s, torch.zeros_like(s)), -1).expand(*field.shape, -1, -1)
    return s.numpy(), field(0.0, states)[..., 1].numpy()
