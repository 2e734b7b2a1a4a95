"""What is asked of which model, and how it is trained; nothing here needs torch."""

from dataclasses import dataclass

from odelab.experiments.registry import Experiment

TASKS = {
    "outcome": "from the visits of two years: death or transplant within three years more",
    "next": "from all visits so far: the logarithm of bilirubin at the next one",
}
MODELS = {
    "share": "share of the training patients, or last value again",
    "last": "regression on the last values",
    "gru-dt": "GRU that reads the gaps",
    "ode-rnn": "ODE-RNN",
    "gru-ode": "GRU-ODE (field of GRU-ODE-Bayes, jump of a GRU)",
    "cde": "neural CDE",
}
LANDMARK, HORIZON = 2.0, 3.0  # years
FOLDS = 5


@dataclass(frozen=True)
class VisitsRecipe:
    """How a net is trained.

    Args:
        hidden: size of the state; width: of the fields.
        epochs: at most, each of one step on all training patients; patience: epochs without a better validation.
        lr, weight_decay: of AdamW.
        validation: share of the training patients that chooses the epoch.
        steps: midpoint steps between two visits.
    """

    hidden: int = 16
    width: int = 32
    epochs: int = 250
    patience: int = 40
    lr: float = 5e-3
    weight_decay: float = 1e-2
    validation: float = 0.2
    steps: int = 2


RECIPES = {"lecture": VisitsRecipe(epochs=30), "full": VisitsRecipe()}

EXPERIMENTS = {
    "visits": Experiment(
        name="visits",
        title="irregular visits of 312 patients: ODE-RNN, GRU-ODE (De Brouwer et al. 2019) and a neural CDE",
        keys=lambda budget: [{"task": task, "model": model} for task in TASKS for model in MODELS],
        minutes={"lecture": 2},
    )
}
