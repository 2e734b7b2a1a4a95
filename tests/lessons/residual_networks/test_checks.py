"""Lesson 01: its exercise checks tell right from wrong, and its explorables plot what they claim to plot."""

import functools
import math
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np
import pytest
import torch

from odelab import solve
from odelab.datasets.plane import disc_and_ring, two_moons
from odelab.lessons.residual_networks import explorables, figures
from tests.lessons.kit.answers import Answers, every_answer, judge
from tests.lessons.kit.contrast import faint

# Exercises: right answers in unusual ways (None), wrong ones with a part of the hint that each must get

E = math.e


def by_steps(L):  # type: ignore[no-untyped-def]
    y = Fraction(1)
    for _ in range(L):
        y += y / L
    return y


END_OF_EULER: Answers = {
    "the formula": (lambda L: (1 + 1 / L) ** L, None),
    "exact steps": (by_steps, None),
    "binomials": (lambda L: sum(math.comb(L, k) / L**k for k in range(L + 1)), None),
    "logarithms": (lambda L: np.exp(L * np.log1p(1 / L)), None),
    "a product of tensors": (lambda L: torch.full((L,), 1 + 1 / L).prod(), None),
    "an integer division": (lambda L: ((L + 1) / L) ** L, None),
    "e": (lambda L: E, "where the solution itself ends"),
    "one step": (lambda L: 1 + 1 / L, "one step of size 1/L"),
    "steps of size 1": (lambda L: 2**L, "has size 1/L"),
    "slope not renewed": (lambda L: 1 + L * (1 / L), "the slope is y"),
    "factors added": (lambda L: L * (1 + 1 / L), "multiplied, not added"),
    "one too many": (lambda L: (1 + 1 / L) ** (L + 1), "one step too many"),
    "one too few": (lambda L: (1 + 1 / L) ** (L - 1), "one step too few"),
    "decay": (lambda L: (1 - 1 / L) ** L, "shrink y"),
    "a power as in LaTeX": (lambda L: (1 + 1 / L) ^ L, r"a power as \*\*"),
    "recursive": (lambda L: functools.reduce(lambda y, _: y + y / L, range(L), 1.0), None),
    "two of them": (lambda L: (1 + 1 / L) ** 2, "L = 2|leads from 1 to 2"),
    "all states": (lambda L: [(1 + 1 / L) ** k for k in range(L + 1)], "one number"),
    "a formula in quotes": (lambda L: "(1 + 1 / L) ** L", "without quotes"),
}


def euler(f, z0, t, slip=""):  # type: ignore[no-untyped-def]
    states = [z0]
    for k in range(len(t) - 1):
        step = t[k + 1] - t[k]
        step = {"first step": t[1] - t[0], "no step": 1, "time": t[k + 1]}.get(slip, step)
        time = {"late": t[k + 1], "frozen": t[0], "number": k}.get(slip, t[k])
        states.append((slip != "lost") * states[-1] + (-step if slip == "sign" else step) * f(time, states[-1]))
    return torch.stack(states[1:] if slip == "no start" else states)


def preallocated(f, z0, t):  # type: ignore[no-untyped-def]
    states = torch.empty(len(t), *z0.shape, dtype=z0.dtype)
    states[0] = z0
    for k, step in enumerate(t.diff()):
        states[k + 1] = torch.add(states[k], f(t[k], states[k]), alpha=float(step))
    return states


def backwards_recursion(f, z0, t):  # type: ignore[no-untyped-def]
    if len(t) == 1:
        return z0[None]
    before = backwards_recursion(f, z0, t[:-1])
    return torch.cat([before, (before[-1] + (t[-1] - t[-2]) * f(t[-2], before[-1]))[None]])


def accumulated(f, z0, t):  # type: ignore[no-untyped-def]
    states = accumulate(pairwise(t), lambda z, ends: z + (ends[1] - ends[0]) * f(ends[0], z), initial=z0)
    return torch.stack(list(states))


