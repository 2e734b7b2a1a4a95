"""Lesson 04: its exercises take right answers only, its explorables plot what an independent computation finds."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchdiffeq
from torch.nn import functional as F

from odelab import nets
from odelab.course import check
from odelab.course.ode_nets_table import NAMES, PAPER, SideBySide, paper_errors
from odelab.figures import ode_nets as figures
from odelab.figures.ode_nets_explorables import mosaic
from odelab.widgets import ode_nets as explorables

# Exercises: (answer, a word of the hint it must get), or None for right answers.


def glued(weight, bias, t, x):
    return F.conv2d(torch.cat([torch.full_like(x[:, :1], t), x], 1), weight, bias, padding=1)


def split(weight, bias, t, x):
    ones = torch.ones_like(x[:1, :1])
    return F.conv2d(x, weight[:, 1:], bias, padding=1) + t * F.conv2d(ones, weight[:, :1], padding=1)


def summed(weight, bias, t, x):
    of_time = weight[:, :1].sum((1, 2, 3))[:, None, None]
    return F.conv2d(x, weight[:, 1:], bias, padding=1) + t * of_time


def bias_twice(weight, bias, t, x):
    return split(weight, bias, t, x) + bias[:, None, None]


TIME_CHANNEL = {
    "right": (split, None),
    "right, glued after all": (glued, None),
    "right, by unfolding": (
        lambda w, b, t, x: (
            torch.einsum(
                "ok,nkl->nol", w.flatten(1), F.unfold(torch.cat([t * torch.ones_like(x[:, :1]), x], 1), 3, padding=1)
            ).view(len(x), -1, *x.shape[2:])
            + b[:, None, None]
        ),
        None,
    ),
    "sum of the filter": (summed, "rim"),
    "time last": (lambda w, b, t, x: glued(torch.cat([w[:, 3:], w[:, :3]], 1), b, t, x), "first channel"),
    "time forgotten": (lambda w, b, t, x: F.conv2d(x, w[:, 1:], b, padding=1), "does not arrive"),
    "ones": (lambda w, b, t, x: glued(w, b, 1.0, x), "holds t"),
    "no bias": (lambda w, b, t, x: glued(w, None, t, x), "bias is missing"),
    "bias twice": (bias_twice, "twice"),
    "no padding": (lambda w, b, t, x: F.conv2d(x, w[:, 1:], b), "padding"),
    "stub": (lambda w, b, t, x: ..., "not attempted"),
}
PARAMETERS = {
    "right": (lambda c: 18 * c * c + 26 * c, None),
    "right, counted": (lambda c: sum(p.numel() for p in nets.ConvField(c, groups=1).parameters()), None),
    "no time": (lambda c: 2 * (9 * c * c + c) + 6 * c, "the time"),
    "no bias": (lambda c: 18 * c * (c + 1) + 6 * c, "bias"),
    "one number per norm": (lambda c: 18 * c * (c + 1) + 2 * c + 3 * c, "scale and a shift"),
    "one convolution": (lambda c: 9 * c * (c + 1) + c + 6 * c, "two convolutions"),
    "time comes out, too": (lambda c: 18 * (c + 1) ** 2 + 2 * (c + 1) + 6 * c, "input only"),
    "something": (lambda c: 100 * c, "off by"),
    "stub": (lambda c: ..., "not attempted"),
}


def bill(nfe=None, backprop=None, checkpoint=None, adjoint=None):
    def answer(a, r, m, z):
        right = (2 + 6 * (a + r), 6 * a * m, a * z, 2 * z)
        given = (nfe, backprop, checkpoint, adjoint)
        return tuple(right[k] if given[k] is None else given[k](a, r, m, z) for k in range(4))

    return answer


BILL = {
    "right": (bill(), None),
    "right, another order of thought": (
        lambda a, r, m, z: [(a + r) * 7 - (a + r - 1) + 1, m * sum(6 for _ in range(a)), a * z, z + z],
        None,
    ),
    "seven stages": (bill(nfe=lambda a, r, m, z: 7 * (a + r)), "FSAL"),
    "no first guess": (bill(nfe=lambda a, r, m, z: 6 * (a + r)), "before the first step"),
    "rejected are free": (bill(nfe=lambda a, r, m, z: 2 + 6 * a), "rejected step has been paid"),
    "rejected are kept": (bill(backprop=lambda a, r, m, z: 6 * (a + r) * m), "rejected"),
    "states only": (bill(backprop=lambda a, r, m, z: 6 * a * z), "activations"),
    "one evaluation a step": (bill(backprop=lambda a, r, m, z: a * m), "six new stages"),
    "checkpoint keeps activations": (bill(checkpoint=lambda a, r, m, z: a * m), "computed again"),
    "checkpoint keeps one": (bill(checkpoint=lambda a, r, m, z: 2 * z), "per accepted step"),
    "adjoint keeps the path": (bill(adjoint=lambda a, r, m, z: a * z), "solved anew"),
    "adjoint keeps nothing": (bill(adjoint=lambda a, r, m, z: 0), "start somewhere"),
    "three numbers": (lambda a, r, m, z: (1, 2, 3), "four numbers"),
    "stub": (lambda a, r, m, z: (..., ..., ..., ...), "not attempted"),
}


def rate_error(wrong):
    p = wrong.double().mean()
    return (p * (1 - p) / len(wrong)).sqrt()


def disagreement(a, b):
    return (a & ~b).sum() + (b & ~a).sum()


PAIRED = {
    "right": (lambda a, b: (a.double() - b.double()).std() / len(a) ** 0.5, None),
    "right, McNemar": (lambda a, b: disagreement(a, b).sqrt() / len(a), None),
    "right, by variances and covariance": (
        lambda a, b: (
            (torch.cov(torch.stack([a.double(), b.double()])) * torch.tensor([[1, -1], [-1, 1]])).sum() / len(a)
        ).sqrt(),
        None,
    ),
    "independent": (lambda a, b: (rate_error(a) ** 2 + rate_error(b) ** 2).sqrt(), "different test sets"),
    "no root of n": (lambda a, b: (a.double() - b.double()).std(), "√n"),
    "variance": (lambda a, b: (a.double() - b.double()).var() / len(a), "variance"),
    "one net": (lambda a, b: rate_error(a), "one net alone"),
    "images": (lambda a, b: disagreement(a, b).sqrt(), "divided by n"),
    "points": (lambda a, b: 100 * disagreement(a, b).sqrt() / len(a), "points"),
    "a vector": (lambda a, b: a.double() - b.double(), "one number"),
    "stub": (lambda a, b: ..., "not attempted"),
}
EXERCISES = {
    "time_channel": TIME_CHANNEL,
    "field_parameters": PARAMETERS,
    "solver_bill": BILL,
    "paired_error": PAIRED,
}


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        pytest.param(name, *case, id=f"{name}: {kind}")
        for name, cases in EXERCISES.items()
        for kind, case in cases.items()
    ],
)
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = getattr(check, exercise)(answer)
    assert bool(verdict) == (hint is None), verdict.message
    assert hint is None or re.search(hint, verdict.message), verdict.message
    assert capsys.readouterr().out.strip() == verdict.message


# Explorables: what is plotted, against another computation, at two settings each.


@pytest.fixture(scope="module")
def model() -> nets.Classifier:
    torch.manual_seed(0)
    return nets.classifier("ode-net", stem="strided", channels=8, groups=2, rtol=1e-5, atol=1e-5).eval()


@pytest.mark.parametrize(("image", "moment"), [(2, 0), (5, 14)])
def test_feature_path_shows_the_block_at_work(model: nets.Classifier, image: int, moment: int) -> None:
    images, labels = torch.rand(12, 1, 28, 28), torch.arange(12) % 10
    data = explorables.journeys(model, images, labels)
    explorer = explorables.feature_path(data)
    text = explorer.drive(image=image, moment=moment)
    picture, tiles, plane, bars = explorer.figure.axes
    with torch.no_grad():
        t = torch.linspace(0, 1, 21)
        states = torchdiffeq.odeint(model.body.field, model.stem(images), t, rtol=1e-6, atol=1e-6)
        says = model.head(states[moment])[image].softmax(-1)
    assert np.allclose(picture.images[0].get_array(), images[image, 0])
    shown = np.ma.filled(tiles.images[0].get_array(), np.nan)
    assert np.allclose(shown[:3, 4:7], states[moment, image, 1], atol=1e-3), "the second map is the second tile"
    assert np.allclose([bar.get_width() for bar in bars.containers[0]], says, atol=1e-3)
    flat = states.flatten(2).flatten(0, 1).numpy()
    spread, axes = np.linalg.eigh(np.cov(flat.T))
    ours, theirs = data.plane.reshape(-1, 2), (flat - flat.mean(0)) @ axes[:, [-1, -2]]
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=5e-3), "principal components, up to their signs"
    assert data.share == pytest.approx(spread[-2:].sum() / spread.sum(), abs=1e-3)
    assert np.allclose(plane.lines[-1].get_xydata()[0], data.plane[moment, image])
    assert np.allclose(plane.lines[-2].get_xydata(), data.plane[:, image])
    assert f"t = {moment / 20:.2f}: the head says {int(says.argmax())}" in text


def test_journeys_need_an_ode_block() -> None:
    with pytest.raises(ValueError, match="none"):
        explorables.journeys(nets.classifier("no-block", channels=8, groups=2), torch.rand(2, 1, 28, 28), torch.ones(2))


@pytest.mark.parametrize("tolerance", [1e-1, 1e-4])
def test_tolerance_dial_plots_what_was_measured(tolerance: float) -> None:
    measured = {
        tol: {"nfe": 14.0 + 6 * k, "gap": tol / 3, "error": 5.0 - 0.1 * k, "seconds": 0.1 + k}
        for k, tol in enumerate((1e-1, 1e-2, 1e-4))
    }
    explorer = explorables.tolerance_dial(measured, images=1000)
    text = explorer.drive(tolerance=tolerance)
    for ax, what in zip(explorer.figure.axes, ("nfe", "gap", "error", "seconds"), strict=True):
        assert ax.lines[0].get_xydata().tolist() == [[tol, row[what]] for tol, row in measured.items()]
        assert set(ax.lines[1].get_xdata()) == {tolerance}
    row = measured[tolerance]
    assert f"{row['nfe']:.0f} evaluations" in text and f"{10 * row['error']:.0f} of 1000 images" in text


# Figures and the table


def test_the_table_as_a_picture_says_which_rows_are_missing() -> None:
    names = [*NAMES.values()]
    paper = {NAMES[body]: error for body, (error, _) in PAPER.items()}
    fig = figures.table(names, {"RK-Net": [0.40, 0.50], "ODE-Net": []}, paper)
    (ax,) = fig.axes
    assert sum("no full run" in text.get_text() for text in ax.texts) == len(names) - 1
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in dots] == [[0.40, 0.50]]
    assert "RK-Net 0.45 %" in fig.get_label() and "ODE-Net 0.42 %" in fig.get_label()
    assert "none stored yet" in figures.table(names, {}, paper).get_label()


def test_differences_shades_by_standard_errors() -> None:
    points, errors = np.array([[0, -1.0], [1.0, 0]]), np.array([[0, 0.5], [0.5, 0]])
    fig = figures.differences(["a", "b"], points, errors, "b is two standard errors worse than a")
    assert fig.axes[0].images[0].get_array().tolist() == [[2.0]]
    assert [text.get_text() for text in fig.axes[0].texts] == ["+1.0\n± 0.5"]


def test_mosaic_lays_maps_row_by_row() -> None:
    picture = mosaic(np.arange(3 * 2 * 2).reshape(3, 2, 2))
    assert picture.shape == (5, 5) and np.isnan(picture[2]).all() and np.isnan(picture[3:, 3:]).all()
    assert picture[:2, 3:].tolist() == [[4, 5], [6, 7]] and picture[3:, :2].tolist() == [[8, 9], [10, 11]]


def test_side_by_side_keeps_columns_apart() -> None:
    table = SideBySide({"full": {"mlp": "1.31 %"}, "paper": paper_errors()}, ["mlp", "no-block"])
    assert table.rows == [("1-layer MLP", "1.31 %", "1.60 %"), ("no block", "–", "–")]
    assert "<th" in table._repr_html_() and "1.60 %" in repr(table)
