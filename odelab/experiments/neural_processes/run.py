"""Train a model on a family of series, then give it more and more points of new series; no weight moves any more.

All three models see the same batches: random context points of noisy series, and targets among the rest. They are
judged on the points of the grid that they were not given, with the noise of the data.
"""

import time
from typing import Any

import torch
from torch import Tensor, nn

from odelab.experiments.context import Context
from odelab.experiments.neural_processes.processes import NeuralProcess, ODEProcess
from odelab.experiments.neural_processes.recipe import LECTURE_ITERATIONS, RECIPES, ProcessRecipe
from odelab.experiments.neural_processes.tasks import CHANNELS, Family, choose, family
from odelab.experiments.results import Key
from odelab.latent import Forecast, GaussianDecoder, LatentField, LatentODE, RecurrentEncoder

Model = NeuralProcess | LatentODE
TRAINED_ON = 1000  # series; of the digits there are 360
LEVEL = 0.9


def build(model: str, task: str) -> Model:
    """A model, untrained. The two processes have about as many parameters, and the latent ODE about as many, too."""
    recipe, channels = RECIPES[task], CHANNELS[task]
    size, hidden, noise = recipe.latent, recipe.hidden, recipe.noise
    if model == "ode-process":
        return ODEProcess(channels, size, hidden, noise)
    if model == "process":
        return NeuralProcess(channels, 2 * size, hidden, noise)
    encoder = RecurrentEncoder(channels, size, hidden, cell="gru", gaps=True)
    decoder = GaussianDecoder(size, channels, (hidden,), initial_std=noise)
    decoder.log_std.requires_grad_(False)
    return LatentODE(encoder, LatentField(size, (hidden, hidden), "tanh"), decoder, step=0.5)


def loss_of(model: Model, data: Family, rows: Tensor, recipe: ProcessRecipe, kl_weight: float) -> Tensor:
    """Minus the bound of a batch. A latent ODE knows no context: its bound is that of all points it is given."""
    y = data.y[rows]
    shape = (y.shape[0], y.shape[1])
    context = choose(shape, 0, recipe.most)
    target = context | choose(shape, 1, recipe.more)
    if isinstance(model, LatentODE):
        return -model.terms(y, data.times, target).elbo(kl_weight)
    return model.loss(data.times, y, context, target, kl_weight)


def train(model: Model, data: Family, recipe: ProcessRecipe, iterations: int) -> float:
    """Adam with one cycle of its rate; the mean loss of the last tenth.

    The KL term's weight is 0 for a tenth of the iterations and rises to 1 in two tenths more.
    """
    optimizer = torch.optim.Adam(model.parameters(), recipe.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, iterations, pct_start=0.1)
    losses = []
    for i in range(iterations):
        kl_weight = min(1.0, max(0.0, (i / iterations - 0.1) / 0.2))
        loss = loss_of(model, data, torch.randint(len(data.y), (recipe.batch,)), recipe, kl_weight)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses[-(iterations // 10) :]) / (iterations // 10)


@torch.no_grad()
def predict(model: Model, times: Tensor, y: Tensor, context: Tensor, draws: int) -> Forecast:
    """What a model says of whole series given the points that the mask ``context`` (n, T) marks."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(model, LatentODE):
        return model.forecast(y, times, mask=context, draws=draws, generator=generator)
    return model.forecast(times, y, context, draws, generator)


@torch.no_grad()
def scores(forecast: Forecast, y: Tensor, mask: Tensor) -> dict[str, float]:
    """Error of the mean, CRPS, coverage and width of the 90 % band, mean log-density: of the points in ``mask``.

    Args:
        y: (n, T, channels), with noise, as the forecast's noise is counted.
    """
    assert forecast.noise is not None
    noise = forecast.noise.expand(forecast.draws.shape)
    generator = torch.Generator().manual_seed(1)
    cloud = forecast.draws + noise * torch.randn(forecast.draws.shape, generator=generator)
    crps = Forecast(cloud, forecast.z, forecast.times).crps(y)
    covered = forecast.covers(y, LEVEL, noise)
    low, high = torch.quantile(cloud[:, mask], torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2]), dim=0)
    density = torch.distributions.Normal(forecast.draws, noise).log_prob(y)
    log_mean = density.logsumexp(0) - torch.tensor(float(len(density))).log()
    return {
        "mse": float((forecast.mean - y)[mask].square().mean()),
        "crps": float(crps[mask].mean()),
        "coverage": float(covered[mask].float().mean()),
        "width": float((high - low).mean()),
        "log_density": float(log_mean[mask].mean()),
    }


def judge(model: Model, data: Family, recipe: ProcessRecipe) -> dict[str, dict[str, float]]:
    """Number of context points -> scores at the points that were not given. A larger context holds the smaller one."""
    order = torch.rand(data.y.shape[:2], generator=torch.Generator().manual_seed(5)).argsort(1).argsort(1)
    result = {}
    for count in recipe.counts:
        context = order < count
        forecast = predict(model, data.times, data.y, context, recipe.draws)
        result[str(count)] = scores(forecast, data.y, order >= max(recipe.counts))
    return result


def run(key: Key, context: Context) -> dict[str, Any]:
    """One model of one family."""
    recipe = RECIPES[key["task"]]
    iterations = LECTURE_ITERATIONS if context.budget == "lecture" else recipe.iterations
    tested = recipe.tested if context.budget == "full" else 50
    begun = time.process_time()
    torch.manual_seed(context.seed)
    model = build(key["model"], key["task"])
    data = family(key["task"], TRAINED_ON, "train", context.seed)
    last = train(model, data, recipe, iterations)
    trained = time.process_time()
    test = family(key["task"], tested, "test")
    result = judge(model, test, recipe)
    mean, std = data.y.mean(0), data.y.std(0)
    known = Forecast(mean.expand(recipe.draws, *test.y.shape), mean[None], data.times, std.clamp(min=1e-3))
    if key["model"] != "latent-ode" and key["task"] != "hunters":  # what the lesson shows
        context.ship(model, f"neural_processes_{key['task']}_{key['model']}")
    return {
        "points": result,
        "without": scores(known, test.y, torch.ones(test.y.shape[:2], dtype=torch.bool)),
        "loss": last,
        "parameters": sum(p.numel() for p in model.parameters()),
        "series": len(test.y),
        "cpu_seconds": round(trained - begun, 1),
        "judging_seconds": round(time.process_time() - trained, 1),
    }
