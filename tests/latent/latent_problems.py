"""Small models in float64, with data that they can read."""

import torch
from torch import Tensor

from odelab.latent import ODE2VAE, FirstOrder, GaussianDecoder, SecondOrder, VectorEncoder

CHANNELS, Q, FRAMES = 3, 2, 2


def vector_model(order: int = 2, seed: int = 0, **settings: object) -> ODE2VAE:
    """Reads (n, T, 3); variance large enough for two draws of W to differ visibly."""
    torch.manual_seed(seed)
    q = Q if order == 2 else 2 * Q
    dynamics = (SecondOrder if order == 2 else FirstOrder)(q, (5, 4), initial_variance=0.04)
    encoder = VectorEncoder(CHANNELS, q, FRAMES, (6,), order=order, scale=2.0)
    model = ODE2VAE(encoder, dynamics, GaussianDecoder(q, CHANNELS, (6,), scale=2.0, initial_std=0.7), **settings)
    with torch.no_grad():  # σ that depends on the data, as after training
        for net in encoder.nets:
            net[-1].weight.normal_(0, 0.3)  # type: ignore[index, operator, union-attr]
    return model.double()


def sequences(n: int = 4, frames: int = 6, seed: int = 1) -> tuple[Tensor, Tensor]:
    """x (n, frames, 3) and shared times (frames,)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, frames, CHANNELS, dtype=torch.float64, generator=generator)
    return x, 0.1 + 0.2 * torch.arange(frames, dtype=torch.float64)


def own_clocks(n: int = 4, frames: int = 6, seed: int = 2) -> Tensor:
    """Increasing times (n, frames), other ones for every sequence."""
    generator = torch.Generator().manual_seed(seed)
    return (0.05 + torch.rand(n, frames, dtype=torch.float64, generator=generator) * 0.4).cumsum(-1)


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
