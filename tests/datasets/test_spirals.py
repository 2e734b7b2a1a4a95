"""Spirals: on the curve, walked both ways, seen at random times."""

import math

import pytest
import torch

from odelab.datasets import Sequences, spirals
from odelab.datasets.spirals import SPACING


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_point_is_on_the_curve_and_turns_by_the_time_that_passes() -> None:
    data = spirals(60, generator=seeded(0))
    radius = data.curve.norm(dim=-1)
    angle = radius / 0.3
    flip = torch.where(data.clockwise, -1, 1)[:, None]
    on_it = 0.3 * angle[..., None] * torch.stack([angle.cos(), flip * angle.sin()], -1)
    assert data.curve.shape == (60, 300, 2)
    torch.testing.assert_close(data.curve, on_it, atol=1e-4, rtol=0)
    assert radius.max() <= 0.3 * 6 * math.pi + 1e-4
    turned = angle.diff(dim=1) / data.curve_times.diff()
    torch.testing.assert_close(turned, torch.ones_like(turned), atol=1e-2, rtol=0)
    assert data.clockwise.sum() == 30
    x, y = data.curve.double().unbind(-1)
    turning = x[:, :-1] * y[:, 1:] - y[:, :-1] * x[:, 1:]  # z of the cross product of successive places
    assert torch.equal(turning[:, 50:].sign() < 0, data.clockwise[:, None].expand(60, 249))


def test_the_window_is_the_middle_third_with_noise_where_it_was_observed() -> None:
    data = spirals(200, kept=30, noise=0.3, generator=seeded(1))
    torch.testing.assert_close(data.times, data.curve_times[100:200])
    assert data.curve_times[0] == pytest.approx(-100 * SPACING) and (data.mask.sum(1) == 30).all()
    residual = (data.x - data.truth)[data.mask]
    assert residual.std() == pytest.approx(0.3, rel=0.05) and residual.mean().abs() < 0.02
    assert (data.x[~data.mask] == 0).all()
    starts = data.truth[:, 0].norm(dim=-1) / 0.3 / SPACING
    assert starts.min() < 110 and starts.max() > 290, "windows from all along the curve"
    assert data.mask.float().mean(0).min() > 0.2 and data.mask.float().mean(0).max() < 0.42


def test_windows_to_train_on_come_from_the_whole_curve() -> None:
    starts = spirals(500, margin=0, generator=seeded(1)).truth[:, 0].norm(dim=-1) / 0.3 / SPACING
    assert starts.min() < 10 and starts.max() > 390
    assert spirals(40, margin=0, generator=seeded(1)).after.norm(dim=-1).max() > 0.3 * 6 * math.pi


def test_one_generator_gives_the_same_spirals_whatever_is_kept_of_them() -> None:
    few, many = (spirals(20, kept=kept, generator=seeded(2)) for kept in (20, 60))
    assert torch.equal(few.curve, many.curve) and not (few.mask & ~many.mask).any()
    assert torch.equal(few.x[few.mask], many.x[few.mask])
    assert spirals(3, kept=100, generator=seeded(2)).mask.all()
    assert not torch.equal(few.truth, spirals(20, kept=20, generator=seeded(3)).truth)


def test_some_of_them_are_spirals_too() -> None:
    data = spirals(6, generator=seeded(4))
    part = data[torch.tensor([4, 1])].to("cpu")
    assert isinstance(data, Sequences) and len(part) == 2 and len(data[0]) == 1
    assert torch.equal(part.curve, data.curve[[4, 1]]) and torch.equal(part.clockwise, data.clockwise[[4, 1]])
    assert torch.equal(part.mask[0], data.mask[4]) and torch.equal(part.times, data.times)


@pytest.mark.parametrize(
    "wrong", [{"kept": 0}, {"kept": 101}, {"points": 167}, {"margin": -1}, {"margin": 201}, {"noise": -0.1}, {"n": 0}]
)
def test_numbers_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(ValueError, match="spirals"):
        spirals(**{"n": 4, **wrong})
