"""The evidence lower bound, term by term, so that each can be printed, plotted and switched off.

    log p(X) ≥ − KL[q(W) ‖ p(W)]                                            weights_kl            (slides 17)
               − E[log q_enc(z₀|X) / p(z₀)] + E[log p(x₀|z₀)]               initial_kl, first_…   (slides 18)
               − Σᵢ E[log q_ode(zᵢ|W, X) / p(zᵢ)] + Σᵢ E[log p(xᵢ|zᵢ)]      dynamic_kl, …         (slides 19)

Their sum (16) adds up the divergences of the marginals at all observation times. But given z₀ and W the path is
determined: q and p of the path differ at z₀ only, and the bound on log p(X) needs no more than the divergence there.
That is `path_elbo`; `elbo` is the source's, and lower by the dynamic term wherever that is positive.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

WEIGHTS = {
    "weights_kl": 1.0,
    "initial_kl": 1.0,
    "first_reconstruction": 1.0,
    "dynamic_kl": 1.0,
    "reconstruction": 1.0,
    "encoder_kl": 0.0,
}
RECONSTRUCTIONS = ("first_reconstruction", "reconstruction")


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of a batch of n sequences, averaged over draws; in nats.

    Attributes:
        weights_kl (): KL[q(W) ‖ p(W)], exact, once for the whole data set.
        initial_kl (n,): KL[q_enc(z₀|X) ‖ p(z₀)], exact.
        first_reconstruction (n,): E log p(x₀|z₀).
        dynamic_kl (n,): Σ_{i ≥ 1} E[log q_ode(zᵢ) − log p(zᵢ)] over observed frames, by draws.
        reconstruction (n,): Σ_{i ≥ 1} E log p(xᵢ|zᵢ), what was observed of them.
        encoder_kl (n,): Σ_{i ≥ 1} E[log q_ode(zᵢ) − log q_enc(zᵢ|x_i:i+m)] wherever m frames follow, by draws; zeros
            where it was left out.
        sequences: N in the data set, over which weights_kl is shared out.
        beta: |q| / |W|, the size of z over the number of weights (slides 20).
        encoded: whether encoder_kl was computed.
    """

    weights_kl: Tensor
    initial_kl: Tensor
    first_reconstruction: Tensor
    dynamic_kl: Tensor
    reconstruction: Tensor
    encoder_kl: Tensor
    sequences: int
    beta: float
    encoded: bool = True

    def combine(self, **weights: float) -> Tensor:
        """The weighted objective to be maximised, per sequence, 0-d: log-likelihoods less divergences.

        Args:
            weights: of the terms by name, e.g. dynamic_kl=0; 1 by default, 0 for encoder_kl.
        """
        unknown = weights.keys() - WEIGHTS.keys()
        if unknown:
            raise ValueError(f"unknown term {min(unknown)!r}; the terms are {', '.join(WEIGHTS)}")
        if weights.get("encoder_kl") and not self.encoded:
            raise ValueError("encoder_kl was left out of these terms: call terms(…, encoder_kl=True), or take γ = 0")
        total = torch.zeros_like(self.initial_kl[0])
        for name, weight in {**WEIGHTS, **weights}.items():
            if weight:  # a term that overflowed does no harm once it is switched off
                total = total + (weight if name in RECONSTRUCTIONS else -weight) * self.per_sequence(name)
        return total

    def per_sequence(self, name: str) -> Tensor:
        """One term's share in the objective before its sign and weight, 0-d: the mean over the batch."""
        term: Tensor = getattr(self, name)
        return term / self.sequences if name == "weights_kl" else term.mean()

    def elbo(self) -> Tensor:
        """(16) per sequence: the sum of marginal divergences and reconstructions; 0-d."""
        return self.combine()

    def path_elbo(self) -> Tensor:
        """The bound in which z₀ and W alone are random, as they are: (16) without the dynamic divergences; 0-d."""
        return self.combine(dynamic_kl=0.0)

    def penalised(self, beta: float | None = None, gamma: float = 1.0) -> Tensor:
        """(21) per sequence: KL[q(W) ‖ p(W)] weighted by β, and γ KL[q_ode ‖ q_enc] beside it; 0-d.

        Args:
            beta: |q| / |W| by default (slides 20).
            gamma: chosen by cross-validation in the sources.
        """
        return self.combine(weights_kl=self.beta if beta is None else beta, encoder_kl=gamma)

    def named(self) -> dict[str, float]:
        """Every term per sequence as a number, for printing and records."""
        return {name: float(self.per_sequence(name).detach()) for name in WEIGHTS}
