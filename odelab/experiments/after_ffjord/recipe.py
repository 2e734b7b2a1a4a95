"""Flows trained without a solve, and how each is trained; nothing here needs torch."""

from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.registry import Experiment

DATA = ("pinwheel",)
TRAININGS = ("independent", "optimal", "diffusion", "reflow", "reflow twice")
EULER_STEPS = (1, 2, 4, 8, 16)
PAIRS = 40_000  # of a reflow: drawn once from the flow before it

REFLOW_RECIPES = {
    "lecture": FlowRecipe(iterations=500, batch=128, ema=None),
    "full": FlowRecipe(iterations=2000, batch=128, ema=None),
}

MOLECULES = ("dipeptide",)
MODELS = ("torus flow", "odd torus flow", "plane flow", "kernel density", "histogram")
CONFORMERS = 5000  # that every model is given
TORSION_RECIPES = {
    "lecture": FlowRecipe(iterations=500, batch=256, ema=None),
    "full": FlowRecipe(iterations=3000, batch=256, ema=None),
}

GUIDANCE = (0.0, 1.0, 1.5, 2.0, 3.0, 5.0)
WEIGHT = 2.0  # of the guidance with which solvers are compared
#: Method -> its steps, or for dopri5 its tolerances.
SOLVERS: dict[str, tuple[float, ...]] = {
    "euler": (4, 8, 16, 32),
    "midpoint": (2, 4, 8, 16),
    "heun2": (2, 4, 8, 16),
    "rk4_classic": (1, 2, 4, 8),
    "dopri5": (1e-1, 1e-2, 1e-3, 1e-4),
}
DRAWN = {"lecture": 100, "full": 500}  # images on which solvers and guidance are judged
DIGIT_RECIPES = {
    "lecture": FlowRecipe(iterations=300, batch=96, lr=2e-3, ema=0.99, clip=1.0),
    "full": FlowRecipe(iterations=2500, batch=128, lr=2e-3, ema=0.998, clip=1.0),
}

EXPERIMENTS = {
    "reflow": Experiment(
        name="reflow",
        title="samples in few Euler steps: couplings, a diffusion's path, rectified flow and reflow (Liu et al. 2023)",
        keys=lambda budget: [{"data": data, "training": training} for data in DATA for training in TRAININGS],
        minutes={"lecture": 1},
        function="run_reflow",
    ),
    "guided-digits": Experiment(
        name="guided-digits",
        title="digits of 14 × 14 pixels: classifier-free guidance (Ho, Salimans 2022), images by solver",
        keys=lambda budget: [{"pixels": "14 × 14"}],
        minutes={"lecture": 1},
        function="run_digits",
    ),
    "torsions": Experiment(
        name="torsions",
        title="the density of two torsion angles of a model molecule, from 5,000 conformers (Chen and Lipman 2024)",
        keys=lambda budget: [{"molecule": molecule, "model": model} for molecule in MOLECULES for model in MODELS],
        minutes={"lecture": 1},
        function="run_torsions",
    ),
}
