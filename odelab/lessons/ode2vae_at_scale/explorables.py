"""Explorables of the lesson on ODE²VAE at scale: frames taken away, a horizon pushed out, a training step priced."""

from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.kit.export import Twin
from odelab.lessons.ode2vae_at_scale import figures
from odelab.lessons.ode2vae_at_scale.cost import PARTS, Prices, Setting

FRAMES = np.array([2, 3, 4, 6, 8, 12, 16, 20, 32, 50, 75, 100, 150, 200, 300])
MODEL = "ODE²VAE"


def nearest_seen(frames: Tensor, seen: Tensor) -> Tensor:
    """Frames (n, T, …) with each that was not seen (n, T) replaced by the nearest one that was, the earlier of two."""
    place = torch.arange(seen.shape[1])
    distance = (place[:, None] - place).abs() + len(place) * (~seen)[:, None, :]
    return torch.stack([video[nearest] for video, nearest in zip(frames, distance.argmin(-1), strict=True)])


def between_seen(frames: Tensor, seen: Tensor) -> Tensor:
    """Frames (n, T, …) with each that was not seen replaced by a mixture of its two neighbours that were, by distance.

    Before the first and after the last frame seen, these are repeated.
    """
    out = frames.clone()
    for video, mask in zip(out, seen, strict=True):
        known = mask.nonzero()[:, 0]
        for k in (~mask).nonzero()[:, 0].tolist():
            before, after = known[known < k], known[known > k]
            ends = [int(side) for side in (*before[-1:], *after[:1])]
            weight = (k - ends[0]) / (ends[1] - ends[0]) if len(ends) == 2 else 0.0
            video[k] = torch.lerp(video[ends[0]], video[ends[-1]], weight)
    return out


def missing_frames(truth: Tensor, forecast: Tensor, seed: int = 0) -> Explorable:
    """Sliders for how many frames are missing, and of which video.

    Args:
        truth, forecast: what there was and what the model says, having read frame 0 alone, (n, T, 1, H, W) in [0, 1].
    """
    n, count = truth.shape[:2]
    rank = torch.rand(n, count, generator=torch.Generator().manual_seed(seed))
    rank[:, 0] = 2.0  # the model reads frame 0
    order = rank.argsort(1).argsort(1)  # the k frames of the lowest rank are missing: more contain fewer

    def data(missing: int, video: int) -> figures.Filled:
        seen = order[[video]] >= missing
        guesses = {
            MODEL: forecast[[video]],
            "mix of two": between_seen(truth[[video]], seen),
            "nearest": nearest_seen(truth[[video]], seen),
        }
        flat = {name: guess[0, :, 0].numpy() for name, guess in guesses.items()}
        return figures.Filled(truth[video, :, 0].numpy(), seen[0].numpy(), flat)

    def update(fig: Figure, missing: int, video: int) -> str:
        shown = data(missing, video)
        figures.update_filled(fig, shown)
        if not missing:
            return f"Video {video}: nothing is missing."
        errors = (f"{name} {np.nanmean(values):.3f}" for name, values in shown.errors().items())
        return f"Video {video}, {missing} of {count} frames missing; mean error on them: {', '.join(errors)}"

    controls = {
        "missing": widgets.IntSlider(5, min=0, max=count - 1, description="frames missing"),
        "video": widgets.IntSlider(0, min=0, max=n - 1, description="video"),
    }
    return Explorable(figures.filled(data(0, 0), 0.25), update, controls)


