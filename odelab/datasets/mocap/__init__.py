"""Recordings of people walking: CMU's files, channels and skeletons; and walks made up where there are none."""

from odelab.datasets.mocap.channels import channels62
from odelab.datasets.mocap.formats import read_amc, read_asf
from odelab.datasets.mocap.gait import synthetic_walks
from odelab.datasets.mocap.skeleton import Skeleton, standard_skeleton
from odelab.datasets.mocap.subject35 import Mocap, mocap35
from odelab.datasets.mocap.walks import WalkSplit, walk_split, walks62

__all__ = [
    "Mocap",
    "Skeleton",
    "WalkSplit",
    "channels62",
    "mocap35",
    "read_amc",
    "read_asf",
    "standard_skeleton",
    "synthetic_walks",
    "walk_split",
    "walks62",
]
