"""Families of series, models, how long they are trained and how they are judged; nothing here needs torch."""

from dataclasses import dataclass

from odelab.experiments.recipe import Recipe
from odelab.experiments.registry import Experiment


@dataclass(frozen=True, kw_only=True)
class ProcessRecipe(Recipe):
    """How a model of a family of series is built, trained and judged.

    Args:
        latent: dimensions of l(0), and as many of d; hidden: width of every net.
        noise: of the decoder, that of the data; the digits, which have none, get some.
        most: context points in training; the targets are these and up to `more` others.
        iterations, batch, lr: of Adam.
        counts: context points in the test.
        tested: series of the test; draws: of the latent variable for each.
    """

    latent: int = 6
    hidden: int = 32
    noise: float = 0.1
    most: int = 10
    more: int = 20
    iterations: int = 1000
    batch: int = 32
    lr: float = 5e-3
    counts: tuple[int, ...] = (1, 2, 3, 5, 10)
    tested: int = 200
    draws: int = 50


TASKS = {
    "sines": "sines of random amplitude and shift",
    "hunters": "Lotka–Volterra cycles of random size",
    "digit": "a handwritten 3 that turns, 14 × 14 pixels",
}
MODELS = {
    "ode-process": "neural ODE process",
    "process": "neural process",
    "latent-ode": "latent ODE (lesson 08)",
}
RECIPES = {
    "sines": ProcessRecipe(),
    "hunters": ProcessRecipe(),
    "digit": ProcessRecipe(latent=10, hidden=64, most=6, more=10, iterations=600, counts=(1, 2, 3, 5, 8), tested=100),
}
LECTURE_ITERATIONS = 300

EXPERIMENTS = {
    "neural-processes": Experiment(
        name="neural-processes",
        title="new points without training: neural ODE processes (Norcliffe et al. 2021) and others",
        keys=lambda budget: [{"task": task, "model": model} for task in TASKS for model in MODELS],
        minutes={"lecture": 3},
    )
}
