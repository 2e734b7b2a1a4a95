"""The made-up gait walks: on the ground, forward, legs in turn, arms against them; and a model can learn from it."""

import pytest
import torch

from odelab.datasets import standard_skeleton, synthetic_walks
from odelab.datasets.mocap.channels import CHANNELS, COLUMNS50, differences50

FRAMES = 301


@pytest.fixture(scope="module")
def walks():
    return synthetic_walks(8, FRAMES, seed=3)


@pytest.fixture(scope="module")
def joints(walks):
    return standard_skeleton().joints(walks)


@pytest.fixture(scope="module")
def at(joints):
    """A joint's path as seen from the root, (8, T, 3)."""
    skeleton = standard_skeleton()
    return lambda name: joints[:, :, skeleton.index(name)] - joints[:, :, 0]


def correlation(a, b):
    """Of each walk, over time: (n,)."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def test_shapes_and_seeds(walks):
    assert walks.shape == (8, FRAMES, 62) and walks.dtype == torch.float64 and bool(walks.isfinite().all())
    assert torch.equal(walks, synthetic_walks(8, FRAMES, seed=3))
    assert not torch.equal(walks, synthetic_walks(8, FRAMES, seed=4))
    dropped = [k for k in range(62) if k not in COLUMNS50]
    assert bool((walks[..., dropped] == 0).all())
    with pytest.raises(ValueError, match=r"at least 1, got n = 0"):
        synthetic_walks(0)


def test_the_lower_foot_is_on_the_ground(joints):
    skeleton = standard_skeleton()
    balls = joints[:, :, [skeleton.index(name) for name in ("lfoot", "ltoes", "rfoot", "rtoes")], 1]
    assert balls.min() > -0.05
    ankles = joints[:, :, [skeleton.index(name) for name in ("ltibia", "rtibia")], 1]
    sole = torch.cat([balls - 0.012 * 1.75, ankles - 0.039 * 1.75], dim=2).amin(2)
    assert sole.abs().mean() < 0.02 and sole.abs().max() < 0.07
    assert 1.6 < joints[..., skeleton.index("head"), 1].mean() < 1.85


def test_it_goes_forward(joints):
    speed = joints[:, 1:, 0, 2].sub(joints[:, :-1, 0, 2]) * 120
    assert speed.min() > 0.3 and bool(((speed.mean(1) > 0.9) & (speed.mean(1) < 1.6)).all())
    assert joints[:, :, 0, 0].abs().max() < 0.1  # and not aside


def test_legs_in_turn_and_arms_against_them(at):
    for mine, other in (("l", "r"), ("r", "l")):
        foot, other_foot, hand = (at(name)[..., 2] for name in (f"{mine}foot", f"{other}foot", f"{mine}wrist"))
        assert correlation(foot, other_foot).max() < -0.7
        assert correlation(hand, foot).max() < -0.6 and correlation(hand, other_foot).min() > 0.6
        assert (foot.amax(1) - foot.amin(1)).min() > 0.5 and (hand.amax(1) - hand.amin(1)).min() > 0.15


def test_joints_bend_as_people_do(walks):
    for side, sign in (("l", 1), ("r", -1)):
        knee = walks[..., CHANNELS.index(f"{side}tibia rx")]
        assert knee.min() > -8 and knee.amax(1).min() > 45 and knee.max() < 85
        assert walks[..., CHANNELS.index(f"{side}radius rx")].min() > 0
        leg = walks[..., CHANNELS.index(f"{side}femur rz")].mean()
        assert abs(leg + 20 * sign) < 5


def test_a_stride_comes_again(at):
    """Some shift between one and one and a quarter seconds brings each foot nearly back; half of it does not."""
    foot = at("lfoot")[..., 2]
    errors = torch.stack([(foot[:, k:] - foot[:, :-k]).pow(2).mean(1).sqrt() for k in range(100, 170)])
    best, where = errors.min(0)
    assert best.max() < 0.06
    for k, period in enumerate((where + 100).tolist()):
        half = period // 2
        assert (foot[k, half:] - foot[k, :-half]).pow(2).mean().sqrt() > 0.25


def test_walks_differ_and_a_model_can_learn_from_them():
    raw = differences50(synthetic_walks(23, FRAMES))
    x = raw - raw.mean(1, keepdim=True)
    assert (x[0] - x[1]).pow(2).mean() > 5 and (raw.mean(1).std(0)[3:] > 0.1).sum() > 35
    _, _, directions = torch.linalg.svd(x[:16].reshape(-1, 50), full_matrices=False)
    three = directions[:3].mT @ directions[:3]
    assert (x[19:] - x[19:] @ three).pow(2).mean() < 0.15 * x[19:].pow(2).mean()  # few dimensions say most of it
