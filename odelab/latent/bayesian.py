"""A perceptron whose weights are a distribution: draws are whole functions, the divergence comes in closed form.

q(W) = N(W | m, s I),   p(W) = N(W | 0, prior_std² I)               (slides 13)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from odelab.choices import choose
from odelab.latent.weights import ACTIVATIONS, Weights
from odelab.saving import Savable

VARIANCES = ("shared", "per-weight", "none")


class BayesianMLP(Savable):
    """A perceptron f_W(x) with W ~ q(W), a normal distribution around the weights that a usual network would have.

    Args:
        dim_in, dim_out: of the function.
        hidden: widths of the hidden layers.
        activation: "tanh", "relu", "elu" or "softplus".
        variance: "shared", one variance s for all weights (slides 13); "per-weight", one for each; "none", a usual
            network: its draws are its mean and its KL is zero.
        initial_variance: of the weights, 1e-4: a hundredth of the prior's standard deviation.
        prior_std: of p(W).

    Attributes:
        mean_weights (|W|,): m, all weights and biases in one vector; log_variance: () or (|W|,), absent for "none".
        weight_count: |W|, biases included.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        hidden: Sequence[int] = (30, 30),
        *,
        activation: str = "tanh",
        variance: str = "shared",
        initial_variance: float = 1e-4,
        prior_std: float = 1.0,
    ) -> None:
        super().__init__()
        choose(ACTIVATIONS, activation, "activation")
        choose(dict.fromkeys(VARIANCES), variance, "variance")
        if not (initial_variance > 0 and prior_std > 0):
            raise ValueError(
                f"initial_variance and prior_std must be positive, got {initial_variance:g} and {prior_std:g}; "
                "a network without uncertainty is variance='none'"
            )
        self.dim_in, self.dim_out, self.hidden = dim_in, dim_out, tuple(hidden)
        self.activation, self.variance, self.prior_std = activation, variance, prior_std
        layers = list(pairwise((dim_in, *hidden, dim_out)))
        self._shapes = [shape for a, b in layers for shape in ((b, a), (b,))]
        initial = [torch.empty(s).uniform_(-(a**-0.5), a**-0.5).flatten() for a, b in layers for s in ((b, a), (b,))]
        self.mean_weights = nn.Parameter(torch.cat(initial))  # as nn.Linear starts
        if variance != "none":
            log_variance = torch.tensor(initial_variance).log()
            per_weight = log_variance.expand(self.weight_count).clone()
            self.log_variance = nn.Parameter(log_variance if variance == "shared" else per_weight)

    @property
    def weight_count(self) -> int:
        return self.mean_weights.numel()

    @property
    def std(self) -> Tensor:
        """The standard deviation of q(W): () or (|W|,); zero for variance="none"."""
        return self.mean_weights.new_zeros(()) if self.variance == "none" else (0.5 * self.log_variance).exp()

    def draw(self, shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Weights:
        """`shape` many functions W ~ q(W), reparameterised: m + √s ε."""
        m = self.mean_weights
        if self.variance == "none":
            return self._unpack(m.expand(*shape, -1))
        noise = torch.randn(*shape, len(m), generator=generator, dtype=m.dtype, device=m.device)
        return self._unpack(m + self.std * noise)

    def mean(self) -> Weights:
        """The function at the mean of q(W)."""
        return self._unpack(self.mean_weights)

    def kl(self) -> Tensor:
        """KL[q(W) ‖ p(W)], 0-d, over all |W| weights (slides 17)."""
        m = self.mean_weights
        if self.variance == "none":
            return m.new_zeros(())
        q = Normal(m, self.std.expand_as(m), validate_args=False)  # checking waits for the device
        p = Normal(torch.zeros_like(m), torch.full_like(m, self.prior_std), validate_args=False)
        return kl_divergence(q, p).sum()

    def apply(self, x: Tensor, weights: Weights) -> Tensor:  # type: ignore[override]
        """f_W(x): x (*weights.shape, …, dim_in) -> (*weights.shape, …, dim_out)."""
        return self._layers(x, weights)[-1].view(*x.shape[:-1], self.dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """The function at the mean of q(W)."""
        return self.apply(x, self.mean())

    def apply_with_trace(self, x: Tensor, weights: Weights, columns: Sequence[int] | slice) -> tuple[Tensor, Tensor]:
        """f_W(x), and Σ_i ∂f_i/∂x_c(i) (*weights.shape, …) for the dim_out entries c = columns of x.

        In closed form, without a backward pass: see `Weights.divergence`.
        """
        *hidden, f = self._layers(x, weights)
        slopes = [ACTIVATIONS[self.activation].slope(y) for y in hidden]
        trace = weights.divergence(slopes, columns).expand(f.shape[:-1])
        return f.view(*x.shape[:-1], self.dim_out), trace.reshape(x.shape[:-1])

    def _layers(self, x: Tensor, weights: Weights) -> list[Tensor]:
        """What every layer gives, (draws, rows, width), without `draws` where there is one."""
        draws = weights.shape
        count = draws.numel()
        found = [x.reshape(*[count] * bool(draws), -1, self.dim_in)]
        for layer in range(len(weights.matrices)):
            y = weights.affine(layer, found[-1])
            found.append(y if layer == len(self.hidden) else ACTIVATIONS[self.activation].value(y))
        return found[1:]

    def _unpack(self, vectors: Tensor) -> Weights:
        pieces = vectors.split([torch.Size(s).numel() for s in self._shapes], -1)
        tensors = [piece.unflatten(-1, s) for piece, s in zip(pieces, self._shapes, strict=True)]
        return Weights(tuple(tensors[0::2]), tuple(tensors[1::2]))

    def extra_repr(self) -> str:
        widths = "–".join(map(str, (self.dim_in, *self.hidden, self.dim_out)))
        return f"{widths}, activation={self.activation!r}, variance={self.variance!r}, |W|={self.weight_count}"
