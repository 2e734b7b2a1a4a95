"""Boxes that hold every state a solver can reach from a box of inputs (Gowal et al. 2018; Zeqiri et al. 2023).

A box is a pair (middle, radius) of tensors (…, d): all z with |z − middle| ≤ radius, entry by entry. Boxes are computed
in floating point, so they hold up to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Box = tuple[Tensor, Tensor]


def affine_box(box: Box, weight: Tensor, bias: Tensor) -> Box:
    """The smallest box around W z + b for z in the box: the middle goes along, the radius becomes |W| r."""
    middle, radius = box
    return middle @ weight.T + bias, radius @ weight.abs().T


def monotone_box(box: Box, function: nn.Module) -> Box:
    """The smallest box around an increasing function, entry by entry."""
    middle, radius = box
    low, high = function(middle - radius), function(middle + radius)
    return (low + high) / 2, (high - low) / 2


def net_box(net: nn.Module, box: Box) -> Box:
    """A box around the outputs of linear layers and increasing activations in a row, layer by layer.

    Raises:
        TypeError: for a layer that is neither linear nor known to increase.
    """
    for layer in net.children():
        if isinstance(layer, nn.Linear):
            box = affine_box(box, layer.weight, layer.bias)
        elif isinstance(layer, (nn.Tanh, nn.ReLU, nn.Sigmoid)):
            box = monotone_box(box, layer)
        else:
            raise TypeError(
                f"no box is known for a layer {type(layer).__name__}; there are Linear, Tanh, ReLU, Sigmoid"
            )
    return box


def added(box: Box, other: Box, factor: float) -> Box:
    """A box around z + factor · w, for z and w that are not known to move together."""
    return box[0] + factor * other[0], box[1] + abs(factor) * other[1]


def hull(box: Box, other: Box) -> Box:
    """The smallest box around two."""
    low = torch.minimum(box[0] - box[1], other[0] - other[1])
    high = torch.maximum(box[0] + box[1], other[0] + other[1])
    return (low + high) / 2, (high - low) / 2


class EulerNet(nn.Module):
    """Points (…, 2) -> logits (…, 2): Euler steps of dz/dt = field(z) from 0 to 1, then a linear head."""

    def __init__(self, seed: int, hidden: int = 24, steps: int = 8) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.field = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 2))
        self.head = nn.Sequential(nn.Linear(2, 2))
        self.steps = steps

    def forward(self, z: Tensor) -> Tensor:
        for _ in range(self.steps):
            z = z + self.field(z) / self.steps
        logits: Tensor = self.head(z)
        return logits

    def boxes(self, box: Box) -> list[Box]:
        """The box of states after each step, the given one first."""
        boxes = [box]
        for _ in range(self.steps):
            boxes.append(added(boxes[-1], net_box(self.field, boxes[-1]), 1 / self.steps))
        return boxes

    def worst_logits(self, x: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        """Logits (n, 2) that no input within ε of x (n, 2) can make worse: the label's least, the others' greatest."""
        middle, radius = net_box(self.head, self.boxes((x, torch.full_like(x, epsilon)))[-1])
        own = nn.functional.one_hot(labels, middle.shape[-1]).to(middle.dtype)
        return middle + radius * (1 - 2 * own)

    def certified(self, x: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        """Point by point, whether the boxes prove that no input within ε is answered otherwise: (n,), bool."""
        with torch.no_grad():
            return self.worst_logits(x, labels, epsilon).argmax(-1) == labels


# An adaptive solver whose steps come from a finite set, on points and on boxes


SIZES = (1 / 4, 1 / 8, 1 / 16, 1 / 32)  # a step that is rejected is halved, one that was easy is doubled


def heun(field: nn.Module, z: Tensor, h: float) -> tuple[Tensor, Tensor]:
    """Heun's step, and the largest entry (…) of its difference from Euler's: the error estimate."""
    first = field(z)
    second = field(z + h * first)
    return z + h / 2 * (first + second), h / 2 * (second - first).abs().amax(-1)


def adaptive_path(field: nn.Module, z: Tensor, tolerance: float) -> list[tuple[float, Tensor]]:
    """Times and states of one point (2,) from 0 to 1, with steps from `SIZES`."""
    t, size, path = 0.0, 0, [(0.0, z)]
    while t < 1:
        size = fitting(t, size)
        ahead, error = heun(field, z, SIZES[size])
        if error > tolerance and size < len(SIZES) - 1:
            size += 1
            continue
        z, t = ahead, t + SIZES[size]
        path.append((t, z))
        if error < tolerance / 8 and size > 0:
            size -= 1
    return path


def fitting(t: float, size: int) -> int:
    """The first size from this one on that divides the time and does not pass the end, so that times stay on a grid."""
    while (t / SIZES[size]) % 1 or t + SIZES[size] > 1:
        size += 1
    return size


def heun_box(field: nn.Module, box: Box, h: float) -> tuple[Box, Tensor, Tensor]:
    """A box around Heun's step, and bounds (…) of its error estimate."""
    first = net_box(field, box)
    second = net_box(field, added(box, first, h))
    step = added(added(box, first, h / 2), second, h / 2)
    middle, radius = added(second, first, -1.0)
    high = h / 2 * (middle.abs() + radius).amax(-1)
    low = h / 2 * (middle.abs() - radius).clamp(min=0).amax(-1)
    return step, low, high


