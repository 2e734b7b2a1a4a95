"""What the ODE-Nets' lesson measures on its networks: mistakes, their differences, a solver's bill, the dial."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor

from odelab.datasets import data_file
from odelab.experiments.comparison import standard_error
from odelab.extras import extra
from odelab.lessons.ode_nets.figures import Dial
from odelab.nets import Classifier, classifier

TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def stored_net(body: str = "ode-net") -> Classifier:
    """The network of a stored full run, seed 0 (64 channels, features of 3×3), ready to be tested by dopri5."""
    with extra("train"):
        from safetensors.torch import load_file
    net = classifier(body, stem="strided")
    net.load_state_dict(load_file(data_file(f"checkpoints/mnist_{body}.safetensors")))
    return with_solver(net.eval().requires_grad_(False))


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


def error_of(net: Classifier, images: Tensor, labels: Tensor) -> float:
    """Test error in percent."""
    return 100 * mistakes(net, images, labels).double().mean().item()


def less(errors: Mapping[str, Sequence[float]], reference: str) -> dict[str, tuple[float, float]]:
    """Name -> mean error less that of the reference, and its standard error over seeds; of rows with two seeds."""
    scatter = {name: error for name, values in errors.items() if (error := standard_error(values)) is not None}
    if reference not in scatter:
        return {}
    return {
        name: (fmean(errors[name]) - fmean(errors[reference]), math.hypot(error, scatter[reference]))
        for name, error in scatter.items()
        if name != reference
    }


@torch.no_grad()
def measure_dial(net: Classifier, images: Tensor, labels: Tensor, tolerances: Sequence[float] = TOLERANCES) -> Dial:
    """The network under dopri5 at these tolerances, held against itself at 1e-7."""
    exact = with_solver(net, tolerance=1e-7)(images)
    best, second = exact.topk(2).values.unbind(1)
    off, flipped, measured = {}, {}, {}
    for tolerance in tolerances:
        begun = time.process_time()
        logits = with_solver(net, tolerance=tolerance)(images)
        seconds = time.process_time() - begun
        gaps = (logits - exact).abs()
        off[tolerance] = gaps.amax(1).numpy()
        flipped[tolerance] = (logits.argmax(1) != exact.argmax(1)).numpy()
        error = 100 * (logits.argmax(1) != labels).double().mean().item()
        nfe = net.block.nfe if net.block else 0
        measured[tolerance] = {"nfe": nfe, "gap": gaps.mean().item(), "error": error, "seconds": seconds}
    with_solver(net)
    return Dial((best - second).numpy(), off, flipped, measured)


def errors_under_noise(nets: Iterable[Classifier], images: Tensor, labels: Tensor, levels: Sequence[float]) -> Tensor:
    """Test error in percent under Gaussian noise of these standard deviations, (nets, levels); one noise for all."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    return torch.tensor([[error_of(net, images + sigma * noise, labels) for sigma in levels] for net in nets])
