"""How a small ODE-Net in the plane is trained and tested for certificates; nothing here needs torch."""

from odelab.experiments.registry import Experiment

TRAININGS = {
    "standard": "cross-entropy",
    "attacked": "cross-entropy of attacked points (PGD)",
    "boxes": "cross-entropy of the worst logits of boxes",
}
EPSILON = 0.15  # of training; the standard one has none
EPSILONS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)  # of the test
POINTS, TESTED = 400, 500
ITERATIONS = {"lecture": 60, "full": 300}
ATTACK_STEPS = {"training": 5, "test": 20}

EXPERIMENTS = {
    "certified": Experiment(
        name="certified",
        title="certified and attacked accuracy of an ODE-Net in the plane (after Zeqiri et al. 2023, in small)",
        keys=lambda budget: [{"training": name} for name in TRAININGS],
        seeds={"lecture": (0,), "full": (0, 1, 2, 3, 4)},
        minutes={"lecture": 1},
    ),
}
