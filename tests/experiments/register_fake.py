"""Imported by the workers of a test alone: they know the fake experiment, too."""

from odelab.experiments.registry import EXPERIMENTS

EXPERIMENTS["fake"] = "tests.experiments.fake_experiment"
