"""The models of the spirals and how they are trained; nothing here needs torch."""

from dataclasses import dataclass
from typing import Any

from odelab.experiments.recipe import Recipe
from odelab.experiments.registry import Experiment
from odelab.experiments.results import Key

MODELS = ("latent-ode", "rnn-dt", "rnn", "gru-dt", "latent-ode-tanh", "ode-rnn")
KEPT = (30, 100, 50)
#: The same models trained otherwise, tested at 30 points. Whole: on whole windows only, so that two causes can be told
#: apart; any: in every batch on another number of points, so that more of them never hurt.
ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "latent-ode-any": ("latent-ode", {"fewest": 5}),
    "latent-ode-whole": ("latent-ode", {"parts": 0.0}),
    "latent-ode-tanh-whole": ("latent-ode-tanh", {"parts": 0.0}),
}


def keys(budget: str) -> list[Key]:
    """Every model at every density, then the ablations."""
    table = [{"model": model, "kept": kept} for model in MODELS for kept in KEPT]
    return table + [{"model": model, "kept": 30} for model in ABLATIONS]


@dataclass(frozen=True, kw_only=True)
class SpiralsRecipe(Recipe):
    """How every model is trained: Adam, the rate falling along a cosine to 2 %; batch over all processes together.

    Attributes:
        rnn_iterations: of the recurrent networks, whose iterations are cheaper.
        blur, sharp_at: the decoder's σ of a latent ODE falls from ``blur`` to that of the noise, in equal factors,
            until this share of the iterations is done; see `blurred`.
        parts: share of the batches in which a latent ODE encodes half of the window and decodes all of it, both ways.
        fewest: if given, every batch is thinned to a random number of points, this one at least.
    """

    lr: float = 0.01
    batch: int = 200
    clip: float = 5.0
    windows: int = 1000
    test: int = 500
    rnn_iterations: int | None = None
    blur: float = 3.0
    sharp_at: float = 0.6
    parts: float = 0.25
    fewest: int | None = None


RECIPES = {
    "lecture": SpiralsRecipe(iterations=150, test=200),
    "full": SpiralsRecipe(iterations=1500, rnn_iterations=3000),
}

EXPERIMENTS = {
    "latent-spirals": Experiment(
        name="latent-spirals",
        title="latent ODE against recurrent networks on spirals at irregular times (Chen et al. 2018, Table 2)",
        keys=keys,
        minutes={"lecture": 2},
    )
}
