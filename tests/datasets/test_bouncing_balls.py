"""Bouncing balls keep their energy; a collision keeps the momentum; nothing leaves the box but by half a frame."""

import math

import pytest
import torch

from odelab.datasets import bouncing_balls, simulate_balls
from odelab.datasets.bouncing_balls import BOX, RADIUS, collided, render

LEAP = 0.25  # the most a ball moves in half a frame


@pytest.fixture(scope="module")
def run():
    return simulate_balls(200, 60, seed=1)


def test_energy(run):
    _, v = run
    speeds = v.flatten(2).norm(dim=2)
    assert torch.allclose(speeds, torch.full_like(speeds, 0.5), atol=1e-12)


def test_momentum_in_a_collision(run):
    x, v = (each[:, :, :2].reshape(-1, 2, 2) for each in run)
    after = torch.stack(collided(x[:, 0], x[:, 1], v[:, 0], v[:, 1]), 1)
    assert torch.allclose(after.sum(1), v.sum(1), atol=1e-12)
    assert torch.allclose(after.square().sum((1, 2)), v.square().sum((1, 2)), atol=1e-12)


def test_a_collision_by_hand():
    """Head on along x with a grazing component: the x components change places, the others stay."""
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    v = torch.tensor([[0.3, 0.1], [-0.2, 0.4]], dtype=torch.float64)
    first, second = collided(x[:1], x[1:], v[:1], v[1:])
    assert torch.allclose(first, torch.tensor([[-0.2, 0.1]], dtype=torch.float64))
    assert torch.allclose(second, torch.tensor([[0.3, 0.4]], dtype=torch.float64))
    again = collided(x[:1], x[1:], first, second)  # they overlap still, but go apart
    assert torch.equal(again[0], first) and torch.equal(again[1], second)
    far = collided(x[:1], x[1:] + 1.0, v[:1], v[1:])
    assert torch.equal(far[0], v[:1])


def test_inside_the_box(run):
    x, _ = run
    assert RADIUS - LEAP <= x.min() < RADIUS and BOX - RADIUS < x.max() <= BOX - RADIUS + LEAP  # walls are reached


def test_balls_start_apart_and_stay_nearly_so(run):
    x, _ = run
    distances = torch.cdist(x, x) + BOX * torch.eye(3, dtype=x.dtype)
    assert distances[:, 0].min() >= 2 * RADIUS and distances.min() > 2 * RADIUS - 2 * LEAP
    assert x[:, 0].min() >= RADIUS and x[:, 0].max() <= BOX - RADIUS


def test_free_flight(run):
    """Where the velocities have not changed, a frame moves every ball by its velocity."""
    x, v = run
    free = (v[:, 1:] == v[:, :-1]).flatten(2).all(2)
    assert 0.2 < free.double().mean() < 0.9
    assert torch.allclose((x[:, 1:] - x[:, :-1])[free], v[:, :-1][free], atol=1e-12)


def test_balls_meet_as_elastic_ones_do():
    """Two balls alone, found just before they meet: total momentum is the same after, the single ones are not."""
    x, v = simulate_balls(300, 30, balls=2, seed=2)
    total = v.sum(2)
    met = ((v[:, 1:] != v[:, :-1]).any(-1).all(-1)) & ((total[:, 1:] - total[:, :-1]).abs().amax(-1) < 1e-12)
    assert met.sum() > 50
    closer = (x[:, :-1, 0] - x[:, :-1, 1]).norm(dim=-1)[met]
    assert closer.max() < 2 * RADIUS + 0.5 * 2**0.5  # the most by which two get closer in a frame


def test_pixels_by_hand():
    position = torch.tensor([[[[2.5, 7.5], [2.5, 6.0]]]], dtype=torch.float64)
    frame = render(position, 10)[0, 0, 0]
    expected = sum(math.exp(-((((2.5 - 2.5) ** 2 + (c - 6.5) ** 2) / RADIUS**2) ** 4)) for c in (7.5, 6.0))
    assert frame[2, 7] == 1 and frame[2, 6] == pytest.approx(min(expected, 1.0), abs=1e-6)
    assert frame[6, 2] == pytest.approx(0, abs=1e-6)  # the first coordinate is the row
    single = render(position[:, :, :1], 10)[0, 0, 0]
    assert single[3, 8] == pytest.approx(math.exp(-((2 / 1.44) ** 4)), abs=1e-6)


def test_seeded_and_shaped():
    one, same, other = (bouncing_balls(3, 5, size=16, seed=seed) for seed in (0, 0, 1))
    assert one.x.shape == (3, 5, 1, 16, 16) and one.x.dtype == torch.float32 and one.mask.all()
    assert torch.equal(one.x, same.x) and not torch.equal(one.x, other.x)
    assert torch.equal(one.x, render(simulate_balls(3, 5, seed=0)[0], 16)) and one.x.max() <= 1
    assert torch.allclose(one.times, torch.arange(5) * 0.1) and "3 simulated" in one.source
    # A ball covers π r² of 100 units of area, a little less by its soft edge.
    area = 3 * math.pi * RADIUS**2 / BOX**2
    assert bouncing_balls(50, 2, size=32).x.mean() == pytest.approx(area, rel=0.3)


@pytest.mark.parametrize("settings", [{"n": 0}, {"frames": 0}, {"balls": 9}, {"size": 2}])
def test_refused(settings):
    with pytest.raises(ValueError, match=r"balls|pixels"):
        bouncing_balls(**{"n": 2} | settings)
