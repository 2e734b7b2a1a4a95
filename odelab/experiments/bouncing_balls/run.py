"""Bouncing balls (Sutskever et al. 2008; the ODE²VAE slides and poster): video of frames to come, from the first three.

Trained on sequences of 20 frames, as the slides have it; judged on sequences of 50, the poster's length, so that the
error also shows how a model fares beyond what it was trained on. A position alone does not say where a ball goes: the
first-order model with no more than the position's dimensions shows what the velocity is for.
"""

from typing import Any

import torch
from torch import Tensor, nn

from odelab.datasets import Sequences, bouncing_balls
from odelab.experiments.bouncing_balls.recipe import recipe_of
from odelab.experiments.context import Context
from odelab.experiments.recipe import VideoRecipe
from odelab.experiments.results import Key
from odelab.experiments.video import average, facts, forecast_errors, frame_errors, train_video, video_model
from odelab.training import History, seed_of

FRAMES, LONG = 20, 50  # of a training sequence; of one to be judged
DRAWS = 20
# Training and test sequences; those at 32 are the paper's.
COUNTS = {"lecture": {16: (1000, 50), 32: (200, 50)}, "full": {16: (2000, 100), 32: (10_000, 500)}}


def spans(first: int, frames: int) -> dict[str, slice]:
    """The frames an error is the mean over; the model reads the first ``first`` of ``frames``."""
    return {
        "10 frames": slice(first, first + 10),
        "20 frames": slice(first, first + 20),
        f"{frames - first} frames": slice(first, frames),
    }


def over_spans(errors: dict[str, Tensor], first: int) -> dict[str, dict[str, float]]:
    """Every reading's mean over each span; errors (n, T) of every frame."""
    one = next(iter(errors.values()))
    table: dict[str, dict[str, float]] = {}
    for name, span in spans(first, one.shape[1]).items():
        where = torch.zeros_like(one, dtype=torch.bool)
        where[:, span] = True
        table[name] = average(errors, where)
    return table


def baselines(mean: Tensor, test: Sequences, first: int) -> dict[str, Tensor]:
    """Errors (n, T) of the last frame that was given, kept; and of the mean training frame (1, size, size)."""
    guesses = {"last frame": test.x[:, first - 1 : first].expand_as(test.x), "mean frame": mean.expand_as(test.x)}
    return {name: frame_errors(guess, test.x).cpu() for name, guess in guesses.items()}


def train_balls(key: Key, recipe: VideoRecipe, context: Context) -> tuple[Any, History, Sequences]:
    """A model of the key's kind, its history, and the sequences it was trained on; validated on others."""
    device, settings = context.fabric().device, {"size": key["size"], "balls": key["balls"]}
    count, _ = COUNTS[context.budget][key["size"]]
    train = bouncing_balls(count, FRAMES, seed=_seed("train", context.seed), **settings).to(device)
    held = bouncing_balls(60, FRAMES, seed=_seed("validation", 0), **settings).to(device)

    def validate(model: nn.Module) -> dict[str, float]:
        errors = frame_errors(model.forecast(held.x, held.times, mean=True).mean, held.x)  # type: ignore[operator]
        later = errors[:, recipe.frames :]
        return {
            "loss": later.mean().item(),
            "10 frames": later[:, :10].mean().item(),
            "given": errors[:, 0].mean().item(),
        }

    model = video_model(key["model"], key["size"], recipe, context.seed)
    history = train_video(key["model"], model, train, validate, recipe, context)
    return model, history, train


def run(key: Key, context: Context) -> dict[str, Any]:
    """One model; errors are means of squared differences over pixels, sequences and the frames named."""
    recipe = recipe_of(key, context.budget)
    model, history, train = train_balls(key, recipe, context)
    context.ship(model, f"bouncing_{key['size']}_{key['balls']}_{key['model']}")
    _, tested = COUNTS[context.budget][key["size"]]
    test = bouncing_balls(tested, LONG, size=key["size"], balls=key["balls"], seed=_seed("test", 0)).to(train.x.device)
    errors = forecast_errors(model, test, test.x, DRAWS)
    simple = baselines(train.x.mean((0, 1)), test, recipe.frames)
    return {
        "errors": over_spans(errors, recipe.frames),
        "baselines": over_spans(simple, recipe.frames),
        "by_frame": {name: [round(v, 6) for v in each.mean(0).tolist()] for name, each in (errors | simple).items()},
        "test_sequences": len(test),
        "training_sequences": len(train),
        "draws": DRAWS,
        **facts(model, history, recipe),
    }


def _seed(*parts: str | int) -> int:
    return seed_of("balls", *parts) % 2**31
