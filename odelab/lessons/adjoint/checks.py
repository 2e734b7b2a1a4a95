"""Checks of the adjoint's exercises: a linear system, the augmented dynamics, the times, checkpoints."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import exercise
from odelab.lessons.kit.hints import compare, parts

WEIGHT = torch.tensor([[0.3, -1.1], [0.7, 0.4]], dtype=torch.float64)  # neither symmetric nor normal
BIAS = torch.tensor([0.2, -0.5], dtype=torch.float64)
STATE = torch.tensor([0.6, -0.9], dtype=torch.float64)
ADJOINT = torch.tensor([1.3, -0.4], dtype=torch.float64)


@exercise
def linear_adjoint(answer: Callable[..., Any]) -> None:
    """a(t0) of z' = A z from a(t1), for answer(A, span, adjoint_end) with span = t1 - t0; row vector of shape (2,)."""
    span = 0.8
    flow = torch.linalg.matrix_exp(WEIGHT * span)
    wrong = {
        "the sign: a(t0) must undo what z does between t0 and t1; put z(t1) = exp(A span) z(t0) into L and use the "
        "chain rule": ADJOINT @ torch.linalg.inv(flow),
        "the side: the adjoint is a row, it meets the matrix from the left (or take the transpose of A)": flow
        @ ADJOINT,
        "the length of the interval is missing in the exponential": ADJOINT @ torch.linalg.matrix_exp(WEIGHT),
        "exp of a matrix is not exp of its entries: torch.linalg.matrix_exp": ADJOINT @ torch.exp(WEIGHT * span),
    }
    compare("a(t0)", answer(WEIGHT, span, ADJOINT), ADJOINT @ flow, wrong)


@exercise
def augmented_dynamics(answer: Callable[..., Any]) -> None:
    """The slopes (f, -a df/dz, [-a df/dp, …]) for answer(f, params, t, z, adjoint), each shaped like what it moves."""
    weight, bias = WEIGHT.clone().requires_grad_(), BIAS.clone().requires_grad_()

    def f(t: Tensor, z: Tensor) -> Tensor:
        return torch.tanh(weight @ z + bias) + t

    returned = answer(f, (weight, bias), torch.tensor(0.5, dtype=torch.float64), STATE.clone(), ADJOINT.clone())
    three = "three slopes are asked for: of z, of the adjoint, and the list of those of the parameters"
    slope, adjoint_slope, parameter_slopes = parts(returned, 3, three)
    with torch.no_grad():
        value = torch.tanh(WEIGHT @ STATE + BIAS)
        gate = 1 - value**2
        jacobian = gate[:, None] * WEIGHT
        to_bias = ADJOINT * gate
        to_weight = torch.outer(to_bias, STATE)
    compare("the slope of z", slope, value + 0.5, {"its sign: z still follows f": -value - 0.5})
    compare(
        "the slope of the adjoint",
        adjoint_slope,
        -ADJOINT @ jacobian,
        {
            "its sign: look at the minus in (3.5)": ADJOINT @ jacobian,
            "the Jacobian meets the adjoint from the wrong side: use the adjoint as grad_outputs": -jacobian @ ADJOINT,
            "the adjoint itself is missing: this is -∂f/∂z summed over its rows": -jacobian.sum(0),
        },
    )
    of_weight, of_bias = parts(parameter_slopes, 2, "the third slope is a list with one tensor for every parameter")
    sign = "the sign: Algorithm 1 runs from t1 to t0, which is where the minus in (3.6) goes"
    compare("the slope of the first parameter's gradient", of_weight, -to_weight, {sign: to_weight})
    compare("the slope of the second parameter's gradient", of_bias, -to_bias, {sign: to_bias})


