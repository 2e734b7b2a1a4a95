"""The flows that are compared and how each is trained; nothing here needs torch.

λ of the paper in our scaling. The reference minimises a loss in bits per dimension,

    NLL / (d ln 2)  +  λ_K · ½ ∫ ‖f‖²/d dt  +  λ_J · ∫ ‖∇f‖²_F/d dt,        λ_K = λ_J = .01,

because its costs are means over the d dimensions, the kinetic one with a factor ½. The notes' (24.27) in nats is
(NLL + λ_K ∫ ‖f‖² dt + λ_J ∫ ‖∇f‖²_F dt) / d. The first times ln 2 is the second, so that 1/d drops out and

    λ_K = .01 · ln 2 / 2 = .0035,     λ_J = .01 · ln 2 = .0069.
"""

import math

from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.registry import Experiment

LAMBDA = 0.01  # of both penalties in the reference


def notes_weights(kinetic: float, jacobian: float) -> dict[str, float]:
    """λ of the reference, beside bits per dimension, in the notes' scaling; penalties of weight 0 are left out."""
    return {
        name: value
        for name, value in (("kinetic", kinetic * math.log(2) / 2), ("jacobian", jacobian * math.log(2)))
        if value
    }


#: Arm of the ablation -> multiples of the paper's λ_K and λ_J.
PENALTIES = {
    "none": (0.0, 0.0),
    "kinetic": (1.0, 0.0),
    "jacobian": (0.0, 1.0),
    "both": (1.0, 1.0),
    "both/3": (1 / 3, 1 / 3),
    "both x3": (3.0, 3.0),
    "both x10": (10.0, 10.0),
}
DATA = ("swissroll", "circles", "rings", "checkerboard", "8gaussians")
COUPLINGS = ("independent", "optimal")

# As FFJORD's: a flow without penalties is that of `ffjord-toy`, where both were trained for equally long.
RECIPES = {"lecture": FlowRecipe(iterations=300, every=100), "full": FlowRecipe(iterations=1200, every=100)}
# An iteration has one evaluation of the field and not a hundred, so there are more of them.
MATCHING = {
    "lecture": FlowRecipe(iterations=2000, batch=256, every=500, ema=0.999),
    "full": FlowRecipe(iterations=5000, batch=256, every=1000, ema=0.999),
}

# The flow that exploits its solver: λ 36 times the paper's beside two RK4 steps, the paper's beside four.
COARSE = {2: {"kinetic": 0.125, "jacobian": 0.25}, 4: notes_weights(LAMBDA, LAMBDA)}
COARSE_DATA = {2: ("checkerboard", "8gaussians", "digits"), 4: ("checkerboard", "8gaussians")}
COARSE_PENALTIES = ("none", "kinetic", "jacobian", "both")
COARSE_RECIPES = {
    "lecture": FlowRecipe(iterations=300, every=100, ema=None),
    "full": FlowRecipe(iterations=1000, every=100, ema=None),
}

EXPERIMENTS = {
    "rnode": Experiment(
        name="rnode",
        title="the ablation of kinetic and Jacobian regularization (Finlay et al. 2020; notes, Fig. 24.9)",
        keys=lambda budget: [
            {"data": data, "penalty": penalty}
            for data in (DATA if budget == "full" else DATA[:1])
            for penalty in (PENALTIES if budget == "full" else ("none", "both"))
        ],
        minutes={"lecture": 3, "full": 560},
    ),
    "flow-matching": Experiment(
        name="flow-matching",
        title="the same flows trained without a solve (Lipman et al. 2023; Tong et al. 2024)",
        keys=lambda budget: [
            {"data": data, "coupling": coupling}
            for data in (DATA if budget == "full" else DATA[:1])
            for coupling in COUPLINGS
        ],
        minutes={"lecture": 1},
        function="run_matching",
    ),
    "rnode-coarse": Experiment(
        name="rnode-coarse",
        title="flows that exploit a coarse solver: two or four RK4 steps, with and without penalties",
        keys=lambda budget: [
            {"steps": steps, "data": data, "penalty": penalty}
            for steps in COARSE
            for data in COARSE_DATA[steps]
            for penalty in COARSE_PENALTIES
        ],
        minutes={"lecture": 12},
        function="run_coarse",
    ),
}
