"""Lesson 11: its exercise checks tell right from wrong, and its explorables plot what they claim to plot."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from odelab.datasets.plane import two_moons
from odelab.experiments.certified.boxes import EulerNet
from odelab.experiments.identification.recipe import GRID_NOISE, GRID_SAMPLES, GRID_STARTS, SYSTEMS
from odelab.lessons.robust import explorables, figures
from tests.experiments.rows import row
from tests.lessons.kit.answers import Answers, every_answer, judge
from tests.lessons.kit.contrast import faint

SLOPES: Answers = {
    "numbers": (lambda q: (-0.5, 1.5 / q**2), None),
    "a tensor": (lambda q: torch.tensor([1 - 1.5, 1.5 * q**-2]), None),
    "a list": (lambda q: [-1 / 2, 3 / (2 * q * q)], None),
    "by numpy": (lambda q: (np.float64(-0.5), np.array(1.5 / q**2)), None),
    "fitted": (
        lambda q: np.linalg.lstsq(
            np.stack([np.linspace(0.1, q, 9), np.linspace(0.1, q, 9) ** 3], 1),
            np.linspace(0.1, q, 9) - 1.5 * (np.linspace(0.1, q, 9) - np.linspace(0.1, q, 9) ** 3 / q**2),
            rcond=None,
        )[0].tolist(),
        None,
    ),
    "of S": (lambda q: (1.0, -1 / q**2), "put S into"),
    "sign of a": (lambda q: (0.5, 1.5 / q**2), "its sign"),
    "no linear part": (lambda q: (1.0, -1.5 / q**2), "put S into"),
    "sign of b": (lambda q: (-0.5, -1.5 / q**2), "b for .*its sign"),
    "no λ": (lambda q: (-0.5, 1 / q**2), "λ is missing"),
    "for 2 only": (lambda q: (-0.5, 0.375), "depends on the start"),
    "one Q₀ too many": (lambda q: (-0.5, 1.5 / q**3), "one Q₀ too many"),
    "no Q₀": (lambda q: (-0.5, 1.5), "not Q³"),
    "one number": (lambda q: -0.5, "two numbers"),
    "stub": (lambda q: (..., ...), "not attempted"),
}


def paths(weights: list[Tensor], before: bool = True, last: bool = True) -> Tensor:
    result = torch.eye(2, dtype=torch.float64)
    for weight in weights if last else weights[:-1]:
        result = (weight.abs() if before else weight) @ result
    return result


def by_enumeration(weights: list[Tensor]) -> list[list[float]]:
    first, second, third = (weight.abs().tolist() for weight in weights)
    return [
        [sum(third[i][k] * second[k][m] * first[m][j] for k, m in product(range(3), range(4))) for j in range(2)]
        for i in range(2)
    ]


PATHS: Answers = {
    "a loop": (paths, None),
    "one line": (lambda w: w[2].abs() @ w[1].abs() @ w[0].abs(), None),
    "multi_dot": (lambda w: torch.linalg.multi_dot([m.abs() for m in reversed(w)]), None),
    "every way by itself": (by_enumeration, None),
    "einsum": (lambda w: torch.einsum("ik,km,mj->ij", *[m.abs() for m in reversed(w)]), None),
    "signed": (lambda w: paths(w, before=False), "absolute values are missing"),
    "absolute at the end": (lambda w: paths(w, before=False).abs(), "before the product"),
    "transposed": (lambda w: paths(w).T, "transposed"),
    "summed": (lambda w: paths(w).sum(), "the matrix is asked for"),
    "no last layer": (lambda w: paths(w, last=False), "last matrix is missing"),
    "squares": (lambda w: w[2] ** 2 @ w[1] ** 2 @ w[0] ** 2, "squares"),
    "ordinary L1": (lambda w: sum(m.abs().sum() for m in w), "ordinary L1"),
    "one signed": (lambda w: w[2] @ w[1].abs() @ w[0].abs(), "left signed"),
    "stub": (lambda w: ..., "not attempted"),
}


def thresholded(
    terms: Tensor, slopes: Tensor, threshold: float, rounds: int = 10, refit: bool = True, signed: bool = False
) -> Tensor:
    found = torch.linalg.pinv(terms) @ slopes
    for _ in range(rounds):
        keep = (found if signed else found.abs()) >= threshold
        found = found * keep
        if refit:
            for i in range(found.shape[1]):
                some = keep[:, i]
                found[some, i] = torch.linalg.pinv(terms[:, some]) @ slopes[:, i]
    return found


def by_numpy(terms: Tensor, slopes: Tensor, threshold: float) -> np.ndarray:
    a, b = terms.numpy(), slopes.numpy()
    found = np.linalg.lstsq(a, b, rcond=None)[0]
    for _ in range(10):
        small = np.abs(found) < threshold
        found[small] = 0
        for i in range(b.shape[1]):
            found[~small[:, i], i] = np.linalg.lstsq(a[:, ~small[:, i]], b[:, i], rcond=None)[0]
    return found


def by_pysindy(terms: Tensor, slopes: Tensor, threshold: float) -> np.ndarray:
    import pysindy

    return pysindy.STLSQ(threshold=threshold, alpha=0.0).fit(terms.numpy(), slopes.numpy()).coef_.T


def with_line(line: Callable[[Tensor, Tensor, Tensor, int], Tensor]) -> Callable[[Tensor, Tensor, float], Tensor]:
    """The rounds that the lesson gives, with a line of the reader's: (terms, slopes, left, i) -> coefficients left."""

    def answer(terms: Tensor, slopes: Tensor, threshold: float) -> Tensor:
        coefficients = torch.linalg.lstsq(terms, slopes).solution
        for _ in range(10):
            small = coefficients.abs() < threshold
            coefficients[small] = 0.0
            for i in range(slopes.shape[1]):
                left = ~small[:, i]
                coefficients[left, i] = line(terms, slopes, left, i)
        return coefficients

    return answer