@exercise
def time_gradients(answer: Callable[..., Any]) -> None:
    """(dL/dt0, dL/dt1) for answer(f, t0, z0, adjoint0, t1, z1, adjoint1)."""

    def f(t: Tensor | float, z: Tensor) -> Tensor:
        return WEIGHT @ z * (1 + t)

    z1, adjoint1 = STATE - 0.7, ADJOINT + 0.9
    start, end = ADJOINT @ f(0.1, STATE), adjoint1 @ f(0.6, z1)
    returned = answer(f, 0.1, STATE, ADJOINT, 0.6, z1, adjoint1)
    to_t0, to_t1 = parts(returned, 2, "two numbers are asked for: dL/dt0 and dL/dt1")
    compare(
        "dL/dt1",
        to_t1,
        end,
        {
            "its sign: stopping later moves the end along +f": -end,
            "this is the other end: at t1 use z(t1) and a(t1)": start,
            "a product of two vectors is asked for as one number: sum it": adjoint1 * f(0.6, z1),
        },
    )
    compare(
        "dL/dt0",
        to_t0,
        -start,
        {
            "its sign: starting later shortens the way from the left, z(t1) loses what f would have added": start,
            "this is the other end: at t0 use z(t0) and a(t0)": -end,
        },
    )


@exercise
def checkpointed_gradient(answer: Callable[..., Any]) -> None:
    """(dL/dz0, dL/dtheta) for answer(step, theta, states, adjoint): step(k, z) is the step from states[k]."""
    theta, h = WEIGHT.clone().requires_grad_(), 0.3

    def step(k: int, z: Tensor) -> Tensor:
        """Midpoint, with a force that depends on k: neither steps nor states can be mixed up unnoticed."""
        middle = z + h / 2 * torch.tanh(theta @ z + k * BIAS)
        return z + h * torch.tanh(theta @ middle + k * BIAS)

    states = [STATE.clone().requires_grad_()]
    for k in range(4):
        states.append(step(k, states[-1]))
    to_start, to_theta = torch.autograd.grad(ADJOINT @ states[-1], (states[0], theta))
    kept = [z.detach().requires_grad_() for z in states]
    two = "return two things: the adjoint at the first state, and the total for theta"
    of_start, of_theta = parts(answer(step, theta, kept, ADJOINT), 2, two)
    compare("dL/dz0", of_start, to_start, _slips_of_replay(step, theta, kept))
    first = _replay(step, theta, kept, [0], _replay(step, theta, kept, [3, 2, 1], ADJOINT)[0])[1]
    last = _replay(step, theta, kept, [3], ADJOINT)[1]
    every = "every step uses theta, so add up what each of them contributes"
    slips = {f"the share of the first step alone: {every}": first, f"the share of the last step alone: {every}": last}
    compare("dL/dtheta", of_theta, to_theta, slips | {f"still zero: {every}": torch.zeros_like(to_theta)})


def _replay(
    step: Callable[[int, Tensor], Tensor],
    theta: Tensor,
    states: list[Tensor],
    order: list[int],
    adjoint: Tensor,
    shift: int = 0,
) -> tuple[Tensor, Tensor]:
    """The adjoint pulled through the steps in this order, from states shifted by `shift`, and theta's total."""
    total = torch.zeros_like(theta)
    for k in order:
        z = states[k + shift].detach().requires_grad_()
        adjoint, share = torch.autograd.grad(step(k, z), (z, theta), adjoint)
        total = total + share
    return adjoint, total


def _slips_of_replay(step: Callable[[int, Tensor], Tensor], theta: Tensor, states: list[Tensor]) -> dict[str, Tensor]:
    return {
        "the adjoint has not moved: each replayed step must hand on a new one": ADJOINT,
        "the steps were replayed from first to last; the adjoint knows the last one first": _replay(
            step, theta, states, [0, 1, 2, 3], ADJOINT
        )[0],
        "step k starts from states[k]; you replayed it from the state it ends in": _replay(
            step, theta, states, [3, 2, 1, 0], ADJOINT, shift=1
        )[0],
        "only one step was replayed: go on to the first": _replay(step, theta, states, [3], ADJOINT)[0],
    }