def in_place(f, z0, t, copies=False):  # type: ignore[no-untyped-def]
    z, states = z0, [z0.clone() if copies else z0]
    for k in range(len(t) - 1):
        z += (t[k + 1] - t[k]) * f(t[k], z)
        states.append(z.clone() if copies else z)
    return torch.stack(states)


def slipped(slip):  # type: ignore[no-untyped-def]
    return lambda f, z0, t: euler(f, z0, t, slip)


EULER: Answers = {
    "a loop": (euler, None),
    "the library's": (lambda f, z0, t: solve(f, z0, t, method="euler").y, None),
    "preallocated": (preallocated, None),
    "recursive": (backwards_recursion, None),
    "accumulate": (accumulated, None),
    "a list": (lambda f, z0, t: list(accumulated(f, z0, t)), "torch.stack makes one tensor"),
    "in place, with copies": (lambda f, z0, t: in_place(f, z0, t, copies=True), None),
    "in place": (in_place, r"z \+= … changes the tensor"),
    "first step": (slipped("first step"), "differ"),
    "late": (slipped("late"), "end of the step"),
    "frozen": (slipped("frozen"), "never moves"),
    "no start": (slipped("no start"), "first state is z0"),
    "sign": (slipped("sign"), "subtract"),
    "no step": (slipped("no step"), "multiplied by the time"),
    "last state only": (lambda f, z0, t: euler(f, z0, t)[-1], "one state"),
    "arguments swapped": (lambda f, z0, t: euler(lambda t, z: f(z, t), z0, t), "time first"),
    "joined": (lambda f, z0, t: euler(f, z0, t).flatten(), "a row of its own"),
    "from z0 each time": (
        lambda f, z0, t: torch.stack([z0] + [z0 + (t[k + 1] - t[k]) * f(t[0], z0) for k in range(len(t) - 1)]),
        "starts from the last state",
    ),
    "midpoint": (lambda f, z0, t: solve(f, z0, t, method="midpoint").y, "first step is off"),
    "lerp": (
        lambda f, z0, t: torch.stack(
            list(
                accumulate(pairwise(t), lambda z, ends: torch.lerp(z, z + f(ends[0], z), ends[1] - ends[0]), initial=z0)
            )
        ),
        None,
    ),
    "a time as step": (slipped("time"), "is a time"),
    "the number of the step": (slipped("number"), "number of the step"),
    "the old state lost": (slipped("lost"), "old state is lost"),
    "returned in the loop": (lambda f, z0, t: euler(f, z0, t[:2]), "inside the loop"),
    "one too many": (lambda f, z0, t: torch.cat([z0[None], euler(f, z0, t)]), "one more"),
    "never appended": (lambda f, z0, t: [z0], "appended"),
    "an index too far": (lambda f, z0, t: [z0 + t[k + 1] for k in range(len(t))], "IndexError in line 1"),
}

EXTRAPOLATE: Answers = {
    "the formula": (lambda shallow, deep: 2 * deep - shallow, None),
    "onwards": (lambda shallow, deep: deep + (deep - shallow), None),
    "from the shallow": (lambda shallow, deep: shallow - 2 * (shallow - deep), None),
    "lerp": (lambda shallow, deep: torch.lerp(shallow, deep, 2.0), None),
    "a matrix product": (
        lambda shallow, deep: torch.stack([shallow, deep], 1) @ torch.tensor([-1.0, 2]).double(),
        None,
    ),
    "NumPy": (lambda shallow, deep: 2 * deep.numpy() - shallow.numpy(), None),
    "average": (lambda shallow, deep: (shallow + deep) / 2, "average"),
    "wrong way": (lambda shallow, deep: 2 * shallow - deep, "wrong way"),
    "second order": (lambda shallow, deep: (4 * deep - shallow) / 3, "second-order"),
    "deep alone": (lambda shallow, deep: deep, "deep network alone"),
    "shallow alone": (lambda shallow, deep: shallow, "shallow network alone"),
    "the error": (lambda shallow, deep: deep - shallow, "which output"),
    "minus the error": (lambda shallow, deep: shallow - deep, "minus an estimate"),
    "half": (lambda shallow, deep: deep - shallow / 2, "half of the output"),
    "sum": (lambda shallow, deep: 2 * deep + shallow, "add the errors up"),
    "a mean over points": (lambda shallow, deep: (2 * deep - shallow).mean(), "have shape"),
}


