"""Two sliders over walkers trained with other weights of the divergences: β of the weights', γ of the encoder's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure

from odelab.datasets import Mocap
from odelab.latent import ODE2VAE
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.ode2vae import forecast_figures as figures
from odelab.lessons.ode2vae.walker_explorables import KNEE, levels

DRAWS = 50
Pair = tuple[float, float]


@dataclass(frozen=True)
class Outcome:
    """Forecasts of the test walks by one model; frames T.

    Attributes:
        fans: of the knee, (n, K, T) in degrees as recorded.
        error: root of the squared error of the mean of the draws at each frame, (T,); spread: of the draws, (T,).
        weights_std: mean standard deviation of q(W).
        noise: standard deviation of an observation.
    """

    fans: np.ndarray
    error: np.ndarray
    spread: np.ndarray
    weights_std: float
    noise: float

    @property
    def widths(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Error, spread, and spread with the noise that the error has in it, (T,) each."""
        return self.error, self.spread, np.hypot(self.spread, self.noise)


def outcome(model: ODE2VAE, data: Mocap, draws: int = DRAWS) -> Outcome:
    """What a model says of the test walks, from their first frames alone."""
    x = data.test.x
    forecast = model.forecast(x[:, : model.frames], data.test.times, draws, torch.Generator().manual_seed(0))
    return Outcome(
        (forecast.draws[..., KNEE] + levels(data)[:, None, KNEE]).transpose(0, 1).numpy(),
        (forecast.mean - x).square().mean((0, 2)).sqrt().numpy(),
        forecast.draws.var(0).mean((0, 2)).sqrt().numpy(),
        float(model.dynamics.net.std.detach().mean()),
        0.0 if forecast.noise is None else float(forecast.noise.detach()),
    )


def shares(rows: Sequence[Any], unit: float) -> dict[Pair, str]:
    """What the penalties weigh in the objective, by (β, γ), from the rows of `mocap-sliders`; in nats for each walk.

    Args:
        unit: |q| / |W|, of which the rows' β is a multiple.
    """
    texts = {}
    for row in rows:
        beta, gamma, terms = row.key["beta"], row.key["gamma"], row.result["terms"]
        texts[beta, gamma] = (
            f"In nats per training walk: β KL {beta * unit * terms['weights_kl']:.1f}, KL[q_ode‖q_enc] "
            f"{terms['encoder_kl']:.0f} before γ, dynamic KL {terms['dynamic_kl']:.0f}, reconstruction "
            f"{terms['reconstruction']:.0f}."
        )
    return texts


def penalty_explorer(models: Mapping[Pair, ODE2VAE], data: Mocap, rows: Sequence[Any] = ()) -> Explorable:
    """Sliders for β, γ and the walk: the fan of one knee; error, spread and noise over all test walks.

    Args:
        models: (β in units of |q| / |W|, γ) -> a trained walker; each β with each γ.
        rows: of the full run `mocap-sliders`, which measured the terms.

    Raises:
        ValueError: when a pair is missing.
    """
    betas, gammas = (sorted({pair[side] for pair in models}) for side in (0, 1))
    missing = [(beta, gamma) for beta in betas for gamma in gammas if (beta, gamma) not in models]
    if missing or not models:
        raise ValueError(f"no walker for (β, γ) = {missing or 'any'}: the sliders need each β with each γ")
    found = {pair: outcome(model, data) for pair, model in models.items()}
    truth = (data.test.x[..., KNEE] + levels(data)[:, None, KNEE]).numpy()
    weighed = shares(rows, next(iter(models.values())).beta)
    top = 1.4 * max(width.max() for each in found.values() for width in each.widths)

    def draw(fig: Figure, beta: float, gamma: float, walk: int) -> None:
        it = found[beta, gamma]
        figures.penalties(it.fans[walk - 1], truth[walk - 1], it.widths, top, fig)

    def update(fig: Figure, beta: float, gamma: float, walk: int) -> None:
        it = found[beta, gamma]
        figures.update_penalties(fig, it.fans[walk - 1], truth[walk - 1], it.widths)

    def readout(beta: float, gamma: float, walk: int) -> str:
        it = found[beta, gamma]
        square = np.square(it.error[3:]).mean()
        return (
            f"β = {beta:g} |q|/|W|, γ = {gamma:g}, test walk {walk}: squared error {square:.1f}, "
            f"spread {math.sqrt(np.square(it.spread[3:]).mean()):.1f}°, weights ± {it.weights_std:.3f}, "
            f"observations ± {it.noise:.1f}°. {weighed.get((beta, gamma), '')}"
        )

    middle = betas[len(betas) // 2]
    controls = {
        "beta": widgets.SelectionSlider(
            options=[(f"{b:g}", b) for b in betas], value=middle, description="β, times |q|/|W|"
        ),
        "gamma": widgets.SelectionSlider(
            options=[(f"{g:g}", g) for g in gammas], value=gammas[0], description="γ, of KL[q_ode‖q_enc]"
        ),
        "walk": widgets.IntSlider(1, min=1, max=len(data.test), description="test walk"),
    }
    alt = "The fan of a knee angle around a recording, and error, spread and noise against time, by β and γ."
    return Explorable(draw, controls, alt=alt, readout=readout, update=update, size=(8.4, 3.4))
