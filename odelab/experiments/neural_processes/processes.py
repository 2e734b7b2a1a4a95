"""A neural process (Garnelo et al. 2018) and a neural ODE process (Norcliffe et al. 2021), on a common grid of times.

A context set is a mask over the grid. Its points go through one net each, and their mean r says all that the model
knows. From r come mean and standard deviation of a latent variable z; a draw of z decides a whole series.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from odelab import solve
from odelab.latent import Forecast
from odelab.nets.fields import perceptron

LEAST = 0.02  # of the decoder's standard deviation


class NeuralProcess(nn.Module):
    """z ~ q(z | context), then a decoder of time and z: no order of time, no path.

    Args:
        channels: of y; latent: dimension of z; hidden: width of every net.
    """

    def __init__(self, channels: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.channels, self.dim = channels, latent
        self.encoder = perceptron(1 + channels, hidden, (hidden, hidden))
        self.head = perceptron(hidden, 2 * latent, (hidden,))
        self._build(hidden)

    def _build(self, hidden: int) -> None:
        self.decoder = perceptron(1 + self.dim, 2 * self.channels, (hidden, hidden, hidden))

    def posterior(self, times: Tensor, y: Tensor, mask: Tensor) -> Independent:
        """q(z | points), over (n, dim).

        Args:
            times: (T,); y: (n, T, channels); mask: bool (n, T), the points; a row may have none.

        Raises:
            ValueError: for shapes that do not fit.
        """
        if y.ndim != 3 or y.shape[1:] != (len(times), self.channels) or mask.shape != y.shape[:2]:
            raise ValueError(
                f"times {tuple(times.shape)}, y {tuple(y.shape)} and mask {tuple(mask.shape)} do not fit: "
                f"(T,), (n, T, {self.channels}) and (n, T) are asked for"
            )
        clock = times.expand(len(y), -1)[..., None]
        each = self.encoder(torch.cat([clock, y.where(mask[..., None], 0.0)], -1))
        count = mask.sum(1, keepdim=True).clamp(min=1)
        r = (each * mask[..., None]).sum(1) / count
        mean, raw = self.head(r).chunk(2, -1)
        return Independent(Normal(mean, 0.1 + 0.9 * torch.sigmoid(raw)), 1)

    def decode(self, times: Tensor, z: Tensor) -> Normal:
        """p(y | z) of every entry, over (…, n, T, channels), for z (…, n, dim)."""
        clock = times.view(-1, 1).expand(*z.shape[:-1], -1, 1)
        return self._distribution(torch.cat([clock, z[..., None, :].expand(*clock.shape[:-1], -1)], -1))

    def _distribution(self, inputs: Tensor) -> Normal:
        mean, raw = self.decoder(inputs).chunk(2, -1)
        return Normal(mean, LEAST + nn.functional.softplus(raw), validate_args=False)

    def loss(self, times: Tensor, y: Tensor, context: Tensor, target: Tensor) -> Tensor:
        """−ELBO of the targets given the context, mean over series, 0-d; the targets hold the context (n, T)."""
        wide, narrow = self.posterior(times, y, context), self.posterior(times, y, target)
        fit = self.decode(times, narrow.rsample()).log_prob(y).sum(-1)
        return (kl_divergence(narrow, wide) - (fit * target).sum(-1)).mean()

    @torch.no_grad()
    def forecast(
        self, times: Tensor, y: Tensor, context: Tensor, draws: int = 50, generator: torch.Generator | None = None
    ) -> Forecast:
        """Draws of whole series given the context, and each draw's own noise: draws (K, n, T, channels)."""
        q = self.posterior(times, y, context)
        noise = torch.randn(draws, *q.mean.shape, generator=generator)
        z = q.mean + q.stddev * noise
        p = self.decode(times, z)
        return Forecast(p.mean, z[..., None, :], times, p.stddev)


class ODEProcess(NeuralProcess):
    """z is l(0) and d: the state l starts at l(0), d stays and tells the field which ODE it is.

    The decoder sees l(t) alone, so that all that changes in time has to go through the ODE, and it has one layer less
    than that of the neural process, whose size the model has with its field.
    """

    def __init__(self, channels: int, latent: int, hidden: int) -> None:
        super().__init__(channels, 2 * latent, hidden)

    def _build(self, hidden: int) -> None:
        size = self.dim // 2
        self.field = perceptron(1 + 2 * size, size, (hidden, hidden))
        self.decoder = perceptron(size, 2 * self.channels, (hidden,))

    def path(self, times: Tensor, z: Tensor) -> Tensor:
        """l at the times, by one midpoint step from each to the next: (…, n, T, size) for z (…, n, 2 size)."""
        start, d = z.chunk(2, -1)

        def slope(t: Tensor, state: Tensor) -> Tensor:
            clock = t.expand(*state.shape[:-1], 1)
            return self.field(torch.cat([clock, state, d], -1))

        return solve(slope, start, times, method="midpoint").y.movedim(0, -2)  # type: ignore[union-attr]

    def decode(self, times: Tensor, z: Tensor) -> Normal:
        return self._distribution(self.path(times, z))
