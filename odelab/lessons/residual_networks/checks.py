"""Exercises of lesson 01: Euler on paper and in code, an extrapolated network, the halving test, a turn in the plane.

Each check looks at numbers only, so that every way of writing a right answer passes.
"""

from collections.abc import Callable
from itertools import pairwise
from math import e
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare, tensor_of

Field = Callable[[Any, Tensor], Tensor]


@exercise
def end_of_euler(answer: Callable[[int], Any]) -> None:
    """``end_of_euler(L)``: where L steps of size 1/L end on y' = y, y(0) = 1."""
    counts = (1, 2, 4, 10)
    ends = [tensor_of(f"end_of_euler({count})", _number(answer(count)), ()) for count in counts]
    right = [(1 + 1 / count) ** count for count in counts]
    wrong = {
        "that is where the solution itself ends; Euler's method ends below it": [e] * 4,
        "that is one step of size 1/L; there are L of them": [1 + 1 / count for count in counts],
        "each of your steps has size 1; here a step has size 1/L": [2.0**count for count in counts],
        "you add the slope 1 in every step; the slope is y, and y has grown since": [2.0] * 4,
        "each step multiplies y by the same factor; the factors are multiplied, not added": [
            count * (1 + 1 / count) for count in counts
        ],
        "one step too many: L steps lead from 0 to 1": [(1 + 1 / count) ** (count + 1) for count in counts],
        "one step too few: L steps lead from 0 to 1": [(1 + 1 / count) ** (count - 1) for count in counts],
        "your steps shrink y; a step of size 1/L adds (1/L) y to y": [(1 - 1 / count) ** count for count in counts],
    }
    otherwise = f"for L = 1 one step of size 1 leads from 1 to 2, yours ends at {float(ends[0]):.4g}"
    if abs(ends[0] - 2) < 1e-6:
        otherwise = (
            f"L = 1 is right; for L = 2, y goes from 1 to 1.5 and then to 2.25, yours ends at {float(ends[1]):.4g}"
        )
    compare("the formula", ends, right, wrong, rtol=1e-5, otherwise=otherwise)


def _number(value: Any) -> Any:
    """A fraction or a number of SymPy as a float; anything else as it is.

    Raises:
        Hint: for a formula in quotes.
    """
    if isinstance(value, str):
        raise Hint("your function returns a text; return the number, so write the formula without quotes")
    return float(value) if not isinstance(value, (Tensor, list, tuple)) and hasattr(value, "__float__") else value


def _pushed(t: Any, z: Tensor) -> Tensor:
    """A field that depends on t and is not linear in z: slips with either show. Any shape."""
    return torch.sin(2 * z) + 3 * t * t - 0.5 * z


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
    right = _euler_states(_pushed, z0, t)
    given = answer(_pushed, z0.clone(), t.clone())
    if isinstance(given, (list, tuple)) and len(given) < len(t) - 1:
        raise Hint(f"{len(t)} times need {len(t)} states, your list holds {len(given)}: is each new state appended?")
    if isinstance(given, (list, tuple)):
        raise Hint(f"yours is a {type(given).__name__} of {len(given)} states: torch.stack makes one tensor of them")
    states = tensor_of("euler(f, z0, t)", given)
    if states.shape == z0.shape:
        raise Hint("that is one state; collect them all, starting with z0, and stack them")
    if states.shape == right[1:].shape:
        raise Hint(f"{len(t)} times need {len(t)} states, yours has one less: the first state is z0 itself")
    if states.shape == right[:2].shape:
        raise Hint(f"{len(t)} times need {len(t)} states, yours has two: does the return stand inside the loop?")
    if len(states) == len(t) + 1:
        raise Hint(f"{len(t)} times need {len(t)} states, yours has one more: between them lie {len(t) - 1} steps")
    if states.shape == (right.numel(),):
        raise Hint("your states are joined end to end: torch.stack gives each of them a row of its own")
    if states.shape == right.shape and torch.allclose(states, states[-1].expand_as(states)):
        raise Hint(
            "all your states are equal: z += … changes the tensor that is in the list already. "
            "Make a new one: z = z + …"
        )
    if states.shape == right.shape and not torch.allclose(states[0], z0):
        raise Hint("the first state should be z0")
    wrong = {
        "the steps of this grid differ: take t[k + 1] - t[k], not t[1] - t[0]": (
            _euler_states(_pushed, z0, t, first_step=True)
        ),
        "f is evaluated at the end of the step; Euler looks where it stands, at t[k]": (
            _euler_states(_pushed, z0, t, late=True)
        ),
        "the time inside f never moves: pass t[k]": _euler_states(lambda _t, z: _pushed(t[0], z), z0, t),
        "f takes the time first: f(t, z)": _euler_states(lambda t, z: _pushed(z, t * torch.ones_like(z)), z0, t),
        "f is the velocity; in a step it is multiplied by the time that the step takes": (
            _euler_states(lambda time, z: _pushed(time, z) / _step_from(t, time), z0, t)
        ),
        "t[k + 1] is a time; a step lasts from t[k] to t[k + 1]": _euler_states(
            lambda time, z: _pushed(time, z) * (time + _step_from(t, time)) / _step_from(t, time), z0, t
        ),
        "f gets the number of the step; it asks for the time t[k]": _euler_states(
            lambda time, z: _pushed(int((t == time).nonzero()), z), z0, t
        ),
        "the old state is lost: a step adds the move to it": _euler_states(
            lambda time, z: _pushed(time, z) - z / _step_from(t, time), z0, t
        ),
        "you subtract the move; add it": _euler_states(lambda t, z: -_pushed(t, z), z0, t),
        "each step starts from the last state": (
            z0 + torch.cat([torch.zeros(1), t.diff()])[:, None] * _pushed(t[0], z0)
        ),
    }
    otherwise = "the first step is right, a later one is not: which state and which time does it start from?"
    if len(states) > 1 and states.shape == right.shape and not torch.allclose(states[1], right[1]):
        otherwise = "the first step is off already: compare it with the state after one step in section 2"
    compare("euler(f, z0, t)", states, right, wrong, otherwise=otherwise)


