"""Several processes share one recipe's batch, and the first of them writes; some experiments run alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from odelab.datasets import Mocap, Sequences
from odelab.experiments import flow_training, video
from odelab.experiments.bouncing_balls.run import train_balls
from odelab.experiments.context import Context
from odelab.experiments.ffjord_digits import run as digits
from odelab.experiments.ffjord_mnist import run as ffjord_mnist
from odelab.experiments.ffjord_toy import run as ffjord
from odelab.experiments.latent_spirals import run as latent_spirals
from odelab.experiments.mnist import run as mnist
from odelab.experiments.mocap import training as mocap_training
from odelab.experiments.mocap.checkpoints import save_walker
from odelab.experiments.mocap.recipe import WalkerRecipe
from odelab.experiments.mocap.training import clock, train_as_asked, walker
from odelab.experiments.recipe import VideoRecipe
from odelab.experiments.reproduce import chosen_device, experiment, reproduce
from odelab.experiments.results import load_rows
from odelab.experiments.rnode import run as rnode
from odelab.flows import dequantize

TINY = WalkerRecipe(iterations=4, first=10, longest=12, hidden=(5, 5))
VIDEO = VideoRecipe(q=3, hidden=8, filters=2, frames=3, iterations=4, batch=4, lr=1e-3)


@dataclass(frozen=True)
class Place:
    """What a run reads of a Fabric: which process of how many it is."""

    global_rank: int = 0
    world_size: int = 1
    device: str = "cpu"


class Reached(Exception):
    """A run has come to its training, with these batches."""

    def __init__(self, batches: Callable[[int], Any]) -> None:
        super().__init__()
        self.batches = batches


def reached(model: nn.Module, loss: Callable, batches: Callable[[int], Any], **settings: Any) -> None:
    raise Reached(batches)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Batch 3 of a run by one process of several; what would be drawn at random beside rows of the data is fixed."""
    for module in (flow_training, latent_spirals, mnist, mocap_training, video):
        monkeypatch.setattr(module, "fit", reached)

    def without_noise(x: Tensor, levels: int, generator: torch.Generator | None = None) -> Tensor:
        return dequantize(x, levels, generator) if generator else (x.float() + 0.5) / levels

    for module in (digits, ffjord_mnist):
        monkeypatch.setattr(module, "dequantize", without_noise)
    monkeypatch.setattr(mocap_training, "played", lambda x, *rest: x)

    def draw(run: Callable[[Context], Any], rank: int = 0, world: int = 1) -> Tensor:
        place = Place(rank, world)
        context = Context(0, "lecture", tmp_path, tmp_path, False, False, lambda precision="32-true": place)
        with pytest.raises(Reached) as caught:
            run(context)
        batch = caught.value.batches(3)
        batch = batch[0] if isinstance(batch, tuple) else batch
        return batch if isinstance(batch, Tensor) else batch.x

    return draw


def walks(n: int) -> Tensor:
    return torch.randn(n, 20, 50, generator=torch.Generator().manual_seed(0))


RUNS: dict[str, Callable[[Context], Any]] = {
    "digits": lambda context: digits.run({"model": "nice"}, context),
    "rnode": lambda context: rnode.run_coarse({"steps": 2, "data": "digits", "penalty": "none"}, context),
    "ffjord-mnist": lambda context: ffjord_mnist.run({"flow": "rnode"}, context),
    "ffjord-mnist-14": lambda context: ffjord_mnist.run_small({"flow": "rnode"}, context),
    "spirals": lambda context: latent_spirals.run({"model": "rnn", "kept": 30}, context),
    "mnist": lambda context: mnist.run({"body": "mlp"}, context),
    "balls": lambda context: train_balls({"size": 16, "balls": 1, "model": "rnn-vae"}, VIDEO, context),
    "walks": lambda context: train_as_asked(walker(TINY), walks(16), walks(2), TINY, context),
}


@pytest.mark.filterwarnings("ignore:.*MNIST.*")
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_draw_the_batch_of_one(name: str, drawn: Callable[..., Any]) -> None:
    whole = drawn(RUNS[name])
    parts = [drawn(RUNS[name], rank, 2) for rank in range(2)]
    assert len(parts[0]) == len(parts[1]) == len(whole) / 2
    together, alone = (rows.reshape(len(whole), -1).tolist() for rows in (torch.cat(parts), whole))
    assert sorted(together) == sorted(alone)


@pytest.mark.parametrize(
    ("run", "key"),
    [
        (ffjord.run, {"density": "8gaussians"}),
        (ffjord.run_coupling, {"density": "8gaussians"}),
        (rnode.run, {"data": "8gaussians", "penalty": "none"}),
    ],
    ids=["ffjord", "coupling", "rnode"],
)
def test_fresh_points_are_as_many_together_as_one_process_has(
    run: Callable[..., Any], key: dict[str, str], drawn: Callable[..., Any]
) -> None:
    assert [len(drawn(lambda context: run(key, context), 0, world)) for world in (1, 2, 4)] == [512, 256, 128]
    with pytest.raises(ValueError, match="batch = 512 does not divide among 3 processes"):
        drawn(lambda context: run(key, context), 0, 3)


def test_walks_that_do_not_divide_are_refused(drawn: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="batch = 19 does not divide among 2 processes"):
        drawn(lambda context: train_as_asked(walker(TINY), walks(19), walks(2), TINY, context), 0, 2)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_first_process_writes_the_weights_whole(rank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", rank)
    context = Context(0, "full", tmp_path, tmp_path / "weights", False, False, lambda: Place())
    context.ship(nn.Linear(2, 1), "line")
    part = Sequences(walks(3), clock(20), torch.ones(3, 20, dtype=torch.bool), "noise")
    data = Mocap(part, part, part, torch.zeros(9, 50), torch.zeros(9, 3), "noise", True)
    save_walker(walker(TINY), data, context.weights, "walker")
    names = {"line.safetensors", "walker.safetensors", "mocap_pose.safetensors"}
    assert {file.name for file in context.weights.glob("*")} == (names if rank == "0" else set())
    assert context.ships == (rank == "0")
    assert not replace(context, seed=1).ships and not replace(context, budget="lecture").ships


def test_planar_flows_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planar, toy = experiment("planar"), experiment("ffjord-toy")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert chosen_device(planar, "auto") == chosen_device(planar, "cpu:0") == "cpu"
    assert chosen_device(toy, "auto") == "cuda"
    with pytest.raises(ValueError, match="planar runs on a CPU, not on cuda:0; leave --device away"):
        reproduce("planar", device="cuda:0", out=tmp_path / "x" / "planar.json")
    with pytest.raises(ValueError, match="device 'tpu' is not there"):
        chosen_device(planar, "tpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="planar runs in one process; start it without torchrun"):
        reproduce("planar", out=tmp_path / "x" / "planar.json")
    assert chosen_device(toy, "cpu") == "cpu" and not (tmp_path / "x").exists()


def test_a_process_that_does_not_write_leaves_nothing(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    reproduce("fake", budget="full", device="cpu", out=fake.path, progress=False)
    assert len(fake.done) == 4 and not load_rows(fake.path)
    assert not [file for file in fake.path.parent.rglob("*") if file.suffix != ".safetensors" and file.is_file()]
