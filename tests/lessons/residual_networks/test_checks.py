"""Lesson 01: its exercise checks tell right from wrong, and its explorables plot what they claim to plot."""

import math

import numpy as np
import pytest
import torch

from odelab import solve
from odelab.datasets.plane import disc_and_ring, two_moons
from odelab.lessons.kit import check
from odelab.lessons.residual_networks import explorables


def rejected(verdict: object, word: str) -> None:
    """The check said no, for the reason that holds ``word``."""
    assert not verdict
    assert word in verdict.message, verdict.message  # type: ignore[attr-defined]


# Exercises


def euler(f, z0, t, slip=""):  # type: ignore[no-untyped-def]
    states = [z0]
    for k in range(len(t) - 1):
        step = t[1] - t[0] if slip == "first step" else t[k + 1] - t[k]
        time = t[k + 1] if slip == "late" else t[0] if slip == "frozen" else t[k]
        states.append(states[-1] + (-step if slip == "sign" else step) * f(time, states[-1]))
    return torch.stack(states[1:] if slip == "no start" else states)


def test_euler() -> None:
    assert check.euler(euler)
    assert check.euler(lambda f, z0, t: solve(f, z0, t, method="euler").y), "the library's"
    for slip, word in {
        "first step": "differ",
        "late": "end of the step",
        "frozen": "never moves",
        "no start": "first state is z0",
        "sign": "first step is off",
    }.items():
        rejected(check.euler(lambda f, z0, t, slip=slip: euler(f, z0, t, slip)), word)
    rejected(check.euler(lambda f, z0, t: euler(f, z0, t)[-1]), "one state")
    rejected(check.euler(lambda f, z0, t: ...), "not attempted")
    rejected(check.euler(lambda f, z0, t: euler(lambda t, z: f(z, t), z0, t)), "time first")


def test_extrapolate() -> None:
    assert check.extrapolate(lambda shallow, deep: 2 * deep - shallow)
    assert check.extrapolate(lambda shallow, deep: deep + (deep - shallow))
    rejected(check.extrapolate(lambda shallow, deep: (shallow + deep) / 2), "average")
    rejected(check.extrapolate(lambda shallow, deep: 2 * shallow - deep), "wrong way")
    rejected(check.extrapolate(lambda shallow, deep: (4 * deep - shallow) / 3), "second-order")
    rejected(check.extrapolate(lambda shallow, deep: deep), "alone")


def called(net, f, head, z, depth):  # type: ignore[no-untyped-def]
    return head(net(f, z, depth)[-1])[:, 0] > 0


def test_changed_answers() -> None:
    def share(compare):  # type: ignore[no-untyped-def]
        return check.changed_answers(
            lambda net, f, head, z, n: compare(lambda depth: called(net, f, head, z, depth), n)
        )

    assert share(lambda at, n: (at(n) != at(2 * n)).float().mean())
    assert share(lambda at, n: float((at(n) ^ at(2 * n)).sum() / len(at(n)))), "another way to count"
    rejected(share(lambda at, n: (at(n).float().mean() - at(2 * n).float().mean()).abs()), "cancel")
    rejected(share(lambda at, n: (at(n) == at(2 * n)).float().mean()), "stayed")
    rejected(share(lambda at, n: (at(n) != at(n + 1)).float().mean()), "one layer")
    rejected(share(lambda at, n: (at(n) != at(n // 2)).float().mean()), "longer")
    rejected(share(lambda at, n: (at(n) != at(2 * n)).sum()), "count")
    rejected(share(lambda at, n: at(n) != at(2 * n)), "one number")
    rejected(share(lambda at, n: at(n / 3).float().mean()), "doubles")
    rejected(check.changed_answers(lambda net, f, head, z, n: head(net(f, z, n))[:, 0]), "last state")


def test_turn() -> None:
    half = math.pi
    assert check.turn([[0, -half], [half, 0]])
    assert check.turn(torch.tensor([[0, half], [-half, 0]])), "the other way round"
    assert check.turn([[0, -half * 2], [half / 2, 0]]), "along an ellipse"
    rejected(check.turn([[-2.0, 0], [0, 1.0]]), "diagonal")
    rejected(check.turn([[0, -2 * half], [2 * half, 0]]), "full turn")
    rejected(check.turn([[0, -half / 2], [half / 2, 0]]), "wrong angle")
    rejected(check.turn([[0, 1.0], [0, 0]]), "which motion")
    rejected(check.turn([[-1.0, 0], [0, -1.0]]), "not the map")
    rejected(check.turn([[0, -3.14], [3.14, 0]]), "math.pi")
    rejected(check.turn([[...]]), "not attempted")


# Explorables


class Turn(torch.nn.Module):
    """A field with a solution in closed form: a turn by half a circle in time 1."""

    def forward(self, t: float, z: torch.Tensor) -> torch.Tensor:
        return torch.pi * torch.stack([-z[:, 1], z[:, 0]], 1)


def turned(z: np.ndarray, depth: int, layers: int) -> np.ndarray:
    """Euler's answer to the turn, in complex numbers: each layer multiplies by 1 + iπ/depth."""
    numbers = (z[:, 0] + 1j * z[:, 1]) * (1 + 1j * np.pi / depth) ** layers
    return np.stack([numbers.real, numbers.imag], 1)


def moons_and_head() -> tuple[torch.Tensor, torch.Tensor, torch.nn.Linear]:
    points, labels = two_moons(40, seed=0)
    head = torch.nn.Linear(2, 1)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, -4.0]]))
        head.bias.fill_(0.5)
    return points, labels, head.requires_grad_(False)


