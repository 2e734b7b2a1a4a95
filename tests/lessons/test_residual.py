"""Lesson 01: its exercise checks tell right from wrong, and its explorables plot what they claim to plot."""

from __future__ import annotations

import math

import torch

from odelab import solve
from odelab.course import check


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
    rejected(check.turn([[...]]), "not attempted")
