"""Exercises of lesson 01: Euler's method, an extrapolated network, the halving test, a turn in the plane.

Each check looks at numbers only, so that every way of writing a right answer passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, exercise

Field = Callable[[Any, Tensor], Tensor]


def _pushed(t: Any, z: Tensor) -> Tensor:
    """A field that depends on t and is not linear in z: slips with either show. Any shape."""
    return torch.sin(2 * z) + 3 * t * t - 0.5 * z


def _tensor(value: Any, shape: tuple[int, ...], what: str) -> Tensor:
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, Tensor) for item in value):
        value = torch.stack([item.reshape(value[0].shape) for item in value])
    if not isinstance(value, Tensor):
        raise Hint(f"{what} should be a tensor of shape {shape}, yours is a {type(value).__name__}")
    if tuple(value.shape) != shape:
        raise Hint(f"{what} should have the shape {shape}, yours has {tuple(value.shape)}")
    return value.detach()


def _same(a: Tensor, b: Tensor) -> bool:
    return bool(torch.allclose(a, b, rtol=1e-6, atol=1e-8))


def _euler_states(f: Field, z: Tensor, t: Tensor, late: bool = False, first_step: bool = False) -> Tensor:
    """Euler's states on the grid t, (len(t), *z.shape); with two slips a reader may make."""
    states = [z]
    for start, end in pairwise(t):
        step = t[1] - t[0] if first_step else end - start
        states.append(states[-1] + step * f(end if late else start, states[-1]))
    return torch.stack(states)


@exercise
def euler(answer: Callable[[Field, Tensor, Tensor], Any]) -> None:
    """``euler(f, z0, t)`` on any increasing grid t: all states, shape (len(t), *z0.shape), the first of them z0."""
    z0 = torch.tensor([0.3, -1.2, 0.8], dtype=torch.float64)
    t = torch.tensor([0.0, 0.1, 0.4, 0.5, 0.9], dtype=torch.float64)
    given = answer(_pushed, z0.clone(), t)
    right = _euler_states(_pushed, z0, t)
    if isinstance(given, Tensor):
        if given.shape == z0.shape:
            raise Hint("that is one state; collect them all, starting with z0, and stack them")
        if given.shape == right[1:].shape:
            raise Hint(f"{len(t)} times need {len(t)} states, yours has one less: the first state is z0 itself")
    states = _tensor(given, tuple(right.shape), "euler(f, z0, t)")
    slips = [
        (
            _euler_states(_pushed, z0, t, first_step=True),
            "the steps of this grid differ: take t[k + 1] - t[k], not t[1] - t[0]",
        ),
        (
            _euler_states(_pushed, z0, t, late=True),
            "f is evaluated at the end of the step; Euler looks where it stands, at t[k]",
        ),
        (_euler_states(lambda _t, z: _pushed(t[0], z), z0, t), "the time inside f never moves: pass t[k]"),
        (_euler_states(lambda now, z: _pushed(z, now * torch.ones_like(z)), z0, t), "f takes the time first: f(t, z)"),
        (
            z0 + torch.cat([torch.zeros(1), t.diff()])[:, None] * _pushed(t[0], z0),
            "each step starts from the last state",
        ),
    ]
    for wrong, hint in slips:
        if _same(states, wrong):
            raise Hint(hint)
    if not _same(states[0], z0):
        raise Hint("the first state should be z0")
    if not _same(states[1], right[1]):
        raise Hint("the first step is off already: z0 + (t[1] - t[0]) * f(t[0], z0)")
    if not _same(states, right):
        raise Hint("the first step is right, a later one is not: which state and which time does it start from?")


@exercise
def extrapolate(answer: Callable[[Tensor, Tensor], Any]) -> None:
    """``extrapolate(shallow, deep)``: from outputs with L and 2 L layers, one whose error has no 1/L term."""
    truth = torch.tensor([1.0, -2.0, 0.25], dtype=torch.float64)
    error = torch.tensor([0.3, 0.1, -0.4], dtype=torch.float64)
    shallow, deep = truth + error, truth + error / 2
    given = _tensor(answer(shallow.clone(), deep.clone()), (3,), "extrapolate(shallow, deep)")
    slips = [
        (deep, "this is the deep network alone: its error is half the shallow one's, use that"),
        ((shallow + deep) / 2, "the average lies between the two outputs; the ODE lies beyond the deep one"),
        (2 * shallow - deep, "you walked the wrong way: from deep to shallow and on"),
        ((4 * deep - shallow) / 3, "this would be right for a second-order method, whose error falls by four"),
        (deep - shallow, "this is an estimate of the error; which output do you correct with it?"),
    ]
    for wrong, hint in slips:
        if _same(given, wrong):
            raise Hint(hint)
    if not _same(given, truth):
        raise Hint("write deep = z + C/(2L) and shallow = z + C/L, and eliminate C")


