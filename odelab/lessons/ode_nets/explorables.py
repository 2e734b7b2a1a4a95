"""Explorables of the ODE-Nets' lesson: the path of an image through the block, and the tolerance as a dial."""

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.ode_nets import figures
from odelab.lessons.ode_nets.figures import Dial, Journeys
from odelab.nets import Classifier

MOMENTS = 21


@torch.no_grad()
def journeys(model: Classifier, images: Tensor, labels: Tensor) -> Journeys:
    """Send images (n, 1, h, w) through the block and ask the head on the way, at 21 times.

    Raises:
        ValueError: when the model's body is not an ODE block.
    """
    if model.block is None:
        raise ValueError("journeys are those through an ODE block, and the body of this model is none")
    t = torch.linspace(0, model.block.t1, MOMENTS)
    maps = model.block.trajectory(model.stem(images), t)
    flat = maps.flatten(2)
    centred = flat - flat.mean((0, 1))
    _, strength, directions = torch.linalg.svd(centred.flatten(0, 1), full_matrices=False)
    power = strength.square()
    return Journeys(
        times=t.numpy(),
        images=images[:, 0].numpy(),
        labels=labels.numpy(),
        maps=maps.numpy(),
        plane=(centred @ directions[:2].T).numpy(),
        share=float(power[:2].sum() / power.sum()),
        probabilities=torch.stack([model.head(z).softmax(-1) for z in maps]).numpy(),
    )


def feature_path(data: Journeys) -> Explorable:
    """Pick an image, scrub the time: feature maps, their path in the plane, and what the head says at that time."""

    def update(fig: Figure, image: int, moment: int) -> str:
        figures.update_journey(fig, data, image, moment)
        says = data.probabilities[moment, image]
        right = (data.probabilities[moment].argmax(-1) == data.labels).mean()
        return (
            f"t = {data.times[moment]:.2f}: the head says {says.argmax()} with {says.max():.0%} (it is a "
            f"{data.labels[image]}); of all {len(data.labels)} images here it gets {right:.0%} right. The plane holds "
            f"{data.share:.0%} of the features' variance."
        )

    controls = {
        "image": widgets.IntSlider(0, min=0, max=len(data.labels) - 1, description="image"),
        "moment": widgets.IntSlider(0, min=0, max=len(data.times) - 1, description="time, in twentieths"),
    }
    return Explorable(figures.journey(data), update, controls, play="moment")


def tolerance_dial(data: Dial) -> Explorable:
    """A slider over the tolerance at test time: the error of every image's logits against what its answer can bear."""
    images = len(data.margin)

    def update(fig: Figure, tolerance: float) -> str:
        figures.update_dial(fig, data, tolerance)
        row = data.measured[tolerance]
        able = int((2 * data.off[tolerance] >= data.margin).sum())
        return (
            f"tolerance {tolerance:.0e}: {row['nfe']:.0f} evaluations of f in {row['seconds']:.2g} s. {able} of "
            f"{images} marks lie above the diagonal, and {int(data.flipped[tolerance].sum())} are answered otherwise. "
            f"Test error {row['error']:.1f} % ({row['error'] * images / 100:.0f} of {images} images)."
        )

    options = [(f"{tolerance:.0e}", tolerance) for tolerance in data.measured]
    controls = {"tolerance": widgets.SelectionSlider(options=options, description="tolerance at test time")}
    return Explorable(figures.dial(data), update, controls)
