"""Checks of the ODE²VAE lesson's exercises: a second-order field, a trace over velocities, a centring without leak."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare, parts

STATES = torch.tensor([[0.3, -1.2, 0.5, 0.8], [2.0, 0.1, -0.7, 1.4], [-0.6, 0.4, 1.1, -0.9]], dtype=torch.float64)
PULL = torch.tensor([[0.8, -1.1], [0.7, 0.3]], dtype=torch.float64)
DRAG = torch.tensor([[-0.5, 0.9], [0.4, 1.3]], dtype=torch.float64)


def _acceleration(s: Tensor, v: Tensor) -> Tensor:
    """Nonlinear in both, and each component in both components of both."""
    return torch.tanh(s @ PULL.T + v @ DRAG.T) + 0.3 * v


@exercise
def second_order(answer: Callable[..., Any]) -> None:
    """A field (t, z) -> dz/dt for z = (s, v) in the last dimension, for answer(f) with f(s, v) of q entries."""
    field = answer(_acceleration)
    if not callable(field):
        raise Hint(f"return a function of (t, z), not a {type(field).__name__}")
    s, v = STATES.chunk(2, -1)
    f = _acceleration(s, v)
    wrong = {
        "ds/dt is the velocity, not the position": torch.cat((s, f), -1),
        "positions come first in z, so their slopes come first in dz/dt": torch.cat((f, v), -1),
        "f takes the position first and the velocity second": torch.cat((v, _acceleration(v, s)), -1),
        "the first half of dz/dt is the velocity as it is; f makes the second half": torch.cat((f, f), -1),
        "s first, then v: halves of the last dimension, not every second entry": _interleaved(STATES),
    }
    compare("dz/dt", field(0.0, STATES.clone()), torch.cat((v, f), -1), wrong)
    many = STATES.expand(2, 3, 4)
    compare("dz/dt of a batch of batches", field(0.0, many), torch.cat((v, f), -1).expand(2, 3, 4), {})


def _interleaved(z: Tensor) -> Tensor:
    s, v = z[..., 0::2], z[..., 1::2]
    return torch.stack((v, _acceleration(s, v)), -1).flatten(-2)


@exercise
def trace_over_velocity(answer: Callable[..., Any]) -> None:
    """Σ_i ∂f_i/∂v_i (n,) for answer(f, s, v), rows are states; differentiable in the parameters of f."""
    strength = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    s, v = STATES.chunk(2, -1)
    given = answer(lambda s, v: strength * _acceleration(s, v), s.clone(), v.clone())
    gate = 1 - torch.tanh(s @ PULL.T + v @ DRAG.T).square()
    by_v = gate[..., None] * DRAG + 0.3 * torch.eye(2, dtype=torch.float64)
    by_s = gate[..., None] * PULL
    exact = 0.7 * by_v.diagonal(dim1=-2, dim2=-1).sum(-1)
    wrong = {
        "this is the trace over the positions: differentiate by v": 0.7 * by_s.diagonal(dim1=-2, dim2=-1).sum(-1),
        "the sum of all entries of ∂f/∂v: only ∂f_i/∂v_i, i by i, make a trace": 0.7 * by_v.sum((-2, -1)),
        "minus belongs to (9.13); the trace itself is asked for": -exact,
        "one number for each state, not for all together": exact.sum(),
        "one number for each state, not their mean": exact.mean(),
        "a determinant measures a finite map; a rate is a trace": torch.linalg.det(0.7 * by_v),
        "keep ∂f_i/∂v_i, then add them up over i": 0.7 * by_v.diagonal(dim1=-2, dim2=-1),
    }
    compare("the trace", given, exact, wrong)
    if not (isinstance(given, Tensor) and given.requires_grad):
        raise Hint("right numbers, but no gradient would reach the weights of f: keep the graph (create_graph=True)")


@exercise
def causal_centre(answer: Callable[..., Any]) -> None:
    """(centred, mean) for answer(x, m), x (n, T, channels): the mean (n, 1, channels) over the first m frames alone."""
    x = torch.randn(4, 20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).cumsum(1)
    two = "return two things: the centred frames and the mean, to put it back"
    centred, mean = parts(answer(x.clone(), 5), 2, two)
    first = x[:, :5].mean(1, keepdim=True)
    wrong = {
        "this mean knows the whole future": x.mean(1, keepdim=True),
        "every walk has a mean of its own: do not average over walks": first.mean(0, keepdim=True).expand_as(first),
        "this is frame 0 alone; m frames are known": x[:, :1],
        "this is the last known frame; a mean over m of them is asked for": x[:, 4:5],
        "every channel has a mean of its own": first.mean(-1, keepdim=True).expand_as(first),
        "one frame too many": x[:, :6].mean(1, keepdim=True),
    }
    compare("the mean", mean, first, wrong)
    compare("the centred frames", centred, x - first, {"add it back later; here it is taken away": x + first})
