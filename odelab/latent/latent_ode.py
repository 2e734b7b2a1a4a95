"""The latent ODE (Chen et al. 2018, section 5): a time series as a decoded trajectory of an ODE (slides 7a–7c).

    z₀ ~ p(z₀),   z₁, …, z_N = ODESolve(z₀, f, t₀, …, t_N),   x_i ~ p(x | z_i)

All that is random sits in z₀: an encoder reads the observations and gives q(z₀ | x), the solver does the rest, forwards
and backwards in time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from odelab.choices import choose
from odelab.latent.forecast import Forecast, evaluating
from odelab.latent.observations import Observations, check_clock, check_draws, observe
from odelab.nets.fields import perceptron
from odelab.saving import Savable
from odelab.solvers import NonFiniteState, solve


class LatentField(Savable):
    """dz/dt = f(z): a perceptron that knows no time.

    Args:
        dim: of z; hidden: widths of the hidden layers; activation: between layers, "elu" or "tanh".
    """

    def __init__(self, dim: int, hidden: Sequence[int] = (20, 20), activation: str = "elu") -> None:
        super().__init__()
        between = choose({"elu": nn.ELU, "tanh": nn.Tanh}, activation, "activation")
        self.net = perceptron(dim, dim, hidden, between)
        self.dim = dim

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        """z (…, dim) -> dz/dt, shaped like z."""
        return self.net(z)


@dataclass(frozen=True)
class LatentTerms:
    """The two terms of the ELBO, one number a sequence.

    Attributes:
        reconstruction: E log p(x | z) over the observations, (n,).
        kl: KL(q(z₀ | x) ‖ p(z₀)), (n,).
    """

    reconstruction: Tensor
    kl: Tensor

    def elbo(self, kl_weight: float = 1.0) -> Tensor:
        """Mean over the sequences of E log p − KL, 0-d; another weight than 1 gives no bound."""
        return (self.reconstruction - kl_weight * self.kl).mean()


class LatentODE(Savable):
    """Encoder, vector field and decoder of a latent trajectory.

    Time is counted from the first of a sequence's `times`, where z₀ stands; the field sees that time. What the methods
    are given: x (n, T, channels); times (T,) or (n, T), increasing; mask bool (n, T), True where a frame was observed,
    or bool (n, T, channels) for single channels. Of a frame of which only some channels were observed the likelihood
    counts those, and the encoder reads zeros in place of the others. Values that were not observed may be NaN.

    Args:
        encoder: (x, times, mask (n, T) or None) -> a distribution over z₀ (n, dim), as `RecurrentEncoder` and
            `ODERNNEncoder` are; where it has an attribute `dim`, that is checked.
        field: (t, z) -> dz/dt, with attribute `dim`, as `LatentField`.
        decoder: see `Decoder`, of z (…, dim), as `GaussianDecoder`.
        step: of the classical RK4; between its steps a cubic through values and slopes.

    Raises:
        ValueError: for a step that is not positive, and for an encoder and a field that do not fit.

    Example:
        >>> import torch
        >>> from odelab.latent import GaussianDecoder, LatentField, LatentODE, RecurrentEncoder
        >>> model = LatentODE(RecurrentEncoder(2, 3), LatentField(3), GaussianDecoder(3, 2))
        >>> x, times = torch.zeros(4, 6, 2), torch.linspace(0, 1, 6)
        >>> model.posterior(x, times).mean.shape  # z₀ of each sequence
        torch.Size([4, 3])
    """

    def __init__(self, encoder: Any, field: Any, decoder: Any, *, step: float = 0.2) -> None:
        super().__init__()
        if not step > 0:
            raise ValueError(f"step = {step}: the solver's step must be positive, in units of the observations' time")
        self.encoder, self.field, self.decoder, self.step = encoder, field, decoder, step
        self.dim = int(field.dim)
        if getattr(encoder, "dim", self.dim) != self.dim:
            raise ValueError(
                f"the encoder gives z₀ of size {encoder.dim}, but the field moves one of size {self.dim}: "
                "build both with the same size"
            )

    def prior(self) -> Independent:
        """p(z₀): the standard normal over (dim,)  (slides 7a)."""
        zero = next(self.field.parameters()).new_zeros(self.dim)
        return Independent(Normal(zero, zero + 1), 1)

    def posterior(self, x: Tensor, times: Tensor, mask: Tensor | None = None) -> Independent:
        """q(z₀ | what was observed), over (n, dim).

        Raises:
            ValueError, TypeError: for data that cannot be, with where and what to do.
        """
        return self._read(self._observe(x, times, mask))

    def _observe(self, x: Tensor, times: Tensor, mask: Tensor | None) -> Observations:
        return observe(self, x, times, mask, self.decoder.shape)

    def _read(self, observations: Observations) -> Independent:
        since_first = observations.times - observations.times[..., :1]  # before it is rounded to the model's precision
        return self.encoder(observations.x, since_first.to(observations.x.dtype), observations.frames)

    def trajectory(self, z0: Tensor, times: Tensor) -> Tensor:
        """Solve from z₀ to times counted from its own, either way  (slides 7b).

        Args:
            z0: (…, n, dim).
            times: (T,), or (n, T) for a clock of each; of either sign, in any order.

        Returns:
            z: (…, n, T, dim).

        Raises:
            NonFiniteState: where numbers overflow on the way; over hundreds of units of time they do so easily, because
                an untrained field lets z grow exponentially.
        """
        reach = max(0.0, float(-times.min())), max(self.step, float(times.max()))
        first, last = (math.ceil(end / self.step - 1e-6) for end in reach)
        knots = torch.arange(-first, last + 1, device=z0.device).to(times.dtype) * self.step
        z = self._solve(z0, knots[first:])
        if first:
            z = torch.cat([self._solve(z0, knots[: first + 1].flip(0)).flip(0)[:-1], z])
        slopes = self.field(knots.view(-1, *[1] * z0.ndim).to(z0.dtype), z)
        return hermite(z, slopes, times, knots, self.step)

    def _solve(self, z0: Tensor, knots: Tensor) -> Tensor:
        """One RK4 step from knot to knot, (len(knots), …, dim)."""
        if len(knots) == 1:
            return z0[None]
        try:
            return solve(self.field, z0, knots.to(z0.dtype), method="rk4_classic").y  # type: ignore[return-value]
        except NonFiniteState as error:
            span = abs(float(knots[-1]))
            hint = (
                f"sequences and questions reach {span:.3g} units of time, {len(knots) - 1} steps of {self.step:g}; "
                f"take another unit, times / {span / 10:.2g}, in which that is about ten, or a smaller field"
            )
            raise NonFiniteState(
                "the latent path became NaN or infinite", t=error.t, dt=error.dt, nfe=error.nfe, hint=hint
            ) from error

    def terms(
        self,
        x: Tensor,
        times: Tensor,
        mask: Tensor | None = None,
        *,
        draws: int = 1,
        generator: torch.Generator | None = None,
        read: slice = slice(None),
    ) -> LatentTerms:
        """Both terms of the ELBO with `draws` draws of z₀; only what the mask marks counts.

        Args:
            read: the frames that the encoder is given, consecutive ones; z₀ then stands at the first of them, and the
                path runs from there to all frames, both ways. Training on parts teaches a model to go on where it has
                seen nothing, and the bound is one on the likelihood of all frames still.

        Raises:
            ValueError, TypeError: for data that cannot be, with where and what to do.
        """
        observations = self._observe(x, times, mask)
        part = mask if mask is None else mask[:, read]
        posterior = self.posterior(x[:, read], times[..., read], part)
        z = self.trajectory(draw(posterior, check_draws(draws), generator), times - times[..., read][..., :1])
        log_p = observations.log_likelihood(self.decoder.distribution(z))
        return LatentTerms(log_p.sum(-1).mean(0), kl_divergence(posterior, self.prior()))

    def predict(self, x: Tensor, times: Tensor, mask: Tensor | None, at: Tensor) -> Tensor:
        """Decoded trajectory of the posterior's mean at times `at` on the sequences' clock, (n, T', channels).

        Args:
            at: (T',), or (n, T'); before, within or after the observations.
        """
        return self.forecast(x, times, at, mask, mean=True).draws[0]

    def forecast(
        self,
        x: Tensor,
        times: Tensor,
        at: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        draws: int = 50,
        generator: torch.Generator | None = None,
        mean: bool = False,
    ) -> Forecast:
        """Paths from draws of z₀ ~ q(z₀ | x), in eval mode and without gradients.

        Args:
            x: (n, m, channels), all of which is read; mask: of x.
            times: those of x; without `at` more than m may be given, and an answer is wanted at every one of them.
            at: (T',) or (n, T'), where an answer is wanted instead, in any order: before, within or after x.
            draws: K of z₀.
            mean: one path, from the mean of q(z₀ | x), in place of draws.

        Raises:
            ValueError, TypeError: for data or numbers that cannot be, with where and what to do.
        """
        if at is None:
            check_clock(times, len(x))
            at, times = times, times[..., : x.shape[1]]
        else:
            check_clock(at, len(x), name="at")
        with evaluating(self):
            posterior = self.posterior(x, times, mask)
            z0 = posterior.mean[None] if mean else draw(posterior, check_draws(draws), generator)
            z = self.trajectory(z0, at - times[..., :1])
            return Forecast(self.decoder.mean(z), z, at, getattr(self.decoder, "std", None))

    @torch.no_grad()
    def sample(self, n: int, times: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """New series from the prior, without observation noise: (n, T, channels) at times (T,) counted from z₀."""
        check_clock(times, n)
        like = self.prior().mean
        z0 = torch.randn(n, self.dim, generator=generator, dtype=like.dtype, device=like.device)
        return self.decoder.mean(self.trajectory(z0, times))


def hermite(values: Tensor, slopes: Tensor, times: Tensor, knots: Tensor, step: float) -> Tensor:
    """The cubic through values and slopes (knots, …, n, dim) at equally spaced knots, at each of the times.

    Only the two knots beside a time are looked up: a matrix of weights would have four entries in a row that are not
    zero, however many knots there are.

    Args:
        times: (T,), or (n, T).

    Returns:
        (…, n, T, dim).
    """
    left = ((times - knots[0]) / step).long().clamp(0, len(knots) - 2)
    x = (times - knots[left]) / step
    rest = 1 - x
    weights = ((1 + 2 * x) * rest**2, x * rest**2 * step, x * x * (3 - 2 * x), -x * x * rest * step)
    parts = torch.cat([values, slopes], -1)
    if times.ndim == 1:
        beside = [parts.index_select(0, k).movedim(0, -2) for k in (left, left + 1)]
    else:
        parts, n = parts.movedim(-2, 1), len(times)  # (knots, n, …, 2 dim)
        rows, own = parts.flatten(0, 1), torch.arange(n, device=times.device)[:, None]
        found = [rows.index_select(0, (k * n + own).flatten()) for k in (left, left + 1)]
        beside = [part.unflatten(0, times.shape).movedim((0, 1), (-3, -2)) for part in found]
    (value, slope), (next_value, next_slope) = (part.chunk(2, -1) for part in beside)
    terms = (value, slope, next_value, next_slope)
    return sum(weight.to(values.dtype)[..., None] * term for weight, term in zip(weights, terms, strict=True))  # type: ignore[return-value]


def draw(posterior: Independent, draws: int, generator: torch.Generator | None = None) -> Tensor:
    """Reparametrised draws (draws, n, dim) of a Gaussian."""
    noise = torch.randn(draws, *posterior.mean.shape, generator=generator, device=posterior.mean.device)
    return posterior.mean + posterior.stddev * noise
