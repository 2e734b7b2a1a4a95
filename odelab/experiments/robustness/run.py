"""Robustness of ODE-Nets against that of a CNN with the same convolutions (after Yan, Du, Tan, Feng 2020).

The CNN's residual block is z + g(z), one Euler step of size 1. The time-invariant ODE-Net solves dz/dt = g(z) with the
same g instead, so that both have the same parameters. All arms are trained alike, on clean images; the test images are
read once, and disturbed in the same way for all arms.
"""

import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from odelab.datasets import mnist
from odelab.experiments.context import Context
from odelab.experiments.mnist.run import BATCH, sgd, solved_by
from odelab.experiments.results import Key
from odelab.experiments.robustness.disturbances import blurred, noisy, pgd, rotated
from odelab.experiments.robustness.recipe import (
    ATTACKERS,
    CHANNELS,
    EPSILON,
    GROUPS,
    LEVELS,
    OWN,
    PGD_STEPS,
    SIZES,
    SOLVERS,
    STEADY,
)
from odelab.nets import Classifier, classifier
from odelab.nets.classifiers import ResidualBlock
from odelab.training import Epochs, fit, one_cycle


class Branch(nn.Module):
    """g of a residual block z + g(z), as a vector field that knows no time."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        change: Tensor = self.block(z) - z
        return change


class Standardized(nn.Module):
    """Grey levels in [0, 1] -> the net's logits: disturbances are measured in grey levels."""

    def __init__(self, net: Classifier) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net((images - 0.1307) / 0.3081)
        return logits


def build(arm: str, seed: int) -> Standardized:
    """An untrained net."""
    torch.manual_seed(seed)
    if arm == "cnn":
        return Standardized(classifier("one-block", stem="strided", channels=CHANNELS, groups=GROUPS))
    net = classifier("rk-net", stem="strided", channels=CHANNELS, groups=GROUPS, **OWN)
    if arm != "ode-net":
        net.body.field = Branch(ResidualBlock(CHANNELS, GROUPS))
    return Standardized(net)


def steady_state(net: Classifier, features: Tensor) -> tuple[Tensor, Tensor]:
    """z(1), and the mean over entries of ∫ |f(z(t))| dt from t = 1 to 2, by the trapezoid rule (Yan et al. 2020).

    Args:
        features: z(0), (n, channels, h, w).
    """
    block = net.block
    assert block is not None
    times = torch.tensor([0.0, 1.0, 1.5, 2.0])
    states = block.trajectory(features, times)
    speeds = torch.stack([block.field(t, z).abs().mean() for t, z in zip(times[1:], states[1:], strict=True)])
    return states[1], torch.trapezoid(speeds, times[1:])


def loss_of(model: Standardized, arm: str, images: Tensor, labels: Tensor) -> Tensor:
    if arm != "tisode":
        return F.cross_entropy(model(images), labels)
    net = model.net
    end, steady = steady_state(net, net.stem((images - 0.1307) / 0.3081))
    return F.cross_entropy(net.head(end), labels) + STEADY * steady


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of right answers, in percent."""
    with torch.no_grad():
        answers = torch.cat([model(part).argmax(1) for part in images.split(250)])
    return 100 * (answers == labels).double().mean().item()


def attack(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    parts = zip(images.split(250), labels.split(250), strict=True)
    return torch.cat([pgd(model, x, y, epsilon, steps=PGD_STEPS) for x, y in parts])


def curves(model: nn.Module, images: Tensor, labels: Tensor, attacked: int) -> dict[str, list[float]]:
    """Disturbance -> accuracy in percent at each of its levels."""
    few, few_labels = images[:attacked], labels[:attacked]
    generator = torch.Generator()
    return {
        "noise": [accuracy(model, noisy(images, s, generator.manual_seed(7)), labels) for s in LEVELS["noise"]],
        "blur": [accuracy(model, blurred(images, s), labels) for s in LEVELS["blur"]],
        "rotation": [accuracy(model, rotated(images, degrees), labels) for degrees in LEVELS["rotation"]],
        "PGD": [accuracy(model, attack(model, few, few_labels, e), few_labels) for e in LEVELS["PGD"]],
    }


def other_solvers(model: Standardized, images: Tensor, labels: Tensor, attacked: int) -> list[dict[str, Any]]:
    """Accuracy on clean, noisy and attacked images with other solvers; the attack is made through the own one."""
    few, few_labels = images[:attacked], labels[:attacked]
    against_own = attack(model, few, few_labels, EPSILON)
    noise = noisy(images, 0.3, torch.Generator().manual_seed(7))
    measured = []
    for name, settings in SOLVERS.items():
        with solved_by(model.net.block, **settings) as block:
            row: dict[str, Any] = {"solver": name, "clean": accuracy(model, images, labels), "nfe": block.nfe}
            row["noise"] = accuracy(model, noise, labels)
            row["attack through own"] = accuracy(model, against_own, few_labels)
        measured.append(row)
    return measured


def masking(model: Standardized, images: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """Attacks through adaptive solvers and through the own one, each tested by the adaptive solver."""
    against_own = attack(model, images, labels, EPSILON)
    measured = []
    for name, settings in ATTACKERS.items():
        with solved_by(model.net.block, **settings):
            through_itself = attack(model, images, labels, EPSILON)
            row: dict[str, Any] = {"attacker": name, "clean": accuracy(model, images, labels)}
            row["through itself"] = accuracy(model, through_itself, labels)
            row["through own"] = accuracy(model, against_own, labels)
        measured.append(row)
    return measured


def run(key: Key, context: Context) -> dict[str, Any]:
    """Train one arm and disturb its test images."""
    arm, size = key["arm"], SIZES[context.budget]
    data = mnist("train")
    train = data.subset(min(size["images"], len(data)), seed=context.seed)
    x, y = train.scaled(), train.y
    model = build(arm, context.seed)
    epochs = Epochs(len(x), BATCH, context.seed)
    begun = time.process_time()
    history = fit(
        model,
        lambda model, index: loss_of(model, arm, x[index], y[index]),
        epochs,
        steps=size["epochs"] * epochs.steps,
        optimizer=sgd,
        schedule=one_cycle(),
        **context.fitting(),
    )
    trained = time.process_time() - begun
    model.cpu().eval().requires_grad_(False)
    test = mnist("test")
    test = test.subset(min(size["tested"], len(test)), seed=0)
    images, labels = test.scaled(), test.y
    attacked = size["attacked"]
    measured: dict[str, Any] = {
        "parameters": model.net.parameter_count,
        "data": data.source,
        "images": len(x),
        "last_loss": history.loss[-1],
        "curves": curves(model, images, labels, attacked),
    }
    if model.net.block:
        with torch.no_grad():
            features = model.net.stem((images - 0.1307) / 0.3081)
            measured["steady"] = steady_state(model.net, features)[1].item()
        measured["solvers"] = other_solvers(model, images, labels, attacked)
        measured["masking"] = masking(model, images[:250], labels[:250])
    context.ship(model, f"robustness_{arm}")
    spent = {"cpu_seconds_training": round(trained, 1), "cpu_seconds": round(time.process_time() - begun, 1)}
    return measured | spent
