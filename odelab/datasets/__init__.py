"""Data the course teaches with; floor 1: tensors and time, nothing of networks."""

from odelab.datasets.amc import read_amc
from odelab.datasets.bouncing_balls import bouncing_balls, simulate_balls
from odelab.datasets.densities import DENSITIES, Density, density
from odelab.datasets.energies import ENERGIES, Energy, energy
from odelab.datasets.gait import synthetic_walks
from odelab.datasets.images import Images, digits8
from odelab.datasets.mnist_files import mnist
from odelab.datasets.mocap import Mocap, mocap35
from odelab.datasets.mocap_channels import average_pose, channels62
from odelab.datasets.mocap_walks import WalkSplit, walk_split, walks62
from odelab.datasets.rotating_digits import RotatingDigits, rotating_digits
from odelab.datasets.sequence_files import load_sequences
from odelab.datasets.sequences import Sequences
from odelab.datasets.series import Series, data_file, lynx_hare
from odelab.datasets.skeleton import Skeleton
from odelab.datasets.skeleton_files import read_asf
from odelab.datasets.skeleton_standard import standard_skeleton
from odelab.datasets.spirals import Spirals, spirals

__all__ = [
    "DENSITIES",
    "ENERGIES",
    "Density",
    "Energy",
    "Images",
    "Mocap",
    "RotatingDigits",
    "Sequences",
    "Series",
    "Skeleton",
    "Spirals",
    "WalkSplit",
    "average_pose",
    "bouncing_balls",
    "channels62",
    "data_file",
    "density",
    "digits8",
    "energy",
    "load_sequences",
    "lynx_hare",
    "mnist",
    "mocap35",
    "read_amc",
    "read_asf",
    "rotating_digits",
    "simulate_balls",
    "spirals",
    "standard_skeleton",
    "synthetic_walks",
    "walk_split",
    "walks62",
]
