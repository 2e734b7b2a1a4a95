"""Training latent dynamics on video, and the errors of their forecasts; for `rotating-mnist` and `bouncing-balls`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from odelab.datasets import Sequences
from odelab.experiments.context import Context
from odelab.experiments.recipe import VIDEO_MODELS, VideoRecipe
from odelab.experiments.video_rnn import RNNVAE
from odelab.latent import ODE2VAE, BernoulliDecoder, FirstOrder, ImageEncoder, SecondOrder
from odelab.training import Epochs, History, adam, fit, one_cycle


def video_model(name: str, size: int, recipe: VideoRecipe, seed: int = 0) -> ODE2VAE | RNNVAE:
    """One of `VIDEO_MODELS` for frames (1, size, size).

    "order-1" has a position only, of the same dimension q: dz/dt = f(z); "order-1-2q" has as many dimensions as
    (s, v), all of them seen by the decoder. "ode2vae-kl" is "ode2vae", trained by (21).

    Raises:
        ValueError: for another name.
    """
    torch.manual_seed(seed)
    if name not in VIDEO_MODELS:
        raise ValueError(f"model is {name!r}; it can be {', '.join(VIDEO_MODELS)}")
    q = recipe.q * (2 if name == "order-1-2q" else 1)
    decoder = BernoulliDecoder(q, size, recipe.filters)
    if name == "rnn-vae":
        return RNNVAE(ImageEncoder(size, 2 * q, recipe.frames, recipe.filters, order=1), decoder, 2 * recipe.hidden)
    order = 2 if name.startswith("ode2vae") else 1
    kind = SecondOrder if order == 2 else FirstOrder
    dynamics = kind(q, (recipe.hidden, recipe.hidden), activation=recipe.activation)
    return ODE2VAE(ImageEncoder(size, q, recipe.frames, recipe.filters, order=order), dynamics, decoder)


def objective(name: str, recipe: VideoRecipe, sequences: int) -> Callable[[Any, Sequences], Tensor]:
    """(model, batch) -> minus the weighted bound, in nats a pixel.

    The dynamic term adds up one divergence for each later frame, the initial one is a single one: both are weighted by
    `latent`, the former shared among the frames, else a path of 16 frames would be pulled to the prior 15 times.
    """
    gamma = recipe.gamma if name == "ode2vae-kl" else 0.0

    def loss(model: Any, batch: Sequences) -> Tensor:
        terms = model.terms(batch.x, batch.times, batch.mask, sequences=sequences, encoder_kl=gamma > 0)
        later = batch.x.shape[1] - 1
        bound = terms.combine(
            weights_kl=terms.beta,
            initial_kl=recipe.latent,
            dynamic_kl=recipe.latent / later,
            encoder_kl=gamma / later,
        )
        return -bound / batch.x[0].numel()

    return loss


def train_video(
    name: str,
    model: ODE2VAE | RNNVAE,
    data: Sequences,
    validate: Callable[[nn.Module], dict[str, float]],
    recipe: VideoRecipe,
    context: Context,
) -> History:
    """Train in place; keeps the weights of the best validation.

    On a GPU in mixed precision: bfloat16 where autocast takes it to be safe, and weights, sums and validation in
    float32; on a CPU in float32 throughout.

    Args:
        data: on the device.
        validate: model -> "loss", the error that counts, and others.
    """
    fitting = context.fitting("bf16-mixed" if data.x.is_cuda else "32-true")
    fabric = fitting["fabric"]
    indices = Epochs(len(data), recipe.batch, context.seed, fabric.global_rank, fabric.world_size)
    loss, longest = objective(name, recipe, len(data)), data.x.shape[1]
    data = prefix(data, longest)  # without what only a test may see

    def batches(step: int) -> Sequences:
        return prefix(data[indices(step).to(data.x.device)], length(step / recipe.iterations, recipe, longest))

    return fit(
        model,
        loss,
        batches,
        steps=recipe.iterations,
        optimizer=adam(recipe.lr),
        schedule=one_cycle(0.1),
        clip=recipe.clip,
        validate=validate,
        every=min(recipe.every, recipe.iterations),
        **fitting,
    )


def facts(model: nn.Module, history: History, recipe: VideoRecipe) -> dict[str, Any]:
    """What a row says of a training."""
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "recipe": vars(recipe),
        "cost": history.cost,
        "cpu_seconds": round(history.cpu_seconds, 1),
        "best": history.best,
        "validations": history.validation,
    }


def length(done: float, recipe: VideoRecipe, longest: int) -> int:
    """Frames of a training sequence when a share ``done`` of the run is over: short ones first (the reference, too)."""
    shortest = min(2 * (recipe.frames + 1), longest)
    return shortest + round((longest - shortest) * min(done / recipe.grow, 1.0)) if recipe.grow else longest


def prefix(data: Sequences, frames: int) -> Sequences:
    """The first frames of every sequence."""
    times = data.times[..., :frames]
    return Sequences(data.x[:, :frames], times, data.mask[:, :frames], data.source, data.complete)


def frame_errors(guess: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of each frame over its pixels: (…, n, T, 1, size, size) -> (…, n, T)."""
    return (guess - truth).square().mean((-3, -2, -1))


def forecast_errors(model: Any, data: Sequences, truth: Tensor, draws: int, part: int = 50) -> dict[str, Tensor]:
    """Error of every frame (n, T), on the CPU, under three readings of "the error of a probabilistic forecast".

    "mean of draws" is that of their mean, "per draw" the mean of theirs, "posterior mean" that of the one path from
    the means of q_enc and q(W). The model reads the first m frames of ``data``; ``truth`` are all frames, also those
    that were not observed.
    """
    found: dict[str, list[Tensor]] = {"mean of draws": [], "per draw": [], "posterior mean": []}
    generator = torch.Generator(truth.device).manual_seed(0)
    for rows in torch.arange(len(data), device=truth.device).split(part):
        some, right = data[rows], truth[rows]
        seen = model.forecast(some.x, some.times, draws=draws, generator=generator, mask=some.mask)
        one = model.forecast(some.x, some.times, mask=some.mask, mean=True)
        found["mean of draws"].append(frame_errors(seen.mean, right))
        found["per draw"].append(frame_errors(seen.draws, right).mean(0))
        found["posterior mean"].append(frame_errors(one.mean, right))
    return {name: torch.cat(parts).cpu() for name, parts in found.items()}


def average(errors: dict[str, Tensor], where: Tensor) -> dict[str, float]:
    """Each reading's mean over the frames where ``where`` (n, T) is true."""
    return {name: round(each[where].mean().item(), 6) for name, each in errors.items()}
