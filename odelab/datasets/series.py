"""Short time series that the course ships as text, each with where its numbers come from."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from odelab.folders import data_file


@dataclass(frozen=True, eq=False)
class Series:
    """Observations of several quantities at increasing times.

    Attributes:
        t: times, (n,), float64.
        y: observations, (n, columns), float64.
        columns: what each column of `y` counts.
        unit: unit of `y`.
        source: who published the numbers.
    """

    t: Tensor
    y: Tensor
    columns: tuple[str, ...]
    unit: str
    source: str


def lynx_hare() -> Series:
    """Pelts of snowshoe hare and Canada lynx bought by the Hudson's Bay Company, 1900–1920: y (21, 2), thousands.

    The Company's records were first analysed by Hewitt (1921), the lynx in depth by Elton and Nicholson (1942). These
    21 rows are the ones printed by Howard (2009), who has them from Mahaffy's lectures, and those from Purves et al.,
    *Life: The Science of Biology* (the chain as Carpenter, 2018, gives it). Pelts sold, not animals counted.
    """
    with data_file("lynx_hare_1900_1920.csv").open(encoding="utf-8") as file:
        columns = tuple(file.readline().strip().split(",")[1:])
        table = torch.from_numpy(np.loadtxt(file, delimiter=","))
    source = "Hudson's Bay Company, in Howard (2009) after Mahaffy"
    return Series(table[:, 0], table[:, 1:], columns, "thousand pelts", source)
