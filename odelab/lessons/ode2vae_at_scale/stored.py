"""What stored full runs have left: models of digits, balls and walks, and what they make of data."""

import numpy as np
import torch
from torch import Tensor

from odelab.datasets import Mocap, bouncing_balls, data_file, rotating_digits
from odelab.latent import ODE2VAE
from odelab.lessons.ode2vae_at_scale import figures


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


def turner() -> tuple[ODE2VAE | None, int]:
    """The stored model of turning digits, of the paper's size where there is one, and the size of its pictures."""
    for size in (28, 14):
        model = stored_model(f"rotating_{size}_non-uniform_ode2vae")
        if model:
            return model, size
    return None, 14


def cover() -> dict[str, dict[str, np.ndarray]]:
    """Strips for the first picture, title -> label -> RGB: a digit and a ball that no model was trained on."""
    model, size = turner()
    digits = rotating_digits(2, size=size, missing=5, split="held-out")
    turning = {"seen": figures.strip(digits.truth[1, :, 0], digits.mask[1])}
    if model:
        turning["model"] = figures.strip(model.forecast(digits.x[1:], digits.times, mean=True).mean[0, :, 0])
    film = bouncing_balls(1, 19, size=16, balls=1, seed=10)
    flying = {"truth": figures.strip(film.x[0, 2:, 0])}
    if "order 2" in (views := forecasts(film.x, film.times, 1)):
        flying["model"] = figures.strip(views["order 2"][0, 2:, 0])
    return {
        f"A digit of {size} × {size} pixels. The model reads the first frame and draws the whole turn": turning,
        "A ball, 16 × 16 pixels. The model reads frames 0 to 2; frames 2, 3, …, 18 are shown": flying,
    }


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
