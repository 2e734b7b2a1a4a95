"""A small neural ODE fitted to paths, with the path-wise L1 penalty of Aliee et al. (2021)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from odelab.nets.fields import perceptron

WINDOW = 4  # samples that a prediction spans


def path_weights(net: nn.Module) -> Tensor:
    """|W_L| … |W_1|, (outputs, inputs): for each pair the sum over all paths through the net of products of |weights|.

    With an activation whose slope is at most 1, as tanh's, entry (i, j) bounds |∂f_i/∂z_j| everywhere.
    """
    product: Tensor | None = None
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            product = layer.weight.abs() if product is None else layer.weight.abs() @ product
    if product is None:
        raise ValueError(f"{type(net).__name__} has no linear layer, so it has no paths")
    return product


def runge_kutta_step(field: Callable[[Tensor], Tensor], z: Tensor, h: float) -> Tensor:
    """One classical Runge–Kutta step of an autonomous field."""
    first = field(z)
    second = field(z + h / 2 * first)
    third = field(z + h / 2 * second)
    fourth = field(z + h * third)
    return z + h / 6 * (first + 2 * second + 2 * third + fourth)


def fit_paths(
    net: nn.Module,
    times: Tensor,
    paths: Sequence[Tensor],
    *,
    iterations: int,
    penalty: float = 0.0,
    watch: Callable[[int, float], None] | None = None,
) -> float:
    """Train a field on evenly spaced observations; returns the last loss without the penalty.

    From every sample the next four are predicted by a Runge–Kutta step each. The loss is their mean square error in
    standard deviations of each variable, plus penalty · Σ |W_L| … |W_1|.

    Args:
        times, paths: (n,), and (n, d) for every experiment.
        watch: called with the iteration and the loss, ten times in all.
    """
    step = float(times[1] - times[0])
    starts = torch.cat([path[:-WINDOW] for path in paths])
    ahead = range(1, WINDOW + 1)
    targets = [torch.cat([path[k : len(path) - WINDOW + k] for path in paths]) for k in ahead]
    scale = torch.cat([*paths]).std(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=1e-4)
    value = torch.tensor(0.0)
    for i in range(iterations):
        z = starts
        value = torch.zeros((), dtype=starts.dtype)
        for target in targets:
            z = runge_kutta_step(net, z, step)
            value = value + ((z - target) / scale).square().mean() / WINDOW
        loss = value + penalty * path_weights(net).sum() if penalty else value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if watch and i % max(iterations // 10, 1) == 0:
            watch(i, value.item())
    return value.item()


def small_net(seed: int) -> nn.Sequential:
    """2–20–20–2 with tanh, in double precision."""
    torch.manual_seed(seed)
    return perceptron(2, 2, (20, 20)).double()
