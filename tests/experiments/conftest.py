"""The fake experiment, registered; one thread."""

import importlib

import pytest
import torch

from odelab.experiments.registry import EXPERIMENTS


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """The module, anew for each test, and the file of its rows."""
    monkeypatch.setitem(EXPERIMENTS, "fake", "tests.experiments.fake_experiment")
    module = importlib.reload(importlib.import_module("tests.experiments.fake_experiment"))
    module.path = tmp_path / "results" / "fake.json"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield module
    torch.set_num_threads(threads)
