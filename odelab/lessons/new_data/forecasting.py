"""Lesson 12's forecasts: fans of several models, scores by horizon, an epidemic, roll-outs; a slider for the origin.

The figures draw arrays that they are given. A fan is given by its quantiles (horizon, 30) at `LEVELS`.
"""

from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from odelab.datasets import data_file
from odelab.experiments.forecasting.neural import LatentForecaster
from odelab.experiments.forecasting.scores import LEVELS, covered, crps, middle
from odelab.experiments.forecasting.series import Problem
from odelab.experiments.forecasting.waves import LENGTH, DampedField
from odelab.extras import extra
from odelab.latent import LatentODE
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.kit.style import COLORS, GROUNDS, GUIDE, describe, line_style, new_figure

with extra("train"):
    from safetensors.torch import load_file

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
INNER = [int(np.abs(LEVELS - level).argmin()) for level in (0.25, 0.75)]
HISTORY = 24  # months shown before the origin
Known = tuple[ArrayLike, ArrayLike]  # times and values before an origin


def smooth(index: int, **more: object) -> dict[str, object]:
    """Style of the ``index``-th curve when it is dense: colour and dash, no markers."""
    return line_style(index) | {"marker": None} | more


def draw_fan(ax: Axes) -> None:
    """Room for two bands, a median, what is known and what came."""
    empty = [0.0]
    ax.fill_between(empty, empty, empty, color=GROUNDS["pale blue"], linewidth=0, label="90 % band")
    ax.fill_between(empty, empty, empty, color=COLORS["sky"], alpha=0.6, linewidth=0, label="half of the forecast")
    ax.plot([], [], color=COLORS["blue"], linestyle="-", label="median")
    ax.plot([], [], color=COLORS["black"], linestyle="-", linewidth=1.4, label="known")
    ax.plot([], [], "o", color=COLORS["vermillion"], markersize=4, label="what came")


def update_fan(ax: Axes, past: Known, future: ArrayLike, truth: ArrayLike, fan: ArrayLike) -> None:
    """Put one forecast into a panel of `draw_fan`.

    Args:
        past: times and values (m,); future: times (horizon,); truth: (horizon,); fan: quantiles (horizon, 30).
    """
    values = np.asarray(fan, float)
    for band, (low, high) in zip(ax.collections, ((1, -2), INNER), strict=False):
        assert isinstance(band, FillBetweenPolyCollection)
        band.set_data(future, values[:, low], values[:, high])
    ax.lines[0].set_data(future, middle(values))
    ax.lines[1].set_data(*past)
    ax.lines[2].set_data(future, truth)


def fans(past: Known, future: ArrayLike, truth: ArrayLike, models: Mapping[str, ArrayLike], unit: str) -> Figure:
    """Forecasts of several models from one origin, a panel each: name -> quantiles (horizon, 30)."""
    fig = new_figure((9.6, 3.6))
    axes = np.atleast_1d(fig.subplots(1, len(models), sharey=True))
    for ax, (name, fan) in zip(axes, models.items(), strict=True):
        draw_fan(ax)
        update_fan(ax, past, future, truth, fan)
        ax.set(title=name, xlabel="year")
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.relim()
        ax.autoscale_view()
    axes[0].set_ylabel(unit)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return describe(
        fig,
        f"""{len(models)} panels with the same past of a series. Each has the forecast of one model as a fan, with the
        values that came as dots: {", ".join(models)}.""",
    )


