"""Training, the same for every model of the course; floor 3."""

from odelab.training.batches import Epochs, seed_of
from odelab.training.checkpoint import BrokenCheckpoint, load_checkpoint, save_checkpoint
from odelab.training.fit import adam, fit
from odelab.training.run import History, TrainingDiverged
from odelab.training.schedules import constant, cosine, one_cycle

__all__ = [
    "BrokenCheckpoint",
    "Epochs",
    "History",
    "TrainingDiverged",
    "adam",
    "constant",
    "cosine",
    "fit",
    "load_checkpoint",
    "one_cycle",
    "save_checkpoint",
    "seed_of",
]
