"""The error of a walk's forecast in its three readings, over sequences and over the horizon, and two baselines."""

from typing import Any

import torch
from torch import Tensor

from odelab.experiments.mocap.training import clock
from odelab.latent import ODE2VAE

DRAWS = 50


def errors(draws: Tensor, centre: Tensor, x: Tensor, frames: int) -> dict[str, Any]:
    """Mean squared errors over channels and the frames from m on; papers seldom say which of the three is theirs.

    Args:
        draws: K forecasts (K, n, T, channels).
        centre: the path from the means of q(z₀) and q(W), (n, T, channels).
        x: the walks (n, T, channels).
        frames: m, the frames that were given.

    Returns:
        mean_of_draws, per_draw (the mean over draws of each one's error; larger by the spread of the draws),
        posterior_mean; each as a number, and under "sequences" for each walk; "horizon": the first of them for every
        frame from m on.
    """
    late, truth = draws[:, :, frames:], x[:, frames:]
    square = (late.mean(0) - truth).square()
    parts = {
        "mean_of_draws": square.mean((1, 2)),
        "per_draw": (late - truth).square().mean((0, 2, 3)),
        "posterior_mean": (centre[:, frames:] - truth).square().mean((1, 2)),
    }
    return {
        **{name: part.mean().item() for name, part in parts.items()},
        "sequences": {name: rounded(part) for name, part in parts.items()},
        "horizon": rounded(square.mean((0, 2))),
    }


def score(model: ODE2VAE, x: Tensor, seed: int, draws: int = DRAWS) -> dict[str, Any]:
    """`errors` of a model's forecasts of x (n, T, channels), from its first m frames and no others."""
    seen, times = x[:, : model.frames], clock(x.shape[1])
    generator = torch.Generator().manual_seed(seed)
    forecast = model.forecast(seen, times, draws, generator)
    centre = model.forecast(seen, times, mean=True).mean
    return errors(forecast.draws, centre, x, model.frames)


def baseline(name: str, train: Tensor, x: Tensor, frames: int = 3) -> dict[str, Any]:
    """`errors` of the mean of all training frames, or of the last frame given, at every frame."""
    still = train.mean((0, 1)).expand_as(x) if name == "training mean" else x[:, frames - 1 : frames].expand_as(x)
    return errors(still[None], still, x, frames)


def without_horizon(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scores.items() if name != "horizon"}


def rounded(values: Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]
