"""What moves in lesson 01: a training, a trained network's flow at any depth and time, train step against test step."""

from collections.abc import Callable, Sequence
from functools import cache

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.kit.live import Live
from odelab.lessons.residual_networks import figures

Field = Callable[[float, Tensor], Tensor]
STARTS = torch.tensor([[0.3, 0.0], [0.0, 1.6], [-0.3, 0.0]])  # for the swirl
DEPTHS = (1, 2, 4, 8, 16, 32, 64)
LINES, POINTS = 21, 641  # of the grid: lines each way, and points on each line


def swirl(t: float | Tensor, z: Tensor) -> Tensor:
    """A velocity in the plane, (batch, 2): turn left, and towards the unit circle."""
    x, y = z.T
    inwards = 1 - x**2 - y**2
    return torch.stack([-2.5 * y + x * inwards, 2.5 * x + y * inwards], 1)


def swirl_arrows() -> tuple[np.ndarray, np.ndarray]:
    """Places on a grid and the swirl's velocity there, (m, 2) each."""
    places = torch.cartesian_prod(torch.linspace(-2, 2, 11), torch.linspace(-2, 2, 11))
    return places.numpy(), swirl(0.0, places).numpy()


@torch.no_grad()
def residual_states(field: Field, z: Tensor, depth: int) -> np.ndarray:
    """All states of z ← z + f(t, z) / depth, from t = 0 to 1: (depth + 1, *z.shape)."""
    states = [z]
    for layer in range(depth):
        states.append(states[-1] + field(layer / depth, states[-1]) / depth)
    return torch.stack(states).numpy()


def watch_training(points: Tensor, labels: Tensor, depth: int, steps: int) -> Live:
    """A picture of a network in training: ``redraw(f, head, losses)`` as often as it should move, then ``rest()``.

    Args:
        points, labels: (n, 2) and (n,) of 0 and 1; every third is drawn.
        depth: the number of layers shown.
        steps: of the optimizer, in all.
    """
    some, reach = slice(None, None, 3), 12.0
    side = torch.linspace(-reach, reach, 13)
    places = torch.cartesian_prod(side, side)

    def update(fig: Figure, field: Field, head: torch.nn.Linear, losses: Sequence[float]) -> None:
        with torch.no_grad():
            velocity = field(0.5, places).numpy()
        boundary = head.weight.detach()[0].numpy(), float(head.bias.detach())
        paths = residual_states(field, points[some], depth)
        figures.update_training(fig, paths, labels[some].numpy(), velocity, boundary, losses)

    return Live(figures.training(places.numpy(), reach, steps), update)


def until(states: np.ndarray, t: float) -> np.ndarray:
    """The path from 0 to t in [0, 1]: the layers passed, and the place on the straight piece between two of them."""
    layers = t * (len(states) - 1)
    passed = int(layers)
    if passed == layers:
        return states[: passed + 1]
    now = states[passed] + (layers - passed) * (states[passed + 1] - states[passed])
    return np.concatenate([states[: passed + 1], now[None]])


