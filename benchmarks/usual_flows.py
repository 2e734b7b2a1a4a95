"""FFJORD as it is usually written: every layer computes its gate, and d backward passes make the trace."""

from collections.abc import Callable

import torch
import torchdiffeq
from torch import Tensor, nn

from odelab.nets import ConcatSquashLinear, MLPField


class UsualLayer(nn.Module):
    """(W x + b) · σ(g t + c) + s t out of three `nn.Linear`."""

    def __init__(self, like: ConcatSquashLinear) -> None:
        super().__init__()
        dim_out, dim_in = like.weight.shape
        self.linear, self.gate = nn.Linear(dim_in, dim_out), nn.Linear(1, dim_out)
        self.shift = nn.Linear(1, dim_out, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(like.weight)
            self.linear.bias.copy_(like.bias)
            self.gate.weight.copy_(like.gate_weight[:, None])
            self.gate.bias.copy_(like.gate_bias)
            self.shift.weight.copy_(like.shift[:, None])

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        t = t.view(1, 1)
        return self.linear(x) * torch.sigmoid(self.gate(t)) + self.shift(t)


class UsualField(nn.Module):
    """The same function as an `MLPField` with concatsquash layers and tanh."""

    def __init__(self, like: MLPField) -> None:
        super().__init__()
        self.layers = nn.ModuleList(map(UsualLayer, like.layers))

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            z = layer(t, torch.tanh(z) if i else z)
        return z


def d_backward_passes(field: Callable[..., Tensor], t: Tensor, z: Tensor, skip: int = 0) -> tuple[Tensor, Tensor]:
    """f and its divergence, one backward pass for each of the d entries but the first ones, which do not count."""
    with torch.enable_grad():
        z = z if z.requires_grad else z.requires_grad_(True)
        f = field(t, z)
        trace = torch.zeros_like(z[:, 0])
        for i in range(skip, z.shape[1]):
            trace = trace + torch.autograd.grad(f[:, i].sum(), z, create_graph=True)[0][:, i]
    return f, trace


class UsualFlow(nn.Module):
    """−mean log p(x) by torchdiffeq's `odeint_adjoint`; counts evaluations and accepted steps."""

    def __init__(self, field: nn.Module, t1: float, tol: float) -> None:
        super().__init__()
        self.field, self.t1, self.tol = field, t1, tol
        self.nfe = self.accepted = 0

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        self.nfe += 1
        return d_backward_passes(self.field, t, state[0])

    def callback_accept_step(self, t: Tensor, y: Tensor, dt: Tensor) -> None:
        self.accepted += 1

    def loss(self, x: Tensor) -> Tensor:
        times = torch.tensor([0.0, self.t1])
        z, log_det = torchdiffeq.odeint_adjoint(
            self, (x, torch.zeros(len(x))), times, rtol=self.tol, atol=self.tol, method="dopri5"
        )
        base = torch.distributions.Normal(0.0, 1.0)
        return -(base.log_prob(z[-1]).sum(-1) + log_det[-1]).mean()
