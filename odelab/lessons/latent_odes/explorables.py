"""Explorables of the latent ODE lesson: a window seen through a mask, latent paths moving in time, a star's gap."""

from collections.abc import Mapping

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from odelab.datasets import Spirals, spirals
from odelab.latent import LatentODE, ODERNNEncoder, RecurrentEncoder, RecurrentForecaster
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.latent_odes import figures
from odelab.lessons.latent_odes.star import DAYS, MIDDLE, Windows, straight_line

KEPT = (2, 3, 5, 8, 12, 20, 30, 50, 70, 100)
DRAWS = 20
FRAMES = 41


def scenes(model: LatentODE, data: Spirals, draws: int = DRAWS, seed: int = 0) -> list[figures.Scene]:
    """What the model says of every window of the data, before it, within and after it."""
    generator = torch.Generator().manual_seed(seed)
    paths = model.forecast(data.x, data.times, data.curve_times, data.mask, draws=draws, generator=generator).draws
    return [
        figures.Scene(
            data.curve_times.numpy(),
            data.curve[i].numpy(),
            data.times[data.mask[i]].numpy(),
            data.x[i, data.mask[i]].numpy(),
            paths[:, i].numpy(),
        )
        for i in range(len(data))
    ]


def mask_explorer(model: LatentODE, windows: int = 6, seed: int = 8) -> Explorable:
    """Sliders for how many of 100 points are seen and for the window; draws of the model, and how far off it is.

    The windows, and which points come to be seen first, are those of ``seed``; everything is computed beforehand.
    """
    data = {kept: spirals(windows, kept=kept, generator=torch.Generator().manual_seed(seed)) for kept in KEPT}
    shown = {kept: scenes(model, each) for kept, each in data.items()}

    def update(fig: Figure, kept: int, window: int) -> str:
        scene = shown[kept][window - 1]
        figures.update_scene(fig, scene)
        squares = (scene.paths.mean(0) - scene.curve) ** 2
        before, inside, after = (part.mean() ** 0.5 for part in squares.reshape(3, -1))
        turn = "clockwise" if data[kept].clockwise[window - 1] else "counter-clockwise"
        return (
            f"Window {window}, {turn}, {kept} of 100 points seen: RMSE {inside:.2f} inside, {after:.2f} after, "
            f"{before:.2f} before; the noise of a point is {data[kept].noise:.2f}."
        )

    controls = {
        "kept": widgets.SelectionSlider(options=KEPT, value=30, description="points seen"),
        "window": widgets.IntSlider(1, min=1, max=windows, description="window"),
    }
    return Explorable(figures.scene(shown[KEPT[0]][0]), update, controls)


def turning_explorer(models: Mapping[str, LatentODE], windows: int = 8, seed: int = 8) -> Explorable:
    """Sliders for the window and for how far beyond it to look: what two models make of the same points."""
    data = spirals(windows, kept=30, generator=torch.Generator().manual_seed(seed))
    shown = {name: scenes(model, data) for name, model in models.items()}
    points = len(data.times)

    def update(fig: Figure, window: int, beyond: int) -> str:
        parts = [each[window - 1].until(2 * points + beyond) for each in shown.values()]
        figures.update_turning(fig, parts)
        text = []
        for name, part in zip(shown, parts, strict=True):
            squares = (part.paths.mean(0) - part.curve)[points : 2 * points + beyond] ** 2
            inside, after = squares[:points].mean() ** 0.5, squares[points:].mean() ** 0.5
            text.append(f"{name}: RMSE {inside:.2f} inside, {after:.2f} beyond")
        return f"Window {window}, {beyond} of 100 points beyond it. " + "; ".join(text) + "."

    controls = {
        "window": widgets.IntSlider(1, min=1, max=windows, description="window"),
        "beyond": widgets.IntSlider(40, min=5, max=points, step=5, description="how far beyond"),
    }
    return Explorable(figures.turning([*models]), update, controls)


def turned_wrongly(model: LatentODE, data: Spirals) -> float:
    """Share of the windows in which the path from the posterior's mean turns the other way than the curve."""
    path = model.predict(data.x, data.times, data.mask, data.times)
    return float((sense(path) != sense(data.truth)).float().mean())


def sense(curve: Tensor) -> Tensor:
    """The sign of the area that curves (n, T, 2) sweep around the origin, (n,): 1 counter-clockwise."""
    here, there = curve[:, :-1], curve[:, 1:]
    return (here[..., 0] * there[..., 1] - here[..., 1] * there[..., 0]).sum(1).sign()


@torch.no_grad()
def turned(model: LatentODE, data: Spirals, times: Tensor) -> float:
    """Angle in radians by which the latent velocity turns over times (T,), mean over the windows of the data."""
    z = model.trajectory(model.posterior(data.x, data.times, data.mask).mean, times)
    velocity = nn.functional.normalize(model.field(times[0], z), dim=-1)
    cosine = (velocity[:, 1:] * velocity[:, :-1]).sum(-1).clamp(-1, 1)
    return float(cosine.arccos().sum(1).mean())


def plane_of(z: Tensor) -> Tensor:
    """z (…, D) in the two directions in which it varies most, (…, 2)."""
    flat = z.flatten(0, -2)
    _, _, directions = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    return (z - flat.mean(0)) @ directions[:2].T


@torch.no_grad()
def portrait_of(model: LatentODE, data: Spirals, frames: int = FRAMES) -> figures.Portrait:
    """Latent paths from the posterior's means, over the window and as long before and after it."""
    times = torch.linspace(float(data.curve_times[0]), float(data.curve_times[-1]), frames)
    z = model.trajectory(model.posterior(data.x, data.times, data.mask).mean, times)
    window = (float(data.times[0]), float(data.times[-1]))
    decoded = model.decoder.mean(z)
    return figures.Portrait(times.numpy(), plane_of(z).numpy(), decoded.numpy(), data.clockwise.numpy(), window)


