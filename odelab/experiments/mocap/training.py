"""Training ODE²VAE on walks: windows, tempo, the objective, and which iterate is kept; for `mocap2`, `mocap1-like`."""

from typing import Any

import torch
from torch import Tensor

from odelab.datasets import Mocap
from odelab.datasets.mocap.channels import STEP
from odelab.experiments.context import Context
from odelab.experiments.mocap.recipe import WalkerRecipe
from odelab.extras import extra
from odelab.latent import ODE2VAE, FirstOrder, GaussianDecoder, SecondOrder, VectorEncoder
from odelab.training import History, adam, cosine, fit
from odelab.training.batches import share

with extra("train"):
    from lightning_fabric import Fabric

CHANNELS = 50
STEPS_OF_ROOT = 3  # the first channels are steps from frame to frame: a slower walk has smaller ones


def walker(recipe: WalkerRecipe, channels: int = CHANNELS) -> ODE2VAE:
    """The untrained model: 30–30 tanh everywhere, one learned observation σ from 3 degrees on."""
    kind = SecondOrder if recipe.order == 2 else FirstOrder
    dynamics = kind(recipe.dim, recipe.hidden, variance=recipe.variance)
    encoder = VectorEncoder(channels, recipe.dim, recipe.frames, order=recipe.order, scale=recipe.scale)
    decoder = GaussianDecoder(dynamics.position_dim, channels, scale=recipe.scale, initial_std=3.0)
    return ODE2VAE(encoder, dynamics, decoder)


def played(x: Tensor, length: int, tempo: float = 0.0, steps: int = STEPS_OF_ROOT) -> Tensor:
    """A window of every walk, from a random frame on, at a random tempo; numbers from torch's global generator.

    Args:
        x: (n, T, channels).
        length: of the windows, at most T.
        tempo: largest |log| of the tempo; where a walk is too short for a fast one, it is played as fast as it lasts.
        steps: of so many first channels, which are steps from frame to frame, the size goes with the tempo.

    Returns:
        (n, length, channels), straight lines between frames.
    """
    n, frames, channels = x.shape
    if not 1 < length <= frames:
        raise ValueError(f"windows of {length} frames cannot be cut out of walks of {frames}")
    speed = torch.exp((2 * torch.rand(n, 1) - 1) * tempo).clamp(max=(frames - 1) / (length - 1))
    begin = torch.rand(n, 1) * (frames - 1 - speed * (length - 1))
    if not tempo:
        begin = begin.round()
    place = (begin + speed * torch.arange(length)).clamp(0, frames - 1).to(x)
    before = place.floor().clamp(max=frames - 2)
    index = before.long()[..., None].expand(-1, -1, channels)
    window = torch.lerp(x.gather(1, index), x.gather(1, index + 1), (place - before)[..., None])
    window[..., :steps] *= speed.to(x)[..., None]
    return window


def train_walker(
    model: ODE2VAE,
    train: Tensor,
    validation: Tensor,
    recipe: WalkerRecipe,
    *,
    fabric: Fabric | None = None,
    **how: Any,
) -> History:
    """Train in place, and keep the iterate of least error on the validation walks.

    Args:
        train, validation: (n, T, channels), no others are seen; several processes share the walks to train on.
        fabric, how: go to `fit`.

    Raises:
        ValueError, TrainingDiverged: see `fit`; also when the walks do not divide among the processes.
    """
    n, frames = train.shape[:2]
    rank, world = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
    share(n, world)
    own = train[rank::world]

    def draw(iteration: int) -> Tensor:
        length = min(recipe.longest, frames, int(recipe.first + recipe.growth * iteration))
        return played(own, length, recipe.tempo).to(next(model.parameters()).device)

    def loss(model: ODE2VAE, x: Tensor) -> Tensor:
        windows = max(1, round(n * frames / x.shape[1]))  # in the data, over which KL[q(W) ‖ p(W)] is shared out
        terms = model.terms(x, clock(x.shape[1]).to(x), sequences=windows, encoder_kl=recipe.gamma > 0)
        return -terms.penalised(recipe.beta, recipe.gamma) / x[0].numel()

    def validate(model: Any) -> dict[str, float]:
        generator = torch.Generator(next(model.parameters()).device).manual_seed(0)
        return {"loss": error_of_mean(model, validation, recipe.draws, generator).mean().item()}

    return fit(
        model,
        loss,
        draw,
        steps=recipe.iterations,
        optimizer=adam(recipe.lr),
        schedule=cosine(0.02),
        clip=recipe.clip,
        validate=validate,
        every=recipe.every,
        fabric=fabric,
        **how,
    )


def train_as_asked(
    model: ODE2VAE, train: Tensor, validation: Tensor, recipe: WalkerRecipe, context: Context
) -> History:
    """`train_walker` with the seed, device, checkpoint and progress that a run was asked for; back on the CPU."""
    history = train_walker(model, train, validation, recipe, **context.fitting())
    model.cpu()
    return history


def clock(frames: int) -> Tensor:
    """Times of frames, as the paper counts them."""
    return STEP * torch.arange(frames, dtype=torch.float32)


def error_of_mean(model: ODE2VAE, x: Tensor, draws: int, generator: torch.Generator | None = None) -> Tensor:
    """Squared error of the mean of the draws, of each walk (n,), over channels and the frames from m on."""
    x = x.to(next(model.parameters()).device)
    guess = model.forecast(x, clock(x.shape[1]).to(x), draws, generator).mean
    return (guess - x)[:, model.frames :].square().mean((1, 2))


def fit_walker(
    data: Mocap,
    *,
    steps: int,
    seed: int = 0,
    order: int = 2,
    beta: float | None = None,
    gamma: float = 0.0,
    dim: int | None = None,
    tempo: float = WalkerRecipe.tempo,
    progress: bool | str = False,
) -> tuple[ODE2VAE, History]:
    """A walker for a lesson, trained on the training walks and kept where it does best on the validation walks.

    Args:
        data: of `mocap35()`.
        steps: iterations; 300 are enough to walk.
        order: 2 with q = dim (3 by default), or 1 with z of size dim (6 by default: the same number of states).
        beta, gamma: of (21).
    """
    torch.manual_seed(seed)
    recipe = WalkerRecipe(
        order=order,
        dim=dim or (3 if order == 2 else 6),
        beta=beta,
        gamma=gamma,
        iterations=steps,
        tempo=tempo,
        every=min(WalkerRecipe.every, steps),
    )
    model = walker(recipe, data.train.x.shape[-1])
    return model, train_walker(model, data.train.x, data.validation.x, recipe, seed=seed, progress=progress)