def called(net, f, head, z, depth):  # type: ignore[no-untyped-def]
    return head(net(f, z, depth)[-1])[:, 0] > 0


def share(compare):  # type: ignore[no-untyped-def]
    """An answer that compares the classes ``at`` two depths."""
    return lambda net, f, head, z, n: compare(lambda depth: called(net, f, head, z, depth), n)


def scores_differ(net, f, head, z, n):  # type: ignore[no-untyped-def]
    return (head(net(f, z, n)[-1]) != head(net(f, z, 2 * n)[-1])).float().mean()


def opposite_signs(net, f, head, z, n):  # type: ignore[no-untyped-def]
    return (head(net(f, z, n)[-1]) * head(net(f, z, 2 * n)[-1]) < 0).double().mean()


def signs_of_scores(net, f, head, z, n):  # type: ignore[no-untyped-def]
    return (head(net(f, z, n)[-1]).sign() - head(net(f, z, 2 * n)[-1]).sign()).abs().mean()


CHANGED_ANSWERS: Answers = {
    "the mean of !=": (share(lambda at, n: (at(n) != at(2 * n)).float().mean()), None),
    "xor, counted": (share(lambda at, n: float((at(n) ^ at(2 * n)).sum() / len(at(n)))), None),
    "opposite signs": (opposite_signs, None),
    "a loop": (share(lambda at, n: sum(a != b for a, b in zip(at(n), at(2 * n), strict=True)) / len(at(n))), None),
    "one minus those that stayed": (share(lambda at, n: 1 - (at(n) == at(2 * n)).double().mean()), None),
    "NumPy": (share(lambda at, n: np.mean(at(n).numpy() != at(2 * n).numpy())), None),
    "cancels": (share(lambda at, n: (at(n).float().mean() - at(2 * n).float().mean()).abs()), "cancel"),
    "stayed": (share(lambda at, n: (at(n) == at(2 * n)).float().mean()), "stayed"),
    "one layer": (share(lambda at, n: (at(n) != at(n + 1)).float().mean()), "one layer"),
    "half": (share(lambda at, n: (at(n) != at(n // 2)).float().mean()), "longer"),
    "count": (share(lambda at, n: (at(n) != at(2 * n)).sum()), "count"),
    "percent": (share(lambda at, n: 100 * (at(n) != at(2 * n)).float().mean()), "percent"),
    "each input": (share(lambda at, n: at(n) != at(2 * n)), "one number"),
    "a third of a layer": (share(lambda at, n: at(n / 3).float().mean()), "doubles"),
    "all states": (lambda net, f, head, z, n: head(net(f, z, n))[:, 0], "last state"),
    "scores": (scores_differ, "compare the classes"),
    "by signs": (lambda *given: signs_of_scores(*given) / 2, None),
    "by signs of the scores": (signs_of_scores, "counts each change twice"),
    "mean of truth values": (share(lambda at, n: (at(n) != at(2 * n)).mean()), r"\.float\(\)"),
    "distance": (
        lambda net, f, head, z, n: (net(f, z, n)[-1] - net(f, z, 2 * n)[-1]).norm(dim=1).mean(),
        "distance between outputs",
    ),
    "mean difference of scores": (
        lambda net, f, head, z, n: (head(net(f, z, n)[-1]) - head(net(f, z, 2 * n)[-1])).abs().mean(),
        "compares the scores",
    ),
    "the first states": (
        lambda net, f, head, z, n: (head(net(f, z, n)[0]) != head(net(f, z, 2 * n)[0])).float().mean(),
        r"last states, \[-1\]",
    ),
    "argmax of one score": (
        lambda net, f, head, z, n: (head(net(f, z, n)[-1]).argmax(1) != head(net(f, z, 2 * n)[-1]).argmax(1)).sum(),
        "its sign",
    ),
    "four times the layers": (share(lambda at, n: (at(n) != at(4 * n)).float().mean()), "you ran 4 and 16 layers"),
    "half the field": (
        lambda net, f, head, z, n: (
            (called(net, f, head, z, n) != called(net, lambda t, z: f(t, z) / 2, head, z, n)).float().mean()
        ),
        "you ran 4 layers",
    ),
    "inputs before the field": (lambda net, f, head, z, n: head(net(z, f, n)[-1]).mean(), "takes the field, then"),
    "twice the same": (share(lambda at, n: (at(n) != at(n)).float().mean()), "same number of layers"),
    "the input": (
        lambda net, f, head, z, n: ((head(z)[:, 0] > 0) != called(net, f, head, z, n)).float().mean(),
        "with the input",
    ),
}

PI = math.pi
TURN: Answers = {
    "half a turn": ([[0, -PI], [PI, 0]], None),
    "the other way round": (torch.tensor([[0, PI], [-PI, 0]]), None),
    "one and a half turns": (np.array([[0, -3 * PI], [3 * PI, 0]]), None),
    "along an ellipse": ([[0, -2 * PI], [PI / 2, 0]], None),
    "a slanted ellipse": ([[PI, -2 * PI], [PI, -PI]], None),
    "rows as tuples": (((0, -PI), (PI, 0)), None),
    "diagonal": ([[-2.0, 0], [0, 1.0]], "diagonal"),
    "a full turn": ([[0, -2 * PI], [2 * PI, 0]], "full turn"),
    "a quarter": ([[0, -PI / 2], [PI / 2, 0]], "wrong angle"),
    "degrees": ([[0, -180], [180, 0]], "in radians"),
    "a shear": ([[0, 1.0], [0, 0]], "which motion"),
    "the map": ([[-1.0, 0], [0, -1.0]], "not the map"),
    "two digits": ([[0, -3.14], [3.14, 0]], "math.pi"),
    "no minus": ([[0, PI], [PI, 0]], "same sign"),
    "a vector": ([-PI, PI], "2 × 2"),
    "the stub": ([[...]], "not attempted"),
}
EXERCISES = {
    "end_of_euler": END_OF_EULER,
    "euler": EULER,
    "extrapolate": EXTRAPOLATE,
    "changed_answers": CHANGED_ANSWERS,
    "turn": TURN,
}


@every_answer(EXERCISES)
def test_answers(exercise, answer, hint, capsys):  # type: ignore[no-untyped-def]
    judge(exercise, answer, hint, capsys)


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


def test_every_line_and_arrow_shows_on_a_projector() -> None:
    points, labels, head = moons_and_head()
    watched = explorables.watch_training(points, labels, depth=2, steps=3)
    grid, path, place = np.zeros((3, 3)), np.zeros((4, 2, 2)), np.arange(3.0)
    drawn = [
        explorables.depth_flow(Turn(), head, points, labels).figure,
        explorables.step_matrix(np.eye(2), (1, 2), (1, 2), [(Turn(), head)] * 2, points, labels).figure,
        watched.figure,
        figures.block_beside_step(),
        figures.plane_paths({"a": path}, explorables.swirl_arrows(), "paths over the arrows of a field"),
        figures.slope_field(place, place, place, {"a": (place, place)}, {}, "a field of slopes, as dashes"),
        figures.line_paths({"a": grid}, "paths of three numbers in time"),
        figures.clouds({"a": points.numpy()}, labels.numpy(), ("a", "b"), {}, "points of two classes, apart"),
        figures.folds(
            {"a": (np.zeros((21, 21, 2)), np.zeros((20, 20), bool), path)}, "a square that is not turned over"
        ),
    ]
    assert [sentence for fig in drawn for sentence in faint(fig)] == []


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
