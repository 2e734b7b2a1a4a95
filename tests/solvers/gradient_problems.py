"""A loss that every output time enters, a small network, and the three gradients to compare."""

import torch
from torch import nn

from tests.solvers.problems import tensor

THREE = ["backprop", "adjoint", "checkpoint"]


TIGHT = {"rtol": 1e-10, "atol": 1e-11}


WEIGHTS = torch.tensor([[0.7], [-1.3], [0.4], [2.0]], dtype=torch.float64)  # every output time counts, y(t0) too


class Network(nn.Module):
    """A small multilayer perceptron of y³, as in the spiral example, pushed by a force that depends on time."""

    def __init__(self, width: int = 16, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2)).to(dtype)
        for p in self.net.parameters():
            p.data = torch.randn(p.shape, generator=generator, dtype=dtype) * 0.3

    def forward(self, t, y):
        return self.net(y**3) + 0.1 * torch.cos(t)


def loss_of(y):
    return (WEIGHTS * y**2).sum() + y[1:3].sum()


def inputs(field):
    y0 = tensor(0.8, -0.5, 0.3).requires_grad_()
    t = tensor(0.2, 0.5, 1.1, 1.7).requires_grad_()
    return y0, t, *field.parameters()
