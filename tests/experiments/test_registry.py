"""What the light modules say of the library's names is what the library has."""

from odelab import datasets, nets
from odelab.experiments.ffjord_toy import recipe as ffjord_toy
from odelab.experiments.latent_spirals import recipe as latent_spirals
from odelab.experiments.latent_spirals import run as spirals_run
from odelab.experiments.mnist import recipe as mnist
from odelab.experiments.planar import recipe as planar


def test_names_are_those_of_the_library():
    assert tuple(nets.BODIES) == mnist.BODIES
    assert tuple(datasets.DENSITIES) == ffjord_toy.DENSITIES
    assert tuple(datasets.ENERGIES) == planar.ENERGIES
    assert tuple(spirals_run.MODELS) == latent_spirals.MODELS
