"""Training, the same for every model of the course; floor 3."""

from odelab.training.batches import Epochs, seed_of
from odelab.training.fit import History, TrainingDiverged, adam, fit
from odelab.training.schedules import constant, cosine, one_cycle

__all__ = ["Epochs", "History", "TrainingDiverged", "adam", "constant", "cosine", "fit", "one_cycle", "seed_of"]
