"""How models are trained, as far as experiments share it. Nothing here needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every recipe says; it is frozen on validation data before a test set is read.

    Attributes:
        iterations: of the optimizer.
        lr: its learning rate at the top of the schedule.
    """

    iterations: int
    lr: float


@dataclass(frozen=True, kw_only=True)
class FlowRecipe(Recipe):
    """A flow by maximum likelihood: Adam, the rate in one cycle (a tenth of the run up, the rest down).

    Attributes:
        batch: over all processes together.
        penalties: cost -> λ; the notes' scaling (24.27): sums over the dimensions, no ½, and the whole objective / d.
        ema: of the weights that are judged; None for the weights themselves.
        clip: largest norm of a gradient; every: iterations between validations.
    """

    lr: float = 5e-3
    batch: int = 512
    penalties: Mapping[str, float] | None = None
    ema: float | None = 0.99
    clip: float = 5.0
    every: int = 500


#: Models of video, in words.
VIDEO_MODELS = {
    "ode2vae": "ODE²VAE",
    "ode2vae-kl": "ODE²VAE-KL",
    "order-1": "order 1, position only",
    "order-1-2q": "order 1, as many dimensions as (s, v)",
    "rnn-vae": "recurrent VAE",
}


@dataclass(frozen=True, kw_only=True)
class VideoRecipe(Recipe):
    """A model of video: how it is built, and its training by Adam with the rate in one cycle.

    Attributes:
        q: size of the latent position; hidden: width of the field's two layers; filters: F, see `ImageEncoder`.
        frames: m, of which the encoder is given the first.
        batch: over all processes together.
        latent: weight of the divergences of z₀ and of the path; at 1 the mean frame was hard to beat.
        gamma: of KL[q_ode ‖ q_enc] in (21), for "ode2vae-kl".
        grow: share of the run in which sequences grow from twice m + 1 frames to all.
        clip: largest norm of a gradient; every: iterations between validations.
    """

    q: int
    hidden: int
    filters: int
    frames: int
    batch: int
    latent: float = 0.1
    gamma: float = 0.1
    grow: float = 0.3
    clip: float = 5.0
    every: int = 200
    activation: str = "relu"
