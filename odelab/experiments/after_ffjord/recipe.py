"""Flows trained without a solve, and how each is trained; nothing here needs torch."""

from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.registry import Experiment

DATA = ("pinwheel", "8gaussians")
TRAININGS = ("independent", "optimal", "diffusion", "reflow", "reflow twice")
EULER_STEPS = (1, 2, 4, 8, 16)
PAIRS = 40_000  # of a reflow: drawn once from the flow before it

REFLOW_RECIPES = {
    "lecture": FlowRecipe(iterations=500, batch=128, ema=None),
    "full": FlowRecipe(iterations=2000, batch=128, ema=None),
}

MOLECULES = ("butane", "dipeptide")
MODELS = ("torus flow", "odd torus flow", "plane flow", "kernel density", "histogram")
CONFORMERS = 5000  # that every model is given
TORSION_RECIPES = {
    "lecture": FlowRecipe(iterations=500, batch=256, ema=None),
    "full": FlowRecipe(iterations=3000, batch=256, ema=None),
}

EXPERIMENTS = {
    "reflow": Experiment(
        name="reflow",
        title="samples in few Euler steps: couplings, a diffusion's path, rectified flow and reflow (Liu et al. 2023)",
        keys=lambda budget: [
            {"data": data, "training": training}
            for data in (DATA if budget == "full" else DATA[:1])
            for training in TRAININGS
        ],
        minutes={"lecture": 1},
        function="run_reflow",
    ),
    "torsions": Experiment(
        name="torsions",
        title="densities of torsion angles, of two model molecules, learned from 5,000 conformers (Chen, Lipman 2024)",
        keys=lambda budget: [{"molecule": molecule, "model": model} for molecule in MOLECULES for model in MODELS],
        minutes={"lecture": 1},
        function="run_torsions",
    ),
}
