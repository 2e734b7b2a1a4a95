"""One call, asked of torchdiffeq and of odelab, with a record of every evaluation."""

import pytest
import torch
import torchdiffeq
from torch import nn

import odelab
from tests.solvers.problems import tensor

SAME_STEPS = ["dopri5", "dopri8", "bosh3"]


SHARED_FIXED = ["euler", "midpoint", "heun2", "heun3", "rk4", "implicit_adams"]


BOTH = [torchdiffeq, odelab]


def swing(t, y):
    """A driven pendulum, tame in both directions of time."""
    return torch.stack([y[..., 1], 0.3 * torch.cos(t) - torch.sin(2 * y[..., 0])], dim=-1)


def swing_of_two(t, state):
    x, z = state
    return swing(t, x), -0.5 * z * x.sum()


def start(dtype=torch.float64):
    return torch.tensor([[1.5, 0.0]], dtype=dtype)


class Recorder:
    """A field that remembers when it was called and what its callbacks heard."""

    def __init__(self, func=swing, adaptive=True):
        self.func, self.times, self.steps, self.accepted, self.rejected = func, [], [], [], []
        logs = {"step": self.steps, "accept_step": self.accepted, "reject_step": self.rejected}
        for name in logs if adaptive else ("step",):
            setattr(self, f"callback_{name}", lambda t0, y0, dt, log=logs[name]: log.append((t0, y0, dt)))

    def __call__(self, t, y):
        self.times.append(t.item())
        return self.func(t, y)

    @staticmethod
    def where(log):
        return [(float(t0.detach()), float(dt.detach())) for t0, _, dt in log]


def run_both(call, func=swing, adaptive=True):
    """call(library, recorder) for either library -> [(theirs, their recorder), (ours, our recorder)]."""
    recorders = [Recorder(func, adaptive) for _ in BOTH]
    return [(call(library, recorder), recorder) for library, recorder in zip(BOTH, recorders, strict=True)]


def same_steps(their, our, rel=1e-6):
    """Accepted steps agree but for the last, which ends at the last time here and runs past it in torchdiffeq."""
    n = min(len(our.accepted), len(their.accepted)) - 2
    assert n > 1
    for mine, other in zip(our.where(our.accepted)[:n], their.where(their.accepted)[:n], strict=True):
        assert mine == pytest.approx(other, rel=rel)


class Decay(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(tensor(1.3, 0.4))

    def forward(self, t, y):
        return -self.rate * y + torch.sin(3 * t)
