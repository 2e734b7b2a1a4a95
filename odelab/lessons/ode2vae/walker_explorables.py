"""Walkers to be played: scenes out of a model's forecasts or its prior, and a slider through their frames."""

from __future__ import annotations

from collections.abc import Mapping

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file
from torch import Tensor

from odelab.datasets import Mocap, Skeleton, channels62, data_file
from odelab.datasets.mocap.channels import CHANNELS, FRAMES, KEPT
from odelab.datasets.mocap.subject35 import STEP
from odelab.latent import ODE2VAE, Forecast
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.ode2vae.walker import Body, on_the_ground
from odelab.lessons.ode2vae.walker_scene import FPS, Player, Scene

KNEE, SHOWN = [CHANNELS[k] for k in KEPT].index("ltibia rx"), "left knee"
STRIDE = 4  # frames between two positions of the slider
APART = 1.4  # metres between walkers from the prior, one before the other


def shipped(name: str = "mocap2_ode2vae-kl") -> tuple[ODE2VAE, Tensor]:
    """The walker that the course ships, and the mean frame (50,) to which what it says is added.

    Raises:
        FileNotFoundError: when no full run has left one.
    """
    pose = load_file(data_file("checkpoints/mocap_pose.safetensors"))["mean"]
    return ODE2VAE.load(data_file(f"checkpoints/{name}.safetensors")), pose


def levels(data: Mocap, part: str = "test") -> Tensor:
    """What was taken from each walk of a part and has to be put back, (n, 50).

    Where the data do not say, it is the mean frame that the course ships with its walker, or nothing.
    """
    if data.means is not None:
        return data.means[data.rows(part)]  # type: ignore[arg-type]
    try:
        pose = shipped()[1]
    except FileNotFoundError:
        pose = torch.zeros(len(KEPT))
    return pose.expand(len(getattr(data, part)), -1)


def forecast_scene(data: Mocap, forecast: Forecast, walk: int, *, seen: int, shown: int = 8) -> Scene:
    """What a model forecast of one test walk, beside the walk; `shown` of the draws as stick figures.

    Args:
        forecast: of all test walks, draws (K, n, T, 50).
    """
    skeleton, level = data.skeleton(), levels(data)[walk]
    draws, truth = forecast.draws[:, walk] + level, data.test.x[walk, : forecast.draws.shape[2]] + level
    joints = (on_the_ground(skeleton.joints(channels62(x))) for x in (draws[:shown], truth))
    body = Body(skeleton.names, skeleton.bones)
    imagined, real = joints
    return Scene(body, imagined, draws[..., KNEE].numpy(), SHOWN, (real, truth[..., KNEE].numpy()), seen)


def prior_scene(
    model: ODE2VAE, pose: Tensor, skeleton: Skeleton, *, walkers: int = 3, frames: int = FRAMES, seed: int = 0
) -> Scene:
    """Walkers drawn from the model's prior, one before the other; no data is needed.

    Args:
        pose: the mean frame (50,), to which what the model says is added.
    """
    x = model.sample(50, STEP * torch.arange(frames), torch.Generator().manual_seed(seed)) + pose
    name = f"{walkers} walkers from the prior: no frame was given"
    return _queue(skeleton, x, walkers, name)


def opening(data: Mocap) -> Scene:
    """The best that is there: a stored walker's forecasts of a test walk, or walkers from its prior, or the data."""
    try:
        model, pose = shipped()
    except FileNotFoundError:
        x = data.train.x + levels(data, "train")[:, None]
        return _queue(data.skeleton(), x, 3, f"no walker is stored yet; this is {data.source}")
    if not data.complete:
        return prior_scene(model, pose, data.skeleton())
    seen = data.test.x[:, : model.frames]
    forecast = model.forecast(seen, data.test.times, 50, torch.Generator().manual_seed(0))
    return forecast_scene(data, forecast, 1, seen=model.frames)


def nobody(data: Mocap, otherwise: ODE2VAE) -> Scene:
    """Walkers from the prior of the shipped walker, in its own average pose; from `otherwise` where none is stored."""
    try:
        model, pose = shipped()
    except FileNotFoundError:
        model, pose = otherwise, levels(data, "train").mean(0)
    return prior_scene(model, pose, data.skeleton(), frames=240, seed=3)


def _queue(skeleton: Skeleton, x: Tensor, walkers: int, name: str) -> Scene:
    """Some of the walks x (n, T, 50), one before the other, and the knees of all."""
    joints = on_the_ground(skeleton.joints(channels62(x[:walkers])))
    joints[..., 2] += APART * np.arange(walkers)[:, None, None] - joints[:, :1, :1, 2]
    return Scene(Body(skeleton.names, skeleton.bones), joints, x[..., KNEE].numpy(), SHOWN, name=name)


def walking(scenes: Mapping[str, Scene]) -> Explorable:
    """A slider through the frames, with a play button, and a choice of the walk."""
    player, names = Player(*scenes.values()), list(scenes)
    last = next(iter(scenes.values())).frames - 1

    def draw(fig: Figure, frame: int, walk: str) -> None:
        player.draw(min(STRIDE * frame, last), names.index(walk), fig)

    def update(fig: Figure, frame: int, walk: str) -> None:
        player.move(fig, min(STRIDE * frame, last), names.index(walk))

    def readout(frame: int, walk: str) -> str:
        scene, at = scenes[walk], min(STRIDE * frame, last)
        ahead = scene.draws[:, at, 0, 2]
        text = f"{walk}, {at / FPS:.2f} s (frame {at}): the figures are {ahead.max() - ahead.min():.2f} m apart"
        if scene.truth is None:
            return f"{text}."
        bent, behind = scene.fan[:, at], scene.truth[0][at, 0, 2] - ahead.mean()
        return (
            f"{text}, the recorded walker is {behind:+.2f} m from their middle; {SHOWN}: "
            f"recorded {scene.truth[1][at]:.0f}°, draws {bent.mean():.0f}° ± {bent.std():.0f}°."
        )

    controls = {
        "frame": widgets.IntSlider(0, min=0, max=-(-last // STRIDE), description="time"),
        "walk": widgets.Dropdown(options=names, description="walk"),
    }
    alt = "Stick figures walking, the recorded one among imagined ones, and the fan of a knee angle with a cursor."
    return Explorable(draw, controls, alt=alt, readout=readout, update=update, size=(8.4, 4.2), play="frame")