def solved(terms: Tensor, slopes: Tensor) -> Tensor:
    return torch.linalg.lstsq(terms, slopes).solution


STLSQ: Answers = {
    "the line": (with_line(lambda a, b, left, i: solved(a[:, left], b[:, i])), None),
    "the line, all equations": (with_line(lambda a, b, left, i: solved(a[:, left], b)[:, i]), None),
    "the line, a column": (with_line(lambda a, b, left, i: solved(a[:, left], b[:, i : i + 1])[:, 0]), None),
    "the line with all terms": (with_line(lambda a, b, left, i: solved(a, b[:, i])[left]), "not fitted again"),
    "the other equation": (with_line(lambda a, b, left, i: solved(a[:, left], b[:, 1 - i])), "stlsq"),
    "rows for columns": (with_line(lambda a, b, left, i: solved(a[left], b[:, i])), "IndexError"),
    "both equations in one": (with_line(lambda a, b, left, i: solved(a[:, left], b)), "RuntimeError"),
    "the line's stub": (with_line(lambda a, b, left, i: ...), "not attempted"),
    "by pseudoinverse": (thresholded, None),
    "by numpy": (by_numpy, None),
    "by pysindy": (by_pysindy, None),
    "a hundred rounds": (lambda a, b, t: thresholded(a, b, t, 100), None),
    "three rounds": (lambda a, b, t: thresholded(a, b, t, 3), None),
    "plain least squares": (lambda a, b, t: torch.linalg.lstsq(a, b).solution, "nothing was dropped"),
    "one round": (lambda a, b, t: thresholded(a, b, t, 1), "drop and refit several times"),
    "no refit": (lambda a, b, t: thresholded(a, b, t, refit=False), "not fitted again"),
    "signed threshold": (lambda a, b, t: thresholded(a, b, t, signed=True), "absolute value"),
    "transposed": (lambda a, b, t: thresholded(a, b, t).T, "transposed"),
    "other threshold": (lambda a, b, t: thresholded(a, b, 0.05), "nothing was dropped"),
    "stub": (lambda a, b, t: ..., "not attempted"),
}


def step(x, moved, gradient, rate, epsilon):  # type: ignore[no-untyped-def]
    return x + (moved + rate * gradient.sign() - x).clamp(-epsilon, epsilon)


