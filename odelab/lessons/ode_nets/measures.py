"""What the ODE-Nets' lesson measures on its small networks: mistakes, the dial of the tolerance."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from odelab.nets import Classifier

TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def with_solver(
    net: Classifier, method: str = "dopri5", steps: int | None = None, tolerance: float = 1e-3
) -> Classifier:
    """The same network, its block solved otherwise from now on; a network without a block stays as it is."""
    if net.block:
        vars(net.block).update(method=method, steps=steps, rtol=tolerance, atol=tolerance)
    return net


@torch.no_grad()
def mistakes(net: Classifier, images: Tensor, labels: Tensor) -> Tensor:
    """Image by image, whether the answer is wrong: (n,), bool."""
    return net(images).argmax(1) != labels


@torch.no_grad()
def measure_dial(
    net: Classifier, images: Tensor, labels: Tensor, tolerances: Sequence[float] = TOLERANCES
) -> dict[float, dict[str, Any]]:
    """tolerance -> NFE, test error in percent, mean distance of the logits to those at 1e-7, and CPU seconds."""
    reference, dial = with_solver(net, tolerance=1e-7)(images), {}
    for tolerance in tolerances:
        begun = time.process_time()
        logits = with_solver(net, tolerance=tolerance)(images)
        seconds = time.process_time() - begun
        error = 100 * (logits.argmax(1) != labels).double().mean().item()
        gap = (logits - reference).abs().mean().item()
        dial[tolerance] = {"nfe": net.block.nfe if net.block else 0, "error": error, "gap": gap, "seconds": seconds}
    with_solver(net)
    return dial


def errors_under_noise(nets: Iterable[Classifier], images: Tensor, labels: Tensor, levels: Sequence[float]) -> Tensor:
    """Test error in percent under Gaussian noise of these standard deviations, (nets, levels); one noise for all."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    rates = [[mistakes(net, images + sigma * noise, labels).double().mean() for sigma in levels] for net in nets]
    return 100 * torch.tensor(rates)
