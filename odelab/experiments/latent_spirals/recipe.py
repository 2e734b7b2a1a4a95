"""The models of the spirals and how they are trained; nothing here needs torch."""

from dataclasses import dataclass

from odelab.experiments.recipe import Recipe
from odelab.experiments.registry import Experiment

MODELS = ("rnn-dt", "latent-ode", "rnn", "ode-rnn")
KEPT = (30, 100, 50)


@dataclass(frozen=True, kw_only=True)
class SpiralsRecipe(Recipe):
    """How every model is trained: Adam, the rate falling along a cosine to 2 %; batch over all processes together.

    Attributes:
        rnn_iterations: of the recurrent networks, which have one start and cheaper iterations.
        blur, sharp_at: the decoder's σ of a latent ODE falls from ``blur`` to that of the noise, in equal factors,
            until this share of the iterations is done; see `blurred`.
        starts: trainings of a latent ODE, of which the best is taken, see `train_best`.
    """

    lr: float = 0.01
    batch: int = 200
    clip: float = 5.0
    windows: int = 1000
    test: int = 500
    rnn_iterations: int | None = None
    blur: float = 3.0
    sharp_at: float = 0.6
    starts: int = 1


RECIPES = {
    "lecture": SpiralsRecipe(iterations=150, test=200),
    "full": SpiralsRecipe(iterations=600, rnn_iterations=3000, starts=4),
}

EXPERIMENTS = {
    "latent-spirals": Experiment(
        name="latent-spirals",
        title="latent ODE against recurrent networks on spirals at irregular times (Chen et al. 2018, Table 2)",
        keys=lambda budget: [{"model": model, "kept": kept} for model in MODELS for kept in KEPT],
        minutes={"lecture": 2},
    )
}