PGD_STEP: Answers = {
    "clamp": (step, None),
    "minimum and maximum": (
        lambda x, m, g, r, e: torch.minimum(torch.maximum(m + r * torch.sign(g), x - e), x + e),
        None,
    ),
    "numpy": (lambda x, m, g, r, e: np.clip(m + r * np.sign(g), x - e, x + e), None),
    "clamp with tensors": (lambda x, m, g, r, e: (m + r * g.sgn()).clamp(x - e, x + e), None),
    "g over its size": (lambda x, m, g, r, e: (m + r * g / g.abs()).clamp(x - e, x + e), None),
    "no projection": (lambda x, m, g, r, e: m + r * g.sign(), "way back into the cube"),
    "downhill": (lambda x, m, g, r, e: step(x, m, -g, r, e), "the sign: this lowers"),
    "the gradient itself": (lambda x, m, g, r, e: (m + r * g).clamp(x - e, x + e), "the sign of each entry"),
    "around the last step": (lambda x, m, g, r, e: m + (r * g.sign()).clamp(-e, e), "way back|around x"),
    "from x": (lambda x, m, g, r, e: x + (r * g.sign()).clamp(-e, e), "starts from moved"),
    "pixels clamped": (lambda x, m, g, r, e: (m + r * g.sign()).clamp(-e, e), "not the pixels"),
    "epsilon as rate": (lambda x, m, g, r, e: step(x, m, g, e, e), "rate, not epsilon"),
    "the difference": (lambda x, m, g, r, e: step(x, m, g, r, e) - x, "add x again"),
    "stub": (lambda *given: ..., "not attempted"),
}

BOX: Answers = {
    "plain": (lambda c, r, w, b: (w @ c + b, w.abs() @ r), None),
    "two corners": (
        lambda c, r, w, b: (
            w @ c + b,
            (w.clamp(min=0) @ (c + r) + w.clamp(max=0) @ (c - r)) - w @ c,
        ),
        None,
    ),
    "all corners": (
        lambda c, r, w, b: (
            w @ c + b,
            torch.stack([w @ (torch.tensor(s) * r) for s in product((-1.0, 1.0), repeat=3)]).amax(0),
        ),
        None,
    ),
    "a list": (lambda c, r, w, b: [torch.nn.functional.linear(c, w, b), torch.nn.functional.linear(r, w.abs())], None),
    "sums": (lambda c, r, w, b: ((w * c).sum(1) + b, (w.abs() * r).sum(1)), None),
    "signed radius": (lambda c, r, w, b: (w @ c + b, w @ r), "never negative"),
    "absolute at the end": (lambda c, r, w, b: (w @ c + b, (w @ r).abs()), "before the product"),
    "b in the radius": (lambda c, r, w, b: (w @ c + b, w.abs() @ r + b), "does not make it larger"),
    "no b": (lambda c, r, w, b: (w @ c, w.abs() @ r), "b is missing"),
    "absolute middle": (lambda c, r, w, b: (w.abs() @ c + b, w.abs() @ r), "without absolute values"),
    "width": (lambda c, r, w, b: (w @ c + b, 2 * w.abs() @ r), "half of it"),
    "corners": (lambda c, r, w, b: (w @ c + b - w.abs() @ r, w @ c + b + w.abs() @ r), "lower corner"),
    "one thing": (lambda c, r, w, b: w @ c + b, "two things|the middle should"),
    "stub": (lambda c, r, w, b: (..., ...), "not attempted"),
}

EXERCISES = {"same_slopes": SLOPES, "path_weights": PATHS, "stlsq": STLSQ, "pgd_step": PGD_STEP, "affine_box": BOX}


@every_answer(EXERCISES)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)


@pytest.mark.parametrize(("supply", "level"), [(1.5, 0.0), ("as observed", 1.0)])
def test_intervene_plots_both_equations(supply: Any, level: float) -> None:
    explorer = explorables.intervene()
    text = explorer.drive(supply=supply, level=level)
    right, wrong, happens = explorer.figure.axes[1].lines

    def slopes(_: float, z: np.ndarray) -> list[float]:
        decay = 0.0 if supply == 1.5 else -0.5 * z[0]
        return [decay, z[0] - 1.5 * z[1], -0.5 * z[0] + 0.375 * z[0] ** 3]

    start = [1.5 if supply == 1.5 else 2.0, level, level]
    path = solve_ivp(slopes, (0, 6), start, t_eval=right.get_xdata(), rtol=1e-9, atol=1e-9).y
    assert np.allclose(right.get_ydata(), path[1], atol=1e-4) and np.allclose(wrong.get_ydata(), path[2], atol=1e-4)
    assert np.allclose(happens.get_ydata(), path[1][::4], atol=1e-4)
    assert f"says {path[2][-1]:.2f}" in text


