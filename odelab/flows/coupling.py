"""A discrete flow for comparison: coupling layers, whose Jacobian is triangular (Dinh et al. 2015, 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from odelab.flows.flow import Flow
from odelab.nets.fields import perceptron


class NICE(Flow):
    """Coupling layers that shift one half of the entries by a network of the other half, and a diagonal scaling.

    The halves, even and odd entries, change roles from layer to layer. Additive layers keep volume, the scaling at the
    end does not. It starts as the identity.

    Args:
        dim: of x and z, at least 2.
        hidden: widths of the network in each layer.
        layers: how many, at least 2, so that every entry is moved.
        affine: layers scale as well as shift, by factors in (1/e, e) (Real NVP).
        base: a distribution over (dim,); the standard normal by default.
    """

    masks: Tensor

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (256, 256),
        layers: int = 6,
        *,
        affine: bool = False,
        base: Distribution | nn.Module | None = None,
    ) -> None:
        if dim < 2 or layers < 2:
            raise ValueError(f"coupling needs dim ≥ 2 and layers ≥ 2, got dim={dim}, layers={layers}")
        super().__init__(dim, base)
        self.affine = affine
        self.nets = nn.ModuleList(_network(dim, hidden, dim * (2 if affine else 1)) for _ in range(layers))
        self.log_scale = nn.Parameter(torch.zeros(dim))
        even = torch.arange(dim) % 2 == 0
        self.register_buffer("masks", torch.stack([even, ~even]), persistent=False)

    def transport(self, x: Tensor, *, reverse: bool = False) -> tuple[Tensor, Tensor]:
        self.check_points(x)
        log_det = self.log_scale.sum().expand(x.shape[:-1])
        if not reverse:
            for i in range(len(self.nets)):
                shift, log_factor = self._move(i, x)
                x, log_det = x * log_factor.exp() + shift, log_det + log_factor.sum(-1)
            return x * self.log_scale.exp(), log_det
        x = x * (-self.log_scale).exp()
        for i in reversed(range(len(self.nets))):
            shift, log_factor = self._move(i, x)
            x, log_det = (x - shift) * (-log_factor).exp(), log_det + log_factor.sum(-1)
        return x, -log_det

    def _move(self, i: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Shift and logarithm of the factor of layer i, (…, dim); zero on the half they are computed from."""
        mask = self.masks[i % 2]
        out = torch.where(mask.repeat(2 if self.affine else 1), 0.0, self.nets[i](torch.where(mask, x, 0.0)))
        if not self.affine:
            return out, torch.zeros_like(out)
        shift, raw = out.chunk(2, dim=-1)
        return shift, torch.tanh(raw)


def _network(dim: int, hidden: Sequence[int], dim_out: int) -> nn.Sequential:
    network = perceptron(dim, dim_out, hidden, nn.ReLU)
    for parameter in network[-1].parameters():
        nn.init.zeros_(parameter)
    return network
