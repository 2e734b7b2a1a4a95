"""Rolling-origin forecasts: scores, checked series, classical models, and the latent ODE that reads the past alone."""

from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch

from odelab.experiments.forecasting import run as runs
from odelab.experiments.forecasting.classical import FITS, plain_epidemic, seasonal_naive, settings
from odelab.experiments.forecasting.neural import LatentForecaster
from odelab.experiments.forecasting.recipe import MODELS, PLANS, Plan
from odelab.experiments.forecasting.scores import LEVELS, covered, crps, difference, middle, scores
from odelab.experiments.forecasting.series import Problem, checked, problem
from odelab.experiments.forecasting.table import against, crps_curves, forecasting_table, horizons_table
from odelab.experiments.results import unstorable
from tests.experiments.rows import cells, row
from tests.experiments.run_context import context_in

PLAN = Plan(12.0, 12, 1, 4, (60, 81, 4), (96, 113, 4), (6,), 6.0, "month")


def toy(noise: float = 0.3, seed: int = 0) -> Problem:
    """A yearly wave with an error that remembers, 120 months."""
    generator = np.random.default_rng(seed)
    rest = np.zeros(120)
    for month in range(1, 120):
        rest[month] = 0.8 * rest[month - 1] + noise * generator.standard_normal()
    return Problem(20 + 3 * np.sin(2 * np.pi * np.arange(120) / 12) + rest, PLAN)


# Scores


@pytest.mark.parametrize("y", [-1.0, 0.2, 3.0])
def test_crps_of_quantiles_is_the_integral_of_its_definition(y: float) -> None:
    quantiles = np.array([-0.5, 0.1, 0.4, 2.0])
    x = np.linspace(-6, 6, 240_001)
    law = (quantiles[:, None] <= x).mean(0)
    assert crps(quantiles, y) == pytest.approx(np.square(law - (x >= y)).sum() * (x[1] - x[0]), abs=1e-3)


def test_crps_of_many_quantiles_is_that_of_the_normal_law() -> None:
    law = NormalDist(1.0, 2.0)
    quantiles = [law.inv_cdf((k + 0.5) / 2000) for k in range(2000)]
    z = (2.5 - 1) / 2
    exact = 2 * (z * (2 * NormalDist().cdf(z) - 1) + 2 * NormalDist().pdf(z) - np.pi**-0.5)
    assert float(crps(quantiles, 2.5)) == pytest.approx(exact, rel=1e-3)


def test_coverage_counts_what_lies_between_5_and_95_percent() -> None:
    quantiles = np.tile(LEVELS, (5, 1))  # of the uniform law
    assert covered(quantiles, [0.04, 0.051, 0.5, 0.949, 0.96]).tolist() == [False, True, True, True, False]
    assert middle(LEVELS) == pytest.approx(0.5)


def test_scores_are_means_over_origins_by_horizon() -> None:
    generator = np.random.default_rng(0)
    quantiles = np.sort(generator.standard_normal((7, 3, 30)), -1)
    truth = generator.standard_normal((7, 3))
    said = scores(quantiles, truth)
    assert [len(said[name]) for name in ("crps", "coverage", "mae", "by_origin")] == [3, 3, 3, 7]
    assert np.mean(said["crps"]) == pytest.approx(np.mean(said["by_origin"]), abs=1e-4)
    assert said["mae"][1] == pytest.approx(np.abs(middle(quantiles[:, 1]) - truth[:, 1]).mean(), abs=1e-4)


def test_overlapping_forecasts_have_a_larger_standard_error() -> None:
    generator = np.random.default_rng(1)
    steps = generator.standard_normal(4003)
    one = steps[:4000] + steps[1:4001] + steps[2:4002] + steps[3:4003]  # each shares three steps with the next
    mean, error = difference(one, np.zeros(4000), 3)
    assert mean == pytest.approx(one.mean())
    assert difference(one, np.zeros(4000), 0)[1] == pytest.approx(one.std() / 4000**0.5)
    assert 1.4 < error / difference(one, np.zeros(4000), 0)[1] < 1.9  # √2.75 by the weights, 2 without them


