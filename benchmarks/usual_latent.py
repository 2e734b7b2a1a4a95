"""ODE²VAE as it is usually written: torchdiffeq's rk4 over (z, log q), the trace by q backward passes per stage."""

import copy
from typing import Any

import torch
import torchdiffeq
from torch import Tensor
from torch.nn import functional as F

from benchmarks.usual_flows import d_backward_passes
from odelab.latent import ODE2VAE, DrawnField


class UsualODE2VAE(ODE2VAE):
    """The same model, encoder, decoder and terms; only the solve is another."""

    def _flow(self, field: DrawnField, z0: Tensor, times: Tensor, density: Tensor | None = None) -> Any:
        net = UsualField(field)
        size = {"step_size": float(times[1] - times[0]) / self.substeps}
        if density is None:
            return torchdiffeq.odeint(net, z0, times, method="rk4", options=size).movedim(0, -2)
        z, log_q = torchdiffeq.odeint(net.with_density, (z0, density), times, method="rk4", options=size)
        return z.movedim(0, -2), log_q.movedim(0, -1)


class UsualField:
    """z = (s, v), ds = v, dv = f_W(z) for one draw of W, by `F.linear`."""

    def __init__(self, field: DrawnField) -> None:
        self.layers = list(zip(field.weights.matrices, field.weights.biases, strict=True))
        self.activation, self.q = getattr(torch, field.net.activation), field.dim // 2

    def __call__(self, t: Tensor, z: Tensor) -> Tensor:
        x = z
        for i, (matrix, bias) in enumerate(self.layers):
            x = F.linear(self.activation(x) if i else x, matrix, bias)
        return torch.cat([z[..., self.q :], x], -1)

    def with_density(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """dz and d log q, a backward pass for each entry of v."""
        dz, trace = d_backward_passes(self, t, state[0], skip=self.q)
        return dz, -trace


def usually(model: ODE2VAE) -> UsualODE2VAE:
    """The model solved as usual, parts and weights shared."""
    other = copy.copy(model)
    other.__class__ = UsualODE2VAE
    return other  # type: ignore[return-value]
