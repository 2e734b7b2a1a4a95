"""The kinds of rotating digits and the models' recipes; nothing here needs torch."""

from dataclasses import replace

from odelab.experiments.recipe import VideoRecipe
from odelab.experiments.registry import Experiment
from odelab.experiments.results import Key

FRAMES = ("uniform", "non-uniform")
MODELS = ("ode2vae", "ode2vae-kl", "order-1", "order-1-2q")
RECIPES = {
    "lecture": VideoRecipe(q=8, hidden=50, filters=8, frames=3, iterations=200, batch=32, lr=4e-3, every=100),
    "full": VideoRecipe(q=8, hidden=50, filters=8, frames=3, iterations=3000, batch=32, lr=4e-3, every=500),
}
# At the paper's size: as many iterations as the reference's 1,000 epochs of 360 digits in batches of 60.
PAPER = replace(RECIPES["full"], iterations=6000)
DIGITS = ("new", "reference")


def recipe_of(key: Key, budget: str) -> VideoRecipe:
    """m = 1 where frames are missing, as in the reference: a second frame need not be there; q = 20 where none is."""
    recipe = RECIPES[budget]
    if key["size"] == 28 and budget == "full":
        recipe = replace(PAPER, q=20)
    return replace(recipe, frames=1, q=8) if key["frames"] == "non-uniform" else recipe


def enough(key: Key) -> int:
    """Seeds of a full run at the paper's size: five for what the slides' table has, three for the rest."""
    return 5 if key["frames"] == "non-uniform" and key["model"] in ("ode2vae", "ode2vae-kl") else 3


def keys(size: int) -> list[Key]:
    return [{"size": size, "frames": frames, "model": model} for frames in FRAMES for model in MODELS]


EXPERIMENTS = {
    "rotating-mnist": Experiment(
        name="rotating-mnist",
        title='rotating "3"s at 14 × 14, errors on missing frames and held-out digits (slides; Yıldız et al. 2019)',
        keys=lambda budget: keys(14),
        minutes={"lecture": 3},
    ),
    "rotating-mnist-28": Experiment(
        name="rotating-mnist-28",
        title='rotating "3"s at 28 × 28, new digits and the reference\'s split of 360 (slides; Yıldız et al. 2019)',
        keys=lambda budget: [key | {"digits": digits} for digits in DIGITS for key in keys(28)],
        seeds={"lecture": (0,), "full": (0, 1, 2, 3, 4)},
        enough=enough,
        minutes={"lecture": 8, "full": 500},
    ),
}
