"""The densities that FFJORD is fitted to, and for how long; nothing here needs torch."""

from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.registry import Experiment

#: As in odelab.datasets.
DENSITIES = ("swissroll", "circles", "rings", "moons", "8gaussians", "pinwheel", "2spirals", "checkerboard")
RECIPES = {"lecture": FlowRecipe(iterations=300, every=150), "full": FlowRecipe(iterations=1200, every=300)}
# Where 1,200 iterations left the validation NLL more than 0.2 nats above the truth's.
LONG = FlowRecipe(iterations=4000, every=500)
RECIPE_OF = {"checkerboard": LONG, "rings": LONG, "2spirals": LONG}

EXPERIMENTS = {
    "ffjord-toy": Experiment(
        name="ffjord-toy",
        title="FFJORD on eight densities in the plane: NLL, gap to the truth, NFE (Grathwohl et al. 2019, Fig. 2)",
        keys=lambda budget: [{"density": name} for name in DENSITIES],
        minutes={"lecture": 10},
    ),
}
