"""What moves in lesson 11: an intervention, a map of when the right equation is found, boxes along a flow."""

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.experiments.certified.boxes import EulerNet
from odelab.experiments.identification.recipe import GRID_NOISE, GRID_SAMPLES, GRID_STARTS
from odelab.experiments.identification.sindy import discover, scored
from odelab.experiments.identification.systems import (
    DECAY,
    LOSS,
    SYSTEMS,
    Change,
    Field,
    held,
    observe,
    simulate,
    stock,
    unchanged,
)
from odelab.experiments.identification.table import shares_by_samples
from odelab.experiments.results import Row
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.kit.export import Twin
from odelab.lessons.robust import figures
from odelab.solvers import SolverError

FREE = "as observed"
SUPPLIES = (FREE, 0.25, 0.5, 1.0, 1.15, 1.5, 2.0)  # at 2/√3 the wrong slope is zero, so 1.15 misleads by chance
TIMES = torch.linspace(0.0, 6.0, 61, dtype=torch.float64)


def wrong_stock(z: Tensor) -> Tensor:
    """Slopes of (Q, S) that agree with `stock` along its path from (2, 0), and nowhere else but by chance."""
    supply = z[..., 0]
    return torch.stack([-DECAY * supply, -supply / 2 + 3 / 8 * supply**3], -1)


def intervene() -> Explorable:
    """Sliders for a supply that is held and for another first stock; two equations that fit the same experiment."""
    fields: dict[str, Field] = {"dS/dt = Q − 1.5 S": stock, "dS/dt = −Q/2 + 3Q³/8": wrong_stock}
    start = SYSTEMS["stock"].starts[0]
    observed = {name: simulate(field, start, TIMES)[:, 1].numpy() for name, field in fields.items()}
    samples = simulate(stock, start, TIMES)[:, 1].numpy()

    def update(fig: Figure, supply: str | float, level: float) -> str:
        first = start[0] if supply == FREE else float(supply)
        change: Change = unchanged if supply == FREE else held(0)
        paths = [simulate(field, (first, level), TIMES, change)[:, 1].numpy() for field in fields.values()]
        figures.update_intervention(fig, TIMES.numpy(), paths, paths[0])
        what = "Q falls as it did" if supply == FREE else f"Q is held at {supply:g}"
        return (
            f"{what}, and S starts at {level:g}. After {TIMES[-1]:g} units of time S is {paths[0][-1]:.2f} "
            f"(λ = {LOSS:g}); the wrong equation says {paths[1][-1]:.2f}."
        )

    controls = {
        "supply": widgets.SelectionSlider(options=[(str(s), s) for s in SUPPLIES], value=FREE, description="supply Q"),
        "level": widgets.FloatSlider(value=0.0, min=0.0, max=2.0, step=0.25, description="stock S at the start"),
    }
    return Explorable(figures.intervention(TIMES.numpy(), samples, observed), update, controls)


def share_of_right(rows: Sequence[Row], system: str, starts: int) -> np.ndarray:
    """How often SINDy named the right terms in the stored draws: (samples, noise)."""
    runs = [row for row in rows if row.key == {"system": system, "starts": starts}]
    shares = shares_by_samples(runs)
    return np.array([[shares[count][noise] for noise in GRID_NOISE] for count in GRID_SAMPLES])