@exercise
def changed_answers(answer: Callable[[Callable[..., Tensor], Field, Any, Tensor, int], Any]) -> None:
    """``changed_answers(residual_net, f, head, z, depth)``: share of classes that change with half the step."""

    def residual_net(f: Field, z: Tensor, depth: int) -> Tensor:
        if int(depth) != depth:
            raise Hint(f"{depth} layers? halving the step doubles the number of layers")
        return _euler_states(f, z, torch.linspace(0, 1, int(depth) + 1, dtype=z.dtype))

    def head(z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != 2:
            raise Hint(f"the classifier reads the last state, of shape (inputs, 2); it got the shape {tuple(z.shape)}")
        return 2 * z[:, :1] - 1.5 * z[:, 1:] - 1.2

    def violent(t: Any, z: Tensor) -> Tensor:
        return 6 * torch.sin(2 * z.flip(1) + 3 * t)

    generator = torch.Generator().manual_seed(0)
    z = torch.randn(400, 2, generator=generator, dtype=torch.float64)

    def called(depth: int, threshold: float = 0.0) -> Tensor:
        return head(residual_net(violent, z, depth)[-1])[:, 0] > threshold

    right = float((called(4) != called(8)).double().mean())
    given = answer(residual_net, violent, head, z.clone(), 4)
    if isinstance(given, Tensor) and given.numel() != 1:
        raise Hint(f"one number, please: the share of the {tuple(given.shape)} that changed")
    value = float(given)
    slips = [
        (abs(float(called(4).double().mean() - called(8).double().mean())), "changes back and forth cancel in a mean"),
        (
            float((called(4) == called(8)).double().mean()),
            "this is the share that stayed; the one that changed is asked",
        ),
        (right * len(z), "this is a count; divide by the number of inputs"),
        (float((called(4) != called(5)).double().mean()), "one layer more is not half the step"),
        (float((called(4) != called(2)).double().mean()), "that compares with half the layers, so with a longer step"),
        (
            float((called(4, 0.5) != called(8, 0.5)).double().mean()),
            "the score is not a probability: compare it with 0",
        ),
    ]
    for wrong, hint in slips:
        if math.isclose(value, wrong, rel_tol=1e-6) and not math.isclose(value, right):
            raise Hint(hint)
    if not math.isclose(value, right, rel_tol=1e-6):
        raise Hint(f"for the test network a share of {right:.4g} changes its class, you say {value:.4g}")


@exercise
def turn(matrix: Any) -> None:
    """Any 2 × 2 matrix A such that z' = A z takes (1, 0) to (−1, 0) in time 1."""
    a = torch.as_tensor(matrix, dtype=torch.float64)
    if a.shape != (2, 2):
        raise Hint(f"A is a 2 × 2 matrix (rows of numbers), yours has the shape {tuple(a.shape)}")
    end = torch.linalg.matrix_exp(a) @ torch.tensor([1.0, 0.0], dtype=torch.float64)
    if torch.allclose(end, torch.tensor([-1.0, 0.0], dtype=torch.float64), atol=1e-3):
        return
    if torch.allclose(a, torch.diag(torch.tensor([-1.0, -1.0], dtype=torch.float64))):
        raise Hint("that is where points should be after time 1; A is the velocity, z' = A z, not the map")
    if torch.allclose(end, torch.tensor([-1.0, 0.0], dtype=torch.float64), atol=0.02):
        raise Hint("the angle is right to two digits: take math.pi")
    where = f"yours takes (1, 0) to ({float(end[0]):.3f}, {float(end[1]):.3f})"
    if a[0, 1] == 0 and a[1, 0] == 0:
        raise Hint(f"{where}: a diagonal A keeps x on its line, where it cannot pass 0; use the second dimension")
    turning = torch.allclose(a, -a.T)
    if turning and torch.allclose(end, torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-3):
        raise Hint(f"{where}: a full turn; you want half of it")
    if turning:
        raise Hint(f"{where}: it turns, but by the wrong angle; the angle after time 1 is the entry itself, in radians")
    raise Hint(f"{where}: which motion in the plane brings a point to the opposite side without passing through 0?")
