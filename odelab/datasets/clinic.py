"""Visits of patients of a clinic: irregular times, values that are missing, and what became of everyone."""

import csv
from dataclasses import dataclass

import torch
from torch import Tensor

from odelab.folders import data_file

DAYS_OF_A_YEAR = 365.25
CHANNELS = {
    "bili": "bilirubin, mg/dl",
    "chol": "cholesterol, mg/dl",
    "albumin": "albumin, g/dl",
    "ast": "aspartate transaminase, U/ml",
    "platelet": "platelets, 1000/mm³",
    "protime": "prothrombin time, s",
}
ENDS = ("censored", "transplant", "death")


@dataclass(frozen=True, eq=False)
class Visits:
    """Measurements of n patients at their own visits, at most T of them each.

    Attributes:
        times: years since the first visit, (n, T), float64; after a patient's last visit the clock stands still.
        x: (n, T, channels), float64, NaN where nothing was measured.
        number: visits of each patient, (n,), int64; what follows them is padding.
        end: years until death, transplant or the end of the study, (n,).
        status: which of `ENDS`, (n,), int64.
        channels: what is measured, with units.
        source: who published the numbers.
    """

    times: Tensor
    x: Tensor
    number: Tensor
    end: Tensor
    status: Tensor
    channels: tuple[str, ...]
    source: str

    @property
    def there(self) -> Tensor:
        """bool (n, T): visits, not padding."""
        return torch.arange(self.times.shape[1]) < self.number[:, None]


def liver_visits() -> Visits:
    """312 patients with primary biliary cirrhosis (Mayo Clinic, 1974–1984 enrolled): 1,945 visits, six blood values.

    Published by Fleming and Harrington (1991) and Murtaugh et al. (1994); these rows are those of `pbcseq` in the
    R package `survival`, some of whose columns are left out.
    """
    with data_file("liver_visits.csv").open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    patients: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        patients.setdefault(row["id"], []).append(row)
    number = torch.tensor([len(visits) for visits in patients.values()])
    times = torch.zeros(len(patients), int(number.max()), dtype=torch.float64)
    x = torch.full((*times.shape, len(CHANNELS)), torch.nan, dtype=torch.float64)
    for i, visits in enumerate(patients.values()):
        days = [float(visit["day"]) for visit in visits]
        times[i] = torch.tensor(days + [days[-1]] * (times.shape[1] - len(days))) / DAYS_OF_A_YEAR
        values = [[float(visit[name] or "nan") for name in CHANNELS] for visit in visits]
        x[i, : len(days)] = torch.tensor(values, dtype=torch.float64)
    last = [visits[0] for visits in patients.values()]
    end = torch.tensor([float(row["futime"]) for row in last], dtype=torch.float64) / DAYS_OF_A_YEAR
    status = torch.tensor([int(row["status"]) for row in last])
    source = "Mayo Clinic; Fleming and Harrington (1991), pbcseq of R's package survival"
    return Visits(times, x, number, end, status, tuple(CHANNELS.values()), source)
