"""Kuramoto–Sivashinsky and learned fields of it: the equation, what damping bounds, roll-outs and their scores."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from odelab.experiments.forecasting import run as runs
from odelab.experiments.forecasting import waves as equation
from odelab.experiments.forecasting.recipe import DAMPING, DAMPINGS
from odelab.experiments.forecasting.table import waves_table
from odelab.experiments.forecasting.waves import (
    GAP,
    LENGTH,
    POINTS,
    DampedField,
    energy,
    judge,
    left,
    roll_out,
    train_field,
    wave_paths,
    waves,
)
from odelab.experiments.results import unstorable
from tests.experiments.rows import cells, row
from tests.experiments.run_context import context_in


def test_the_equation_is_that_of_kuramoto_and_sivashinsky() -> None:
    """Against slopes of a sum of sines, by hand."""
    x = LENGTH * torch.arange(POINTS, dtype=torch.float64) / POINTS
    k = 2 * torch.pi / LENGTH
    u = torch.sin(k * x) + 0.5 * torch.cos(2 * k * x)
    first = k * torch.cos(k * x) - k * torch.sin(2 * k * x)
    second = -(k**2) * torch.sin(k * x) - 2 * k**2 * torch.cos(2 * k * x)
    fourth = k**4 * torch.sin(k * x) + 8 * k**4 * torch.cos(2 * k * x)
    assert torch.allclose(waves(0.0, u), -u * first - second - fourth, atol=1e-10)


def test_paths_are_solutions_with_mean_zero() -> None:
    paths = wave_paths(2, 3, 1)
    assert paths.shape == (3, 2, POINTS) and paths.mean(-1).abs().max() < 1e-10
    theirs = solve_ivp(
        lambda t, u: waves(t, torch.from_numpy(u)).numpy(),
        (0, 2 * GAP),
        paths[0, 0].numpy(),
        "Radau",
        rtol=1e-8,
        atol=1e-9,
    ).y[:, -1]
    assert np.allclose(paths[2, 0], theirs, atol=1e-5)


def test_a_fixed_damping_keeps_every_path_in_a_ball() -> None:
    """Where |f| ≤ B, d|z|/dt ≤ B − a |z|: no path stays outside of B / a."""
    field = DampedField("fixed", 0)
    field.net = torch.nn.Sequential(torch.nn.Linear(POINTS, 8), torch.nn.Tanh(), torch.nn.Linear(8, POINTS))
    last = field.net[2]
    bound = float((last.weight.norm(dim=0).sum() + last.bias.norm()).detach())
    with torch.no_grad():
        path = roll_out(field, 100 * torch.randn(20, POINTS), 200)
    assert path[-1].norm(dim=-1).max() <= bound / DAMPING


def test_linear_terms() -> None:
    z = torch.randn(3, POINTS)
    assert torch.equal(DampedField("fixed", 0).linear(z), -DAMPING * z)
    assert DampedField("none", 0).linear(z).abs().max() == 0
    learned = DampedField("learned", 0)
    with torch.no_grad():
        learned.weights.copy_(torch.tensor([0.0, 1.0, -2.0, 1.0, 0.0]))
        assert torch.allclose(learned.linear(z), z.roll(1, -1) - 2 * z + z.roll(-1, -1), atol=1e-6)
    with pytest.raises(ValueError, match="damping is 'some'"):
        DampedField("some", 0)


def test_roll_out_takes_two_steps_in_a_gap() -> None:
    def decay(t: float, z: torch.Tensor) -> torch.Tensor:
        return -z

    path = roll_out(decay, torch.ones(1, 1, dtype=torch.float64), 4)  # type: ignore[arg-type]
    assert torch.allclose(path[:, 0, 0], torch.exp(-GAP * torch.arange(5, dtype=torch.float64)), rtol=1e-5)


def test_what_has_left() -> None:
    path = torch.zeros(5, 3, POINTS)
    path[2, 0] = 10.0
    path[4, 1] = torch.nan
    assert left(path, 1.0).tolist() == [True, True, False]


def test_an_idle_field_is_judged_as_it_deserves() -> None:
    paths = wave_paths(4, 121, 0)
    said = judge(lambda t, z: torch.zeros_like(z), paths[:, :2], paths[:, 2:], 0)  # type: ignore[arg-type]
    gaps = [(paths[s + 100, 2:] - paths[s, 2:]).square().mean(-1).sqrt().mean() / paths[:, 2:].std() for s in (0,)]
    assert said["error"][3] == pytest.approx(float(gaps[0]), rel=1e-5)
    assert said["left_100"][0] == said["left_1000"][0] == 0.0
    away = judge(lambda t, z: z, paths[:, :2], paths[:, 2:], 0)  # type: ignore[arg-type]
    assert away["left_100"][0] == 1.0 and away["spectrum"][0] == 3.0 and away["error"][3] == 10.0


def test_training_lowers_the_loss() -> None:
    paths = wave_paths(4, 121, 0).float()
    losses = [train_field(DampedField("fixed", 0, width=32), paths, steps, 0) for steps in (5, 150)]
    assert losses[1] < losses[0] / 3


def test_energy_of_one_wave() -> None:
    x = 2 * torch.pi * torch.arange(POINTS, dtype=torch.float64) / POINTS
    spectrum = energy(torch.stack([torch.sin(3 * x), torch.cos(3 * x)]))
    assert int(spectrum.argmax()) == 3 and spectrum[3] == pytest.approx((POINTS / 2) ** 2)


def test_a_run_stores_what_the_table_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "wave_paths", lambda: wave_paths(4, 121, 0))
    monkeypatch.setattr(runs, "TRAIN", 2)
    monkeypatch.setattr(equation, "LONG_ROLLOUT", 160)
    monkeypatch.setitem(runs.WAVE_STEPS, "lecture", 3)
    rows = []
    for damping in DAMPINGS:
        result = runs.run_waves({"damping": damping}, context_in(tmp_path))
        assert not [*unstorable(result)] and len(result["left_1000"]) == 3
        assert len(result["weights"]) == (5 if damping == "learned" else 0)
        rows.append(row({"damping": damping}, **result))
    assert cells(waves_table(rows), DAMPINGS["none"])[2] == f"{rows[0].result['left_100'][0]:.0%}"
