"""Latent ODE against recurrent networks on spirals seen at irregular times (Chen et al. 2018, section 5.1).

Every model is trained on the observed points of 1,000 windows alone, 30, 50 or all 100 of their 100 points, and judged
on windows it has not seen, against the noiseless curve: at all points of the window, at the 100 after it, and, where
the model can be asked, at the 100 before it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from odelab.datasets import Spirals, spirals
from odelab.experiments.context import Context
from odelab.experiments.latent_spirals.recipe import ABLATIONS, RECIPES, SpiralsRecipe
from odelab.experiments.results import Key
from odelab.extras import extra
from odelab.latent import (
    GaussianDecoder,
    LatentField,
    LatentODE,
    ODERNNEncoder,
    RecurrentEncoder,
    RecurrentForecaster,
)
from odelab.training import History, adam, fit
from odelab.training.batches import Epochs, seed_of
from odelab.training.schedules import cosine

with extra("train"):
    from lightning_fabric import Fabric

SCALE = 5.0  # unscaled data train far more slowly
NOISE = 0.3  # of the data
STEP = math.pi / 5  # of the latent RK4: ten steps for a turn, since the curve turns by one radian in a unit of time
MODELS: dict[str, Callable[[], LatentODE | RecurrentForecaster]] = {
    "latent-ode": lambda: latent_ode(RecurrentEncoder(2, 4, cell="gru", gaps=True, scale=SCALE)),
    "rnn-dt": lambda: RecurrentForecaster(2, gaps=True, scale=SCALE),
    "rnn": lambda: RecurrentForecaster(2, gaps=False, scale=SCALE),
    "gru-dt": lambda: RecurrentForecaster(2, cell="gru", gaps=True, scale=SCALE),
    "latent-ode-tanh": lambda: latent_ode(RecurrentEncoder(2, 4, cell="gru", gaps=True, scale=SCALE), (20,)),
    "ode-rnn": lambda: latent_ode(ODERNNEncoder(2, 4, scale=SCALE)),
}


def iterations_of(model: Any, recipe: SpiralsRecipe) -> int:
    """Recurrent networks, whose iterations are cheaper, may have more of them."""
    return recipe.iterations if isinstance(model, LatentODE) else recipe.rnn_iterations or recipe.iterations


def latent_ode(encoder: nn.Module, decoder_hidden: Sequence[int] = ()) -> LatentODE:
    """Four latent dimensions, a field 4–48–48–4 with tanh, a linear decoder; the paper's field is 4–20–20–4 with ELU.

    A decoder with a hidden layer can bend a straight latent path into an arc, so that the field never has to turn; the
    path then drifts away where nothing was observed. A linear decoder leaves the turning to the field.
    The decoder's noise is that of the data and not learned; training begins with a larger one (`blurred`).
    """
    decoder = GaussianDecoder(4, 2, decoder_hidden, scale=SCALE, initial_std=NOISE)
    decoder.log_std.requires_grad_(False)
    return LatentODE(encoder, LatentField(4, (48, 48), "tanh"), decoder, step=STEP)


def blurred(model: Any, share: float, recipe: SpiralsRecipe) -> None:
    """Set the decoder's σ for the share of training that is done.

    With the data's small σ from the first iteration on, a path is bent to its points before the field has learned to
    turn, and stays so: fair inside the window, lost beyond it. spirals_attempts.json has runs of both kinds.
    """
    if isinstance(model, LatentODE):
        left = max(0.0, 1.0 - share / recipe.sharp_at)
        model.decoder.log_std.fill_(math.log(NOISE) + left * math.log(recipe.blur / NOISE))


def frames_read(step: int, seed: int, points: int, recipe: SpiralsRecipe) -> slice:
    """What a latent ODE encodes at a step: the window, or, in ``parts`` of the steps, half of it at a random place."""
    generator = torch.Generator().manual_seed(seed_of("spirals-part", seed, step))
    chance, place = torch.rand(2, generator=generator).tolist()
    half = points // 2
    first = int(place * (points - half + 1))
    return slice(first, first + half) if chance < recipe.parts else slice(None)


def thinned(data: Spirals, fewest: int, step: int, seed: int) -> Spirals:
    """The windows with a random number of their points left, the same for all of them."""
    generator = torch.Generator().manual_seed(seed_of("spirals-thinned", seed, step))
    number = int(torch.randint(fewest, data.mask.shape[1] + 1, (), generator=generator))
    chance = torch.rand(data.mask.shape, generator=generator).to(data.mask.device).where(data.mask, 2.0)
    mask = data.mask & (chance.argsort(1).argsort(1) < number)
    return replace(data, x=data.x.where(mask[..., None], 0.0), mask=mask)


def loss(model: Any, batch: tuple[Spirals, slice]) -> Tensor:
    """What is minimised: −ELBO per observed point, or the squared error of the next point."""
    data, read = batch
    if isinstance(model, LatentODE):
        return -model.terms(data.x, data.times, data.mask, read=read).elbo() * len(data) / data.mask.sum()
    return model.loss(data.x, data.times, data.mask)


def train(
    model: nn.Module, data: Spirals, recipe: SpiralsRecipe, seed: int, *, fabric: Fabric | None = None, **how: Any
) -> History:
    """Minimise `loss` in place; what `fit` returns. ``fabric`` and ``how`` go to `fit`."""
    place = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
    batches, steps = Epochs(len(data), recipe.batch, seed, *place), iterations_of(model, recipe)

    def batch(step: int) -> tuple[Spirals, slice]:
        blurred(model, (step + 1) / steps, recipe)
        windows = data[batches(step)]
        if recipe.fewest:
            windows = thinned(windows, recipe.fewest, step, seed)
        return windows, frames_read(step, seed, len(data.times), recipe)

    return fit(
        model,
        loss,
        batch,
        steps=steps,
        optimizer=adam(recipe.lr),
        schedule=cosine(0.02),
        clip=recipe.clip,
        seed=seed,
        fabric=fabric,
        **how,
    )


def final_loss(history: History) -> float:
    """Mean over the last 50 iterations."""
    return sum(history.loss[-50:]) / len(history.loss[-50:])


def rmse(guess: Tensor, truth: Tensor) -> float:
    """Root mean squared error of a coordinate, in units of x: the noise has 0.3, the curve a radius up to 5.7."""
    return (guess - truth).square().mean().sqrt().item()


@torch.no_grad()
def uncertainty(model: LatentODE, data: Spirals, draws: int = 100) -> dict[str, dict[str, float]]:
    """How well the spread of the forecasts is calibrated, inside the window, beyond and before it.

    Returns:
        "coverage": share of coordinates of the noiseless curve within the draws' 5 % and 95 % quantiles;
        "crps": continuous ranked probability score of the draws, in units of x, over the same;
        "lost": share of windows whose mean path has an RMSE above 1.
    """
    generator = torch.Generator().manual_seed(0)
    forecast = model.forecast(data.x, data.times, data.curve_times, data.mask, draws=draws, generator=generator)
    low, high = forecast.quantile([0.05, 0.95])
    within = ((low <= data.curve) & (data.curve <= high)).float()
    far = (forecast.mean - data.curve).square()
    scores = {"coverage": within, "crps": forecast.crps(data.curve)}
    thirds = {name: value.split(len(data.times), 1) for name, value in (scores | {"lost": far}).items()}
    measured: dict[str, dict[str, float]] = {}
    for name, parts in thirds.items():
        values = [(part.mean((1, 2)).sqrt() > 1).float().mean() if name == "lost" else part.mean() for part in parts]
        measured[name] = dict(zip(("before", "inside", "beyond"), map(float, values), strict=True))
    return measured


@torch.no_grad()
def errors(model: Any, data: Spirals) -> dict[str, float | None]:
    """RMSE inside the window, beyond it and before it; None where the model cannot be asked."""
    backwards = isinstance(model, LatentODE)
    at = data.curve_times if backwards else data.curve_times[data.curve_times >= 0]
    *before, inside, beyond = model.predict(data.x, data.times, data.mask, at).split(len(data.times), 1)
    return {
        "inside": rmse(inside, data.truth),
        "beyond": rmse(beyond, data.after),
        "before": rmse(before[0], data.before) if backwards else None,
    }


def run(key: Key, context: Context) -> dict[str, Any]:
    """One model at one density of observations."""
    name, changes = ABLATIONS.get(key["model"], (key["model"], {}))
    recipe = replace(RECIPES[context.budget], **changes)
    kept = 100 if recipe.fewest else key["kept"]
    generators = (torch.Generator().manual_seed(part + context.seed) for part in (1_000_003, 2_000_003))
    data = spirals(recipe.windows, kept=kept, noise=NOISE, margin=0, generator=next(generators))
    test = spirals(recipe.test, kept=key["kept"], noise=NOISE, generator=next(generators))
    torch.manual_seed(context.seed)
    model: Any = MODELS[name]()
    own = {"seed": 100 * context.seed, "checkpoint": context.folder / "run.safetensors", "keep": "last"}
    history = train(model, data.to(context.fabric().device), recipe, **context.fitting() | own)
    model.cpu().eval()
    if context.ships:
        model.save(context.weights / f"latent_spirals_{key['model']}_{key['kept']}.safetensors")
    measured: dict[str, Any] = errors(model, test)
    if isinstance(model, LatentODE):
        terms = model.terms(test.x, test.times, test.mask, draws=10)
        measured |= {"elbo": terms.elbo().item(), "kl": terms.kl.mean().item(), **uncertainty(model, test)}
        model.step = STEP / 4
        measured["beyond_finer"] = errors(model, test)["beyond"]
    return {
        **measured,
        "loss": final_loss(history),
        "iterations": iterations_of(model, recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": round(history.cpu_seconds, 1),
    }
