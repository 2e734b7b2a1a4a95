"""Disturbances do what they say, the nets share their parts, and a row holds what the tables show."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from odelab.datasets.images import Images
from odelab.experiments.results import unstorable
from odelab.experiments.robustness import run as module
from odelab.experiments.robustness.disturbances import blurred, noisy, pgd, rotated
from odelab.experiments.robustness.recipe import ARMS, SOLVERS
from odelab.experiments.robustness.run import build, run, steady_state
from odelab.experiments.robustness.table import masking_table, robustness_table, solver_table
from tests.experiments.rows import cells, row
from tests.experiments.run_context import context_in


def test_noise_has_its_size_and_stays_in_range() -> None:
    grey = torch.full((4, 1, 28, 28), 0.5)
    moved = noisy(grey, 0.1, torch.Generator().manual_seed(0))
    assert (moved - grey).std().item() == pytest.approx(0.1, rel=0.1)
    assert noisy(grey, 3.0, torch.Generator()).aminmax() == (0.0, 1.0)


def test_blur_keeps_the_light_and_spreads_it() -> None:
    dot = torch.zeros(1, 1, 21, 21)
    dot[..., 10, 10] = 1.0
    soft = blurred(dot, 1.5)
    x = torch.arange(21.0) - 10
    assert soft.sum().item() == pytest.approx(1, abs=1e-5)
    assert (soft[0, 0].sum(0) * x**2).sum().item() == pytest.approx(1.5**2, rel=0.05)
    assert torch.equal(blurred(dot, 0.0), dot)


def test_a_quarter_turn_is_counter_clockwise() -> None:
    image = torch.rand(1, 1, 9, 9)
    assert torch.allclose(rotated(image, 90.0), torch.rot90(image, 1, (2, 3)), atol=1e-5)


def test_pgd_finds_the_worst_change_of_a_linear_net() -> None:
    weight = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    x = torch.randn(20, 8, generator=torch.Generator().manual_seed(1))
    labels = (x @ weight.T).argmax(1)
    moved = pgd(lambda z: z @ weight.T, x, labels, 0.2, steps=8, bounds=False)
    sign = (weight[0] - weight[1]).sign() * (1 - 2 * labels[:, None])
    assert torch.allclose(moved, x - 0.2 * sign, atol=1e-6)
    assert torch.equal(pgd(lambda z: z @ weight.T, x, labels, 0.0, steps=8), x)
    inside = pgd(lambda z: z @ weight.T, x.sigmoid(), labels, 0.2, steps=8)
    assert inside.min() >= 0 and inside.max() <= 1


def test_the_cnn_is_one_euler_step_of_the_field_without_time() -> None:
    cnn, ode = build("cnn", 0), build("invariant", 0)
    assert cnn.net.parameter_count == ode.net.parameter_count
    ode.net.body.field.block.load_state_dict(cnn.net.body[0].state_dict())  # type: ignore[union-attr]
    ode.net.stem.load_state_dict(cnn.net.stem.state_dict())
    ode.net.head.load_state_dict(cnn.net.head.state_dict())
    vars(ode.net.body).update(method="euler", steps=1)
    images = torch.rand(3, 1, 28, 28)
    assert torch.allclose(cnn(images), ode(images), atol=1e-5)


def test_the_steady_state_term_is_the_length_of_the_way_after_the_end() -> None:
    net = build("tisode", 0).net
    features = torch.randn(2, 32, 3, 3)
    end, length = steady_state(net, features)
    assert net.block is not None and torch.allclose(end, net.block(features), atol=1e-5)
    fine = net.block.trajectory(features, torch.linspace(0, 2, 65))[32:]
    speeds = torch.stack([net.block.field(1.0, z).abs().mean() for z in fine])
    assert length.item() == pytest.approx(torch.trapezoid(speeds, dx=1 / 32).item(), rel=0.05)


@pytest.mark.parametrize("arm", ["cnn", "tisode"])
def test_a_run_stores_what_the_tables_show(arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def few(part: str) -> Images:
        count = 256 if part == "train" else 60
        x = torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return Images(x, torch.arange(count) % 10, "noise", False)

    monkeypatch.setattr(module, "mnist", few)
    monkeypatch.setitem(module.SIZES, "lecture", {"images": 256, "epochs": 1, "tested": 40, "attacked": 20})
    key = {"arm": arm}
    result = run(key, context_in(tmp_path))
    assert not [*unstorable(result)] and math.isfinite(result["last_loss"])
    rows = [row(key, **result)]
    assert cells(robustness_table(rows=rows), ARMS[arm])[0] == f"{result['parameters']:,d}"
    if arm == "cnn":
        assert solver_table(rows=rows).frame.empty and masking_table(rows=rows).frame.empty
    else:
        first = next(iter(SOLVERS))
        assert cells(solver_table(rows=rows), ARMS[arm], first)[0] == f"{result['solvers'][0]['clean']:.1f}"


def test_an_attack_lowers_the_right_answers_of_a_trained_net() -> None:
    torch.manual_seed(0)
    x = torch.rand(200, 12)
    labels = (x[:, 0] > x[:, 1]).long()
    net = torch.nn.Linear(12, 2)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()
    clean = (net(x).argmax(1) == labels).double().mean()
    attacked = (net(pgd(net, x, labels, 0.1, steps=10)).argmax(1) == labels).double().mean()
    assert attacked < clean - 0.1
