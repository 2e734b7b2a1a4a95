"""Exercises of lesson 11: a wrong equation on paper, paths through a net, thresholded least squares, a box."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare, parts, tensor_of


def _pair(answer: Any, otherwise: str) -> Sequence[Any]:
    """Two things, in a tuple, a list, an array or a tensor."""
    if not isinstance(answer, (tuple, list)) and len(getattr(answer, "shape", ())) > 0:
        answer = list(answer)
    return parts(answer, 2, otherwise)


@exercise
def same_slopes(answer: Callable[[float], Any]) -> None:
    """(a, b) of dS/dt = a Q + b Q³, which agrees with Q − 1.5 S along the path from (Q0, 0); μ = 0.5."""
    returned = [_pair(answer(start), "two numbers are asked for: a and b") for start in (2.0, 3.0)]
    a = [tensor_of("a", pair[0], ()) for pair in returned]
    b = [tensor_of("b", pair[1], ()) for pair in returned]
    squares = torch.tensor([4.0, 9.0], dtype=torch.float64)
    compare(
        "a for Q₀ = 2 and 3",
        a,
        [-0.5, -0.5],
        {
            "this belongs to S = aQ + bQ³; dS/dt is asked for, so put S into Q − 1.5 S": [1.0, 1.0],
            "its sign: Q − 1.5 Q": [0.5, 0.5],
            "you took S = Q³/Q₀² alone; S also holds a term Q": [1.0, 1.5],
            "λ is missing: S is used up at the rate 1.5 S": [0.0, 0.0],
        },
        rtol=1e-5,
    )
    compare(
        "b for Q₀ = 2 and 3",
        b,
        1.5 / squares,
        {
            "its sign: −1.5 times −Q³/Q₀²": -1.5 / squares,
            "this belongs to S; dS/dt is asked for, so multiply by −λ = −1.5": -1 / squares,
            "λ is missing: it multiplies all of S": 1 / squares,
            "this is right for Q₀ = 2 only; b depends on the start": [0.375, 0.375],
            "e^{−1.5t} is (Q/Q₀)³, and S has the factor Q₀ in front: one Q₀ too many is left": 1.5 / squares**1.5,
            "Q₀ is missing: e^{−1.5t} is (Q/Q₀)³, not Q³": [1.5, 1.5],
        },
        rtol=1e-5,
    )


def _matrices() -> list[Tensor]:
    """W_1 (4, 2), W_2 (3, 4), W_3 (2, 3), with entries of both signs."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((4, 2), (3, 4), (2, 3))]


@exercise
def path_weights(answer: Callable[[list[Tensor]], Any]) -> None:
    """|W_3| |W_2| |W_1| for answer([W_1, W_2, W_3])."""
    first, second, third = _matrices()
    right = third.abs() @ second.abs() @ first.abs()
    product = third @ second @ first
    given = tensor_of("path_weights", answer([first.clone(), second.clone(), third.clone()]))
    if given.shape == (2, 2) and torch.allclose(given, right.T):
        raise Hint("path_weights: transposed; the row is the slope, the column is the variable it depends on")
    compare(
        "path_weights",
        given,
        right,
        {
            "the absolute values are missing: two paths of opposite sign cancel, and both are there": product,
            "the absolute value comes before the product, of every matrix: here paths have cancelled": product.abs(),
            "that is the sum over all entries; the matrix is asked for": right.sum(),
            "the last matrix is missing": second.abs() @ first.abs(),
            "squares instead of absolute values": third**2 @ second**2 @ first**2,
            "the sum of all weights of the net: the ordinary L1 penalty, which knows no paths": sum(
                matrix.abs().sum() for matrix in (first, second, third)
            ),
            "one matrix was left signed": third @ second.abs() @ first.abs(),
        },
    )


def _library() -> tuple[Tensor, Tensor, Tensor]:
    """Terms (30, 5), slopes (30, 2), and the coefficients (5, 2) that made them.

    The last term is nearly the difference of the first two, and the noise is strong, so that one round of dropping
    leaves a term that the second round drops.
    """
    generator = torch.Generator().manual_seed(1)
    terms = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    terms[:, 4] = 0.6 * terms[:, 0] - 0.6 * terms[:, 1] + 0.35 * terms[:, 4]
    true = torch.tensor([[1.0, 0.0], [0.0, -0.8], [0.6, 0.0], [0.0, 0.5], [0.0, 0.0]], dtype=torch.float64)
    noise = 0.7 * torch.randn(30, 2, generator=generator, dtype=torch.float64)
    return terms, terms @ true + noise, true


def _thresholded(
    terms: Tensor, slopes: Tensor, threshold: float, rounds: int = 10, refit: bool = True, signed: bool = False
) -> Tensor:
    """The algorithm, and three slips: too few rounds, no refit, and a threshold for the signed coefficients."""
    found = torch.linalg.lstsq(terms, slopes).solution
    for _ in range(rounds):
        found = torch.where((found if signed else found.abs()) < threshold, 0.0, found)
        if not refit:
            break
        for i in range(slopes.shape[1]):
            kept = found[:, i] != 0
            found[kept, i] = torch.linalg.lstsq(terms[:, kept], slopes[:, i : i + 1]).solution[:, 0]
    return found


