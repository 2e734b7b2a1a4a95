"""Checks of the adjoint's exercises: a linear system, the augmented dynamics, the times, checkpoints."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare, parts

WEIGHT = torch.tensor([[0.3, -1.1], [0.7, 0.4]], dtype=torch.float64)  # neither symmetric nor normal
BIAS = torch.tensor([0.2, -0.5], dtype=torch.float64)
STATE = torch.tensor([0.6, -0.9], dtype=torch.float64)
ADJOINT = torch.tensor([1.3, -0.4], dtype=torch.float64)


# What PyTorch says when grad is called in a way that does not work -> what a beginner can do about it.
GRAD_ERRORS = {
    "graph a second time": "the first call of grad has freed the graph, so a second call finds none: ask for all "
    "inputs in one call, or keep the graph with retain_graph=True",
    "only for scalar outputs": "grad needs a third argument here: the row that stands in front of the Jacobian",
    "does not require grad": "what you differentiate has no graph: z must require grad before it goes into the "
    "function, and the result must not be detached before grad",
    "got tuple": "grad takes one flat tuple of tensors: write (z, *params), with the star",
    "got list": "grad takes one flat tuple of tensors: write (z, *params), with the star",
    "tensors and 1 gradients": "grad takes the output first, f(t, z), then the inputs, then the row",
    "not have been used in the graph": "what you differentiate does not depend on one of these inputs: is it "
    "computed, in your function, from the very tensors that you hand to grad?",
}


def call(answer: Callable[..., Any], *args: Any) -> Any:
    """The reader's answer, with PyTorch's complaints about grad said in words that help.

    Raises:
        Hint: for each of :data:`GRAD_ERRORS`, and whatever the answer itself raises.
    """
    try:
        return answer(*args)
    except Hint as hint:
        for complaint, advice in GRAD_ERRORS.items():
            if complaint in str(hint):
                raise Hint(advice) from None
        raise


@exercise
def linear_adjoint(answer: Callable[..., Any]) -> None:
    """a(t0) of z' = A z from a(t1), for answer(A, span, adjoint_end) with span = t1 - t0; row vector of shape (2,)."""
    span = 0.8
    flow = torch.linalg.matrix_exp(WEIGHT * span)
    sign = "the sign in the exponent. Think of one number with z' = 2z: a nudge at t0 has grown until t1, so is its "
    sign += "price at t0 higher or lower than the price at t1?"
    side = "the side: the adjoint is a row, so it meets the matrix from the left, and no matrix is transposed"
    wrong = {
        sign: ADJOINT @ torch.linalg.inv(flow),
        side: flow @ ADJOINT,
        f"two slips at once. First {side}. Second, the sign in the exponent": torch.linalg.inv(flow) @ ADJOINT,
        "the length of the interval is missing in the exponent": ADJOINT @ torch.linalg.matrix_exp(WEIGHT),
        "exp of a matrix is not exp of its entries: torch.linalg.matrix_exp": ADJOINT @ torch.exp(WEIGHT * span),
        "this is one Euler step back, a good start for a short interval; the closed form is asked for": ADJOINT
        + span * ADJOINT @ WEIGHT,
        "this is one Euler step back, with the sign of a step forwards: on the way back h·a·A is added; and the closed "
        "form is asked for": ADJOINT - span * ADJOINT @ WEIGHT,
        "the length of the interval belongs into the exponent, not in front of exp": span
        * ADJOINT
        @ torch.linalg.matrix_exp(WEIGHT),
        "this is a(t1) itself: nothing has happened between t1 and t0": ADJOINT,
        "span is divided by; the exponent grows with the length of the interval": ADJOINT
        @ torch.linalg.matrix_exp(WEIGHT / span),
        "the exponential is missing: this is the row times A·span alone": span * ADJOINT @ WEIGHT,
    }
    returned = answer(WEIGHT, span, ADJOINT)
    if isinstance(returned, Tensor) and returned.shape == WEIGHT.shape:
        raise Hint("yours is a matrix of shape (2, 2); a(t0) is a row: multiply the row and a matrix with @")
    compare("a(t0)", returned, ADJOINT @ flow, wrong)


