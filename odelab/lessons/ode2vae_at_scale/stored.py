"""What stored full runs have left: models of digits, balls and walks, and what they make of data."""

import torch
from torch import Tensor

from odelab.datasets import Mocap, data_file
from odelab.latent import ODE2VAE


def stored_model(name: str) -> ODE2VAE | None:
    """The model of that name that a full run has left, in evaluation mode; None where there is none."""
    try:
        return ODE2VAE.load(data_file(f"checkpoints/{name}.safetensors"))
    except FileNotFoundError:
        return None


def stored_balls(balls: int) -> dict[str, ODE2VAE]:
    """The models of bouncing balls, 16 × 16, that full runs have left: short name -> model."""
    names = {"order 2": "ode2vae", "order 1, 2q": "order-1-2q", "order 1, q": "order-1"}
    found = {short: stored_model(f"bouncing_16_{balls}_{name}") for short, name in names.items()}
    return {short: model for short, model in found.items() if model}


def balls_with_models() -> list[int]:
    """Numbers of balls for which as many models are stored as for any; one ball where there are none."""
    count = {balls: len(stored_balls(balls)) for balls in (1, 3)}
    return [balls for balls in count if count[balls] == max(count.values())][: 2 if any(count.values()) else 1]


def forecasts(x: Tensor, times: Tensor, balls: int) -> dict[str, Tensor]:
    """What each stored model makes of the first frames of x (n, T, 1, 16, 16); and two guesses without a model."""
    found = {name: model.forecast(x, times, mean=True).mean for name, model in stored_balls(balls).items()}
    return found | {"last frame": x[:, 2:3].expand_as(x), "mean frame": x.mean((0, 1)).expand_as(x)}


def walk_errors(mocap: Mocap) -> dict[str, float]:
    """Errors on the test walks, frames 3 to 299: two constants, and the shipped walker's mean of 50 draws.

    The walker is left out where its weights are missing, or where the walks are a stand-in that it never saw.
    """
    test, m = mocap.test, 3
    still = {"training mean": mocap.train.x.mean((0, 1)).expand_as(test.x), "last frame": test.x[:, m - 1 : m]}
    found = {name: (guess - test.x).square()[:, m:].mean().item() for name, guess in still.items()}
    walker = stored_model("mocap2_ode2vae-kl") if mocap.complete else None
    if walker:
        mean = walker.forecast(test.x, test.times, 50, torch.Generator().manual_seed(0)).mean
        found["ode2vae-kl"] = (mean - test.x).square()[:, m:].mean().item()
    return found