def depth_flow(field: Field, head: torch.nn.Linear, points: Tensor, labels: Tensor, depth: int = 16) -> Explorable:
    """Depth and time sliders over a trained network: its velocity, the paths of its points, and its warped grid.

    Args:
        field: f(t, z) for z of shape (batch, 2).
        head: the classifier, Linear(2, 1) of the last state; positive means class 1.
        points, labels: (n, 2) and (n,) of 0 and 1.
        depth: the number of layers shown at first.
    """
    side = torch.linspace(-2.0, 2.0, LINES)
    fine = torch.linspace(-2.0, 2.0, POINTS)
    upright = torch.stack(torch.meshgrid(fine, side, indexing="ij"), -1)  # (points, lines, 2)
    grid = torch.cat([upright, upright.flip(-1)], 1).reshape(-1, 2)
    normal, offset = head.weight.detach()[0].numpy(), float(head.bias.detach())

    @cache
    def states(depth: int) -> tuple[np.ndarray, np.ndarray]:
        both = residual_states(field, torch.cat([points, grid]), depth)
        warped = both[:, len(points) :].reshape(depth + 1, len(fine), 2 * LINES, 2)
        return both[:, : len(points)], warped

    reach = np.abs(states(depth)[0]).max((0, 1)) * 1.12
    limits = (-reach[0], reach[0], -reach[1], reach[1])
    places = np.stack(np.meshgrid(np.linspace(*limits[:2], 17), np.linspace(*limits[2:], 15)), -1).reshape(-1, 2)

    @torch.no_grad()
    def velocity(t: float) -> np.ndarray:
        return field(t, torch.tensor(places, dtype=points.dtype)).numpy()

    def update(fig: Figure, depth: int, t: float) -> str:
        paths, warped = (until(path, t) for path in states(depth))
        title = f"{depth} layer{'s' if depth > 1 else ''}, seen at time t = {t:.2f}"
        figures.update_depth_flow(fig, title, paths, labels.numpy(), warped[-1], velocity(t))
        accuracy = float(((paths[-1] @ normal + offset > 0) == labels.numpy()).mean())
        layer = f"layer {t * depth:g} of {depth}" + ("" if float(t * depth).is_integer() else " (between two layers)")
        return f"{layer}: {100 * accuracy:.1f} % of the points lie on the correct side of the classifier's line."

    for count in DEPTHS:
        states(count)
    controls = {
        "depth": widgets.SelectionSlider(options=DEPTHS, value=depth, description="layers L"),
        "t": widgets.FloatSlider(value=1.0, min=0.0, max=1.0, step=1 / 32, description="time t", readout_format=".2f"),
    }
    fastest = float(np.linalg.norm(velocity(1.0), axis=1).max())
    return Explorable(figures.depth_flow(places, (normal, offset), limits, fastest), update, controls)


def step_matrix(
    accuracy: np.ndarray,
    trained: Sequence[int | str],
    tested: Sequence[int],
    nets: Sequence[tuple[Field, torch.nn.Linear]],
    points: Tensor,
    labels: Tensor,
) -> Explorable:
    """Two sliders over the table of accuracies; beside it where the points of that pair end.

    Args:
        accuracy: (len(trained), len(tested)).
        trained, tested: numbers of layers; a row may also have a name.
        nets: one (field, classifier) per row of the table, as in :func:`depth_flow`.
        points, labels: (n, 2) and (n,).
    """
    run = cache(lambda row, depth: residual_states(nets[row][0], points, depth)[-1])

    def own_depth(row: int | str) -> int:
        return row if isinstance(row, int) else max(n for n in trained if isinstance(n, int))

    def outcome(train: int | str, test: int) -> np.ndarray:
        """Outputs in units of the size they have at the depth of training, turned to the classifier's line."""
        row, head = trained.index(train), nets[trained.index(train)][1]
        normal, offset = head.weight.detach()[0].numpy(), float(head.bias.detach())
        normal, offset = normal / np.linalg.norm(normal), offset / float(np.linalg.norm(normal))
        axes = np.stack([normal, [-normal[1], normal[0]]], 1)
        usual, outputs = (run(row, depth) @ axes + [offset, 0] for depth in (own_depth(train), test))
        return (outputs - [0, usual[:, 1].mean()]) / np.abs(usual).max(0)

    def update(fig: Figure, train: int | str, test: int) -> str:
        row, column, outputs = trained.index(train), tested.index(test), outcome(train, test)
        figures.update_step_matrix(fig, row, column, outputs, labels.numpy())
        correct = float(((outputs[:, 0] > 0) == labels.numpy()).mean())
        return (
            f"trained with {train} layers, run with {test}: {100 * accuracy[row, column]:.1f} % on average over the "
            f"seeds. Of the {len(labels)} points shown, the first network has {100 * correct:.1f} % correct."
        )

    for row in range(len(trained)):
        for depth in tested:
            run(row, depth)
    controls = {
        "train": widgets.SelectionSlider(options=trained, value=trained[1], description="layers when trained"),
        "test": widgets.SelectionSlider(options=tested, value=tested[-2], description="layers when tested"),
    }
    return Explorable(figures.step_matrix(accuracy, trained, tested), update, controls)