def when_right(rows: Sequence[Row]) -> Explorable:
    """Choose a system, experiments, samples and noise: one draw is identified here, the map tells of all stored draws.

    Args:
        rows: of the experiment `identification-grid`.
    """

    def update(fig: Figure, system: str, starts: int, samples: int, noise: float) -> str:
        what = SYSTEMS[system]
        times, paths = observe(what, samples, noise, 0, starts)
        equations = discover(what, times, paths)
        shares = share_of_right(rows, system, starts)
        cell = (GRID_SAMPLES.index(samples), GRID_NOISE.index(noise))
        ahead = torch.linspace(0.0, what.end, 121, dtype=torch.float64)
        truth = simulate(what.field, what.elsewhere.start, ahead)
        try:
            predicted = simulate(equations, what.elsewhere.start, ahead)
        except SolverError as error:  # the path until the model runs away
            predicted = error.states if isinstance(error.states, Tensor) else truth[:1]
        cloud = torch.cat(paths)
        both = torch.cat([cloud, truth])
        margin = 0.1 * (both.amax(0) - both.amin(0))
        limits = list(zip((both.amin(0) - margin).tolist(), (both.amax(0) + margin).tolist(), strict=True))
        figures.update_when_right(fig, shares, cell, cloud, truth, predicted, what.variables, (limits[0], limits[1]))
        verdict = "the right terms" if scored(equations, what) else "not the right terms"
        return f"This draw: {verdict}.\n{equations}\nOf the stored draws {shares[cell]:.0%} have the right terms."

    controls = {
        "system": widgets.Dropdown(options=list(SYSTEMS), value="stock", description="system"),
        "starts": widgets.SelectionSlider(options=GRID_STARTS, value=1, description="experiments"),
        "samples": widgets.SelectionSlider(options=GRID_SAMPLES, value=121, description="samples of each"),
        "noise": widgets.SelectionSlider(
            options=[(f"{100 * noise:g} %", noise) for noise in GRID_NOISE], value=0.01, description="noise"
        ),
    }
    return Explorable(figures.when_right(GRID_SAMPLES, GRID_NOISE), update, controls)


def flow_boxes(nets: Mapping[str, EulerNet], points: Tensor, labels: Tensor) -> Explorable:
    """Choose a net, one of the first ten points and ε: the box around the point goes through the flow.

    Args:
        points: (n, 2); labels: (n,).
    """
    generator = torch.Generator().manual_seed(0)
    inside = 2 * torch.rand(200, 2, generator=generator, dtype=points.dtype) - 1

    @torch.no_grad()
    def update(fig: Figure, training: str, point: int, epsilon: float) -> str:
        net = nets[training]
        x, label = points[point], labels[point : point + 1]
        boxes = net.boxes((x, torch.full_like(x, epsilon)))
        z = x + epsilon * inside
        paths = [z]
        for _ in range(net.steps):
            paths.append(paths[-1] + net.field(paths[-1]) / net.steps)
        middles, radii = torch.stack([box[0] for box in boxes]), torch.stack([box[1] for box in boxes])
        head = net.head[0]
        assert isinstance(head, torch.nn.Linear)
        boundary = (head.weight[1] - head.weight[0]).numpy(), float(head.bias[1] - head.bias[0])
        lows, highs = middles - radii, middles + radii
        lowest = torch.cat([points, lows]).amin(0).clamp(min=-6) - 0.3
        highest = torch.cat([points, highs]).amax(0).clamp(max=6) + 0.3
        figures.update_flow_boxes(fig, lows, highs, torch.stack(paths), boundary, (lowest, highest))
        proved = bool(net.certified(x[None], label, epsilon))
        right = float((net(z).argmax(-1) == label).double().mean())
        verdict = "proved: no point of the first box is answered wrongly" if proved else "not proved"
        growth = float(radii[-1].max()) / epsilon
        return (
            f"ε = {epsilon:g}: the last box is {growth:.3g} times as large as the first. {right:.0%} of 200 points of "
            f"the first box are answered rightly; {verdict}."
        )

    controls = {
        "training": widgets.Dropdown(options=list(nets), value=next(iter(nets)), description="trained"),
        "point": widgets.IntSlider(0, min=0, max=9, description="point"),
        "epsilon": widgets.SelectionSlider(options=(0.02, 0.05, 0.1, 0.15, 0.2, 0.3), value=0.1, description="ε"),
    }
    shown: dict[str, Any] = {
        "points": points[:200].tolist(),
        "labels": labels[:200].tolist(),
        "inside": inside.tolist(),
    }
    shown["ends"] = torch.stack([points.amin(0), points.amax(0)]).tolist()
    weights = {
        name: {
            "steps": net.steps,
            "hidden": layer(net.field[0]),
            "out": layer(net.field[2]),
            "head": layer(net.head[0]),
        }
        for name, net in nets.items()
    }
    twin = Twin("flowBoxes", {"nets": weights, **shown})
    figure = figures.flow_boxes(points[:200].numpy(), labels[:200].numpy())
    return Explorable(figure, update, controls, twin=twin)


def layer(linear: torch.nn.Module) -> dict[str, list[Any]]:
    """Weight and bias of a linear layer as lists."""
    return {name: value.tolist() for name, value in linear.state_dict().items()}
