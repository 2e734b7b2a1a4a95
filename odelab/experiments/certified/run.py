"""Certified training in small (after Zeqiri, Müller, Fischer, Vechev 2023): two moons, eight Euler steps, boxes."""

import time
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from odelab.datasets.plane import two_moons
from odelab.experiments.certified.boxes import EulerNet, accuracies
from odelab.experiments.certified.recipe import ATTACK_STEPS, EPSILON, EPSILONS, ITERATIONS, POINTS, TESTED
from odelab.experiments.context import Context
from odelab.experiments.results import Key
from odelab.experiments.robustness.disturbances import pgd


def loss_of(net: EulerNet, x: Tensor, labels: Tensor, training: str, epsilon: float) -> Tensor:
    """The loss of one of the trainings; for boxes half of it is that of the points themselves."""
    if training == "attacked":
        x = pgd(net, x, labels, epsilon, steps=ATTACK_STEPS["training"], rate=epsilon / 2, bounds=False)
    loss = F.cross_entropy(net(x), labels)
    if training != "boxes":
        return loss
    return loss / 2 + F.cross_entropy(net.worst_logits(x, labels, epsilon), labels) / 2


def train(net: EulerNet, x: Tensor, labels: Tensor, training: str, iterations: int) -> None:
    """Adam on all points at once; ε of the boxes grows from 0 to its full size over the first half."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for i in range(iterations):
        epsilon = EPSILON * min(1.0, 2 * i / iterations) if training == "boxes" else EPSILON
        loss = loss_of(net, x, labels, training, epsilon)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def run(key: Key, context: Context) -> dict[str, Any]:
    """Train on 400 points and test on 500 others."""
    begun = time.process_time()
    x, labels = two_moons(POINTS, context.seed)
    net = EulerNet(context.seed)
    train(net, x, labels, key["training"], ITERATIONS[context.budget])
    net.requires_grad_(False)
    test, test_labels = two_moons(TESTED, 1000 + context.seed)
    steps = ATTACK_STEPS["test"]
    attacked = [pgd(net, test, test_labels, epsilon, steps=steps, bounds=False) for epsilon in EPSILONS]
    measured = accuracies(net, test, test_labels, attacked, EPSILONS)
    context.ship(net, f"certified_{key['training']}")
    return {"accuracies": measured, "cpu_seconds": round(time.process_time() - begun, 1)}