@dataclass(frozen=True)
class Trajectories:
    """All decisions that an adaptive solver can take on a box.

    Attributes:
        boxes: time -> a box around all states there.
        nodes: pairs of time and step size that can occur; paths: ways through them from 0 to 1.
    """

    boxes: dict[float, Box]
    nodes: int
    paths: int


def trajectory_graph(field: nn.Module, box: Box, tolerance: float) -> Trajectories:
    """Follow a box through the adaptive solver; what meets at the same time with the same step size is merged.

    The step sizes are a finite set, so the pairs of time and step size are one, too, however many paths there are.
    """
    waiting: dict[tuple[float, int], tuple[Box, int]] = {(0.0, 0): (box, 1)}
    boxes, nodes, paths = {0.0: box}, 0, 0

    def arrive(t: float, size: int, new: Box, ways: int) -> None:
        old = waiting.get((t, size))
        waiting[t, size] = (new, ways) if old is None else (hull(old[0], new), old[1] + ways)

    while waiting:
        t, size = min(waiting)  # the earliest time, and there the largest step: what leads to a node comes before it
        here, ways = waiting.pop((t, size))
        boxes[t] = here if t not in boxes else hull(boxes[t], here)
        if t >= 1:
            paths += ways
            continue
        allowed = fitting(t, size)
        if allowed != size:
            arrive(t, allowed, here, ways)
            continue
        nodes += 1
        step, low, high = heun_box(field, here, SIZES[size])
        smallest = size == len(SIZES) - 1
        if bool(high > tolerance) and not smallest:
            arrive(t, size + 1, here, ways)
        if bool(low <= tolerance) or smallest:
            if bool(high >= tolerance / 8) or size == 0:
                arrive(t + SIZES[size], size, step, ways)
            if bool(low < tolerance / 8) and size > 0:
                arrive(t + SIZES[size], size - 1, step, ways)
    return Trajectories(boxes, nodes, paths)


def naive_adaptive(field: nn.Module, box: Box, tolerance: float, most: int = 40) -> list[tuple[float, float, Box]]:
    """The usual controller, h ← h · 0.9 √(tolerance / error), with intervals in place of all numbers.

    Returns earliest and latest time and the box after each step, until the earliest time is 1, the box is wider than
    10⁶, or there were `most` steps.
    """
    early = late = 0.0
    low_step = high_step = SIZES[1]
    path = [(early, late, box)]
    while early < 1 and len(path) <= most and float(box[1].max()) < 1e6:
        middle_step, spread = (low_step + high_step) / 2, (high_step - low_step) / 2
        first = net_box(field, box)
        second = net_box(
            field, added(added(box, first, middle_step), (torch.zeros_like(box[0]), magnitude(first)), spread)
        )
        mean = added((first[0] / 2, first[1] / 2), second, 0.5)
        difference = added(second, first, -1.0)
        high = high_step / 2 * float((difference[0].abs() + difference[1]).max())
        low = low_step / 2 * float((difference[0].abs() - difference[1]).clamp(min=0).max())
        box = added(added(box, mean, middle_step), (torch.zeros_like(box[0]), magnitude(mean)), spread)
        early, late = early + low_step, late + high_step
        low_step, high_step = (
            h * min(max(0.9 * (tolerance / max(error, 1e-12)) ** 0.5, 0.2), 5.0)
            for h, error in ((low_step, high), (high_step, low))
        )
        path.append((early, late, box))
    return path


def magnitude(box: Box) -> Tensor:
    """The largest absolute value of each entry."""
    return box[0].abs() + box[1]


def accuracies(
    net: EulerNet, x: Tensor, labels: Tensor, attacked: Sequence[Tensor], epsilons: Sequence[float]
) -> list[dict[str, float]]:
    """For each ε the shares in percent of points with a right answer, that withstand the attack, and are certified.

    Args:
        attacked: for each ε what the attack has made of x.
    """
    measured = []
    with torch.no_grad():
        clean = net(x).argmax(-1) == labels
        for epsilon, moved in zip(epsilons, attacked, strict=True):
            withstood = clean & (net(moved).argmax(-1) == labels)
            proved = net.certified(x, labels, epsilon)
            shares = {"clean": clean, "attacked": withstood, "certified": proved}
            measured.append({"epsilon": epsilon} | {k: 100 * v.double().mean().item() for k, v in shares.items()})
    return measured
