"""A convolutional VAE whose latent state is moved by a GRU from frame to frame: the baseline that knows no time."""

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from odelab.latent import Forecast, Terms
from odelab.latent.forecast import evaluating
from odelab.latent.ode2vae import normal
from odelab.saving import Savable


class RNNVAE(Savable):
    """z₀ ~ q(z₀ | x_0:m) as in ODE²VAE, then h_{i+1} = GRU(s_i, h_i), s_i = A h_i; frames are decoded from s_i.

    Args:
        encoder: of one net for all m frames (order 1), z₀ of any size.
        decoder: of s; hidden: units of the GRU.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, hidden: int = 100) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        position: int = decoder.net[0].in_features  # type: ignore[index, union-attr]
        self.start = nn.Linear(encoder.dim, hidden)  # type: ignore[arg-type]
        self.cell = nn.GRUCell(position, hidden)
        self.read = nn.Linear(hidden, position)

    @property
    def frames(self) -> int:
        """m, the frames that the encoder reads."""
        return self.encoder.frames  # type: ignore[return-value]

    def positions(self, z0: Tensor, frames: int) -> Tensor:
        """z₀ (…, D) -> s of every frame (…, frames, q)."""
        h = self.start(z0).tanh()
        path = [self.read(h)]
        for _ in range(frames - 1):
            h = self.cell(path[-1].flatten(0, -2), h.flatten(0, -2)).view_as(h)
            path.append(self.read(h))
        return torch.stack(path, -2)

    def posterior(self, x: Tensor) -> Independent:
        """q(z₀ | x_0:m) over (n, D)."""
        mean, log_std = self.encoder(x[:, : self.frames])
        return normal(mean, log_std)

    def terms(
        self, x: Tensor, times: Tensor, mask: Tensor | None = None, *, sequences: int = 1, encoder_kl: bool = False
    ) -> Terms:
        """As `ODE2VAE.terms`, of which it has the initial divergence and the reconstructions; times are not read.

        Raises:
            ValueError: for encoder_kl=True, which belongs to a path with a density.
        """
        if encoder_kl:
            raise ValueError("encoder_kl compares q_ode with q_enc; the states of an RNN have no density to compare")
        q = self.posterior(x)
        z0 = q.rsample()
        initial = torch.distributions.kl_divergence(q.base_dist, Normal(0.0, 1.0, validate_args=False)).sum(-1)
        likely = self.decoder.distribution(self.positions(z0, x.shape[1])).log_prob(x).flatten(2).sum(2)  # type: ignore[operator]
        if mask is not None:
            likely = likely * mask
        none = torch.zeros_like(initial)
        return Terms(none[0], initial, likely[:, 0], none, likely[:, 1:].sum(1), none, sequences, 0.0)

    def forecast(
        self,
        x: Tensor,
        times: Tensor,
        draws: int = 50,
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
        *,
        mean: bool = False,
    ) -> Forecast:
        """As `ODE2VAE.forecast`; frame i is the i-th state, whatever its time."""
        with evaluating(self):
            q = self.posterior(x)
            shape = (1 if mean else draws, *q.mean.shape)
            noise = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device) * (not mean)
            s = self.positions(q.mean + q.base_dist.stddev * noise, times.shape[-1])
            return Forecast(self.decoder.mean(s), s, times)  # type: ignore[operator]
