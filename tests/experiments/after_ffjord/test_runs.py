"""Every kind of run leaves a row that the tables can read, and what it measures is what it says."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import VonMises

from odelab.datasets.images import Images
from odelab.experiments.after_ffjord import digits, recipe, torsions
from odelab.experiments.after_ffjord import run as runs
from odelab.experiments.after_ffjord.table import digits_table, guidance_table, outcome, reflow_table, torsions_table
from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.registry import experiment
from odelab.experiments.results import Row, unstorable
from odelab.flows import CNF
from odelab.nets import MLPField
from tests.experiments.rows import cells, row
from tests.experiments.run_context import context_in

TINY = FlowRecipe(iterations=4, batch=16, ema=None)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for recipes in (runs.REFLOW_RECIPES, runs.TORSION_RECIPES, runs.DIGIT_RECIPES):
        monkeypatch.setitem(recipes, "lecture", TINY)
    monkeypatch.setattr(runs, "JUDGED", 60)
    monkeypatch.setattr(runs, "CONFORMERS", 60)
    monkeypatch.setitem(runs.GRID, 2, 8)


def done(name: str, key: dict[str, Any], folder: Path) -> Row:
    result = experiment(name).run(key, context_in(folder))
    assert list(unstorable(result)) == []
    return row(key, 0, **json.loads(json.dumps(result)))


@pytest.mark.parametrize("training", recipe.TRAININGS)
def test_every_training_leaves_a_row(training: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = runs.pairs_of
    monkeypatch.setattr(runs, "pairs_of", lambda flow, batch: draw(flow, batch, 50))
    one = done("reflow", {"data": "pinwheel", "training": training}, tmp_path)
    assert [*one.result["distances"]] == [*map(str, recipe.EULER_STEPS), "dopri5"]
    table = reflow_table(rows=[one], data="pinwheel")
    assert "not run yet" not in cells(table, training) and cells(table, "FFJORD, lesson 06")[-3] == "–"
    assert outcome([one]).startswith("No reflow of pinwheel")


def test_pairs_of_a_flow_are_its_own() -> None:
    torch.manual_seed(0)
    flow = CNF(MLPField(2))
    x, z = runs.pairs_of(flow, 20, count=40)(0)
    with torch.no_grad():
        torch.testing.assert_close(flow.inverse(z), x, atol=2e-3, rtol=0)


def test_energy_distance_of_two_samples() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 2)), rng.normal(size=(5, 2)) + 1
    mean = {
        pair: np.mean(
            [np.linalg.norm(a - b) for i, a in enumerate(one) for j, b in enumerate(other) if pair == "xy" or i != j]
        )
        for pair, one, other in (("xy", x, y), ("xx", x, x), ("yy", y, y))
    }
    expected = 2 * mean["xy"] - mean["xx"] - mean["yy"]
    assert runs.energy_distance(torch.tensor(x), torch.tensor(y)) == pytest.approx(expected)


def test_the_arc_s_loss_is_least_for_its_mean_velocity() -> None:
    """Data and noise N(0, 1): on the arc the spread stays 1, and the best field is zero."""
    torch.manual_seed(0)
    x, z = torch.randn(20_000, 1), torch.randn(20_000, 1)
    losses = [runs.diffusion_loss(lambda t, y, a=a: a * y, x, z).item() for a in (-0.5, 0.0, 0.5)]
    assert losses[1] == pytest.approx((math.pi / 2) ** 2, rel=0.05) and losses[1] < min(losses[0], losses[2])


def test_energies_are_those_of_the_formulas() -> None:
    phi = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    c = np.cos(phi[:, 0].numpy())
    polynomial = 355.03 * (1 + c) - 68.19 * (2 - 2 * c**2) + 791.32 * (1 + 4 * c**3 - 3 * c)
    np.testing.assert_allclose(torsions.butane_energy(phi), polynomial / 300, atol=1e-12)
    angles = torch.tensor([[0.3, -2.0], [-1.4, 2.6]], dtype=torch.float64)
    log_parts = []
    for a, phi0, psi0, kappa, lam in torsions.WELLS:
        parts = [
            VonMises(torch.tensor(math.radians(m), dtype=torch.float64), torch.tensor(k, dtype=torch.float64))
            for m, k in ((phi0, kappa), (psi0, lam))
        ]
        log_norm = sum(
            math.log(2 * math.pi * torch.special.i0(torch.tensor(k, dtype=torch.float64))) for k in (kappa, lam)
        )
        log_parts.append(a + log_norm + sum(part.log_prob(angles[:, i]) for i, part in enumerate(parts)))
    expected = torch.stack(log_parts).logsumexp(0)
    torch.testing.assert_close(-torsions.dipeptide_energy(angles), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [*torsions.MOLECULES])
def test_draws_have_the_density(name: str) -> None:
    one = torsions.molecule(name)
    draws = one.sample(20_000, torch.Generator().manual_seed(0))
    assert draws.abs().max() <= math.pi
    points, cell = one.grid(180)
    p = one.log_prob(points).exp() * cell
    assert float(p.sum()) == pytest.approx(1)
    for of in (torch.cos, torch.sin):
        expected = (p[:, None] * of(points)).sum(0)
        torch.testing.assert_close(of(draws.double()).mean(0), expected, atol=0.02, rtol=0)


def test_fields_of_angles_are_periodic_and_odd_where_asked() -> None:
    torch.manual_seed(0)
    angles = torch.randn(6, 2)
    for odd in (False, True):
        field = torsions.TorusField(2, odd=odd)
        torch.testing.assert_close(field(0.4, angles + torch.tensor([2 * math.pi, -2 * math.pi])), field(0.4, angles))
        mirrored = (field(0.4, angles) + field(0.4, -angles)).detach()
        assert (float(mirrored.abs().max()) < 1e-6) == odd
    flow = torsions.torus_flow(1)
    points = torsions.molecule("butane").grid(60)[0].float()
    assert float(flow.log_prob(points).exp().sum() * 2 * math.pi / 60) == pytest.approx(1, abs=1e-3)
    x, z = torsions.torus_pairs(angles)
    assert float((z - x).abs().max()) <= math.pi


def test_every_model_of_angles_leaves_a_row(tmp_path: Path) -> None:
    rows = [
        done("torsions", {"molecule": "dipeptide", "model": model}, tmp_path / model.replace(" ", "_"))
        for model in recipe.MODELS
    ]
    table = torsions_table(rows, "dipeptide")
    for one in rows:
        assert 0 <= one.result["tv"] <= 1 and cells(table, one.key["model"])[-1] == "1"
    with pytest.raises(ValueError, match="molecule"):
        torsions.molecule("butan")


def test_kernels_and_bins_are_densities() -> None:
    one = torsions.molecule("dipeptide")
    x, (points, cell) = one.sample(200), one.grid(60)
    for density in (torsions.kernel_density(x, points.float(), 20.0), runs.histogram(x, points.float(), 30)):
        assert float(density.sum() * cell) == pytest.approx(1, abs=1e-3)
    wide = torsions.kernel_density(x, points.float(), 1e-4)
    torch.testing.assert_close(wide, torch.full_like(wide, 1 / (4 * math.pi**2)), rtol=1e-2, atol=0)


def images_of(split: str) -> Images:
    generator = torch.Generator().manual_seed(len(split))
    y = torch.arange(10).repeat(30)
    x = torch.randint(0, 40, (300, 1, 28, 28), generator=generator, dtype=torch.uint8)
    x[torch.arange(300), 0, 2 * y + 2] = 255  # a bright row that says which digit it is
    return Images(x, y, "made up", True)


def test_digits_leave_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "mnist", images_of)
    one = done("guided-digits", {"pixels": "14 × 14"}, tmp_path)
    assert one.result["without"]["test images"]["agreement"] == 1
    assert one.result["solvers"]["heun2"][1]["nfe"] == 8 and one.result["solvers"]["rk4_classic"][2]["nfe"] == 16
    errors = [entry["error"] for entry in one.result["solvers"]["midpoint"]]
    assert errors == sorted(errors, reverse=True)
    assert cells(digits_table([one]), "dopri5, 0.001")[0] != "not run yet"
    assert cells(guidance_table([one]), "w = 1.5")[0] == f"{one.result['guidance']['1.5']['agreement']:.3f}"
    assert cells(digits_table([]), "test images")[0] == "not run yet"


def test_guidance_mixes_two_fields() -> None:
    torch.manual_seed(0)
    field = digits.DigitField(9, hidden=16)
    z, label = torch.randn(4, 9), digits.one_hot(torch.tensor([1, 2, 3, 4]))
    nothing = torch.zeros_like(label)
    for weight, expected in (
        (0, field(0.3, z, nothing)),
        (1, field(0.3, z, label)),
        (3, 3 * field(0.3, z, label) - 2 * field(0.3, z, nothing)),
    ):
        torch.testing.assert_close(digits.Guided(field, weight)(0.3, z, label), expected)
    t = torch.full((4, 1), 0.3)
    torch.testing.assert_close(field(t, z, label), field(0.3, z, label))
    torch.testing.assert_close(field(torch.tensor(0.3), z, label), field(0.3, z, label))