def training(limits: tuple[float, float], history: Known, future: ArrayLike, steps: int) -> Figure:
    """The loss of a latent ODE in training, and its fan from one origin; empty yet.

    Args:
        limits: of the temperature; history: times and values before the origin; future: times after it.
    """
    fig = new_figure((9.6, 3.6))
    loss, fan = fig.subplots(1, 2, width_ratios=(1, 1.5))
    loss.plot([], [], color=COLORS["blue"], linestyle="-", label="training")
    loss.set(title="minus ELBO, per value", xlabel="step", xlim=(0, steps), ylim=(0.6, 1.8))
    draw_fan(fan)
    first, last = float(np.asarray(history[0])[0]), float(np.asarray(future)[-1])
    fan.set(title="forecast from one origin", xlabel="year", ylabel="°C", xlim=(first, last), ylim=limits)
    fan.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    fig.legend(*fan.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return describe(
        fig,
        """Left, a loss that falls in training. Right, the temperature of the sea until an origin, and a fan after it
        that turns from a broad band into a forecast.""",
    )


def update_training(
    fig: Figure,
    losses: Sequence[tuple[int, float]],
    past: Known,
    future: ArrayLike,
    truth: ArrayLike,
    fan: ArrayLike,
) -> None:
    fig.axes[0].lines[0].set_data(*np.asarray(losses, float).T)
    update_fan(fig.axes[1], past, future, truth, fan)


def by_horizon(
    panels: Mapping[str, Mapping[str, ArrayLike]], samples: Mapping[str, str], names: Mapping[str, str], what: str
) -> Figure:
    """A score against the horizon: panel -> model -> (seeds, horizon); a band from the least to the greatest seed.

    Args:
        samples: of each panel, what a step is called; names: of the models; what: the score, with its unit.
    """
    fig = new_figure((9.6, 4.2))
    axes = np.atleast_1d(fig.subplots(1, len(panels)))
    for ax, (panel, models) in zip(axes, panels.items(), strict=True):
        for i, (model, curves) in enumerate(models.items()):
            seeds = np.asarray(curves, float)
            ahead = np.arange(1, seeds.shape[1] + 1)
            style = line_style(i) | {"markersize": 4, "linewidth": 2.8 if model == "latent-ode" else 1.4}
            ax.fill_between(ahead, seeds.min(0), seeds.max(0), color=style["color"], alpha=0.2, linewidth=0)
            ax.plot(ahead, seeds.mean(0), label=names[model], **style)
        ax.set(title=panel, xlabel=f"{samples[panel]}s ahead", ylim=(0, None))
    axes[0].set_ylabel(what)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return describe(
        fig,
        f"""{what} against the number of steps ahead, in {len(panels)} panels: curves of models that remember rise
        from a low start, those of models that know the calendar alone are flat.""",
    )


def epidemic(counts: ArrayLike, known: int, models: Mapping[str, ArrayLike]) -> Figure:
    """Boys in bed on 14 days, and what models say after the first of them.

    Args:
        models: name -> (days, 4): lower end of the 90 % band, two values around the median, upper end.
    """
    fig = new_figure((9.6, 3.6))
    values = np.asarray(counts, float)
    days = np.arange(1, len(values) + 1)
    for ax, (name, fan) in zip(fig.subplots(1, len(models), sharey=True), models.items(), strict=True):
        low, one, other, high = np.asarray(fan, float).T
        ahead = days[known:]
        ax.fill_between(ahead, low, high, color=GROUNDS["pale blue"], linewidth=0, label="90 % band")
        ax.plot(ahead, (one + other) / 2, color=COLORS["blue"], linestyle="-", label="median")
        ax.plot(days[:known], values[:known], "o", color=COLORS["black"], markersize=5, label="known")
        ax.plot(ahead, values[known:], "o", color=COLORS["vermillion"], markersize=5, label="what came")
        ax.set(title=name, xlabel="day", ylim=(0, 800), xticks=days[::3])
    fig.axes[0].set_ylabel("boys in bed")
    fig.legend(*fig.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return describe(
        fig,
        f"""{len(models)} panels with the first {known} days of an influenza as black dots, the other days as
        orange ones, and the fan of one model each: {", ".join(models)}.""",
    )


def roll_outs(true: ArrayLike, paths: Mapping[str, ArrayLike], gap: float, reach: float) -> Figure:
    """Waves over place and time, true and rolled out; a white field where a path has left.

    Args:
        true: (steps, 32); paths: name -> (steps, 32), from the same state; gap: time between steps; reach: the largest
        height that is drawn.
    """
    fig = new_figure((9.6, 3.8))
    shown = {"the equation": true, **paths}
    axes = fig.subplots(1, len(shown), sharey=True)
    for ax, (name, path) in zip(axes, shown.items(), strict=True):
        heights = np.asarray(path, float)
        heights = np.where(np.abs(heights) <= 2 * reach, heights, np.nan)
        end = gap * (len(heights) - 1)
        picture = ax.imshow(
            heights, aspect="auto", origin="lower", extent=(0, LENGTH, 0, end), vmin=-reach, vmax=reach, cmap="cividis"
        )
        ax.set(title=name, xlabel="place")
        ax.grid(False)
    axes[0].set_ylabel("time")
    fig.colorbar(picture, ax=axes, label="u", extend="both")
    return describe(
        fig,
        f"""{len(shown)} pictures of waves over place and time from the same state. The first is the equation itself;
        the others are learned: {", ".join(paths)}.""",
    )


def norms(paths: Mapping[str, ArrayLike], gap: float, largest: float) -> Figure:
    """The norm of many paths over time on a logarithmic axis: name -> (steps, n); largest: of the data."""
    fig = new_figure((9.6, 3.4))
    axes = fig.subplots(1, len(paths), sharey=True)
    for ax, (name, values) in zip(axes, paths.items(), strict=True):
        sizes = np.clip(np.nan_to_num(np.asarray(values, float), nan=1e6, posinf=1e6), 1e-3, 1e6)
        ax.plot(gap * np.arange(len(sizes)), sizes, color=COLORS["blue"], linestyle="-", linewidth=0.7)
        ax.axhline(largest, label="largest of the data", **GUIDE)
        ax.set(title=name, xlabel="time", yscale="log", ylim=(1, 1e4))
    axes[0].set_ylabel("|z|")
    axes[0].legend(loc="upper left")
    return describe(
        fig,
        f"""The size of rolled-out states over time on a logarithmic axis, in panels: {", ".join(paths)}. A dashed
        line is the largest size in the data; with fixed damping the lines stay near it; without damping, and with the
        learned term, they leave upwards.""",
    )


def origin_name(origin: int) -> str:
    """The month before which everything is known, such as "Jan 1997"."""
    return f"{MONTHS[origin % 12]} {1950 + origin // 12}"


def rolling(task: Problem, origins: Sequence[int], models: Mapping[str, ArrayLike]) -> Explorable:
    """Move the origin through the test years of the sea, and choose a model: its fan, and its CRPS at all origins.

    Args:
        models: name -> quantiles (origins, horizon, 30).
    """
    names = [*models]
    fan_of = {name: np.asarray(values, float) for name, values in models.items()}
    ahead = task.plan.horizon
    truth = np.stack([task.truth(origin) for origin in origins])
    losses = {name: crps(fan, truth).mean(1) for name, fan in fan_of.items()}
    years = 1950 + np.arange(len(task.y)) / 12
    fig = new_figure((9.6, 3.8))
    left, right = fig.subplots(1, 2, width_ratios=(1.4, 1))
    draw_fan(left)
    low, high = task.y.min() - 1, task.y.max() + 1
    left.set(title="the sea, and a forecast", xlabel="months from the origin", ylabel="°C", xlim=(-HISTORY, ahead))
    left.set_ylim(low, high)
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=5)
    for i, name in enumerate(names):
        right.plot(
            years[list(origins)], losses[name], label=name, **line_style(i) | {"markersize": 3, "linewidth": 1.2}
        )
    right.plot([], [], "o", color=COLORS["black"], markersize=11, markerfacecolor="none", markeredgewidth=2)
    right.set(title="CRPS of each forecast", xlabel="year of the origin", ylabel="°C", ylim=(0, None))
    right.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    right.legend(loc="upper right")
    describe(
        fig,
        """Left, 24 months of sea-surface temperature before an origin, and a fan of 12 months after it with the values
        that came. Right, the CRPS of every forecast against the year of its origin, one line for each model, with a
        ring around the forecast on the left.""",
    )

    def update(fig: Figure, origin: int, model: str) -> str:
        place = list(origins).index(origin)
        past = np.arange(-HISTORY, 0)
        fan, came = fan_of[model][place], truth[place]
        update_fan(fig.axes[0], (past, task.y[origin + past]), np.arange(ahead), came, fan)
        fig.axes[1].lines[-1].set_data([years[origin]], [losses[model][place]])
        inside = int(covered(fan, came).sum())
        return (
            f"{model} from {origin_name(origin)}: CRPS {losses[model][place]:.2f} °C, and {inside} of {ahead} months "
            f"lie in the 90 % band. Over all {len(truth)} origins its CRPS is {losses[model].mean():.2f} °C, and "
            f"{covered(fan_of[model], truth).mean():.0%} lie in the band."
        )

    controls = {
        "origin": widgets.SelectionSlider(
            options=[(origin_name(origin), origin) for origin in origins], value=origins[0], description="origin"
        ),
        "model": widgets.Dropdown(options=names, value=names[0], description="model"),
    }
    return Explorable(fig, update, controls)


def stored_forecaster(task: Problem, name: str, until: int, window: int) -> LatentForecaster:
    """The latent ODE of the stored run on this series, seed 0, with its clock fitted to the first values."""
    model = LatentODE.load(data_file(f"checkpoints/forecasting_{name}.safetensors")).to(torch.get_default_dtype())
    made = LatentForecaster.untrained(task, until, window, model.dim, 0)
    made.model = model.requires_grad_(False)
    return made


def stored_field(damping: str) -> DampedField:
    """The field of the experiment `long-horizon`, seed 0."""
    field = DampedField(damping, 0)
    weights = load_file(data_file(f"checkpoints/long_horizon_{damping}.safetensors"))
    field.load_state_dict({name: value.to(torch.get_default_dtype()) for name, value in weights.items()})
    return field.requires_grad_(False)
