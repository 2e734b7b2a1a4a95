"""Latent dynamics: Bayesian fields, the density they carry, encoders, decoders and ODE²VAE; floor 2."""

from odelab.latent.bayesian import BayesianMLP
from odelab.latent.decoders import Decoder, GaussianDecoder
from odelab.latent.density import flow
from odelab.latent.dynamics import DrawnField, FirstOrder, SecondOrder
from odelab.latent.elbo import Terms
from odelab.latent.encoders import Encoder, VectorEncoder
from odelab.latent.forecast import Forecast
from odelab.latent.forecaster import RecurrentForecaster
from odelab.latent.images import BernoulliDecoder, ImageEncoder
from odelab.latent.latent_ode import LatentField, LatentODE, LatentTerms
from odelab.latent.ode2vae import ODE2VAE
from odelab.latent.recurrent import ODERNNEncoder, RecurrentEncoder
from odelab.latent.weights import ACTIVATIONS, Weights

__all__ = [
    "ACTIVATIONS",
    "ODE2VAE",
    "BayesianMLP",
    "BernoulliDecoder",
    "Decoder",
    "DrawnField",
    "Encoder",
    "FirstOrder",
    "Forecast",
    "GaussianDecoder",
    "ImageEncoder",
    "LatentField",
    "LatentODE",
    "LatentTerms",
    "ODERNNEncoder",
    "RecurrentEncoder",
    "RecurrentForecaster",
    "SecondOrder",
    "Terms",
    "VectorEncoder",
    "Weights",
    "flow",
]