@exercise
def augmented_dynamics(answer: Callable[..., Any]) -> None:
    """The slopes (f, -a df/dz, [-a df/dp, …]) for answer(f, params, t, z, adjoint), each shaped like what it moves."""
    weight, bias = WEIGHT.clone().requires_grad_(), BIAS.clone().requires_grad_()

    def f(t: Tensor, z: Tensor) -> Tensor:
        return torch.tanh(z @ weight.T + bias) + t

    time = torch.tensor(0.5, dtype=torch.float64)
    returned = call(answer, f, (weight, bias), time, STATE.clone(), ADJOINT.clone())
    three = "three slopes are asked for: of z, of the adjoint, and the list of those of the parameters"
    slope, adjoint_slope, parameter_slopes = parts(returned, 3, three)
    if isinstance(adjoint_slope, tuple) and len(adjoint_slope) == 1:
        raise Hint(
            "the slope of the adjoint is a tuple with one tensor: grad always returns a tuple, take its entry [0]"
        )
    with torch.no_grad():
        value = torch.tanh(WEIGHT @ STATE + BIAS)
        gate = 1 - value**2
        jacobian = gate[:, None] * WEIGHT
        to_bias = ADJOINT * gate
        to_weight = torch.outer(to_bias, STATE)
    outside = "the rows of the Jacobian were summed before the adjoint came in, and then each entry was multiplied: "
    outside += "hand the adjoint to grad as its third argument"
    compare("the slope of z", slope, value + 0.5, {"its sign: z still follows f": -value - 0.5})
    compare(
        "the slope of the adjoint",
        adjoint_slope,
        -ADJOINT @ jacobian,
        {
            "its sign: look at the minus in (3.5)": ADJOINT @ jacobian,
            "the Jacobian meets the adjoint from the wrong side: use the adjoint as grad_outputs": -jacobian @ ADJOINT,
            "the adjoint itself is missing: this is -∂f/∂z summed over its rows": -jacobian.sum(0),
            outside: -ADJOINT * jacobian.sum(0),
            f"{outside}, and mind the minus of (3.5)": ADJOINT * jacobian.sum(0),
        },
    )
    of_weight, of_bias = parts(parameter_slopes, 2, "the third slope is a list with one tensor for every parameter")
    sign = "the sign: g starts at zero at t1, and its slope has the same minus as the adjoint's"
    missing = "the adjoint is missing: this is -∂f/∂θ, summed over the entries of f"
    compare(
        "the slope of the first parameter's gradient",
        of_weight,
        -to_weight,
        {
            sign: to_weight,
            missing: -torch.outer(gate, STATE),
            outside: -ADJOINT * torch.outer(gate, STATE),
        },
    )
    compare("the slope of the second parameter's gradient", of_bias, -to_bias, {sign: to_bias, missing: -gate})
    _for_a_batch(answer, f, (weight, bias), time)


def _for_a_batch(
    answer: Callable[..., Any], f: Callable[..., Tensor], params: tuple[Tensor, ...], time: Tensor
) -> None:
    """The same for three states at once, as training needs it."""
    states = torch.stack((STATE, -STATE, 2 * STATE))
    rows = torch.stack((ADJOINT, 0.5 * ADJOINT, ADJOINT + 1))
    leaf = states.clone().requires_grad_()
    exact = torch.autograd.grad(f(time, leaf), (leaf, *params), -rows)
    alone = "right for one state, but not for a batch of states of shape (3, 2), as the training will bring it"
    try:
        _, by_state, by_params = answer(f, params, time, states.clone(), rows.clone())
        right = [torch.allclose(torch.as_tensor(a), b) for a, b in zip((by_state, *by_params), exact, strict=True)]
    except (Hint, RuntimeError, TypeError, ValueError) as error:
        raise Hint(f"{alone}: {error}") from None
    if not all(right):
        raise Hint(f"{alone}: no whole Jacobian is needed, grad gives the product for every state at once")


