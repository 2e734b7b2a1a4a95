"""A perceptron whose weights are a distribution: draws are whole functions, the divergence comes in closed form.

q(W) = N(W | m, s I),   p(W) = N(W | 0, prior_std² I)               (slides 13)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from odelab.latent.storage import stored
from odelab.nets.fields import chosen

Derivative = Callable[[Tensor, Tensor], Tensor]
# φ(a), and φ'(a) out of a and y = φ(a)
ACTIVATIONS: Mapping[str, tuple[Callable[[Tensor], Tensor], Derivative]] = {
    "tanh": (torch.tanh, lambda a, y: 1 - y * y),
    "relu": (torch.relu, lambda a, y: (a > 0).to(a.dtype)),
    "elu": (F.elu, lambda a, y: torch.where(a > 0, torch.ones_like(y), y + 1)),
    "softplus": (F.softplus, lambda a, y: torch.sigmoid(a)),
}
VARIANCES = ("shared", "per-weight", "none")


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of one network, or of `shape` many.

    Attributes:
        matrices: W_l (*shape, dim_out, dim_in), from the first layer to the last.
        biases: b_l (*shape, dim_out).
    """

    matrices: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    @property
    def shape(self) -> torch.Size:
        return self.biases[0].shape[:-1]

    @cached_property
    def _flat(self) -> tuple[list[Tensor], list[Tensor]]:
        """Matrices transposed, (draws, dim_in, dim_out), and biases (draws, 1, dim_out): the operands of `baddbmm`."""
        matrices = [matrix.reshape(-1, *matrix.shape[-2:]).mT for matrix in self.matrices]
        return matrices, [bias.reshape(-1, 1, bias.shape[-1]) for bias in self.biases]

    def affine(self, layer: int, x: Tensor) -> Tensor:
        """W_l x + b_l for x (*shape, rows, dim_in)."""
        if not self.shape:
            return F.linear(x, self.matrices[layer], self.biases[layer])
        matrices, biases = self._flat
        y = torch.baddbmm(biases[layer], x.reshape(-1, *x.shape[-2:]), matrices[layer])
        return y.view(*x.shape[:-1], -1)

    def linear(self, layer: int, x: Tensor) -> Tensor:
        """W_l x alone."""
        return torch.matmul(x, self.matrices[layer].mT)


@stored
class BayesianMLP(nn.Module):
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
        chosen(ACTIVATIONS, activation, "activation")
        chosen(dict.fromkeys(VARIANCES), variance, "variance")
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
        q, p = Normal(m, self.std.expand_as(m)), Normal(torch.zeros_like(m), torch.full_like(m, self.prior_std))
        return kl_divergence(q, p).sum()

    def apply(self, x: Tensor, weights: Weights) -> Tensor:  # type: ignore[override]
        """f_W(x): x (*weights.shape, …, dim_in) -> (*weights.shape, …, dim_out)."""
        return self._hidden(x, weights)[-1].view(*x.shape[:-1], self.dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """The function at the mean of q(W)."""
        return self.apply(x, self.mean())

    def apply_with_trace(self, x: Tensor, weights: Weights, columns: Sequence[int] | slice) -> tuple[Tensor, Tensor]:
        """f_W(x), and Σ_i ∂f_i/∂x_c(i) (*weights.shape, …) for the dim_out entries c = columns of x.

        No backward pass: with d_l the derivatives of the activations of layer l, a net with two hidden layers has
        d₁ᵀ M d₂ where M = W₂ᵀ ∘ (W₁[:, c] W₃)ᵀ needs making only once for given weights.
        """
        *slopes, f = self._hidden(x, weights, slopes=True)
        trace = _trace(slopes, weights, columns)
        return f.view(*x.shape[:-1], self.dim_out), trace.expand(f.shape[:-1]).reshape(x.shape[:-1])

    def _hidden(self, x: Tensor, weights: Weights, slopes: bool = False) -> list[Tensor]:
        """The slopes φ' of every hidden layer where asked for, and last the output; x with its rows flattened."""
        draws = weights.shape
        if x.shape[: len(draws)] != draws or x.shape[-1] != self.dim_in:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, but must be (*draws, …, {self.dim_in}) with draws = {tuple(draws)}; "
                "expand x to one copy for each draw"
            )
        x = x.reshape(*draws, -1, self.dim_in)
        activate, derivative = ACTIVATIONS[self.activation]
        found = []
        last = len(weights.matrices) - 1
        for layer in range(last):
            a = weights.affine(layer, x)
            x = activate(a)
            if slopes:
                found.append(derivative(a, x))
        return [*found, weights.affine(last, x)]

    def _unpack(self, vectors: Tensor) -> Weights:
        pieces = vectors.split([torch.Size(s).numel() for s in self._shapes], -1)
        tensors = [piece.unflatten(-1, s) for piece, s in zip(pieces, self._shapes, strict=True)]
        return Weights(tuple(tensors[0::2]), tuple(tensors[1::2]))

    def extra_repr(self) -> str:
        widths = "–".join(map(str, (self.dim_in, *self.hidden, self.dim_out)))
        return f"{widths}, activation={self.activation!r}, variance={self.variance!r}, |W|={self.weight_count}"


def _trace(slopes: list[Tensor], weights: Weights, columns: Sequence[int] | slice) -> Tensor:
    """Σ_i ∂f_i/∂x_c(i) (*draws, rows), (*draws, 1) where it is constant; from the slopes φ' of the layers."""
    first, last = weights.matrices[0][..., columns], weights.matrices[-1]  # (…, h1, q), (…, q, h)
    if not slopes:
        return first.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None]
    if len(slopes) == 1:
        return torch.matmul(slopes[0], (first * last.mT).sum(-1)[..., None])[..., 0]
    if len(slopes) == 2:
        pairs = weights.matrices[1].mT * torch.matmul(first, last)  # M (…, h1, h2)
        return (torch.matmul(slopes[0], pairs) * slopes[1]).sum(-1)
    # Deeper: push the q columns forward, and close the loop with the last matrix.
    pushed = slopes[0][..., None, :] * first.mT[..., None, :, :]  # (…, rows, q, h1)
    for layer, slope in enumerate(slopes[1:], 1):
        flat = weights.linear(layer, pushed.flatten(-3, -2))
        pushed = flat.view(*pushed.shape[:-1], -1) * slope[..., None, :]
    return (pushed * last[..., None, :, :]).sum((-2, -1))