@exercise
def stlsq(answer: Callable[[Tensor, Tensor, float], Any]) -> None:
    """Sequentially thresholded least squares: coefficients (terms, equations) for answer(terms, slopes, threshold)."""
    terms, slopes, true = _library()
    right = _thresholded(terms, slopes, 0.3)
    given = tensor_of("stlsq", answer(terms.clone(), slopes.clone(), 0.3))
    if given.shape == right.T.shape:
        raise Hint("stlsq: transposed; a column for each equation, as lstsq returns it")
    supports = (right != 0).double()
    if given.shape == right.shape and torch.equal((given != 0).double(), supports) and not torch.allclose(given, right):
        if torch.allclose(given, _thresholded(terms, slopes, 0.3, refit=False)):
            raise Hint("stlsq: the small ones are gone, but the others were not fitted again without them")
        raise Hint("stlsq: the right terms, but other numbers: fit each equation again with its own terms alone")
    positive = _thresholded(terms, slopes, 0.3, signed=True)
    compare(
        "stlsq",
        given,
        right,
        {
            "this is least squares with all terms: nothing was dropped": torch.linalg.lstsq(terms, slopes).solution,
            "the small ones are gone, but the others were not fitted again without them": _thresholded(
                terms, slopes, 0.3, refit=False
            ),
            "after the refit some coefficients are small again: drop and refit several times": _thresholded(
                terms, slopes, 0.3, rounds=1
            ),
            "drop by absolute value: a large negative coefficient is not small": positive,
            "these are the true coefficients that made the data, noise and all; fit them": true,
        },
        rtol=1e-5,
    )


@exercise
def pgd_step(answer: Callable[..., Any]) -> None:
    """One step of projected gradient descent: answer(x, moved, gradient, rate, epsilon)."""
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(4, 6, generator=generator, dtype=torch.float64)
    moved = x + 0.1 * (2 * torch.rand(4, 6, generator=generator, dtype=torch.float64) - 1)
    gradient = 0.3 * torch.randn(4, 6, generator=generator, dtype=torch.float64)
    rate, epsilon = 0.06, 0.1

    def project(z: Tensor, centre: Tensor) -> Tensor:
        return centre + (z - centre).clamp(-epsilon, epsilon)

    climbed = moved + rate * gradient.sign()
    compare(
        "pgd_step",
        answer(x.clone(), moved.clone(), gradient.clone(), rate, epsilon),
        project(climbed, x),
        {
            "the way back into the cube is missing": climbed,
            "the sign: this lowers the loss, an attack raises it": project(moved - rate * gradient.sign(), x),
            "the sign of each entry of the gradient is asked for, not the gradient": project(
                moved + rate * gradient, x
            ),
            "the cube is around x, the original, not around the last step": project(climbed, moved),
            "the step starts from moved, not from x": project(x + rate * gradient.sign(), x),
            "clamp the difference from x, not the pixels": climbed.clamp(-epsilon, epsilon),
            "the step is rate, not epsilon": project(moved + epsilon * gradient.sign(), x),
            "this is the difference from x; add x again": (climbed - x).clamp(-epsilon, epsilon),
        },
    )


@exercise
def affine_box(answer: Callable[..., Any]) -> None:
    """(middle, radius) of the smallest box around W z + b, for answer(middle, radius, weight, bias)."""
    weight = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.8, -1.5]], dtype=torch.float64)
    bias = torch.tensor([0.4, -0.7], dtype=torch.float64)
    middle = torch.tensor([0.2, -0.5, 1.1], dtype=torch.float64)
    radius = torch.tensor([0.1, 0.3, 0.2], dtype=torch.float64)
    two = "two things are asked for: the middle and the radius"
    given_middle, given_radius = parts(answer(middle.clone(), radius.clone(), weight, bias), 2, two)
    centre = weight @ middle + bias
    compare(
        "the middle",
        given_middle,
        centre,
        {
            "b is missing": weight @ middle,
            "the middle goes through the layer as it is, without absolute values": weight.abs() @ middle + bias,
            "this is the lower corner; the middle and the radius are asked for": centre - weight.abs() @ radius,
        },
    )
    compare(
        "the radius",
        given_radius,
        weight.abs() @ radius,
        {
            "a radius is never negative, and signs must not cancel: which corner of the box makes an output largest?": (
                weight @ radius
            ),
            "the absolute value comes before the product: every entry of W may push the output": (
                (weight @ radius).abs()
            ),
            "b moves the box, it does not make it larger": weight.abs() @ radius + bias,
            "the same with |b|: b moves the box, it does not make it larger": weight.abs() @ radius + bias.abs(),
            "this is the whole width; the radius is half of it": 2 * weight.abs() @ radius,
            "this is the upper corner; the middle and the radius are asked for": centre + weight.abs() @ radius,
        },
    )