@exercise
def time_gradients(answer: Callable[..., Any]) -> None:
    """(dL/dt0, dL/dt1) for answer(f, t0, z0, adjoint0, t1, z1, adjoint1)."""

    def f(t: Tensor | float, z: Tensor) -> Tensor:
        if not isinstance(z, Tensor):
            raise Hint("f takes the time first, then the state: f(t, z)")
        return WEIGHT @ z * (1 + t)

    z1, adjoint1 = STATE - 0.7, ADJOINT + 0.9
    start, end = ADJOINT @ f(0.1, STATE), adjoint1 @ f(0.6, z1)
    returned = answer(f, 0.1, STATE, ADJOINT, 0.6, z1, adjoint1)
    if hasattr(returned, "shape") and returned.shape[:1] == (2,):
        returned = tuple(returned)
    to_t0, to_t1 = parts(returned, 2, "two numbers are asked for: dL/dt0 and dL/dt1")
    single = "a product of two vectors is asked for as one number: sum it"
    compare(
        "dL/dt1",
        to_t1,
        end,
        {
            "its sign: stopping later moves the end along +f": -end,
            "this is the other end: at t1 use z(t1) and a(t1)": start,
            "this is dL/dt0: the order asked for is t0 first, then t1": -start,
            "the velocity is taken at the wrong time: at t1 it is f(t1, z(t1))": adjoint1 @ f(0.1, z1),
            "the velocity is taken at the wrong state: at t1 it is f(t1, z(t1))": adjoint1 @ f(0.6, STATE),
            "the price at t1 is a(t1), and you used the one at t0": ADJOINT @ f(0.6, z1),
            single: adjoint1 * f(0.6, z1),
        },
    )
    compare(
        "dL/dt0",
        to_t0,
        -start,
        {
            "its sign: the new path sets out later, so it lies behind the old one": start,
            "this is the other end: at t0 use z(t0) and a(t0)": -end,
            "the velocity is taken at the wrong time: at t0 it is f(t0, z(t0))": -ADJOINT @ f(0.6, STATE),
            "the price at t0 is a(t0), and you used the one at t1": -adjoint1 @ f(0.1, STATE),
            single: -ADJOINT * f(0.1, STATE),
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
    whole_chain = torch.autograd.grad(ADJOINT @ states[-1], (states[0], theta))
    # Moved a little, so that a replay from states[0] alone, which needs all graphs at once, gives something else.
    kept = [(z.detach() + 0.05 * k).requires_grad_() for k, z in enumerate(states)]
    to_start, to_theta = _replay(step, theta, kept, [3, 2, 1, 0], ADJOINT)
    two = "return two things: the adjoint at the first state, and the total for theta"
    of_start, of_theta = parts(call(answer, step, theta, kept, ADJOINT), 2, two)
    if isinstance(of_start, Tensor) and of_start.shape == theta.shape:
        raise Hint(f"{two}, in this order")
    chain = "this is the gradient, but by ordinary backprop: the path was made anew from states[0], and the graphs of "
    chain += "all steps were in memory at once. Start each step from states[k]"
    minus = "its sign: no minus here, (3.14) is a sum"
    compare("dL/dz0", of_start, to_start, {chain: whole_chain[0]} | _slips_of_replay(step, theta, kept))
    first = _replay(step, theta, kept, [0], _replay(step, theta, kept, [3, 2, 1], ADJOINT)[0])[1]
    last = _replay(step, theta, kept, [3], ADJOINT)[1]
    every = "every step uses theta, so all of them contribute to its gradient"
    slips = {f"the share of the first step alone: {every}": first, f"the share of the last step alone: {every}": last}
    slips[minus] = -to_theta
    slips[f"in every second step {minus}"] = _replay(step, theta, kept, [3, 2, 1, 0], ADJOINT, sign=-1)[1]
    slips[f"still zero: {every}"] = torch.zeros_like(to_theta)
    slips["theta's share of a step was computed with the adjoint from before the step, and needs the one after it"] = (
        _with_adjoints_before(step, theta, kept)
    )
    compare("dL/dtheta", of_theta, to_theta, slips)


def _with_adjoints_before(step: Callable[[int, Tensor], Tensor], theta: Tensor, states: list[Tensor]) -> Tensor:
    """What theta's total becomes when each share uses the adjoint that has already moved through its step."""
    adjoint, total = ADJOINT, torch.zeros_like(theta)
    for k in reversed(range(len(states) - 1)):
        adjoint = _replay(step, theta, states, [k], adjoint)[0]
        total = total + _replay(step, theta, states, [k], adjoint)[1]
    return total


def _replay(
    step: Callable[[int, Tensor], Tensor],
    theta: Tensor,
    states: list[Tensor],
    order: list[int],
    adjoint: Tensor,
    shift: int = 0,
    sign: int = 1,
) -> tuple[Tensor, Tensor]:
    """The adjoint taken back through the steps in this order, from states shifted by `shift`, and theta's total."""
    total = torch.zeros_like(theta)
    for k in order:
        z = states[k + shift].detach().requires_grad_()
        adjoint, share = torch.autograd.grad(step(k, z), (z, theta), sign * adjoint)
        total = total + share
    return adjoint, total


def _slips_of_replay(step: Callable[[int, Tensor], Tensor], theta: Tensor, states: list[Tensor]) -> dict[str, Tensor]:
    added = ADJOINT
    for k in [3, 2, 1, 0]:
        added = added + _replay(step, theta, states, [k], added)[0]
    return {
        "the old adjoint was added to the new one; the derivative of the whole step contains this term (the I of "
        "I + h·∂f/∂z) already": added,
        "the adjoint has not moved: each replayed step must hand on a new one": ADJOINT,
        "the steps were replayed from first to last; the adjoint knows the last one first": _replay(
            step, theta, states, [0, 1, 2, 3], ADJOINT
        )[0],
        "step k starts from states[k]; you replayed it from the state it ends in": _replay(
            step, theta, states, [3, 2, 1, 0], ADJOINT, shift=1
        )[0],
        "only one step was replayed: go on to the first": _replay(step, theta, states, [3], ADJOINT)[0],
        "the last step was left out: five states have four steps between them": _replay(
            step, theta, states, [2, 1, 0], ADJOINT
        )[0],
        "the first step was left out: five states have four steps between them": _replay(
            step, theta, states, [3, 2, 1], ADJOINT
        )[0],
        "every step was replayed from states[0]; step k starts from states[k]": _replay(
            step, theta, [states[0]] * 5, [3, 2, 1, 0], ADJOINT
        )[0],
        "step k + 1 was made in place of step k": _replay(
            lambda k, z: step(k + 1, z), theta, states, [3, 2, 1, 0], ADJOINT
        )[0],
    }
