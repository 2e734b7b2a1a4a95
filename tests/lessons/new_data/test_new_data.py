"""Lesson 12: its exercise checks tell right from wrong, and its explorables plot what they claim to plot."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from odelab.datasets import liver_visits
from odelab.experiments.neural_processes.processes import NeuralProcess, ODEProcess
from odelab.experiments.neural_processes.tasks import family
from odelab.experiments.visits.models import ODERNN, inputs_of
from odelab.experiments.visits.recipe import VisitsRecipe
from odelab.lessons.new_data import explorables, figures, stored
from tests.lessons.kit.answers import Answers, every_answer, judge
from tests.lessons.kit.contrast import faint

MEAN: Answers = {
    "total": (lambda r, n, new: (n * r + new) / (n + 1), None),
    "a step": (lambda r, n, new: r + (new - r) / (n + 1), None),
    "weights": (lambda r, n, new: n / (n + 1) * r + new / (n + 1), None),
    "lerp": (lambda r, n, new: torch.lerp(r, new, 1 / (n + 1)), None),
    "numpy": (lambda r, n, new: np.average(np.stack([r, new]), axis=0, weights=[n, 1]), None),
    "a list": (lambda r, n, new: [(n * a + b) / (n + 1) for a, b in zip(r, new, strict=True)], None),
    "sum": (lambda r, n, new: n * r + new, "sum of all points"),
    "half": (lambda r, n, new: (r + new) / 2, "as much weight"),
    "n for n + 1": (lambda r, n, new: (n * r + new) / max(n, 1), "n . 1 points now"),
    "divides by zero": (lambda r, n, new: (n * r + new) / torch.tensor(float(n)), "divides by zero"),
    "r once": (lambda r, n, new: (r + new) / (n + 1), "counts n times"),
    "nothing": (lambda r, n, new: r, "new point is missing"),
    "forgets": (lambda r, n, new: new, "forgets"),
    "wrong way": (lambda r, n, new: r - (new - r) / (n + 1), "towards"),
    "too far": (lambda r, n, new: r + n * (new - r), "too long"),
    "stub": (lambda r, n, new: ..., "not attempted"),
}
SLOPE: Answers = {
    "difference": (lambda h, u, g: u * h + (1 - u) * g - h, None),
    "factors": (lambda h, u, g: (1 - u) * (g - h), None),
    "expanded": (lambda h, u, g: g - h - u * g + u * h, None),
    "lerp": (lambda h, u, g: torch.lerp(g, h, u) - h, None),
    "numpy": (lambda h, u, g: (1 - u.numpy()) * (g.numpy() - h.numpy()), None),
    "a list": (lambda h, u, g: [(1 - a) * (c - b) for a, b, c in zip(u, h, g, strict=True)], None),
    "new state": (lambda h, u, g: u * h + (1 - u) * g, "new state"),
    "sign": (lambda h, u, g: (1 - u) * (h - g), "sign"),
    "other gate": (lambda h, u, g: u * (g - h), "u keeps"),
    "no gate": (lambda h, u, g: g - h, "all the way"),
    "whole h": (lambda h, u, g: (1 - u) * g - h, "u of it stays"),
    "no loss": (lambda h, u, g: (1 - u) * g, "lost is missing"),
    "both gates": (lambda h, u, g: u * (1 - u) * (g - h), "both gates"),
    "gates swapped": (lambda h, u, g: u * g + (1 - u) * h - h, "u keeps|multiplies"),
    "stub": (lambda h, u, g: ..., "not attempted"),
}
PRICE: Answers = {
    "closed form": (lambda m, s, a, b: ((b / s).log() + (s**2 + (m - a) ** 2) / (2 * b**2) - 0.5).sum(), None),
    "library": (lambda m, s, a, b: kl_divergence(Normal(m, s), Normal(a, b)).sum(), None),
    "variances": (lambda m, s, a, b: 0.5 * ((b / s).pow(2).log() + (s / b) ** 2 + ((m - a) / b) ** 2 - 1).sum(), None),
    "entropies": (
        lambda m, s, a, b: -Normal(m, s).entropy().sum() + (b.log() + (s**2 + (m - a) ** 2) / 2 / b**2).sum() + NORMED,
        None,
    ),
    "an integral": (lambda m, s, a, b: by_sum(Normal(m, s), Normal(a, b)), None),
    "a loop": (
        lambda m, s, a, b: sum(kl_divergence(Normal(m[i], s[i]), Normal(a[i], b[i])) for i in range(3)),
        None,
    ),
    "each entry": (lambda m, s, a, b: kl_divergence(Normal(m, s), Normal(a, b)), "sum is asked for"),
    "mean": (lambda m, s, a, b: kl_divergence(Normal(m, s), Normal(a, b)).mean(), "add up"),
    "other way": (lambda m, s, a, b: kl_divergence(Normal(a, b), Normal(m, s)).sum(), "draws come from the narrow"),
    "no constant": (lambda m, s, a, b: ((b / s).log() + (s**2 + (m - a) ** 2) / 2 / b**2).sum(), "constant is missing"),
    "one constant": (lambda m, s, a, b: ((b / s).log() + (s**2 + (m - a) ** 2) / 2 / b**2).sum() - 0.5, "every entry"),
    "log upside down": (lambda m, s, a, b: ((s / b).log() + (s**2 + (m - a) ** 2) / 2 / b**2 - 0.5).sum(), "sign of"),
    "no means": (lambda m, s, a, b: ((b / s).log() + s**2 / 2 / b**2 - 0.5).sum(), "means are missing"),
    "no width": (lambda m, s, a, b: ((b / s).log() + (m - a) ** 2 / 2 / b**2 - 0.5).sum(), "holds s²"),
    "no square": (lambda m, s, a, b: ((b / s).log() + (s**2 + (m - a) ** 2) / 2 / b - 0.5).sum(), "variance of the"),
    "lesson 08": (lambda m, s, a, b: (-s.log() + (s**2 + m**2) / 2 - 0.5).sum(), "standard normal"),
    "negative": (lambda m, s, a, b: -kl_divergence(Normal(m, s), Normal(a, b)).sum(), "never negative"),
    "stub": (lambda m, s, a, b: ..., "not attempted"),
}
NORMED = 1.5 * math.log(2 * math.pi)


def by_sum(narrow: Normal, wide: Normal) -> Tensor:
    z = torch.linspace(-20, 20, 400_001, dtype=torch.float64)[:, None]
    density = narrow.log_prob(z).exp()
    return (density * (narrow.log_prob(z) - wide.log_prob(z))).sum() * 1e-4


def by_appending(times: Tensor, values: Tensor) -> list[list[Tensor]]:
    path = [[times[0], values[0]]]
    for k in range(1, len(times)):
        path += [[times[k], values[k - 1]], [times[k], values[k]]]
    return path


def preallocated(times: Tensor, values: Tensor) -> Tensor:
    path = torch.empty(2 * len(times) - 1, 2, dtype=times.dtype)
    path[::2] = torch.stack([times, values], 1)
    path[1::2] = torch.stack([times[1:], values[:-1]], 1)
    return path


def early(times: Tensor, values: Tensor) -> list[list[Tensor]]:
    path = [[times[0], values[0]]]
    for k in range(1, len(times)):
        path += [[times[k - 1], values[k]], [times[k], values[k]]]
    return path


def from_zero(times: Tensor, values: Tensor) -> list[list[Tensor]]:
    return [[times[k], value] for k in range(len(times)) for value in (values[k - 1], values[k])]


CORNERS: Answers = {
    "appended": (by_appending, None),
    "preallocated": (preallocated, None),
    "repeated": (
        lambda t, x: torch.stack([t.repeat_interleave(2)[1:], x.repeat_interleave(2)[:-1]], 1),
        None,
    ),
    "numpy": (lambda t, x: np.column_stack([np.repeat(t.numpy(), 2)[1:], np.repeat(x.numpy(), 2)[:-1]]), None),
    "rows": (lambda t, x: [torch.stack(corner) for corner in by_appending(t, x)], None),
    "value first": (early, "value moves before the time"),
    "visits": (lambda t, x: torch.stack([t, x], 1), "knows the future"),
    "together": (lambda t, x: torch.stack([t, x], 1).repeat_interleave(2, 0), "stands twice"),
    "halfway": (
        lambda t, x: torch.stack(
            [torch.cat([t[:1], ((t[1:] + t[:-1]) / 2).repeat_interleave(2), t[-1:]]), x.repeat_interleave(2)], 1
        ),
        "halfway",
    ),
    "columns": (lambda t, x: preallocated(t, x).flip(1), "first column"),
    "turned": (lambda t, x: preallocated(t, x).T, "turned"),
    "two lists": (lambda t, x: (np.repeat(t.numpy(), 2)[1:].tolist(), np.repeat(x.numpy(), 2)[:-1].tolist()), "turned"),
    "no last": (lambda t, x: preallocated(t, x)[:-1], "last jump"),
    "no start": (lambda t, x: preallocated(t, x)[1:], "start"),
    "from zero": (from_zero, "no value before it"),
    "stub": (lambda t, x: ..., "not attempted"),
}


def loop(x: Tensor) -> Tensor:
    filled, last = [], torch.zeros_like(x[:, 0])
    for now in x.unbind(1):
        last = torch.where(now.isnan(), last, now)
        filled.append(last)
    return torch.stack(filled, 1)


def by_pandas(x: Tensor) -> np.ndarray:
    return np.stack([pd.DataFrame(table.numpy()).ffill().fillna(0.0).to_numpy() for table in x])


def by_index(x: Tensor) -> Tensor:
    place = torch.where(x.isnan(), 0, torch.arange(x.shape[1])[:, None]).cummax(1).values
    return x.gather(1, place).nan_to_num()


def entry_by_entry(x: Tensor) -> Tensor:
    filled = x.clone()
    for i in range(x.shape[0]):
        for c in range(x.shape[2]):
            last = 0.0
            for k in range(x.shape[1]):
                if np.isnan(float(filled[i, k, c])):
                    filled[i, k, c] = last
                last = float(filled[i, k, c])
    return filled


def in_place_on_a_copy(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, 0] = x[:, 0].nan_to_num()
    for k in range(1, x.shape[1]):
        gone = x[:, k].isnan()
        x[:, k][gone] = x[:, k - 1][gone]
    return x


def in_place(x: Tensor) -> Tensor:
    x[:, 0] = x[:, 0].nan_to_num()
    for k in range(1, x.shape[1]):
        x[:, k] = torch.where(x[:, k].isnan(), x[:, k - 1], x[:, k])
    return x


def one_gap_only(x: Tensor) -> Tensor:
    earlier = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
    return torch.where(x.isnan(), earlier, x)


def interpolated(x: Tensor) -> np.ndarray:
    tables = []
    for table in x:
        frame = pd.DataFrame(table.numpy()).interpolate(limit_direction="both")
        tables.append(frame.to_numpy())
    return np.stack(tables)


LAST: Answers = {
    "a loop": (loop, None),
    "pandas": (by_pandas, None),
    "by index": (by_index, None),
    "entry by entry": (entry_by_entry, None),
    "in place on a copy": (in_place_on_a_copy, None),
    "backwards": (
        lambda x: np.stack([pd.DataFrame(t.numpy()).bfill().fillna(0.0).to_numpy() for t in x]),
        "measured later",
    ),
    "interpolated": (interpolated, "a straight line.*measured later"),
    "both ways": (
        lambda x: np.stack([pd.DataFrame(t.numpy()).ffill().bfill().to_numpy() for t in x]),
        "at the beginning backwards",
    ),
    "zeros": (lambda x: x.nan_to_num(), "0 in every gap"),
    "mean of a patient": (lambda x: x.where(~x.isnan(), x.nanmean(1, keepdim=True)), "all values of a patient"),
    "mean of all": (lambda x: x.where(~x.isnan(), x.flatten(0, 1).nanmean(0)), "all patients"),
    "NaN at the beginning": (
        lambda x: np.stack([pd.DataFrame(t.numpy()).ffill().to_numpy() for t in x]),
        "a NaN is left",
    ),
    "one gap": (one_gap_only, "longer than one visit"),
    "late": (lambda x: torch.cat([torch.zeros_like(x[:, :1]), loop(x)[:, :-1]], 1), "one visit late"),
    "across patients": (lambda x: loop(x.reshape(1, -1, 2)).view_as(x), "values of the first"),
    "in place": (in_place, "has been changed"),
    "stub": (lambda x: ..., "not attempted"),
}


@every_answer({"updated_mean": MEAN, "price": PRICE, "gru_slope": SLOPE, "last_known": LAST, "corners": CORNERS})
def test_exercises(exercise: str, answer: Callable, hint: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    judge(exercise, answer, hint, capsys)


@pytest.mark.parametrize(("points", "which"), [(0, 1), (6, 2)])
def test_a_fan_is_what_the_model_says_of_these_points(points: int, which: int) -> None:
    torch.manual_seed(0)
    models = {"one": ODEProcess(1, 3, 16, 0.1), "two": NeuralProcess(1, 6, 16, 0.1)}
    data = family("sines", 4, "test")
    explorer = explorables.fan(models, data)
    text = explorer.drive(points=points, which=which)
    given = explorer.figure.axes[0].lines[3].get_xydata()
    assert len(given) == points and text.startswith(f"{points} point")
    y, mask = torch.zeros(3, len(data.times), 1), torch.zeros(3, len(data.times), dtype=torch.bool)
    for t, value in given:
        place = int((data.times - t).abs().argmin())
        y[which - 1, place, 0], mask[which - 1, place] = value, True
    for ax, model in zip(explorer.figure.axes, models.values(), strict=False):
        said = model.forecast(data.times, y, mask, explorables.SHOWN, torch.Generator().manual_seed(0))
        assert np.allclose(ax.lines[1].get_ydata(), said.draws[:, which - 1, :, 0].mean(0), atol=1e-4)
    assert not list(faint(explorer.figure))


@pytest.mark.parametrize(("patient", "read"), [(1, 1), (2, 4)])
def test_a_patient_s_curve_is_the_net_s_answer(patient: int, read: int) -> None:
    torch.manual_seed(0)
    visits = liver_visits()
    inputs = inputs_of(visits, torch.ones(312, dtype=torch.bool))
    net = ODERNN(6, VisitsRecipe())
    rows = tuple((visits.number >= 6).nonzero()[:2, 0].tolist())
    explorer = explorables.visits_come_in(net, visits, inputs, rows, 1.0)
    text = explorer.drive(patient=patient, read=read)
    row = rows[patient - 1]
    curve = explorer.figure.axes[0].lines[2].get_xydata()
    assert len(explorer.figure.axes[0].lines[1].get_xdata()) == read
    own = inputs.rows(torch.tensor([row]))
    asked = own.times.clone()
    asked[0, read - 1] = float(curve[6, 0])
    with torch.no_grad():
        said = float(net(own, asked)[0, read - 1])
    assert curve[6, 1] == pytest.approx(float(visits.x[row, read - 1, 0]) * np.exp(said), rel=1e-3)
    assert f"{read} of {int(visits.number[row])} visits read" in text


def test_stored_processes_are_there_or_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stored.stored_process("sines", "ode-process").channels == 1
    monkeypatch.setattr(stored, "load_weights", lambda module, name: False)
    with pytest.raises(FileNotFoundError, match="reproduce neural-processes --budget full"):
        stored.stored_process("digit", "process")


def test_curves_have_bands_over_seeds() -> None:
    counts, values = [1, 2, 5], [[0.3, 0.2, 0.1], [0.5, 0.2, 0.1]]
    fig = figures.by_points({"coverage of the band": {"one": (counts, values)}})
    low, high, mean = (line.get_ydata() for line in fig.axes[0].lines[:3])
    assert np.allclose([low, high, mean], [values[0], values[1], [0.4, 0.2, 0.1]])
    assert not list(faint(fig))
