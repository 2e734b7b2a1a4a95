"""Recordings of people walking: CMU's files, channels and skeletons; and walks made up where there are none."""

from odelab.datasets.mocap.amc import read_amc
from odelab.datasets.mocap.asf import read_asf
from odelab.datasets.mocap.channels import average_pose, channels62
from odelab.datasets.mocap.gait import synthetic_walks
from odelab.datasets.mocap.skeleton import Skeleton
from odelab.datasets.mocap.standard import standard_skeleton
from odelab.datasets.mocap.subject35 import Mocap, mocap35
from odelab.datasets.mocap.walks import WalkSplit, walk_split, walks62

__all__ = [
    "Mocap",
    "Skeleton",
    "WalkSplit",
    "average_pose",
    "channels62",
    "mocap35",
    "read_amc",
    "read_asf",
    "standard_skeleton",
    "synthetic_walks",
    "walk_split",
    "walks62",
]
