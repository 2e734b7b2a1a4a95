"""What the encoder says about later frames, q_enc(zᵢ | x_i:i+m), beside what the ODE carries there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from odelab.latent.observations import Observations


def normal(mean: Tensor, log_std: Tensor) -> Independent:
    """N(mean, diag σ²) over the last dimension."""
    return Independent(Normal(mean, log_std.exp(), validate_args=False), 1, validate_args=False)


def windows_of(seen: Observations, m: int, later: bool) -> tuple[Tensor, Tensor]:
    """Windows of m frames (n, count, m, *shape), all or the first of each sequence, and bool (n, count): usable.

    A later window counts where all of it was observed; its frames are read as if they followed each other evenly, as
    the first ones are.
    """
    count = seen.x.shape[1] - m + 1 if later else 1
    windows = seen.x[:, : m + count - 1].unfold(1, m, 1).movedim(-1, 2)
    usable = torch.ones(windows.shape[:2], dtype=torch.bool, device=seen.x.device)
    if seen.entries is not None:
        usable = seen.entries[:, : m + count - 1].flatten(2).all(-1).unfold(1, m, 1).all(-1)
        usable[:, 0] = True  # observed, or taken as zeros
    return windows, usable


def first_of_each(usable: Tensor) -> Tensor:
    """Where the first window of every sequence stands among the usable ones, which are in order: (n,)."""
    counts = usable.sum(1)
    return counts.cumsum(0) - counts


def to_encoder(z: Tensor, log_q: Tensor, mean: Tensor, log_std: Tensor, usable: Tensor) -> Tensor:
    """Σ_{i ≥ 1} log q_ode(zᵢ) − log q_enc(zᵢ | x_i:i+m) (…, n) over the usable windows."""
    count = usable.shape[1]
    if count == 1:
        return torch.zeros_like(log_q[..., 0])
    if bool(usable.all()):
        encoded = normal(mean.view(*usable.shape, -1), log_std.view(*usable.shape, -1)).log_prob(z[..., :count, :])
        return (log_q[..., :count] - encoded)[..., 1:].sum(-1)
    gaps = torch.zeros_like(log_q[..., :count])
    at = z[..., :count, :][..., usable, :]
    gaps[..., usable] = log_q[..., :count][..., usable] - normal(mean, log_std).log_prob(at)
    return gaps[..., 1:].sum(-1)
