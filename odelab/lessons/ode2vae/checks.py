"""Checks of the ODE²VAE lesson's exercises: a field, a trace, coverage, an average, centring without leak."""

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
def coverage(answer: Callable[..., Any]) -> None:
    """Share of truth (3, 5) within the central band of draws (101, 3, 5), for answer(draws, truth, level)."""
    places = torch.tensor([2, 5, 15, 16, 30, 50, 60, 82, 86, 87, 88, 93, 95, 97, 98], dtype=torch.float64) + 0.5
    draws = torch.exp(torch.arange(101, dtype=torch.float64) / 30)  # skewed, so that mean ± std is another band
    order = torch.stack([torch.randperm(101, generator=torch.Generator().manual_seed(k)) for k in range(15)], 1)
    draws, truth = draws[order].view(101, 3, 5), torch.exp(places / 30).view(3, 5)
    given = answer(draws.clone(), truth.clone(), 0.8)
    inside = ((places > 10) & (places < 90)).double()
    mean, std = draws.mean(0), draws.std(0)
    normal = ((truth - mean).abs() < 1.2816 * std).double().mean()
    wrong = {
        "level 0.8 leaves 0.1 outside at *both* ends; this band is open at one end": (places < 80).double().mean(),
        "level 0.8 leaves 0.1 outside at both ends; this band leaves 0.1 at one end": (places < 90).double().mean(),
        "level 0.8 leaves 0.1 outside at each end; this one leaves 0.1 at the lower end only": (places > 10)
        .double()
        .mean(),
        "level 0.8 leaves 0.2 outside altogether, so 0.1 at each end; this band leaves 0.2 at each": (
            ((places > 20) & (places < 80)).double().mean()
        ),
        "this is the share outside the band": 1 - inside.mean(),
        "a share is between 0 and 1: divide by the number of values": inside.sum(),
        "a share between 0 and 1 is asked for, not percent": 100 * inside.mean(),
        "from the smallest to the largest draw is a band, but its level is not 0.8": torch.ones(()),
        "mean ± some standard deviations is the band of a *normal*; take the quantiles of the draws": normal,
        "one share for all values, not one for each column": inside.view(3, 5).mean(0),
        "one share for all values, not one for each row": inside.view(3, 5).mean(1),
        "whether each value is inside is right; now their share": inside.view(3, 5),
    }
    compare("the share", given, inside.mean(), wrong, rtol=1e-4)
    if abs(float(answer(draws.clone(), truth.clone(), 0.5)) - 3 / 15) > 1e-4:
        raise Hint("right at level 0.8, but not at 0.5: the band has to follow the level")


@exercise
def std_of_mean(answer: Callable[..., Any]) -> None:
    """Standard deviation of an average over frames, for answer(spread, noise, frames)."""
    cases = [(1.0, 2.0, 60), (0.5, 3.0, 9), (2.0, 0.25, 4)]
    spread, noise, frames = (torch.tensor(column, dtype=torch.float64) for column in zip(*cases, strict=True))
    given = [answer(*(part.clone() for part in (a, b)), int(n)) for a, b, n in zip(spread, noise, frames, strict=True)]
    if not any(part is ... for part in given):
        given = torch.tensor([float(part) for part in given], dtype=torch.float64)  # type: ignore[assignment]
    wrong = {
        "this is the width of one frame: the noise of many frames averages out": (spread**2 + noise**2).sqrt(),
        "the path is the same in all frames: its doubt does not average out": ((spread**2 + noise**2) / frames).sqrt(),
        "the doubt about the path is missing": noise / frames.sqrt(),
        "the noise is missing: it becomes small, but not zero": spread,
        "independent things add their *variances*, not their standard deviations": spread + noise / frames.sqrt(),
        "the variance of a mean falls like 1 / frames, the standard deviation like its root": (
            (spread**2 + (noise / frames) ** 2).sqrt()
        ),
        "this is the variance; take the root": spread**2 + noise**2 / frames,
        "this is the spread of the sum: divide the noise once more": (spread**2 + noise**2 * frames).sqrt(),
        "now the path averages out and the noise does not: it is the other way round": (
            (spread**2 / frames + noise**2).sqrt()
        ),
    }
    compare("the standard deviation for three settings", given, (spread**2 + noise**2 / frames).sqrt(), wrong)


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
