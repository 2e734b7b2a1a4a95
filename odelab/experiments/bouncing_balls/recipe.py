"""The recipes of the models of bouncing balls; nothing here needs torch."""

from dataclasses import replace

from odelab.experiments.recipe import VideoRecipe
from odelab.experiments.registry import Experiment
from odelab.experiments.results import Key

MODELS = ("ode2vae", "order-1", "order-1-2q", "rnn-vae")
RECIPES = {
    "lecture": VideoRecipe(q=8, hidden=50, filters=8, frames=3, iterations=200, batch=32, lr=4e-3, every=100),
    "full": VideoRecipe(q=8, hidden=50, filters=8, frames=3, iterations=3000, batch=16, lr=4e-3, every=500),
}
# The reference's sizes, its batch and its rate; ten passes through 10,000 sequences.
PAPER = VideoRecipe(q=25, hidden=100, filters=16, frames=3, iterations=10_000, batch=10, lr=8e-4, every=500)


def recipe_of(key: Key, budget: str) -> VideoRecipe:
    """With one ball there are fewer positions to tell apart."""
    recipe = PAPER if key["size"] == 32 and budget == "full" else RECIPES[budget]
    return replace(recipe, q=4) if key["balls"] == 1 else recipe


def keys(size: int, balls: tuple[int, ...]) -> list[Key]:
    return [{"size": size, "balls": count, "model": model} for count in balls for model in MODELS]


EXPERIMENTS = {
    "bouncing-balls": Experiment(
        name="bouncing-balls",
        title="bouncing balls at 16 × 16, errors 10, 20 and 47 frames ahead (slides and poster; Yıldız et al. 2019)",
        keys=lambda budget: keys(16, (1, 3)),
        minutes={"lecture": 3},
    ),
    "bouncing-balls-32": Experiment(
        name="bouncing-balls-32",
        title="bouncing balls at 32 × 32, 10,000 sequences as in the paper (slides; Yıldız et al. 2019)",
        keys=lambda budget: keys(32, (3,)),
        minutes={"lecture": 2, "full": 150},
    ),
}
