"""Data the course teaches with; floor 1: tensors and time, nothing of networks."""

from odelab.datasets.series import Series, data_file, lynx_hare

__all__ = ["Series", "data_file", "lynx_hare"]