def grid_rows() -> list[Any]:
    def cells(share: float) -> list[dict[str, Any]]:
        pairs = product(GRID_SAMPLES, GRID_NOISE)
        return [{"samples": n, "noise": noise, "right": share, "field": 0.1} for n, noise in pairs]

    keys = [{"system": system, "starts": starts} for system in SYSTEMS for starts in GRID_STARTS]
    return [row(key, seed, cells=cells(0.25 + seed / 2), draws=10) for key in keys for seed in (0, 1)]


@pytest.mark.parametrize(("starts", "verdict"), [(1, "not the right terms"), (2, "This draw: the right terms")])
def test_when_right_identifies_a_draw_and_shows_the_stored_share(starts: int, verdict: str) -> None:
    explorer = explorables.when_right(grid_rows())
    text = explorer.drive(system="stock", starts=starts, samples=121, noise=0.01)
    chart, plane = explorer.figure.axes
    assert verdict in text and "50%" in text
    assert np.allclose(chart.images[0].get_array(), 0.5)
    assert chart.lines[0].get_xydata().tolist() == [[GRID_NOISE.index(0.01), GRID_SAMPLES.index(121)]]
    assert len(plane.lines[0].get_xdata()) == 121 * starts
    time = np.linspace(0, 6, 121)
    truth = solve_ivp(
        lambda t, z: [-0.5 * z[0], z[0] - 1.5 * z[1]], (0, 6), [0.2, 1.5], t_eval=time, rtol=1e-9, atol=1e-9
    ).y
    assert np.allclose(plane.lines[1].get_xydata(), truth.T, atol=1e-4)


@pytest.mark.parametrize("epsilon", [0.05, 0.2])
def test_flow_boxes_hold_the_paths(epsilon: float) -> None:
    points, labels = two_moons(60, 0)
    net = EulerNet(4).double().requires_grad_(False)
    explorer = explorables.flow_boxes({"one": net}, points.double(), labels)
    explorer.drive(training="one", point=3, epsilon=epsilon)
    plane, size = explorer.figure.axes
    drawn = plane.lines[3].get_xydata().reshape(-1, 6, 2)[:, :5]
    assert np.allclose(drawn[0].min(0), points[3].numpy() - epsilon, atol=1e-6)
    z = points[3].double()
    for box in drawn[1:]:
        z = z + net.field(z) / net.steps
        assert (box.min(0) < z.numpy()).all() and (z.numpy() < box.max(0)).all()
    assert np.allclose(size.lines[0].get_ydata(), [np.ptp(box, axis=0).max() / 2 for box in drawn])
    assert (size.lines[1].get_ydata() <= size.lines[0].get_ydata() + 1e-9).all()


def test_curves_show_the_range_of_seeds() -> None:
    levels = {"noise": (0.0, 1.0), "blur": (0.0, 1.0), "rotation": (0.0, 1.0), "PGD": (0.0, 1.0)}
    seeds = {name: np.array([[90.0, 50.0], [100.0, 70.0]]) for name in levels}
    fig = figures.disturbance_curves(levels, {"net": seeds}, dict.fromkeys(levels, "size"))
    assert fig.axes[0].lines[0].get_ydata().tolist() == [95.0, 60.0]
    band = fig.axes[0].collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 50 and band[:, 1].max() == 100


def test_lines_are_seen_on_a_projector() -> None:
    t = np.linspace(0, 1, 5)
    path = np.stack([t, t], 1)
    drawn = [
        figures.intervention(t, t, {"right": t, "wrong": t}),
        figures.two_nets(path, path, ("one", "two"), 10),
        figures.masked(t, {"fixed": t, "adaptive": t}, t),
        figures.certified_curves(t, {"one": {"attacked": path.T, "certified": path.T}}),
        figures.box_growth({"one": (t, t + 1), "two": (t, t + 2)}),
        figures.flow_boxes(path, np.array([0, 1, 0, 1, 0])),
    ]
    assert not [complaint for fig in drawn for complaint in faint(fig)]


def test_shares_come_from_the_rows_of_one_setting() -> None:
    rows = grid_rows()
    others = [replace(run, result={**run.result, "cells": []}) for run in rows if run.key["starts"] != 1]
    rows = [run for run in rows if run.key["starts"] == 1] + others
    assert np.allclose(explorables.share_of_right(rows, "hunters", 1), 0.5)
