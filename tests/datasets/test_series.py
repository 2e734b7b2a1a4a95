"""The series the course ships: complete, in order, with a source, and found wherever odelab is installed."""

import hashlib
from pathlib import Path

import pytest
import torch

from odelab import folders
from odelab.datasets import data_file, eta_aquilae, lynx_hare
from odelab.datasets.series import influenza, sea_surface, seattle

ROOT = Path(__file__).parents[2]


def test_lynx_hare_is_the_published_table():
    pelts = lynx_hare()
    assert pelts.columns == ("hare", "lynx")
    assert pelts.y.shape == (21, 2) and pelts.y.dtype == torch.float64
    assert torch.equal(pelts.t, torch.arange(1900.0, 1921.0, dtype=torch.float64))
    assert pelts.y[0].tolist() == [30.0, 4.0]  # first year
    assert pelts.y[-1].tolist() == [24.7, 8.6]  # last year
    assert pelts.t[pelts.y.argmax(0)].tolist() == [1903.0, 1904.0]  # the lynx peak a year after the hares
    assert "Hudson's Bay" in pelts.source and pelts.unit == "thousand pelts"


def test_the_seas_year_and_its_two_great_warm_events():
    sea = sea_surface()
    assert sea.y.shape == (732, 1) and sea.y.dtype == torch.float64 and bool((sea.t.diff() - 1 / 12 < 1e-9).all())
    assert sea.y[:2, 0].tolist() == [23.11, 24.2]  # January and February 1950
    by_month = sea.y.view(61, 12)
    assert int(by_month.mean(0).argmax()) == 2 and int(by_month.mean(0).argmin()) == 8  # March, September
    warmth = (by_month - by_month.mean(0)).flatten()
    assert {int(sea.t[k]) for k in warmth.topk(12).indices} <= {1982, 1983, 1997, 1998}


def test_seattle_has_every_day_of_four_years():
    days = seattle()
    assert days.y.shape == (1461, 1) and days.t.tolist() == [*range(1461)]
    assert days.y[[0, 1, -1], 0].tolist() == [12.8, 10.6, 5.6]
    assert -10 < float(days.y.min()) < 0 and 30 < float(days.y.max()) < 40


def test_the_influenza_is_the_published_curve():
    flu = influenza()
    assert flu.t.tolist() == [*range(1, 15)] and flu.y[:, 0].sum() == 1559
    assert flu.y[:3, 0].tolist() == [3.0, 8.0, 26.0] and float(flu.y.max()) == 298.0


def test_eta_aquilae_is_one_observers_evenings():
    star = eta_aquilae()
    assert star.columns == ("magnitude",) and star.unit == "magnitudes" and "AAVSO" in star.source
    assert star.t.dtype == torch.float64 and star.y.shape == (865, 1)
    assert (star.t.diff() > 0.2).all()  # one an evening
    assert star.y.min() > 3 and star.y.max() < 5
    assert star.t[0].item() == 2450634.62 and star.y[0].item() == 4.1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lynx_hare_1900_1920.csv", "1a75f162d730d4375aca1f4c1fdad3872669762f53e2ca24ec241e97e63fd96b"),
        ("seattle_weather_2012_2015.csv", "feed86f23a79523d78191623ee909c14bd8ba5fe6855b525bb5fc80efa4b3229"),
        ("flu_1978.csv", "e149971c1c0c4cb640c498a939d6c3742b1be6794f558f8e4a31af15023110e6"),
        ("eta_aquilae_1997_2008.csv", "de9eaeabfddffa2bd1738ce2f493acc01757267427b2434329b698549eecb2d5"),
    ],
)
def test_the_files_have_not_changed(name, expected):
    text = data_file(name).read_text(encoding="utf-8")
    assert hashlib.sha256("\n".join(text.split()).encode()).hexdigest() == expected


def test_a_missing_file_names_the_places_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "FOLDERS", (tmp_path / "wheel", tmp_path / "checkout"))
    with pytest.raises(FileNotFoundError, match=r"wheel.*checkout"):
        lynx_hare()
