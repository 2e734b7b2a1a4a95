"""Neural processes: sets have no order, a point changes what is said, and what a run stores."""

from pathlib import Path

import pytest
import torch

from odelab.experiments.neural_processes.processes import NeuralProcess, ODEProcess
from odelab.experiments.neural_processes.recipe import MODELS, RECIPES, TASKS
from odelab.experiments.neural_processes.run import build, judge, run, scores, train
from odelab.experiments.neural_processes.table import curves, processes_table
from odelab.experiments.neural_processes.tasks import CHANNELS, choose, cycles, family
from odelab.experiments.results import unstorable
from odelab.latent import Forecast
from tests.experiments.rows import cells, row
from tests.experiments.run_context import context_in


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_takes_every_family(task: str, model: str) -> None:
    torch.manual_seed(0)
    net, data = build(model, task), family(task, 3, "test")
    context = torch.zeros(data.y.shape[:2], dtype=torch.bool)
    context[:, [1, 5]] = True
    said = judge(net, data, RECIPES[task])
    assert [*said] == [str(count) for count in RECIPES[task].counts]
    assert all(0 <= score["coverage"] <= 1 and score["crps"] > 0 for score in said.values())
    if isinstance(net, NeuralProcess):
        assert net.forecast(data.times, data.y, context, 4).draws.shape == (4, *data.y.shape)


def test_a_set_has_no_order_and_no_point_is_no_error() -> None:
    torch.manual_seed(0)
    net = NeuralProcess(1, 4, 16, 0.1)
    times, y = torch.linspace(0, 10, 9), torch.randn(2, 9, 1)
    mask = choose((2, 9), 3, 3, torch.Generator().manual_seed(0))
    order = torch.tensor([0, 5, 2, 7, 4, 1, 6, 3, 8])  # the ends stay, which centre the clock
    said, mixed = net.posterior(times, y, mask), net.posterior(times[order], y[:, order], mask[:, order])
    assert torch.allclose(said.mean, mixed.mean, atol=1e-5)
    nothing = net.posterior(times, y, torch.zeros_like(mask))
    assert bool(nothing.mean.isfinite().all()) and torch.allclose(nothing.mean[0], nothing.mean[1])
    assert not torch.allclose(said.mean[0], nothing.mean[0])


def test_values_that_were_not_given_change_nothing() -> None:
    torch.manual_seed(0)
    net = ODEProcess(1, 3, 16, 0.1)
    times, y = torch.linspace(0, 10, 9), torch.randn(2, 9, 1)
    mask = choose((2, 9), 3, 3, torch.Generator().manual_seed(0))
    other = torch.where(mask[..., None], y, torch.nan)
    assert torch.allclose(net.posterior(times, y, mask).mean, net.posterior(times, other, mask).mean)


def test_shapes_that_do_not_fit_are_refused() -> None:
    net = NeuralProcess(1, 4, 16, 0.1)
    with pytest.raises(ValueError, match=r"\(T,\), \(n, T, 1\) and \(n, T\) are asked for"):
        net.posterior(torch.linspace(0, 1, 5), torch.zeros(2, 5, 2), torch.ones(2, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="at least 0, at most all"):
        choose((2, 5), 1, 6)
    with pytest.raises(ValueError, match="task is 'cosines'"):
        family("cosines", 2)


def test_families_differ_between_training_and_test() -> None:
    assert not torch.allclose(family("sines", 4, "train").truth, family("sines", 4, "test").truth)
    times = torch.linspace(0, 5, 6)
    prey, hunters = cycles(torch.tensor([0.5]), times)[0].double().unbind(-1)
    kept = prey - prey.log() + 4 / 3 * hunters - 2 / 3 * hunters.log()  # what a cycle keeps
    assert float((kept - kept[0]).abs().max()) < 1e-3


def test_training_lets_points_matter() -> None:
    torch.manual_seed(0)
    net, data = build("process", "sines"), family("sines", 300)
    train(net, data, RECIPES["sines"], 600)
    said = judge(net, family("sines", 60, "test"), RECIPES["sines"])
    assert said["10"]["mse"] < 0.8 * said["1"]["mse"]


def test_scores_know_a_calibrated_fan() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(300, 8, 1, generator=generator)
    draws = torch.randn(60, 300, 8, 1, generator=generator)
    fan = Forecast(draws, draws, torch.arange(8.0), torch.tensor(1e-3))
    said = scores(fan, truth, torch.ones(300, 8, dtype=torch.bool))
    assert abs(said["coverage"] - 0.9) < 0.03 and abs(said["mse"] - 1) < 0.15


def test_a_run_stores_what_the_table_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odelab.experiments.neural_processes.run.LECTURE_ITERATIONS", 40)
    key = {"task": "sines", "model": "process"}
    result = run(key, context_in(tmp_path))
    assert not [*unstorable(result)]
    rows = [row(key, **result)]
    table = processes_table(rows=rows, task="sines")
    assert cells(table, "neural process")[0] == f"{result['points']['1']['mse']:.4f}"
    counts, values = curves(rows, "sines", "crps")["neural process"]
    assert values == [[result["points"][str(count)]["crps"] for count in counts]] and CHANNELS["sines"] == 1
