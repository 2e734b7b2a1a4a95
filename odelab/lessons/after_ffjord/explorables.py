"""Explorables of the lesson after FFJORD: few Euler steps, guided digits, angles that gather on a torus."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from odelab.experiments.after_ffjord.digits import CLASSES, SIDE, Guided, one_hot
from odelab.experiments.after_ffjord.run import energy_distance
from odelab.experiments.results import Row
from odelab.flows import CNF
from odelab.lessons.after_ffjord import figures
from odelab.lessons.kit.explorable import Explorable

STEPS = (1, 2, 3, 4, 6, 8, 12, 16)
WEIGHTS = (0.0, 1.0, 1.5, 2.0, 3.0, 5.0)
HEUN_STEPS = (1, 2, 4, 8)
MOMENTS = 25  # times at which angles are shown


@torch.no_grad()
def sampled(flow: CNF, z: Tensor, fresh: Tensor, shown: int = 700) -> figures.FewSteps:
    """What Euler's method makes of noise z (n, 2) in each number of `STEPS`, and its distance from fresh data."""
    samples, distances = {}, {}
    for steps in STEPS:
        points = flow.replace(method="euler", steps=steps).inverse(z)
        samples[steps] = points[:shown].numpy()
        distances[steps] = energy_distance(points, fresh)
    return figures.FewSteps(samples, distances)


def few_steps(flows: Mapping[str, CNF], data: Tensor, count: int = 2000) -> Explorable:
    """A slider over the number of Euler steps: samples of flows from the same noise.

    Args:
        data: (2 · count and more, 2); the second half is what samples are compared with.
    """
    fresh, other = data[:count], data[count : 2 * count]
    z = torch.randn(count, 2, generator=torch.Generator().manual_seed(0))
    family = {name: sampled(flow, z, fresh) for name, flow in flows.items()}
    floor = abs(energy_distance(other, fresh))

    def update(fig: Figure, steps: int) -> str:
        figures.update_few_steps(fig, family, steps)
        said = ", ".join(f"{name} {one.distances[steps]:.4f}" for name, one in family.items())
        return f"{steps} Euler step{'s' * (steps > 1)}, energy distance to the data: {said}."

    options = [(str(steps), steps) for steps in STEPS]
    controls = {"steps": widgets.SelectionSlider(options=options, description="Euler steps")}
    return Explorable(figures.few_steps(family, fresh[:1500].numpy(), floor), update, controls)


@torch.no_grad()
def guided(field: nn.Module, rows: Sequence[Row], seed: int = 0, each: int = 5) -> Explorable:
    """Sliders over the weight of the guidance and the steps of Heun's method: `each` images of every digit.

    Args:
        field: (t, z, label) -> velocity, for images of SIDE × SIDE pixels.
        rows: stored runs of `guided-digits` (dopri5), whose agreement and energy distance are drawn beside.
    """
    asked = torch.arange(CLASSES).repeat(each)
    z = torch.randn(len(asked), SIDE**2, generator=torch.Generator().manual_seed(seed))
    pictures = {}
    for weight in WEIGHTS:
        flow = CNF(Guided(field, weight), method="heun2", steps=1)
        for steps in HEUN_STEPS:
            images = flow.replace(steps=steps).inverse(z, context=one_hot(asked))
            pictures[weight, steps] = figures.sheet(images.view(-1, SIDE, SIDE).numpy(), CLASSES)
    named = {"share that agrees with the label": "agreement", "energy distance to test images": "distance"}
    curves = {
        title: {
            weight: fmean(row.result["guidance"][f"{weight:g}"][name] for row in rows) for weight in WEIGHTS if rows
        }
        for title, name in named.items()
    }

    real = fmean(row.result["without"]["test images"]["agreement"] for row in rows) if rows else math.nan

    def update(fig: Figure, weight: float, steps: int) -> str:
        figures.update_guided(fig, pictures, curves, weight, steps)
        share, distance = (values.get(weight, math.nan) for values in curves.values())
        return (
            f"w = {weight:g}, stored runs, solved accurately: {share:.1%} agree with the label (real test images "
            f"{real:.1%}), energy distance {distance:.3f}. The picture: {steps} step{'s' * (steps > 1)} of Heun's "
            f"method: {2 * steps} evaluations of the guided field, {4 * steps} of the network."
        )

    controls = {
        "weight": widgets.SelectionSlider(options=[(f"{w:g}", w) for w in WEIGHTS], value=2.0, description="weight w"),
        "steps": widgets.SelectionSlider(options=[(str(n), n) for n in HEUN_STEPS], value=8, description="steps"),
    }
    return Explorable(figures.guided(pictures, curves, real), update, controls)


@torch.no_grad()
def on_torus(flow: CNF, true: np.ndarray, points: int = 400) -> Explorable:
    """A slider over time: uniform angles that the flow gathers where the density is high.

    Args:
        true: density on the cells of the torus, (n, n).
    """
    torch.manual_seed(3)
    ends = flow.inverse(flow.base.sample((points,)))
    t = torch.linspace(0, 1, MOMENTS)
    paths = flow.trajectory(ends, t)[0].flip(0).numpy()  # from noise, t = 1, to data

    def update(fig: Figure, place: int) -> str:
        figures.update_on_torus(fig, paths, place)
        left = np.abs(paths[place]).max(-1) > np.pi
        return f"t = {1 - place / (MOMENTS - 1):.2f}: {left.mean():.0%} of the points have left through an edge so far."

    controls = {"place": widgets.IntSlider(value=0, min=0, max=MOMENTS - 1, description="from noise to data")}
    return Explorable(figures.on_torus(true), update, controls, play="place")
