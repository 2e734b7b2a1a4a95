"""The series the course ships: complete, in order, with a source, and found wherever odelab is installed."""

import hashlib
from pathlib import Path

import pytest
import torch

from odelab import folders
from odelab.datasets import data_file, lynx_hare

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


def test_the_file_has_not_changed():
    text = data_file("lynx_hare_1900_1920.csv").read_text(encoding="utf-8")
    digest = hashlib.sha256("\n".join(text.split()).encode()).hexdigest()
    assert digest == "1a75f162d730d4375aca1f4c1fdad3872669762f53e2ca24ec241e97e63fd96b"


def test_a_missing_file_names_the_places_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "FOLDERS", (tmp_path / "wheel", tmp_path / "checkout"))
    with pytest.raises(FileNotFoundError, match=r"wheel.*checkout"):
        lynx_hare()
