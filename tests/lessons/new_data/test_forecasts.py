"""Lesson 12's forecasts: the exercise's hints, and an explorable that plots what it claims."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from odelab.experiments.forecasting.classical import FITS
from odelab.experiments.forecasting.recipe import DAMPINGS, PLANS
from odelab.experiments.forecasting.scores import crps
from odelab.experiments.forecasting.series import Problem, problem
from odelab.experiments.forecasting.waves import roll_out, wave_paths
from odelab.experiments.results import stored_rows
from odelab.lessons.new_data import forecast_checks, forecasting
from tests.lessons.kit.answers import Answers, every_answer, judge
from tests.lessons.kit.contrast import faint

assert forecast_checks.crps  # registers the exercise


def by_hand(draws: Tensor, y: float) -> float:
    values = draws.tolist()
    first = sum(abs(x - y) for x in values) / len(values)
    return first - sum(abs(a - b) for a in values for b in values) / len(values) ** 2 / 2


def by_ranks(draws: Tensor, y: float) -> Tensor:
    """Without pairs of a draw with itself, from the sorted draws."""
    count = len(draws)
    rank = torch.arange(count, dtype=draws.dtype)
    return (draws - y).abs().mean() - ((2 * rank - count + 1) * draws.sort().values).sum() / count / (count - 1)


def first(draws: Tensor, y: float) -> Tensor:
    return (draws - y).abs().mean()


def pairs(draws: Tensor) -> Tensor:
    return (draws[:, None] - draws[None, :]).abs()


CRPS: Answers = {
    "broadcast": (lambda x, y: first(x, y) - pairs(x).mean() / 2, None),
    "loops": (by_hand, None),
    "sorted": (by_ranks, None),
    "quantiles": (lambda x, y: crps(np.sort(x.numpy()), y), None),
    "upper triangle": (lambda x, y: first(x, y) - pairs(x).triu().sum() / len(x) ** 2, None),
    "first term": (first, "a broad forecast is not told from a sharp one"),
    "no half": (lambda x, y: first(x, y) - pairs(x).mean(), "½ is missing"),
    "plus": (lambda x, y: first(x, y) + pairs(x).mean() / 2, "the sign"),
    "of the mean": (lambda x, y: (x.mean() - y).abs(), "error of the mean"),
    "squares": (lambda x, y: (x - y).square().mean() - pairs(x).square().mean() / 2, "squares"),
    "no absolute values": (lambda x, y: first(x, y) - (x[:, None] - x).mean() / 2, "and so vanishes|a broad forecast"),
    "each draw": (lambda x, y: (x - y).abs(), "one number"),
    "spread about the mean": (lambda x, y: first(x, y) - (x - x.mean()).abs().mean() / 2, "about two draws"),
    "stub": (lambda x, y: ..., "not attempted"),
}


def by_bisection(beta: float, gamma: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if beta * middle > gamma else (middle, high)
    return low


TURN: Answers = {
    "a ratio": (lambda beta, gamma: gamma / beta, None),
    "one over R0": (lambda beta, gamma: 1 / (beta / gamma), None),
    "logarithms": (lambda beta, gamma: np.exp(np.log(gamma) - np.log(beta)), None),
    "a tensor": (lambda beta, gamma: torch.tensor(gamma, dtype=torch.float64) / beta, None),
    "bisection": (by_bisection, None),
    "R0": (lambda beta, gamma: beta / gamma, "more than 1"),
    "were ill": (lambda beta, gamma: 1 - gamma / beta, "can still fall ill are asked"),
    "boys": (lambda beta, gamma: 763 * gamma / beta, "share"),
    "largest i": (lambda beta, gamma: 1 - gamma / beta - gamma / beta * np.log(beta / gamma), "who are ill"),
    "gamma": (lambda beta, gamma: gamma, "no unit"),
    "difference": (lambda beta, gamma: beta - gamma, "di/dt is 0"),
    "all": (lambda beta, gamma: 1.0, "i grows"),
    "nobody": (lambda beta, gamma: 0.0, "somebody can still"),
    "both": (lambda beta, gamma: gamma / (beta + gamma), "β s − γ"),
    "stub": (lambda beta, gamma: ..., "not attempted"),
}


@every_answer({"crps": CRPS, "turning_point": TURN})
def test_exercise(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)


def sea() -> tuple[Problem, list[int], dict[str, np.ndarray]]:
    months = np.arange(732)
    noise = np.random.default_rng(0).standard_normal(732)
    task = Problem(23 + 3 * np.sin(2 * np.pi * months / 12) + noise, PLANS["sea"])
    origins = [540, 546, 552]
    fans = {}
    for name in ("seasonal naive", "climatology"):
        forecaster = FITS[name](task, 540, {}, 0)
        fans[name] = np.stack([forecaster(origin) for origin in origins])
    return task, origins, fans


@pytest.mark.parametrize(("origin", "model"), [(546, "climatology"), (552, "seasonal naive")])
def test_the_slider_shows_the_forecast_from_its_origin(origin: int, model: str) -> None:
    task, origins, fans = sea()
    explorer = forecasting.rolling(task, origins, fans)
    text = explorer.drive(origin=origin, model=model)
    left, right = explorer.figure.axes
    place = origins.index(origin)
    assert np.allclose(left.lines[2].get_ydata(), task.y[origin : origin + 12])
    assert np.allclose(left.lines[1].get_ydata(), task.y[origin - 24 : origin])
    assert np.allclose(left.lines[0].get_ydata(), fans[model][place][:, 14:16].mean(1))
    band = left.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(fans[model][place][:, 1].min())
    score = crps(fans[model][place], task.truth(origin)).mean()
    assert right.lines[-1].get_ydata()[0] == pytest.approx(score) and f"CRPS {score:.2f} °C" in text
    assert f"from {forecasting.origin_name(origin)}" in text and forecasting.origin_name(origin).startswith(
        "Jul" if origin == 546 else "Jan"
    )


def test_the_slider_goes_to_the_site() -> None:
    task, origins, fans = sea()
    made = forecasting.rolling(task, origins, fans).export()
    assert len(made.spec["texts"]) == 6


def test_lines_are_seen_on_a_projector() -> None:
    fans = sea()[2]
    t = np.arange(12.0)
    fan = fans["climatology"][0]
    counts = np.arange(14.0)
    drawn = [
        forecasting.fans((t - 12, t), t, t, {"one": fan, "two": fan}, "°C"),
        forecasting.training((18, 30), (t - 12, t), t, 10),
        forecasting.by_horizon(
            {"sea": {"a": fan[:, :2].T, "b": fan[:, 2:4].T}}, {"sea": "month"}, {"a": "A", "b": "B"}, "CRPS"
        ),
        forecasting.epidemic(counts, 7, {"SIR": np.tile([1.0, 2.0, 3.0, 4.0], (7, 1)), "net": np.ones((7, 4))}),
        forecasting.norms({"one": np.ones((5, 3)), "two": np.ones((5, 3))}, 0.25, 2.0),
    ]
    assert not [complaint for fig in drawn for complaint in faint(fig)]


def test_a_path_that_has_left_is_white() -> None:
    waves = np.ones((6, 32))
    gone = waves.copy()
    gone[4:] = np.inf
    fig = forecasting.roll_outs(waves, {"none": gone}, 0.25, 3.0)
    shown = fig.axes[1].images[0].get_array()
    assert np.isnan(np.ma.filled(shown, np.nan)[4:]).all() and np.isfinite(shown[:4]).all()


@pytest.mark.parametrize("name", PLANS)
def test_the_shipped_forecaster_is_that_of_the_row(name: str) -> None:
    task = problem(name)
    (result,) = (
        row.result
        for row in stored_rows("forecasting")
        if row.key == {"series": name, "model": "latent-ode"} and row.seed == 0
    )
    model = forecasting.stored_forecaster(task, name, task.plan.test[0], result["setting"]["window"])
    assert model.score(torch.tensor(task.plan.origins("test"))) == pytest.approx(result["mean_crps"], rel=0.01)


def test_shipped_fields_stay_or_leave_as_their_rows_say() -> None:
    start = wave_paths(6, 1, seed=5)[0].float()
    sizes = {name: roll_out(forecasting.stored_field(name), start, 600).norm(dim=-1)[-1] for name in DAMPINGS}
    assert sizes["fixed"].max() < 15 and sizes["none"].max() > 30 and sizes["learned"].max() > 30
