"""What the ODE-Nets' lesson measures on its networks: mistakes, their differences, a solver's bill, the dial."""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import torch
from scipy.stats import ttest_ind
from torch import Tensor

from odelab.datasets import data_file
from odelab.experiments.comparison import LEVEL, compare
from odelab.extras import extra
from odelab.lessons.ode_nets.figures import Dial, Difference
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


def less(errors: Mapping[str, Sequence[float]], reference: str) -> dict[str, Difference]:
    """Name -> mean error less that of the reference; of rows with two seeds.

    Half of Welch's 95 % interval goes with it, for this pair alone, and whether Welch's test tells the two apart once
    it is corrected after Holm for all pairs of `errors`.
    """
    known = {name: values for name, values in errors.items() if len(values) > 1}
    tests = compare({pair: (known[pair[0]], known[pair[1]]) for pair in combinations(known, 2)})
    rows = {}
    for name in known:
        if name != reference and reference in known:
            test = tests.get((name, reference)) or tests[reference, name]
            interval = ttest_ind(known[name], known[reference], equal_var=False).confidence_interval(1 - LEVEL)
            middle = (interval.low + interval.high) / 2
            rows[name] = Difference(middle, (interval.high - interval.low) / 2, test.lower != 0)
    return rows


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
