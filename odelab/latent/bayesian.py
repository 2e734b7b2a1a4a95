"""A perceptron whose weights are a distribution: draws are whole functions, the divergence comes in closed form.

q(W) = N(W | m, s I),   p(W) = N(W | 0, prior_std² I)               (slides 13)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from odelab.choices import choose
from odelab.saving import Savable


class Nonlinearity(NamedTuple):
    """φ, φ in place, and φ' out of y = φ(a)."""

    value: Callable[[Tensor], Tensor]
    in_place: Callable[[Tensor], object]
    slope: Callable[[Tensor], Tensor]


NONLINEARITIES: Mapping[str, Nonlinearity] = {
    "tanh": Nonlinearity(torch.tanh, torch.tanh_, lambda y: 1 - y * y),
    "relu": Nonlinearity(torch.relu, torch.relu_, lambda y: (y > 0).to(y.dtype)),
    "elu": Nonlinearity(F.elu, lambda a: F.elu(a, inplace=True), lambda y: torch.where(y > 0, 1, y + 1)),
    "softplus": Nonlinearity(F.softplus, lambda a: a.copy_(F.softplus(a)), lambda y: -torch.expm1(-y)),
}


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
    def flat(self) -> tuple[list[Tensor], list[Tensor]]:
        """Matrices (draws, dim_out, dim_in) and biases (draws, 1, dim_out); without `draws` where there is one."""
        if not self.shape:
            return list(self.matrices), list(self.biases)
        matrices = [matrix.reshape(-1, *matrix.shape[-2:]) for matrix in self.matrices]
        return matrices, [bias.reshape(-1, 1, bias.shape[-1]) for bias in self.biases]

    def affine(self, layer: int, x: Tensor) -> Tensor:
        """W_l x + b_l for rows x (draws, rows, dim_in), or (rows, dim_in) where there is one."""
        matrices, biases = self.flat
        add = torch.addmm if x.ndim == 2 else torch.baddbmm
        return add(biases[layer], x, matrices[layer].mT)

    def divergence(self, slopes: Sequence[Tensor], columns: slice | Sequence[int]) -> Tensor:
        """Σ_i ∂f_i/∂x_c(i), c = columns, out of the slopes φ' of the hidden layers, (…, draws, rows, width) each.

        Without a backward pass. The Jacobian of two hidden layers is W₃ diag(d₂) W₂ diag(d₁) W₁, hence the sum
        d₁ᵀ M d₂ with M = W₂ᵀ ∘ (W₁[:, c] W₃), which is made once for given weights.

        Returns:
            (…, draws, rows); rows is 1 where there is no hidden layer.
        """
        matrices = self.flat[0]
        first, last = matrices[0][..., columns], matrices[-1]  # (…, h1, q) and (…, q, h)
        if not slopes:
            return first.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None]
        if len(slopes) == 1:
            return torch.matmul(slopes[0], (first * last.mT).sum(-1)[..., None])[..., 0]
        if len(slopes) == 2:
            pairs = matrices[1].mT * torch.matmul(first, last)
            return (torch.matmul(slopes[0], pairs) * slopes[1]).sum(-1)
        # Deeper: push the q columns forward layer by layer, and close the loop with the last matrix.
        pushed = slopes[0][..., None, :] * first.mT[..., None, :, :]  # (…, rows, q, h1)
        for matrix, slope in zip(matrices[1:-1], slopes[1:], strict=True):
            rows = torch.matmul(pushed.flatten(-3, -2), matrix.mT)
            pushed = rows.unflatten(-2, pushed.shape[-3:-1]) * slope[..., None, :]
        return (pushed * last[..., None, :, :]).sum((-2, -1))


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
        choose(NONLINEARITIES, activation, "activation")
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
        slopes = [NONLINEARITIES[self.activation].slope(y) for y in hidden]
        trace = weights.divergence(slopes, columns).expand(f.shape[:-1])
        return f.view(*x.shape[:-1], self.dim_out), trace.reshape(x.shape[:-1])

    def _layers(self, x: Tensor, weights: Weights) -> list[Tensor]:
        """What every layer gives, (draws, rows, width), without `draws` where there is one."""
        draws = weights.shape
        count = draws.numel()
        values = [x.reshape(*[count] * bool(draws), -1, self.dim_in)]
        for layer in range(len(weights.matrices)):
            y = weights.affine(layer, values[-1])
            values.append(y if layer == len(self.hidden) else NONLINEARITIES[self.activation].value(y))
        return values[1:]

    def _unpack(self, vectors: Tensor) -> Weights:
        pieces = vectors.split([torch.Size(s).numel() for s in self._shapes], -1)
        tensors = [piece.unflatten(-1, s) for piece, s in zip(pieces, self._shapes, strict=True)]
        return Weights(tuple(tensors[0::2]), tuple(tensors[1::2]))

    def extra_repr(self) -> str:
        widths = "–".join(map(str, (self.dim_in, *self.hidden, self.dim_out)))
        return f"{widths}, activation={self.activation!r}, variance={self.variance!r}, |W|={self.weight_count}"
