"""An epidemic through the solver: SIR against SciPy, members that do not mix, fans, and what a run stores."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from odelab.experiments.forecasting.epidemic import Outbreak, fit_outbreak, forecast_outbreak
from odelab.experiments.forecasting.recipe import BOYS, EPIDEMIC_MODELS, EPIDEMIC_STEPS
from odelab.experiments.forecasting.run import run_epidemic
from odelab.experiments.forecasting.table import epidemic_table
from odelab.experiments.results import unstorable
from tests.experiments.rows import cells, row
from tests.experiments.run_context import context_in

NEURAL = ("sir", "sir + net", "net")


def sir(days: np.ndarray, beta: float, gamma: float, first: float) -> np.ndarray:
    def slopes(_: float, z: np.ndarray) -> list[float]:
        return [-beta * z[0] * z[1], beta * z[0] * z[1] - gamma * z[1]]

    path = solve_ivp(slopes, (0, days[-1]), [1 - first, first], t_eval=days, rtol=1e-9, atol=1e-12)
    return BOYS * path.y[1]


def test_sir_is_the_textbooks_equation() -> None:
    model = Outbreak("sir", 3, 0)
    days = torch.arange(1, 15, dtype=torch.float64)
    counts = model.in_bed(days)[0].detach().numpy()
    for member in range(3):
        beta, gamma = model.rates()[member].tolist()
        first = float(model.log_first[member].exp())
        assert np.allclose(counts[:, member], sir(days.numpy(), beta, gamma, first), rtol=1e-2)


@pytest.mark.parametrize("kind", NEURAL)
def test_members_do_not_mix(kind: str) -> None:
    model = Outbreak(kind, 4, 0)
    counts = model.in_bed(torch.tensor([1.0, 2.0], dtype=torch.float64))[0]
    (grad,) = torch.autograd.grad(counts[:, 1].sum(), model.log_first)
    assert grad[1].abs() > 0 and grad[[0, 2, 3]].abs().max() == 0


def test_a_neural_term_of_zero_leaves_sir() -> None:
    plain, more = Outbreak("sir", 2, 0), Outbreak("sir + net", 2, 0)
    with torch.no_grad():
        more.outer.zero_()
        more.log_rates.copy_(plain.log_rates)
        more.log_first.copy_(plain.log_first)
    days = torch.tensor([3.0, 9.0], dtype=torch.float64)
    assert torch.allclose(plain.in_bed(days)[0], more.in_bed(days)[0])


def test_rates_are_recovered_from_a_whole_epidemic() -> None:
    days = np.arange(1.0, 15.0)
    counts = torch.from_numpy(sir(days, 1.7, 0.45, 1 / BOYS))
    model, scatter = fit_outbreak("sir", counts, 150, 0, members=16)
    fan = forecast_outbreak(model, scatter, 9, 5, 0)
    assert fan.rates == pytest.approx((1.7, 0.45), rel=0.1) and scatter == 0.5
    assert (fan.quantiles[:, 1] <= counts[9:].numpy()).all() and (counts[9:].numpy() <= fan.quantiles[:, -2]).all()


def test_two_days_are_too_few() -> None:
    with pytest.raises(ValueError, match="three days at least"):
        fit_outbreak("sir", torch.tensor([3.0, 8.0]), 10, 0)


def test_a_run_stores_what_the_table_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EPIDEMIC_STEPS, "lecture", 6)
    rows = []
    for model in EPIDEMIC_MODELS:
        result = run_epidemic({"days": 9, "model": model}, context_in(tmp_path))
        assert not [*unstorable(result)] and len(result["quantiles"]) == 5
        rows.append(row({"days": 9, "model": model}, **result))
    table = epidemic_table(rows, days=9)
    assert cells(table, "SIR")[0] == f"{rows[2].result['crps']:.1f}"
    assert rows[2].result["rates"] and rows[4].result["rates"] is None
