"""The penalties of the ablation and its recipes; nothing here needs torch."""

from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.registry import Experiment

PENALTIES = {"none": (0.0, 0.0), "kinetic": (1.0, 0.0), "jacobian": (0.0, 1.0), "both": (1.0, 1.0)}
DATA = ("checkerboard", "8gaussians", "digits")
LAMBDA = 0.25  # of ½·mean f² and mean (εᵀJ)², the reference's scaling; 0.05 held for 400 iterations, not for 1,000
RECIPES = {
    "lecture": FlowRecipe(iterations=300, every=100, ema=None),
    "full": FlowRecipe(iterations=1000, every=100, ema=None),
}
TARGET = {"checkerboard": 3.9, "8gaussians": 3.1, "digits": 78.0}  # nats on validation points

EXPERIMENTS = {
    "rnode": Experiment(
        name="rnode",
        title="the ablation of kinetic and Jacobian regularization (Finlay et al. 2020; notes, Fig. 24.9)",
        keys=lambda budget: [{"data": data, "penalty": penalty} for data in DATA for penalty in PENALTIES],
        minutes={"lecture": 8},
    )
}
