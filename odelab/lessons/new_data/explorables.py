"""What moves in lesson 12: a fan that shrinks as points are added, and a patient whose visits come in."""

from collections.abc import Mapping

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from odelab.datasets import Visits
from odelab.experiments.neural_processes.processes import NeuralProcess
from odelab.experiments.neural_processes.tasks import Family
from odelab.experiments.visits.models import ODERNN, Inputs
from odelab.experiments.visits.run import BILIRUBIN
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.new_data import figures

MOST = 10  # points that can be added
SHOWN = 40  # draws


def fan(models: Mapping[str, NeuralProcess], data: Family, series: int = 3) -> Explorable:
    """A slider that adds points of a series that no model was trained on; no weight changes.

    Args:
        data: with one channel; its first ``series`` series can be chosen.
    """
    order = torch.rand(series, len(data.times), generator=torch.Generator().manual_seed(3)).argsort(1)
    rank = order.argsort(1)
    y = data.y[:series]
    clouds, widths = {}, {}
    for name, model in models.items():
        by_count = [
            model.forecast(data.times, y, rank < count, SHOWN, torch.Generator().manual_seed(0)).draws[..., 0]
            for count in range(MOST + 1)
        ]
        clouds[name] = torch.stack(by_count)  # (counts, draws, series, T)
        ends = torch.quantile(clouds[name], torch.tensor([0.05, 0.95]), dim=1)
        widths[name] = (ends[1] - ends[0]).mean(-1)

    def update(fig: Figure, points: int, which: int) -> str:
        k = which - 1
        given = order[k, :points]
        both = torch.stack([data.times[given], y[k, given, 0]], 1)
        draws = {name: cloud[points, :, k].numpy() for name, cloud in clouds.items()}
        over = {name: width[:, k].numpy() for name, width in widths.items()}
        figures.update_fans(fig, data.times.numpy(), draws, data.truth[k, :, 0].numpy(), both.numpy(), over, points)
        said = [
            f"{name}: fan {over[name][points]:.2f} wide, mean off by "
            f"{float((cloud[points, :, k].mean(0) - data.truth[k, :, 0]).square().mean().sqrt()):.3f}"
            for name, cloud in clouds.items()
        ]
        return f"{points} point{'s' * (points != 1)}. " + "; ".join(said) + "."

    controls = {
        "points": widgets.IntSlider(value=0, min=0, max=MOST, description="points given"),
        "which": widgets.SelectionSlider(options=list(range(1, series + 1)), value=1, description="series"),
    }
    return Explorable(figures.fans(data.times.numpy(), list(models), MOST), update, controls, play="points")


@torch.no_grad()
def ahead(net: ODERNN, inputs: Inputs, k: int, years: float, pieces: int = 24) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of one patient whose visits up to the k-th are read: times and states on the way, times ahead and answers there.

    Args:
        inputs: of this patient alone; years: how far ahead.

    Returns:
        times (q,), states (q, hidden), times ahead (pieces + 1,), answers (pieces + 1,).
    """
    state = net.start(inputs)
    times, states = [], []
    for i in range(k + 1):
        state = net.jump(state, inputs, i)
        begin = inputs.times[0, i]
        end = inputs.times[0, i + 1] if i < k else begin + years
        for part in torch.linspace(0, 1, pieces + 1):
            times.append(begin + part * (end - begin))
            states.append(net.flow(state, (part * (end - begin)).view(1, 1))[0])
        state = states[-1][None]
    said = net.head(torch.stack(states[-pieces - 1 :]))[:, 0]
    return torch.stack(times), torch.stack(states), torch.stack(times[-pieces - 1 :]), said


def visits_come_in(
    net: ODERNN, visits: Visits, inputs: Inputs, patients: tuple[int, ...], unit: float, years: float = 3.0
) -> Explorable:
    """Sliders for a patient and the number of visits that are read: the state flows and jumps, the curve follows.

    Args:
        net: trained to say by how much the logarithm of bilirubin has changed at the next visit, in units of ``unit``.
        patients: rows that can be chosen; years: how far ahead the net is asked.
    """

    def update(fig: Figure, patient: int, read: int) -> str:
        row = patients[patient - 1]
        count = int(visits.number[row])
        k = min(read, count) - 1
        own = inputs.rows(torch.tensor([row]))
        times, states, later, said = ahead(net, own, k, years)
        measured = visits.x[row, :, BILIRUBIN]
        both = torch.stack([visits.times[row, :count], measured[:count]], 1)
        curve = measured[k] * torch.exp(unit * said.double())
        figures.update_patient_ahead(
            fig,
            both[: k + 1].numpy(),
            both[k + 1 :].numpy(),
            (later.numpy(), curve.numpy()),
            (times.numpy(), states[:, :4].numpy()),
        )
        text = f"{k + 1} of {count} visits read, the last one after {float(visits.times[row, k]):.1f} years. "
        if k + 1 == count:
            return text + "No visit is left."
        place = int((later - visits.times[row, k + 1]).abs().argmin())
        beyond = " (beyond the curve)" if float(visits.times[row, k + 1]) > float(later[-1]) + 1e-3 else ""
        return text + (
            f"At the next one{beyond} the net says {float(curve[place]):.1f} mg/dl, {float(measured[k + 1]):.1f} was "
            f"measured, and the last value was {float(measured[k]):.1f}."
        )

    controls = {
        "patient": widgets.SelectionSlider(options=list(range(1, len(patients) + 1)), value=1, description="patient"),
        "read": widgets.IntSlider(value=1, min=1, max=9, description="visits read"),
    }
    return Explorable(figures.patient_ahead(), update, controls, play="read")
