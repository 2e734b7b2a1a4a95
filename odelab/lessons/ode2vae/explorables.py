"""Explorables of the ODE²VAE lesson: phase portraits of order 1 and 2, walkers that can be moved, penalties."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.datasets import Mocap, Skeleton, channels62
from odelab.datasets.mocap.channels import CHANNELS, COLUMNS50, FRAMES, STEP
from odelab.experiments.mocap.checkpoints import load_walker
from odelab.latent import ODE2VAE, DrawnField, Forecast, flow
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.ode2vae import figures
from odelab.lessons.ode2vae.walker import FPS, Body, Player, Scene, on_the_ground

Field = Callable[[Tensor | float, Tensor], Tensor]
POSITIONS = tuple(0.5 * k for k in range(-4, 5))
VELOCITIES = tuple(0.5 * k for k in range(-2, 3))


@torch.no_grad()
def portraits(truth: Field, position_only: Field, second_order: Field, times: Tensor) -> dict[tuple, figures.Portrait]:
    """What three systems with one position do from every start (s, v) of a grid.

    Args:
        truth, second_order: fields of z = (s, v); position_only: field of s. All (t, z) -> dz/dt.
        times: (T,), close enough for one step between each two.
    """
    starts = torch.cartesian_prod(torch.tensor(POSITIONS), torch.tensor(VELOCITIES))
    s = flow(position_only, starts[:, :1], times)
    paths = {
        "truth": flow(truth, starts, times),
        "position only": torch.cat((s, position_only(0.0, s)), -1),
        "second order": flow(second_order, starts, times),
    }
    line = torch.linspace(-figures.SPAN, figures.SPAN, 101)
    graph = line.numpy(), position_only(0.0, line[:, None])[:, 0].numpy()
    arrays = {name: path.numpy() for name, path in paths.items()}
    return {
        tuple(start): figures.Portrait(
            times.numpy(),
            {name: path[k, :, 0] for name, path in arrays.items()},
            {name: path[k, :, 1] for name, path in arrays.items()},
            graph,
        )
        for k, start in enumerate(starts.tolist())
    }


def portrait_live() -> tuple[Figure, Callable[[Figure, figures.Portrait], None]]:
    """An empty portrait with its update, for `Live`."""
    return figures.portrait(None), figures.update_portrait


def turning_points(s: np.ndarray, least: float = 1e-3) -> int:
    """How often a path (T,) changes its direction; moves smaller than ``least`` do not count."""
    moves = np.diff(s)
    signs = np.sign(moves[np.abs(moves) > least])
    return int((signs[1:] != signs[:-1]).sum())


def portrait_explorer(data: dict[tuple, figures.Portrait]) -> Explorable:
    """Sliders for the start; position against time and the phase plane, for the truth and both learned flows."""

    def update(fig: Figure, s0: float, v0: float) -> str:
        chosen = data[s0, v0]
        figures.update_portrait(fig, chosen)
        path = {name: np.asarray(chosen.position[name]) for name in figures.ORDERS}
        parts = [
            f"{name}: turns {turning_points(path[name])} times, off by {np.abs(path[name] - path['truth']).mean():.2f}"
            for name in ("position only", "second order")
        ]
        return f"The truth turns {turning_points(path['truth'])} times. {'; '.join(parts)} on average."

    controls = {
        "s0": widgets.SelectionSlider(options=POSITIONS, value=1.5, description="position at the start"),
        "v0": widgets.SelectionSlider(options=VELOCITIES, value=0.0, description="velocity at the start"),
    }
    return Explorable(figures.portrait(next(iter(data.values()))), update, controls)


@torch.no_grad()
def cut(field: DrawnField, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Positions (count,) and each drawn function's acceleration at rest there (K, count); z = (s, v) of size 2."""
    s = torch.linspace(-2.5, 2.5, count)
    states = torch.stack((s, torch.zeros_like(s)), -1).expand(*field.shape, -1, -1)
    return s.numpy(), field(0.0, states)[..., 1].numpy()


KNEE, SHOWN = [CHANNELS[k] for k in COLUMNS50].index("ltibia rx"), "left knee"
STRIDE = 4  # frames between two positions of the slider
APART = 1.4  # metres between walkers from the prior, one before the other


def levels(data: Mocap, part: str = "test") -> Tensor:
    """What was taken from each walk of a part and has to be put back, (n, 50).

    Where the data do not say, it is the mean frame that the course ships with its walker, or nothing.
    """
    if data.means is not None:
        return data.means[data.rows(part)]  # type: ignore[arg-type]
    try:
        pose = load_walker()[1]
    except FileNotFoundError:
        pose = torch.zeros(len(COLUMNS50))
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
        model, pose = load_walker()
    except FileNotFoundError:
        x = data.train.x + levels(data, "train")[:, None]
        return _queue(data.skeleton(), x, 3, f"no walker is stored yet; this is {data.source}")
    if not data.complete:
        return prior_scene(model, pose, data.skeleton())
    seen = data.test.x[:, : model.frames]
    forecast = model.forecast(seen, data.test.times, 50, torch.Generator().manual_seed(0))
    return forecast_scene(data, forecast, 1, seen=model.frames)


