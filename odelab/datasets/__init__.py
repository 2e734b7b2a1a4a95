"""Data the course teaches with; floor 1: tensors and time, nothing of networks."""

from odelab.datasets.bouncing_balls import bouncing_balls, simulate_balls
from odelab.datasets.clinic import Visits, liver_visits
from odelab.datasets.densities import DENSITIES, Density, density
from odelab.datasets.energies import ENERGIES, Energy, energy
from odelab.datasets.images import Images, digits8, mnist
from odelab.datasets.mocap.channels import channels62
from odelab.datasets.mocap.formats import read_amc, read_asf
from odelab.datasets.mocap.gait import synthetic_walks
from odelab.datasets.mocap.skeleton import Skeleton, standard_skeleton
from odelab.datasets.mocap.subject35 import Mocap, mocap35
from odelab.datasets.mocap.walks import WalkSplit, walk_split, walks62
from odelab.datasets.rotating_digits import RotatingDigits, rotating_digits
from odelab.datasets.sequences import Sequences, load_sequences
from odelab.datasets.series import Series, eta_aquilae, lynx_hare
from odelab.datasets.spirals import Spirals, spirals
from odelab.folders import data_file

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
    "Visits",
    "WalkSplit",
    "bouncing_balls",
    "channels62",
    "data_file",
    "density",
    "digits8",
    "energy",
    "eta_aquilae",
    "liver_visits",
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