# Series


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([3.0], "at least two values"),
        ([[1.0, 2.0]], "one row of at least two values"),
        ([5.0] * 40, "never changes: all 40 values are 5.*right column"),
        ([1.0, 2.0, *[np.nan] * 5, 3.0], "misses 5 values from place 2 on, more than the horizon of 4"),
        ([np.nan, 1.0, 2.0], "begins or ends with missing values"),
        ([1.0, np.inf, 2.0], "infinite at place 1"),
    ],
)
def test_bad_series_get_an_error_that_says_what_and_where(values: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked(values, 4)


def test_short_gaps_are_filled_by_straight_lines() -> None:
    assert checked([1.0, np.nan, np.nan, 4.0, 2.0], 4).tolist() == [1.0, 2.0, 3.0, 4.0, 2.0]


def test_a_series_shorter_than_its_plan_is_refused() -> None:
    with pytest.raises(ValueError, match="has 100 values, but the last origin and its horizon need 116"):
        Problem(toy().y[:100], PLAN)


@pytest.mark.parametrize("name", PLANS)
def test_plans_fit_their_series(name: str) -> None:
    task = problem(name)
    validation, test = (task.plan.origins(part) for part in ("validation", "test"))
    assert max(validation) + task.plan.horizon <= min(test), "validation targets end before the first test origin"
    assert max(test) + task.plan.horizon <= len(task.y) and min(validation) > task.plan.season + max(task.plan.windows)
    assert task.plan.overlap * task.plan.test[2] < task.plan.horizon <= (task.plan.overlap + 1) * task.plan.test[2]


def test_the_clock_sees_its_part_alone() -> None:
    task = toy()
    changed = Problem(np.concatenate([task.y[:60], task.y[60:] + 9]), PLAN)
    assert np.allclose(task.clock(60), changed.clock(60))
    year = task.clock(120)
    assert np.allclose(year[:12], year[12:24]) and abs(year[:12].max() - 23) < 1


# Models


def test_seasonal_naive_is_the_last_known_year() -> None:
    far = Problem(toy().y, replace(PLAN, horizon=4, season=3))
    for task, back in ((toy(), [12, 12, 12, 12]), (far, [3, 3, 3, 6])):
        made = seasonal_naive(task, 96, {}, 0)(100)
        errors = task.y[task.plan.season : 96] - task.y[: 96 - task.plan.season]
        expected = [task.y[100 + k - back[k]] + np.quantile(errors, LEVELS) for k in range(4)]
        assert np.allclose(made, expected)


@pytest.mark.parametrize("model", FITS)
def test_forecasters_read_the_past_alone(model: str) -> None:
    """What comes after an origin changes nothing of the forecast from there; what came before does."""
    setting = settings(model, "sea")[0]
    if model == "boosting":
        setting = setting | {"min_samples_leaf": 5, "max_iter": 8}
    task = toy()
    late, early = task.y.copy(), task.y.copy()
    late[104:] += 5
    early[100:104] += 5
    made = [FITS[model](Problem(y, PLAN), 96, setting, 0)(104) for y in (task.y, late, early)]
    assert made[0].shape == (4, 30) and bool((np.diff(made[0], axis=1) >= -1e-9).all())
    assert np.allclose(made[0], made[1])
    if model not in ("climatology", "seasonal naive"):
        assert made[2][0].mean() > made[0][0].mean() + 0.02


def test_arima_follows_the_errors_memory() -> None:
    """Of 0.8 per month: the forecast of the rest decays by this factor, its spread grows to that of the rest."""
    task = toy()
    made = FITS["arima"](task, 96, {"seasonal": False, "order": [1, 0, 0]}, 0)(100)
    rest = middle(made) - task.clock(96)[100:104]
    assert np.allclose(rest[1:] / rest[:-1], rest[1] / rest[0], rtol=1e-6) and 0.6 < rest[1] / rest[0] < 0.95
    width = made[:, -2] - made[:, 1]
    assert (np.diff(width) > 0).all()


@pytest.mark.parametrize("kind", ["last value", "ets"])
def test_plain_epidemics_have_growing_fans_of_counts(kind: str) -> None:
    made = plain_epidemic(kind, np.array([3.0, 8.0, 26.0, 76.0]), 5)
    assert made.shape == (5, 30) and (made >= 0).all()
    assert (np.diff(made[:, -2] - made[:, 1]) > 0).all()


# The latent ODE


def test_windows_run_backwards_and_the_encoder_reads_the_past() -> None:
    task = toy()
    model = LatentForecaster.untrained(task, 96, 6, 3, 0)
    x = model.windows(torch.tensor([50]))[0, :, 0]
    assert torch.equal(x, model.rest[44:54].flip(0))
    assert model.times.tolist() == pytest.approx([k / 6 for k in range(-4, 6)])
    changed = LatentForecaster.untrained(Problem(np.r_[task.y[:104], task.y[104:] + 3], PLAN), 96, 6, 3, 0)
    assert torch.allclose(model.draws(torch.tensor([104])), changed.draws(torch.tensor([104])), atol=1e-5)


def test_draws_start_next_to_the_origin_and_come_in_order() -> None:
    """With a field that stands still every horizon has the same law, about the clock."""
    model = LatentForecaster.untrained(toy(), 96, 6, 3, 0)
    with torch.no_grad():
        for parameter in model.model.field.parameters():
            parameter.zero_()
    origins = torch.tensor([96, 100])
    clock = torch.from_numpy(model.clock)[origins[:, None] + torch.arange(4)]
    rest = model.draws(origins, 20_000) - clock
    assert torch.allclose(rest.mean((0, 2), keepdim=True), rest.mean(0, keepdim=True), atol=0.1)


def test_training_beats_the_climatology_on_an_error_that_remembers() -> None:
    task = toy()
    model = LatentForecaster.untrained(task, 96, 6, 3, 0)
    origins = torch.arange(6, 93)
    truth = runs.truths(task, origins.tolist())
    flat = crps(runs.forecasts(FITS["climatology"](task, 96, {}, 0), origins.tolist()), truth).mean()
    steps = []
    model.train(96, 120, 0, steps.append)
    assert model.score(origins) < 0.9 * flat and steps == [*range(1, 121)]


# Runs and tables


def test_a_run_chooses_on_validation_origins_and_reads_the_test_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "problem", lambda name: toy())
    few = {"max_iter": 5}  # trees, of which boosting would grow 60 at each of 30 levels
    tried = {model: [one | few if "max_iter" in one else one for one in settings(model, "sea")] for model in MODELS}
    monkeypatch.setattr(runs, "settings", lambda model, series: tried[model])
    rows = []
    for model in MODELS:
        key = {"series": "sea", "model": model}
        result = runs.run(key, context_in(tmp_path))
        assert not [*unstorable(result)]
        best = min(result["validation"], key=lambda entry: entry["crps"])
        assert {name: best[name] for name in result["setting"]} == result["setting"]
        assert len(result["by_origin"]) == 5 and len(result["crps"]) == 4
        rows.append(row(key, **result))
    table = forecasting_table(rows)
    naive = cells(table, "sea", MODELS["seasonal naive"])
    assert naive[0] == f"{rows[0].result['mean_crps']:.3f}" and "±" in naive[1]
    gap = against(rows, "sea", "seasonal naive", "latent-ode")[0]
    assert gap == pytest.approx(rows[0].result["mean_crps"] - rows[-1].result["mean_crps"], abs=1e-4)
    assert crps_curves(rows, "sea")["ets"].shape == (1, 4)
    assert cells(horizons_table(rows), "sea", MODELS["arima"])[0] == f"{rows[3].result['crps'][0]:.3f}"
    with pytest.raises(ValueError, match="no row tells of 'arima' on 'weather'"):
        against(rows, "weather", "arima", "ets")
