"""Networks with time in them, and the classifiers of the ODE-Net's table; floor 2."""

from odelab.nets.block import CountedField, ODEBlock
from odelab.nets.classifiers import BODIES, STEMS, Classifier, ResidualBlock, classifier, saved_for_backward
from odelab.nets.convolution import ConvField, TimeConv2d

__all__ = [
    "BODIES",
    "STEMS",
    "Classifier",
    "ConvField",
    "CountedField",
    "ODEBlock",
    "ResidualBlock",
    "TimeConv2d",
    "classifier",
    "saved_for_backward",
]
