"""How a flow of the 8×8 digits is trained; nothing here needs torch."""

from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.registry import Experiment

BATCH = 128
MODELS = ("gaussian", "nice", "realnvp", "ffjord")
RECIPES = {
    "lecture": FlowRecipe(iterations=300, batch=BATCH, lr=2e-3, every=100),
    "full": FlowRecipe(iterations=2000, batch=BATCH, lr=5e-3, every=200),
}

EXPERIMENTS = {
    "ffjord-digits": Experiment(
        name="ffjord-digits",
        title="bits per dimension on 8×8 digits: Gaussian, NICE, Real NVP, FFJORD (notes 24.1.7)",
        keys=lambda budget: [{"model": name} for name in MODELS],
        minutes={"lecture": 6},
    ),
}
