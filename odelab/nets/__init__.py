"""Networks with time in them, and the classifiers of the ODE-Net's table; floor 2."""

from odelab.nets.block import CountedField, ODEBlock
from odelab.nets.classifiers import BODIES, STEMS, Classifier, ResidualBlock, classifier
from odelab.nets.fields import (
    ACTIVATIONS,
    LAYERS,
    AutonomousLinear,
    ConcatLinear,
    ConcatSquashConv2d,
    ConcatSquashLinear,
    ConvField,
    ImageField,
    MLPField,
    TimeConv2d,
)
from odelab.nets.memory import saved_for_backward

__all__ = [
    "ACTIVATIONS",
    "BODIES",
    "LAYERS",
    "STEMS",
    "AutonomousLinear",
    "Classifier",
    "ConcatLinear",
    "ConcatSquashConv2d",
    "ConcatSquashLinear",
    "ConvField",
    "CountedField",
    "ImageField",
    "MLPField",
    "ODEBlock",
    "ResidualBlock",
    "TimeConv2d",
    "classifier",
    "saved_for_backward",
]
