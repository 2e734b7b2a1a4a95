"""Rotating digits (Casale et al. 2018; the ODE²VAE slides): frames that were taken out, and digits never seen.

"uniform": the model reads 3 frames and forecasts 13. "non-uniform": four of 16 frames are missing at random, and the
quarter turn in all sequences; the model reads one frame and tells those. Every run is judged on digits never seen and
on digits trained on, as the reference does where frames are missing; and so are guesses without a model, which a model
has to beat to have said anything.

"new" digits: all there are to train on, and each sequence starts at an angle of its own. The "reference"'s split: 360
digits, and all start upright. There the mean of the digits at the same frame is a guess of its own.
"""

from typing import Any

import torch
from torch import Tensor, nn

from odelab.datasets import RotatingDigits, rotating_digits
from odelab.datasets.rotating_digits import digit_count
from odelab.experiments.context import Context
from odelab.experiments.recipe import VideoRecipe
from odelab.experiments.results import Key
from odelab.experiments.rotating_mnist.recipe import recipe_of
from odelab.experiments.video import average, facts, forecast_errors, frame_errors, train_video, video_model
from odelab.training import History, seed_of

HELD_OUT_ANGLE, MISSING = 4, 4
DRAWS, TESTED = 20, 100  # draws of a forecast; digits of either kind on which it is judged
COUNTS = {14: 2000, 28: None}  # digits to train on; None: all there are
REFERENCE = 360  # digits of the reference's split


def digits_of(key: Key, split: str, seed: int, n: int | None = None) -> RotatingDigits:
    """At most n sequences of the key's kind; those held out are the same for all seeds."""
    generator = torch.Generator().manual_seed(seed_of("digits", split, seed if split == "train" else "all"))
    gaps: dict[str, Any] = (
        {"missing": MISSING, "held_out_angle": HELD_OUT_ANGLE} if key["frames"] == "non-uniform" else {}
    )
    gaps["random_start"] = key.get("digits") != "reference"
    there = digit_count(split)
    return rotating_digits(min(n or there, there), size=key["size"], split=split, generator=generator, **gaps)


def count_of(key: Key) -> int | None:
    return REFERENCE if key.get("digits") == "reference" else COUNTS[key["size"]]


def judged_frames(digits: RotatingDigits, first: int) -> dict[str, Tensor]:
    """Which frames (n, T) an error is the mean over; the model was given the first ``first`` of each sequence."""
    held = (digits.angle == HELD_OUT_ANGLE).cpu()
    given = torch.arange(digits.x.shape[1]).expand_as(held) < first
    seen = digits.mask.cpu()
    if seen.all():
        return {"forecast": ~given, "given": given}
    return {"missing": ~seen, "removed": ~seen & ~held, "held-out angle": held, "seen": seen}


def baselines(train: RotatingDigits, digits: RotatingDigits, where: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """Errors of guesses without a model: one image for every frame, the mean of the frames trained on; the digit's
    first frame, kept; and the mean of the digits trained on at the same frame, which says most where all start alike.
    """
    share = train.mask.sum() / train.mask.numel()
    mean = train.x.mean((0, 1)) / share
    guesses = {
        "mean frame": mean.expand_as(digits.truth),
        "first frame": digits.x[:, :1].expand_as(digits.truth),
        "mean of the same frame": same_frame(train).expand_as(digits.truth),
    }
    errors = {name: frame_errors(guess, digits.truth).cpu() for name, guess in guesses.items()}
    return {frames: average(errors, rows) for frames, rows in where.items()}


def same_frame(train: RotatingDigits) -> Tensor:
    """Mean of what was observed at each frame (T, 1, size, size); where nothing was, of the two frames beside it."""
    seen = train.mask.sum(0)
    mean = train.x.sum(0) / seen.clamp(min=1)[:, None, None, None]
    beside = (mean.roll(1, 0) + mean.roll(-1, 0)) / 2  # a full circle: the last frame is beside the first
    return mean.where((seen > 0)[:, None, None, None], beside)


def train_digits(
    key: Key, recipe: VideoRecipe, context: Context, digits: int | None = None
) -> tuple[Any, History, RotatingDigits]:
    """A model of the key's kind, its history, and the digits it was trained on; validated on digits of their own."""
    device = context.fabric().device
    train = digits_of(key, "train", context.seed, digits or count_of(key)).to(device)
    held = digits_of(key, "validation", 0, 60).to(device)
    where = judged_frames(held, recipe.frames)
    main = next(iter(where))

    def validate(model: nn.Module) -> dict[str, float]:
        errors = frame_errors(model.forecast(held.x, held.times, mask=held.mask, mean=True).mean, held.truth).cpu()  # type: ignore[operator]
        found = {name: errors[rows].mean().item() for name, rows in where.items()}
        return {"loss": found[main]} | found

    model = video_model(key["model"], key["size"], recipe, context.seed)
    history = train_video(key["model"], model, train, validate, recipe, context)
    return model, history, train


def run(key: Key, context: Context) -> dict[str, Any]:
    """One model; errors are means of squared differences over pixels, frames and digits, by name of the frames."""
    recipe = recipe_of(key, context.budget)
    model, history, train = train_digits(key, recipe, context)
    if (key["model"], key["frames"], key.get("digits", "new")) == ("ode2vae", "non-uniform", "new"):
        context.ship(model, f"rotating_{key['size']}_{key['frames']}_{key['model']}")  # what lesson 10 shows
    judged = {
        "held-out digits": digits_of(key, "held-out", 0, TESTED).to(train.x.device),
        "training digits": train[:TESTED],
    }
    measured: dict[str, Any] = {}
    for split, digits in judged.items():
        errors = forecast_errors(model, digits, digits.truth, DRAWS)
        where = judged_frames(digits, recipe.frames)
        measured[split] = {
            "errors": {name: average(errors, rows) for name, rows in where.items()},
            "baselines": baselines(train, digits, where),
            "by_frame": [round(value, 6) for value in errors["mean of draws"].mean(0).tolist()],
            "digits": len(digits),
        }
    return {
        **measured,
        "training_digits": len(train),
        "data": train.source,
        "draws": DRAWS,
        **facts(model, history, recipe),
    }
