"""A neural process (Garnelo et al. 2018) and a neural ODE process (Norcliffe et al. 2021), on a common grid of times.

A context set is a mask over the grid. Its points go through one net each, and their mean r says all that the model
knows, with their number, which a mean forgets. From both come mean and standard deviation of a latent variable z; a
draw of z decides a whole series.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from odelab import solve
from odelab.latent import Forecast
from odelab.nets.fields import perceptron

GAIN = 1.3  # of the weights at the start
NARROW = -4.0  # where the standard deviation of z begins, before the sigmoid


def centred(times: Tensor) -> Tensor:
    """Times as the nets read them, from −2 to 2."""
    return 4 * (times - times[0]) / (times[-1] - times[0]) - 2


class NeuralProcess(nn.Module):
    """z ~ q(z | context), then a decoder of time and z: no order of time, no path.

    Args:
        channels: of y; latent: dimension of z; hidden: width of every net.
        noise: standard deviation of y around the decoder's mean, known and not learned: a net that may learn it says
            first that all is noise, and then seldom finds the series.
    """

    def __init__(self, channels: int, latent: int, hidden: int, noise: float) -> None:
        super().__init__()
        self.channels, self.dim, self.noise = channels, latent, noise
        self.encoder = perceptron(1 + channels, hidden, (hidden, hidden))
        self.head = perceptron(hidden + 1, 2 * latent, (hidden,))
        self._build(hidden)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):  # PyTorch's own start lets a signal fade over so many layers
                nn.init.xavier_normal_(layer.weight, GAIN)
        nn.init.constant_(self.head[-1].bias[latent:], NARROW)  # type: ignore[index]
        # with more noise in z the decoder learns to ignore z

    def _build(self, hidden: int) -> None:
        self.decoder = perceptron(1 + self.dim, self.channels, (hidden, hidden, hidden))

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
        clock = centred(times).expand(len(y), -1)[..., None]
        each = self.encoder(torch.cat([clock, y.where(mask[..., None], 0.0)], -1))
        count = mask.sum(1, keepdim=True)
        r = (each * mask[..., None]).sum(1) / count.clamp(min=1)
        mean, raw = self.head(torch.cat([r, 1 / (1 + count)], -1)).chunk(2, -1)
        return Independent(Normal(mean, 0.01 + 0.99 * torch.sigmoid(raw)), 1)

    def decode(self, times: Tensor, z: Tensor) -> Normal:
        """p(y | z) of every entry, over (…, n, T, channels), for z (…, n, dim)."""
        clock = centred(times).view(-1, 1).expand(*z.shape[:-1], -1, 1)
        return self._distribution(torch.cat([clock, z[..., None, :].expand(*clock.shape[:-1], -1)], -1))

    def _distribution(self, inputs: Tensor) -> Normal:
        return Normal(self.decoder(inputs), self.noise, validate_args=False)

    def loss(self, times: Tensor, y: Tensor, context: Tensor, target: Tensor, kl_weight: float = 1.0) -> Tensor:
        """−ELBO of the targets given the context, mean over series, 0-d; the targets hold the context (n, T).

        With another weight than 1 it is no bound: training begins with 0.
        """
        wide, narrow = self.posterior(times, y, context), self.posterior(times, y, target)
        fit = self.decode(times, narrow.rsample()).log_prob(y).sum(-1)
        return (kl_weight * kl_divergence(narrow, wide) - (fit * target).sum(-1)).mean()

    @torch.no_grad()
    def forecast(
        self, times: Tensor, y: Tensor, context: Tensor, draws: int = 50, generator: torch.Generator | None = None
    ) -> Forecast:
        """Draws of whole series given the context, without noise: draws (K, n, T, channels)."""
        q = self.posterior(times, y, context)
        noise = torch.randn(draws, *q.mean.shape, generator=generator)
        z = q.mean + q.stddev * noise
        p = self.decode(times, z)
        return Forecast(p.mean, z[..., None, :], times, torch.tensor(self.noise))


class ODEProcess(NeuralProcess):
    """z is l(0) and d: the state l starts at l(0), d stays and tells the field which ODE it is.

    The decoder sees l(t) alone, so that all that changes in time has to go through the ODE, and it has one layer less
    than that of the neural process, whose size the model has with its field.
    """

    def __init__(self, channels: int, latent: int, hidden: int, noise: float) -> None:
        super().__init__(channels, 2 * latent, hidden, noise)

    def _build(self, hidden: int) -> None:
        size = self.dim // 2
        self.field = perceptron(1 + 2 * size, size, (hidden, hidden))
        self.decoder = perceptron(size, self.channels, (hidden,))

    def path(self, times: Tensor, z: Tensor) -> Tensor:
        """l at the times, by one midpoint step from each to the next: (…, n, T, size) for z (…, n, 2 size)."""
        start, d = z.chunk(2, -1)

        def slope(t: Tensor, state: Tensor) -> Tensor:
            clock = (4 * (t - times[0]) / (times[-1] - times[0]) - 2).expand(*state.shape[:-1], 1)
            return self.field(torch.cat([clock, state, d], -1))

        return solve(slope, start, times, method="midpoint").y.movedim(0, -2)  # type: ignore[union-attr]

    def decode(self, times: Tensor, z: Tensor) -> Normal:
        return self._distribution(self.path(times, z))