def portrait_player(model: LatentODE, data: Spirals) -> Explorable:
    """A time slider with a play button: where everybody is in latent space, and in the plane."""
    shown = portrait_of(model, data)

    def update(fig: Figure, frame: int) -> str:
        figures.update_portrait(fig, shown, frame)
        radius = ((shown.decoded[:, frame] ** 2).sum(-1) ** 0.5).mean()
        return f"t = {shown.times[frame]:.2f}: mean distance of the decoded points from the centre {radius:.2f}."

    controls = {"frame": widgets.IntSlider(FRAMES // 2, min=0, max=FRAMES - 1, description="time, before → after")}
    return Explorable(figures.portrait(shown, 0), update, controls, play="frame")


@torch.no_grad()
def hidden_paths(
    plain: RecurrentEncoder, flowing: ODERNNEncoder, data: Spirals, units: int = 5, points: int = 400
) -> tuple[Tensor, dict[str, Tensor]]:
    """Times (T,) over the window of the first series, and some units of both encoders' states there, (T, units)."""
    times = torch.linspace(float(data.times[0]), float(data.times[-1]), points)
    seen = data.times[data.mask[0]].flip(0)  # as they are read
    x = data.x[:1, data.mask[0]].flip(1)
    gaps = (seen - torch.cat([seen[1:], data.times[:1]]))[None]
    states = plain.network(torch.cat([x / plain.scale, gaps[..., None]], -1) if plain.gaps else x / plain.scale)[0][0]
    updated = torch.stack([after[0] for after, _ in flowing.trace(x / flowing.scale, gaps, torch.tensor([len(seen)]))])
    read = (seen >= times[:, None]).sum(1)  # how many were read on the way back to each time
    last = (read - 1).clamp(min=0)
    flown = flowing.flow(updated[last], (seen[last] - times)[:, None])
    before = (read == 0)[:, None]
    paths = {"GRU": states[last], "ODE-RNN": flown}
    return times, {name: torch.where(before, 0.0, path)[:, :units] for name, path in paths.items()}


def fullest(data: Windows, count: int) -> Windows:
    """The windows with the most evenings, none of which overlaps another."""
    chosen: list[int] = []
    for row in data.mask.sum(1).argsort(descending=True, stable=True).tolist():
        if all(abs(float(data.start[row] - data.start[other])) > DAYS for other in chosen):
            chosen.append(row)
    return data[torch.tensor(chosen[:count])]


def gap_of(
    model: LatentODE, data: Windows, start: float, width: float, rnn: RecurrentForecaster | None = None
) -> figures.Gap:
    """The first window with a gap of so many days cut into it, and what the model puts there.

    Args:
        rnn: with it, its answer and a straight line stand beside the model's.
    """
    hidden = data.hidden(start, width)
    seen = data.mask & ~hidden
    at = torch.linspace(0.0, DAYS, 111)
    forecast = model.forecast(data.x, data.times, at, seen, draws=DRAWS * 5, generator=torch.Generator().manual_seed(0))
    reach = 1.645 * (forecast.std[0, :, 0] ** 2 + model.decoder.std**2).sqrt()  # of an evening, were it normal
    middle = MIDDLE - forecast.mean[0, :, 0]

    others = {}
    if rnn is not None:
        others["straight line"] = data.points(seen)
        guess = rnn.predict(data.x, data.times, seen, at)[0, :, 0]
        others["GRU that reads Δt"] = torch.stack([at, MIDDLE - guess], 1).numpy()
    return figures.Gap(
        data.points(seen),
        data.points(hidden),
        (start, start + width),
        at.numpy(),
        MIDDLE - forecast.draws[:DRAWS, 0, :, 0].numpy(),
        torch.stack([middle + reach, middle - reach]).numpy(),
        others,
    )


def gap_explorer(model: LatentODE, rnn: RecurrentForecaster, data: Windows, windows: int = 3) -> Explorable:
    """Sliders for the window and for where a gap begins and how long it is: who bridges it, and how far off."""
    chosen = fullest(data, windows)

    def update(fig: Figure, window: int, start: int, width: int) -> str:
        row = chosen[window - 1 : window]
        figures.update_star_gap(fig, gap_of(model, row, start, width, rnn))
        hidden = row.hidden(start, width)
        text = f"Window {window}, days {start} to {start + width}: {int(hidden.sum())} of {int(row.mask.sum())} hidden"
        if not hidden.any():
            return text + ", nothing to bridge."
        seen = row.mask & ~hidden
        forecast = model.forecast(
            row.x, row.times, row.times, seen, draws=100, generator=torch.Generator().manual_seed(0)
        )
        answers = {
            "latent ODE": forecast.mean,
            "straight line": straight_line(row, seen),
            "GRU": rnn.predict(row.x, row.times, seen, row.times),
        }
        far = {name: float((x - row.x)[hidden].square().mean().sqrt()) for name, x in answers.items()}
        errors = ", ".join(f"{name} {value:.2f}" for name, value in far.items())
        wide, elsewhere = float(forecast.std[hidden].mean()), float(forecast.std[seen].mean())
        return f"{text}. RMSE there: {errors}. Spread of the draws: {wide:.2f} there, {elsewhere:.2f} elsewhere."

    controls = {
        "window": widgets.IntSlider(1, min=1, max=windows, description="window"),
        "start": widgets.IntSlider(7, min=1, max=13, step=3, description="gap begins on day"),
        "width": widgets.IntSlider(8, min=0, max=16, step=4, description="days in the gap"),
    }
    return Explorable(figures.star_gap(("straight line", "GRU that reads Δt"), DAYS), update, controls)