@pytest.mark.parametrize(("depth", "t", "layers"), [(8, 0.75, 6), (64, 1.0, 64)])
def test_depth_flow_plots_the_states_of_the_network(depth: int, t: float, layers: int) -> None:
    points, labels, head = moons_and_head()
    explorer = explorables.depth_flow(Turn(), head, points, labels)
    text = explorer.drive(depth=depth, t=t)
    left, right = explorer.figure.axes
    expected = turned(points.numpy(), depth, layers)
    for k in range(2):
        ends = expected[labels.numpy() == k]
        np.testing.assert_allclose(np.stack(left.lines[2 + k].get_data(), 1), ends, atol=1e-4)
        np.testing.assert_allclose(np.stack(right.lines[1 + k].get_data(), 1), ends, atol=1e-4)
    corner = np.stack(right.lines[0].get_data(), 1)[0]
    np.testing.assert_allclose(corner, turned(np.array([[-2.0, -2.0]]), depth, layers)[0], atol=1e-3)
    share = ((expected @ [3, -4] + 0.5 > 0) == labels.numpy()).mean()
    assert f"{100 * share:.1f} %" in text and f"layer {layers} of {depth}" in text


def test_between_two_layers_the_state_lies_on_the_straight_piece() -> None:
    states = np.array([[0.0], [4.0], [2.0]])
    np.testing.assert_allclose(explorables.until(states, 0.75), [[0.0], [4.0], [3.0]])
    np.testing.assert_allclose(explorables.until(states, 0.5), [[0.0], [4.0]])
    np.testing.assert_allclose(explorables.until(states, 0.0), [[0.0]])


@pytest.mark.parametrize(("train", "test"), [(2, 16), ("random", 4)])
def test_step_matrix_frames_its_cell_and_plots_that_pair(train: int | str, test: int) -> None:
    points, labels, head = moons_and_head()
    trained, tested = (2, 8, "random"), (2, 4, 16)
    accuracy = np.arange(9).reshape(3, 3) / 10
    explorer = explorables.step_matrix(accuracy, trained, tested, [(Turn(), head)] * 3, points, labels)
    text = explorer.drive(train=train, test=test)
    left, right = explorer.figure.axes
    row, column = trained.index(train), tested.index(test)
    assert left.patches[0].get_xy() == (column - 0.5, row - 0.5)
    assert f"{100 * accuracy[row, column]:.1f} % on average" in text
    # score along the head's normal, in units of the largest score at the depth of training
    own = 8 if train == "random" else int(train)
    usual, now = ((turned(points.numpy(), n, n) @ [3, -4] + 0.5) / 5 for n in (own, test))
    expected = np.clip(now / np.abs(usual).max(), -1.6, 1.6)
    for k in range(2):
        np.testing.assert_allclose(right.lines[k].get_xdata(), expected[labels.numpy() == k], atol=1e-4)


def test_swirl_turns_and_keeps_to_the_circle() -> None:
    on_circle = torch.tensor([[0.6, 0.8]])
    assert torch.allclose(explorables.swirl(0.0, on_circle), torch.tensor([[-2.0, 1.5]]), atol=1e-6)
    outside = explorables.swirl(0.0, 2 * on_circle)
    assert (outside * on_circle).sum() < 0


# Data


def test_two_moons_are_balanced_and_mirror_each_other() -> None:
    points, labels = two_moons(1000, seed=3, noise=0.0)
    assert labels.sum() == 500
    moon = points[labels == 0] + torch.tensor([0.5, 0.25])
    torch.testing.assert_close(moon.norm(dim=1), torch.ones(500))
    assert (moon[:, 1] >= -1e-6).all()
    other = -points[labels == 1] + torch.tensor([0.5, 0.25])
    torch.testing.assert_close(other.norm(dim=1), torch.ones(500))
    torch.testing.assert_close(two_moons(10, seed=1)[0], two_moons(10, seed=1)[0])


def test_disc_and_ring_do_not_touch() -> None:
    points, labels = disc_and_ring(1000, seed=3)
    radius = points.norm(dim=1)
    assert radius[labels == 0].max() <= 0.6 < 0.8 <= radius[labels == 1].min() + 1e-6 and radius.max() <= 1.2 + 1e-6
