"""Flow matching: the loss, the pairs, and that a fitted field carries one density to the other."""

import itertools

import pytest
import torch
from torch import Tensor

from odelab.flows import matching_loss, optimal_pairs


def test_the_loss_is_that_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    x, z, t = (torch.randn(6, size, generator=generator) for size in (2, 2, 1))

    def field(t: Tensor, point: Tensor) -> Tensor:
        return t * point.flip(-1) - point

    squares = []
    for i in range(6):
        point = x[i] + t[i] * (z[i] - x[i])
        squares.append(sum((field(t[i], point)[j] - z[i, j] + x[i, j]) ** 2 for j in range(2)))
    torch.testing.assert_close(matching_loss(field, x, z, t), torch.stack(squares).mean())


def test_times_are_drawn_between_0_and_1() -> None:
    times: list[Tensor] = []

    def field(t: Tensor, point: Tensor) -> Tensor:
        times.append(t)
        return point

    matching_loss(field, torch.zeros(500, 3), torch.ones(500, 3))
    assert times[0].shape == (500, 1) and 0 <= times[0].min() < 0.1 and 0.9 < times[0].max() <= 1


def test_pairs_are_the_cheapest_of_all_orders() -> None:
    generator = torch.Generator().manual_seed(1)
    x, z = torch.randn(6, 2, generator=generator), torch.randn(6, 2, generator=generator)
    costs = [(x - z[list(order)]).square().sum().item() for order in itertools.permutations(range(6))]
    assert (x - optimal_pairs(x, z)).square().sum().item() == pytest.approx(min(costs), rel=1e-5)


@pytest.mark.parametrize(
    ("x", "z", "t", "match"),
    [
        (torch.zeros(4, 2), torch.zeros(5, 2), None, r"got \(4, 2\) and \(5, 2\)"),
        (torch.zeros(4), torch.zeros(4), None, r"\(batch, dim\) each"),
        (torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4), r"\(4, 1\); got \(4,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(x: Tensor, z: Tensor, t: Tensor | None, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        matching_loss(lambda t, point: point, x, z, t)


def test_pairs_of_what_is_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        optimal_pairs(torch.full((2, 2), torch.nan), torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"got \(2, 2\) and \(3, 2\)"):
        optimal_pairs(torch.zeros(2, 2), torch.zeros(3, 2))