def to_judge(data: Mocap, otherwise: ODE2VAE) -> ODE2VAE:
    """The shipped walker, where it and the recordings it knows are there; else `otherwise`."""
    try:
        return load_walker()[0] if data.complete else otherwise
    except FileNotFoundError:
        return otherwise


def held_out_levels(data: Mocap) -> Tensor:
    """`levels` of the validation and the test walks, in this order, (n, 50)."""
    return torch.cat([levels(data, "validation"), levels(data)])


def nobody(data: Mocap, otherwise: ODE2VAE) -> Scene:
    """Walkers from the prior of the shipped walker, in its own average pose; from `otherwise` where none is stored."""
    try:
        model, pose = load_walker()
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

    def update(fig: Figure, frame: int, walk: str) -> str:
        scene, at = scenes[walk], min(STRIDE * frame, last)
        player.move(fig, at, names.index(walk))
        ahead = scene.draws[:, at, 0, 2]
        text = f"{walk}, {at / FPS:.2f} s (frame {at}): the figures are {ahead.max() - ahead.min():.2f} m apart"
        if scene.truth is None:
            return f"{text}."
        bent, lead = scene.fan[:, at], scene.truth[0][at, 0, 2] - ahead.mean()
        side = "behind" if lead < 0 else "ahead of"
        return (
            f"{text}, the recorded walker is {abs(lead):.2f} m {side} the middle of them; {SHOWN}: "
            f"recorded {scene.truth[1][at]:.0f}°, draws {bent.mean():.0f}° ± {bent.std():.0f}°."
        )

    controls = {
        "frame": widgets.IntSlider(0, min=0, max=-(-last // STRIDE), description="time"),
        "walk": widgets.Dropdown(options=names, description="walk"),
    }
    return Explorable(player.draw((8.4, 4.2)), update, controls, play="frame")


DRAWS = 50
THIRDS = {"first third": slice(3, 100), "second third": slice(100, 200), "last third": slice(200, 300)}
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Outcome:
    """Forecasts of the test walks by one model; frames T.

    Attributes:
        fans: of the knee, (n, K, T) in degrees as recorded.
        error: root of the squared error of the mean of the draws at each frame, (T,).
        walks: squared error of that mean on each walk, over the frames after the m given, (n,).
        spread: of the draws, (T,); law: of draws of the law alone, the start at its mean, (T,).
        covered: by the 90 % band of the draws alone, and with the observation noise.
        weights_std: mean standard deviation of q(W).
        noise: standard deviation of an observation.
    """

    fans: np.ndarray
    error: np.ndarray
    walks: np.ndarray
    spread: np.ndarray
    law: np.ndarray
    covered: tuple[float, float]
    weights_std: float
    noise: float


def outcome(model: ODE2VAE, data: Mocap, draws: int = DRAWS) -> Outcome:
    """What a model says of the test walks, from their first frames alone."""
    x, m = data.test.x, model.frames
    forecast = model.forecast(x[:, :m], data.test.times, draws, torch.Generator().manual_seed(0))
    law = model.forecast(x[:, :m], data.test.times, draws, torch.Generator().manual_seed(0), start=False)
    noise = 0.0 if forecast.noise is None else float(forecast.noise.detach())
    shares = [forecast.covers(x, 0.9, width)[:, m:].float().mean().item() for width in (None, noise or None)]
    return Outcome(
        (forecast.draws[..., KNEE] + levels(data)[:, None, KNEE]).transpose(0, 1).numpy(),
        (forecast.mean - x).square().mean((0, 2)).sqrt().numpy(),
        (forecast.mean - x).square()[:, m:].mean((1, 2)).numpy(),
        forecast.draws.var(0).mean((0, 2)).sqrt().numpy(),
        law.draws.var(0).mean((0, 2)).sqrt().numpy(),
        (shares[0], shares[1]),
        float(model.dynamics.net.std.detach().mean()),
        noise,
    )


def shares(rows: Sequence[Any]) -> dict[float, str]:
    """What the terms weigh in the objective, by γ, from the rows of `mocap-sliders`; in nats for each walk."""
    texts = {}
    for row in rows:
        terms = row.result["terms"]
        texts[row.key["gamma"]] = (
            f"In nats per training walk: KL[q_ode‖q_enc] {terms['encoder_kl']:.0f} before γ, dynamic KL "
            f"{terms['dynamic_kl']:.0f}, KL[q(W)‖p(W)] {terms['weights_kl']:.0f} before β, reconstruction "
            f"{terms['reconstruction']:.0f}."
        )
    return texts


def weight_explorer(
    models: Mapping[float, ODE2VAE], data: Mocap, symbol: str, notes: Mapping[float, str] | None = None
) -> Explorable:
    """A slider for one weight of the objective and one for the walk: the fan of a knee; error and spread of all walks.

    Args:
        models: the weight -> a walker that was trained with it.
        symbol: what the weight is called; notes: the weight -> what else to say of its walker.

    Raises:
        ValueError: without any model.
    """
    if not models:
        raise ValueError("no walker to show: pass at least one, weight -> model")
    found = {weight: outcome(model, data) for weight, model in sorted(models.items())}
    truth = (data.test.x[..., KNEE] + levels(data)[:, None, KNEE]).numpy()
    top = 1.4 * max(max(it.error.max(), it.spread.max()) for it in found.values())

    def update(fig: Figure, weight: float, walk: int) -> str:
        it = found[weight]
        figures.update_penalties(fig, it.fans[walk - 1], truth[walk - 1], (it.error, it.spread, it.law))
        root = [math.sqrt(np.square(width[3:]).mean()) for width in (it.error, it.spread, it.law)]
        return (
            f"{symbol} = {weight:g}; all test walks: squared error {root[0] ** 2:.1f}, spread {root[1]:.2f}°, by the "
            f"law alone {root[2]:.2f}°; weights ± {it.weights_std:.4f}, observations ± {it.noise:.1f}°. The 90 % band "
            f"covers {it.covered[0]:.0%} by the fan alone, {it.covered[1]:.0%} with the noise. "
            f"Test walk {walk}, on the left: squared error {it.walks[walk - 1]:.1f}. {(notes or {}).get(weight, '')}"
        )

    controls = {
        "weight": widgets.SelectionSlider(
            options=[(f"{weight:g}", weight) for weight in found], value=min(found), description=symbol
        ),
        "walk": widgets.IntSlider(1, min=1, max=len(data.test), description="test walk"),
    }
    return Explorable(figures.penalties(truth.shape[1], DRAWS, top), update, controls)


def _quantile(draws: Tensor, p: float, noise: Tensor | None) -> np.ndarray:
    """Of draws (K, n, T), or of normals of that standard deviation (n, T) around them, by bisection."""
    if noise is None:
        return torch.quantile(draws, p, dim=0).numpy()
    low, high = draws.amin(0) - 5 * noise, draws.amax(0) + 5 * noise
    for _ in range(20):
        middle = (low + high) / 2
        below = torch.special.ndtr((middle - draws) / noise).mean(0) < p
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low.numpy()


@torch.no_grad()
def band_explorer(forecast: Forecast, walks: Tensor, level: Tensor, widths: Mapping[str, Tensor | None]) -> Explorable:
    """Sliders for the band's level and the walk, a choice of its width: one knee in its band, and what bands cover.

    Args:
        forecast: of the walks, draws (K, n, T, 50), T = 300; walks: the recordings (n, T, 50).
        level: what has to be added to the recordings, (n, 50).
        widths: how the band is made -> noise around each draw, () or (50,) or (n, T, 50), or None for the fan alone.
    """
    knee = (walks[..., KNEE] + level[:, None, KNEE]).numpy()
    covered: dict[str, np.ndarray] = {}
    bands: dict[str, np.ndarray] = {}
    for name, width in widths.items():
        far = (2 * forecast.pit(walks, width) - 1).abs()
        shares = [[(far[:, part] <= p).float().mean().item() for p in LEVELS] for part in THIRDS.values()]
        covered[name] = np.array(shares)
        draws = forecast.draws[..., KNEE] + level[:, None, KNEE]
        noise = None if width is None else width.detach().expand(walks.shape)[..., KNEE]
        edges = [(_quantile(draws, (1 - p) / 2, noise), _quantile(draws, (1 + p) / 2, noise)) for p in LEVELS]
        bands[name] = np.array(edges)

    def update(fig: Figure, width: str, level: float, walk: int) -> str:
        at = LEVELS.index(level)
        low, high = bands[width][at, :, walk - 1]
        figures.update_bands(fig, low, high, knee[walk - 1], covered[width], level)
        inside = ((low <= knee[walk - 1]) & (knee[walk - 1] <= high))[3:].mean()
        said = ", ".join(
            f"{share:.0%} in the {name}" for name, share in zip(THIRDS, covered[width][:, at], strict=True)
        )
        return (
            f"{width}: bands of {level:.0%} cover {said}. The band of this knee is {(high - low)[3:].mean():.0f}° wide "
            f"on average and covers {inside:.0%} of this walk."
        )

    controls = {
        "width": widgets.Dropdown(options=list(widths), description="band from"),
        "level": widgets.SelectionSlider(
            options=[(f"{p:.0%}", p) for p in LEVELS], value=0.9, description="level it promises"
        ),
        "walk": widgets.IntSlider(1, min=1, max=len(walks), description="walk"),
    }
    return Explorable(
        figures.bands(knee.shape[1], LEVELS, list(THIRDS), float(knee.min()), float(knee.max())), update, controls
    )
