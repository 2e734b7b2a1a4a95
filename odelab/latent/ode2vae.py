"""ODE²VAE: a variational autoencoder of sequences whose latent state follows a Bayesian ODE of second order.

z₀ ~ q_enc(z₀ | x_0:m),   W ~ q(W),   dz/dt = field_W(z),   x_i ~ p(x_i | s(t_i))     (slides 11a–e, 12–15)
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from odelab.choices import choose
from odelab.latent.dynamics import DrawnField, Dynamics
from odelab.latent.elbo import Terms
from odelab.latent.forecast import Forecast, evaluating
from odelab.latent.observations import (
    Observations,
    check_draws,
    check_first_frames,
    check_frames,
    check_mask,
    check_order,
    observe,
    observed_part,
)
from odelab.latent.paths import flow
from odelab.saving import Savable


def normal(mean: Tensor, log_std: Tensor) -> Independent:
    """N(mean, diag σ²) over the last dimension."""
    return Independent(Normal(mean, log_std.exp(), validate_args=False), 1, validate_args=False)


def windows_of(observations: Observations, m: int, later: bool) -> tuple[Tensor, Tensor]:
    """Windows of m frames (n, count, m, *shape), all or the first of each sequence, and bool (n, count): usable.

    A later window counts where all of it was observed; its frames are read as if they followed each other evenly, as
    the first ones are.
    """
    count = observations.x.shape[1] - m + 1 if later else 1
    windows = observations.x[:, : m + count - 1].unfold(1, m, 1).movedim(-1, 2)
    usable = torch.ones(windows.shape[:2], dtype=torch.bool, device=observations.x.device)
    if observations.entries is not None:
        usable = observations.entries[:, : m + count - 1].flatten(2).all(-1).unfold(1, m, 1).all(-1)
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


class ODE2VAE(Savable):
    """Order 1 and 2, Bayesian or not, for vectors and images: what the parts are decides.

    Args:
        encoder: see `Encoder`; of the frames it reads and the size of z.
        dynamics: `SecondOrder`, or `FirstOrder` of q (position only) or 2 q dimensions.
        decoder: see `Decoder`; sees the first `dynamics.position_dim` entries of z.
        substeps: Runge–Kutta steps from one frame to the next. Where `terms` change with more of them, there were too
            few, and the density is not that of the ODE.
        method: of `flow`.
        missing: "error", or "zeros": what the encoder sees of its first frames where they were not observed.
        gradient: of `flow`: "rollout", the faster one, or "backprop", which can be differentiated again.
    """

    def __init__(
        self,
        encoder: nn.Module,
        dynamics: Dynamics,
        decoder: nn.Module,
        *,
        substeps: int = 1,
        method: str = "rk4_classic",
        missing: str = "error",
        gradient: str = "rollout",
    ) -> None:
        super().__init__()
        choose({"error": 0, "zeros": 0}, missing, "missing")
        if encoder.dim != dynamics.dim:
            raise ValueError(
                f"the encoder gives z of size {encoder.dim}, but the dynamics move one of size {dynamics.dim}: "
                "SecondOrder(q) goes with order=2, FirstOrder(d) with order=1 and q=d"
            )
        if encoder.shape != decoder.shape:
            raise ValueError(f"the encoder reads frames {encoder.shape}, but the decoder makes {decoder.shape}")
        self.encoder, self.dynamics, self.decoder = encoder, dynamics, decoder
        self.substeps, self.method, self.missing, self.gradient = substeps, method, missing, gradient

    @property
    def frames(self) -> int:
        """m, the frames that the encoder reads."""
        return self.encoder.frames  # type: ignore[return-value]

    @property
    def beta(self) -> float:
        """|q| / |W|: the size of z over the number of weights (slides 20)."""
        return self.dynamics.dim / self.dynamics.weight_count

    def posterior(self, x: Tensor, mask: Tensor | None = None) -> Independent:
        """q_enc(z₀ | x_0:m), a distribution over (n, D), from the first m frames of x (n, T ≥ m, *shape)."""
        check_frames(self, x, self.encoder.shape, self.frames)  # type: ignore[arg-type]
        entries = None if mask is None else check_mask(mask, x)[:, : self.frames]
        if entries is not None and self.missing == "error":
            check_first_frames(entries)
        return normal(*self._encode(observed_part(x[:, : self.frames], entries)))

    def prior(self, z: Tensor) -> Independent:
        """p(z) = N(0, I), on the device and in the precision of z (…, D)."""
        zero = torch.zeros_like(z[..., :1]).expand_as(z)
        return Independent(Normal(zero, zero + 1, validate_args=False), 1, validate_args=False)

    def terms(
        self,
        x: Tensor,
        times: Tensor,
        mask: Tensor | None = None,
        *,
        draws: int = 1,
        sequences: int | None = None,
        encoder_kl: bool = True,
        generator: torch.Generator | None = None,
    ) -> Terms:
        """The terms of the objectives (16)–(21) for n sequences.

        Args:
            x: (n, T, *shape); times: (T,) or (n, T); mask: bool (n, T) or x.shape, True where observed.
            draws: of (W, z₀) to average over; each draw of W serves the whole batch.
            sequences: N in the data set, the batch's n by default; KL[q(W) ‖ p(W)] counts 1/N in each.
            encoder_kl: whether to encode the later windows too, which `Terms.penalised` with γ > 0 needs.

        Raises:
            ValueError, TypeError: for data that cannot be, with where and what to do.
        """
        observations = observe(self, x, times, mask, self.encoder.shape, self.frames, self.missing)  # type: ignore[arg-type]
        windows, usable = windows_of(observations, self.frames, encoder_kl)
        mean, log_std = self._encode(windows[usable])
        first = first_of_each(usable)
        posterior = normal(mean[first], log_std[first])
        outer = () if draws == 1 else (check_draws(draws),)
        z0 = _rsample(posterior, outer, generator)
        field = self.dynamics.draw(outer, generator)
        z, log_q = self._flow(field, z0, observations.times, posterior.log_prob(z0))

        log_p = self.prior(z).log_prob(z)
        likelihood = self.decoder.distribution(z[..., : self.dynamics.position_dim])  # type: ignore[operator]
        log_likelihood = observations.log_likelihood(likelihood)
        dynamic = (log_q - log_p)[..., 1:]
        if observations.frames is not None:
            dynamic = dynamic * observations.frames[:, 1:]
        return Terms(
            weights_kl=self.dynamics.kl(),
            initial_kl=_kl_to_standard(mean[first], log_std[first]),
            first_reconstruction=_over_draws(log_likelihood[..., 0], draws),
            dynamic_kl=_over_draws(dynamic.sum(-1), draws),
            reconstruction=_over_draws(log_likelihood[..., 1:].sum(-1), draws),
            encoder_kl=_over_draws(to_encoder(z, log_q, mean, log_std, usable), draws),
            sequences=len(x) if sequences is None else sequences,
            beta=self.beta,
            encoded=encoder_kl,
        )

    def forecast(
        self,
        x: Tensor,
        times: Tensor,
        draws: int = 50,
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
        *,
        mean: bool = False,
        start: bool = True,
        law: bool = True,
    ) -> Forecast:
        """Paths from the first m frames of x, in eval mode and without gradients.

        Args:
            x: (n, T ≥ m, *shape), of which the first m frames are read; times: (T',) or (n, T'), the first one that
                of x_0, the others wherever an answer is wanted: at missing frames, between frames, or beyond them.
            draws: K of (W, z₀).
            mean: one path, from the means of q_enc and q(W), in place of draws.
            start, law: whether z₀, and W, are drawn; one that is not stays at its mean, so that the spread is due to
                the other alone.
        """
        check_order(times, len(x), None)
        with evaluating(self):
            posterior = self.posterior(x, mask)
            if mean:
                z0, field = posterior.mean[None], self.dynamics.draw(mean=True)
            else:
                shape = (check_draws(draws),)
                z0 = _rsample(posterior, shape, generator) if start else posterior.mean.expand(*shape, -1, -1)
                field = self.dynamics.draw(shape, generator) if law else self.dynamics.draw(mean=True)
            return self._decoded(self._flow(field, z0, times), times)

    def sample(self, n: int, times: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Frames (n, T, *shape) of n sequences from the prior p(z₀), each with a W ~ q(W) of its own; decoder means."""
        check_order(times, n, None)
        with evaluating(self):
            like = next(self.parameters())
            z0 = torch.randn(n, 1, self.dynamics.dim, generator=generator, dtype=like.dtype, device=like.device)
            field = self.dynamics.draw((n,), generator)
            paths = self._flow(field, z0, times[:, None] if times.ndim == 2 else times)
            return self._decoded(paths, times).draws[:, 0]

    def _encode(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log σ, in the precision of the dynamics: under autocast, too, a density wants all its digits."""
        like = next(self.dynamics.parameters())
        mean, log_std = self.encoder(windows)
        return mean.to(like.dtype), log_std.to(like.dtype)

    def _flow(self, field: DrawnField, z0: Tensor, times: Tensor, density: Tensor | None = None) -> Any:
        how = {"substeps": self.substeps, "method": self.method, "gradient": self.gradient}
        return flow(field, z0, times, **how, density=density)  # type: ignore[arg-type]

    def _decoded(self, z: Tensor, times: Tensor) -> Forecast:
        noise = getattr(self.decoder, "std", None)
        return Forecast(self.decoder.mean(z[..., : self.dynamics.position_dim]), z, times, noise)  # type: ignore[operator]


def _rsample(q: Independent, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """As q.rsample(shape), from a generator."""
    mean, std = q.mean, q.base_dist.stddev
    return mean + std * torch.randn(*shape, *mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)


def _over_draws(term: Tensor, draws: int) -> Tensor:
    return term if draws == 1 else term.mean(0)


def _kl_to_standard(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL[N(mean, σ²) ‖ N(0, I)] (n,)."""
    return 0.5 * (mean.square() + (2 * log_std).exp() - 1 - 2 * log_std).sum(-1)