def _step_from(t: Tensor, start: Tensor) -> Tensor:
    """The step of the grid t that begins at this time."""
    return t.diff()[(t[:-1] == start).nonzero()[0, 0]]


@exercise
def extrapolate(answer: Callable[[Tensor, Tensor], Any]) -> None:
    """``extrapolate(shallow, deep)``: from outputs with L and 2 L layers, one whose error has no 1/L term."""
    truth = torch.tensor([1.0, -2.0, 0.25], dtype=torch.float64)
    error = torch.tensor([0.3, 0.1, -0.4], dtype=torch.float64)
    shallow, deep = truth + error, truth + error / 2
    wrong = {
        "this is the deep network alone: its error is half the shallow one's, use that": deep,
        "this is the shallow network alone: how does its error compare with the deep one's?": shallow,
        "the average lies between the two outputs; the ODE lies beyond the deep one": (shallow + deep) / 2,
        "you walked the wrong way: from deep to shallow and on": 2 * shallow - deep,
        "this would be right for a second-order method, whose error falls by four": (4 * deep - shallow) / 3,
        "this is an estimate of the error; which output do you correct with it?": deep - shallow,
        "this is minus an estimate of the error; which output do you correct with it?": shallow - deep,
        "the errors cancel, and so does half of the output: what is left when both errors are zero?": deep
        - shallow / 2,
        "you add the errors up; in which combination do C/L and C/(2L) cancel?": 2 * deep + shallow,
    }
    otherwise = "write deep = z + C/(2L) and shallow = z + C/L, and eliminate C"
    compare("the ODE's output", answer(shallow.clone(), deep.clone()), truth, wrong, otherwise=otherwise)


@exercise
def changed_answers(answer: Callable[[Callable[..., Tensor], Field, Any, Tensor, int], Any]) -> None:
    """``changed_answers(residual_net, f, head, z, depth)``: share of classes that change with half the step."""

    depths: set[int] = set()

    def residual_net(f: Field, z: Tensor, depth: int) -> Tensor:
        if not isinstance(z, Tensor):
            raise Hint("residual_net(f, z, depth) takes the field, then the inputs, then the number of layers")
        if int(depth) != depth:
            raise Hint(f"{depth} layers? halving the step doubles the number of layers")
        depths.add(int(depth))
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

    def apart(one: Tensor, other: Tensor) -> float:
        return float((one != other).double().mean())

    right = apart(called(4), called(8))
    distance = residual_net(violent, z, 4)[-1] - residual_net(violent, z, 8)[-1]
    depths.clear()
    given = answer(residual_net, violent, head, z.clone(), 4)
    ran = sorted(depths)
    if isinstance(given, Tensor) and given.numel() != 1:
        raise Hint(f"one number, please: the share of the {tuple(given.shape)} that changed")
    value = float(given)

    wrong = {
        "changes back and forth cancel in a mean": abs(float(called(4).double().mean() - called(8).double().mean())),
        "this is the share that stayed; the one that changed is asked": 1 - right,
        "this is a count; divide by the number of inputs": right * len(z),
        "this is in percent; a share lies between 0 and 1": 100 * right,
        "one layer more is not half the step": apart(called(4), called(5)),
        "that compares with half the layers, so with a longer step": apart(called(4), called(2)),
        "the score is not a probability: compare it with 0": apart(called(4, 0.5), called(8, 0.5)),
        "this compares the scores, and almost every score changes a little; compare the classes, their signs": 1.0,
        "this compares the scores; compare the classes, their signs": float(
            (head(distance) - head(0 * distance)).abs().mean()
        ),
        "this is a distance between outputs; apply head, and compare the classes": float(distance.norm(dim=1).mean()),
        "from −1 to 1 a sign moves by 2, so this counts each change twice": 2 * right,
        "that compares with the input, not with another number of layers": apart(called(4), head(z)[:, 0] > 0),
    }
    if ran == [4, 8]:
        advice = (
            "no class differs between 4 and 8 layers: does head get the last states, [-1], and do you take its sign?"
        )
        wrong[advice] = 0.0
    else:
        wrong["both networks have the same number of layers"] = 0.0
    otherwise = f"for the test network a share of {right:.4g} changes its class, you say {value:.4g}"
    if ran != [4, 8]:
        otherwise = f"asked about 4 layers, you ran {' and '.join(map(str, ran)) or 'no'} layers: half the step needs "
        otherwise += "twice the layers"
    compare("the share", value, right, wrong, otherwise=otherwise)


@exercise
def turn(matrix: Any) -> None:
    """Any 2 × 2 matrix A such that z' = A z takes (1, 0) to (−1, 0) in time 1."""
    a = tensor_of("A", matrix)
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
    if a[0, 0] == 0 and a[1, 1] == 0 and a[0, 1] * a[1, 0] > 0:
        raise Hint(f"{where}: with two entries of the same sign it does not turn; compare A z with ω (−z₂, z₁)")
    raise Hint(f"{where}: which motion in the plane brings a point to the opposite side without passing through 0?")
