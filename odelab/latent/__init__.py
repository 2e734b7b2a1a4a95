"""Latent dynamics: Bayesian fields, the density they carry, encoders, decoders and ODE²VAE; floor 2."""

from odelab.latent.bayesian import NONLINEARITIES, BayesianMLP, Weights
from odelab.latent.coders import BernoulliDecoder, Decoder, FrameEncoder, GaussianDecoder, ImageEncoder, VectorEncoder
from odelab.latent.dynamics import DrawnField, FirstOrder, SecondOrder
from odelab.latent.elbo import Terms
from odelab.latent.forecast import Forecast
from odelab.latent.latent_ode import LatentField, LatentODE, LatentTerms
from odelab.latent.ode2vae import ODE2VAE
from odelab.latent.paths import flow
from odelab.latent.recurrent import ODERNNEncoder, RecurrentEncoder, RecurrentForecaster

__all__ = [
    "NONLINEARITIES",
    "ODE2VAE",
    "BayesianMLP",
    "BernoulliDecoder",
    "Decoder",
    "DrawnField",
    "FirstOrder",
    "Forecast",
    "FrameEncoder",
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