def long_horizon(
    truth: Mapping[int, Tensor], forecasts: Mapping[int, Mapping[str, Tensor]], seen: int, trained: int
) -> Explorable:
    """Sliders for the frame, with a play button, and for the video; a picker for the number of balls.

    Args:
        truth: balls -> videos (n, T, 1, H, W); forecasts: balls -> model -> the same. Models that do not have all
            numbers of balls are left out, and the first 8 videos can be looked at.
        seen: m; trained: frames of a training sequence.
    """
    names = [name for name in next(iter(forecasts.values())) if all(name in each for each in forecasts.values())]
    worlds, shown, count = {}, min(8, *map(len, truth.values())), min(x.shape[1] for x in truth.values())
    for balls, x in truth.items():
        drawn = {name: forecasts[balls][name] for name in names}
        errors = {name: (video - x).square().mean((0, 2, 3, 4)).numpy() for name, video in drawn.items()}
        worlds[balls] = [
            figures.Horizon(
                x[k, :, 0].numpy(), {n: v[k, :, 0].numpy() for n, v in drawn.items()}, errors, seen, trained
            )
            for k in range(shown)
        ]
    top = 1.15 * max(float(values.max()) for videos in worlds.values() for values in videos[0].errors.values())

    def update(fig: Figure, frame: int, video: int, balls: int) -> str:
        figures.update_horizon(fig, worlds[balls][video], frame)
        said = ", ".join(f"{name} {values[frame]:.4f}" for name, values in worlds[balls][video].errors.items())
        after = f"{frame - seen + 1} after the last one given" if frame >= seen else "given to the models"
        return (
            f"{balls} ball{'s' * (balls > 1)}, frame {frame}, {after}; error over {len(truth[balls])} videos: {said}."
        )

    controls = {
        "frame": widgets.IntSlider(min(seen + 5, count - 1), min=0, max=count - 1, description="frame"),
        "video": widgets.IntSlider(0, min=0, max=shown - 1, description="video"),
        "balls": widgets.Dropdown(options=list(worlds), description="balls"),
    }
    figure = figures.horizon(next(iter(worlds.values()))[0], top)
    return Explorable(figure, update, controls, play="frame")


def step_cost(seconds: Prices, memory: Prices, sequences: int = 360, epochs: int = 1000) -> Explorable:
    """Sliders for frames, substeps, batch and draws; predicted time and memory of a step, and hours of a training.

    Args:
        seconds, memory: prices of one model on one machine.
        sequences, epochs: of the training whose hours are told.
    """

    corners = [Setting(int(FRAMES[0]), 1, 1, 1), Setting(int(FRAMES[-1]), 8, 256, 16)]
    prices = (seconds, 1.0), (memory, figures.GIGABYTE)
    limits = [tuple(np.array([0.5, 5.0]) * [price(end) / unit for end in corners]) for price, unit in prices]

    def update(fig: Figure, frames: int, substeps: int, batch: int, draws: int) -> str:
        setting = Setting(frames, substeps, batch, draws)
        along = [Setting(int(count), substeps, batch, draws) for count in FRAMES]
        costs = [[price(step) / unit for step in along] for price, unit in prices]
        shares = [price.shares(setting) for price, _ in prices]
        figures.update_cost(fig, int(np.flatnonzero(frames == FRAMES)[0]), costs, shares)
        steps = epochs * max(1, sequences // batch)
        return (
            f"T = {frames}, substeps {substeps}, B = {batch}, K = {draws}: {seconds(setting):.3g} s and "
            f"{memory(setting) / figures.GIGABYTE:.3g} GB a step; {epochs} epochs of {sequences} sequences: "
            f"{steps} steps, {steps * seconds(setting) / 3600:.3g} hours."
        )

    def powers(top: int) -> Sequence[int]:
        return [2**k for k in range(top + 1)]

    controls = {
        "frames": widgets.SelectionSlider(options=FRAMES.tolist(), value=16, description="frames T"),
        "substeps": widgets.IntSlider(1, min=1, max=8, description="substeps"),
        "batch": widgets.SelectionSlider(options=powers(8), value=16, description="sequences B"),
        "draws": widgets.SelectionSlider(options=powers(4), value=1, description="draws K"),
    }
    model = {"seconds": seconds.values, "memory": memory.values, "sequences": sequences, "epochs": epochs}
    seen = {"parts": PARTS, "axis": FRAMES.tolist(), "limits": [list(ends) for ends in limits], "cards": figures.CARDS}
    return Explorable(figures.cost(FRAMES, PARTS, limits), update, controls, twin=Twin("stepCost", {**model, **seen}))
