"""Short time series that the course ships as text, each with where its numbers come from."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from odelab.extras import extra
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


def sea_surface() -> Series:
    """Monthly temperature of the sea surface off Peru and Ecuador (0–10° S, 80–90° W), 1950–2010: y (732, 1), °C.

    The region called Niño 1+2, averages of NOAA's ERSST.v3b, as the package statsmodels ships them (`elnino`); public
    domain. Times are years, a month is 1/12.
    """
    with extra("train"):
        from statsmodels.datasets import elnino
    months = torch.from_numpy(elnino.load_pandas().data.to_numpy(dtype=float)[:, 1:]).reshape(-1, 1)
    years = 1950 + torch.arange(len(months), dtype=torch.float64) / 12
    return Series(years, months, ("sea surface",), "°C", "NOAA, ERSST.v3b, Niño 1+2, in statsmodels")


def seattle() -> Series:
    """Highest temperature of each day in Seattle, 2012–2015: y (1461, 1), °C; times are days since 2012-01-01.

    From NOAA's National Centers for Environmental Information (public domain), as the collection vega-datasets has it.
    """
    with data_file("seattle_weather_2012_2015.csv").open(encoding="utf-8") as file:
        table = torch.from_numpy(np.loadtxt(file, delimiter=",", skiprows=1, usecols=1))
    days = torch.arange(len(table), dtype=torch.float64)
    return Series(
        days, table[:, None], ("maximum temperature",), "°C", "NOAA, National Centers for Environmental Info."
    )


def influenza() -> Series:
    """Boys in bed on each of 14 days of January and February 1978, of 763 in a boarding school: y (14, 1).

    British Medical Journal 1978;1:587; facts. Times are days, the first is 1.
    """
    with data_file("flu_1978.csv").open(encoding="utf-8") as file:
        table = torch.from_numpy(np.loadtxt(file, delimiter=",", skiprows=1))
    return Series(table[:, 0], table[:, 1:], ("in bed",), "boys", "British Medical Journal 1978;1:587")


def eta_aquilae() -> Series:
    """Brightness of the star η Aquilae on 865 evenings of 1997–2008, as one observer saw it: y (865, 1), magnitudes.

    Visual estimates by the observer CGF in the AAVSO International Database, one an evening; a smaller magnitude is a
    brighter star. They are irregular for the reasons of one house: clouds, the moon, and months of every year in which
    the star is not in the evening sky. Times are Julian dates, in days. The star is a Cepheid, a giant that swells and
    shrinks in about a week.
    """
    with data_file("eta_aquilae_1997_2008.csv").open(encoding="utf-8") as file:
        columns = tuple(file.readline().strip().split(",")[1:])
        table = torch.from_numpy(np.loadtxt(file, delimiter=","))
    source = "observer CGF, AAVSO International Database"
    return Series(table[:, 0], table[:, 1:], columns, "magnitudes", source)
