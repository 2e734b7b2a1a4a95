"""Normalizing flows, discrete and continuous; floor 2."""

from odelab.divergence import (
    NOISES,
    exact_divergence,
    hutchinson_divergence,
    jacobian_products,
    probes,
    unit_directions,
)
from odelab.flows.cnf import CNF, DIVERGENCES, REGULARIZERS
from odelab.flows.coupling import NICE
from odelab.flows.flow import CNFTransform, Flow
from odelab.flows.images import MultiscaleCNF, bits_per_dim, dequantize, logit_transform
from odelab.flows.matching import matching_loss, optimal_pairs
from odelab.flows.planar import PlanarCNF, PlanarDensity, PlanarFlow

__all__ = [
    "CNF",
    "DIVERGENCES",
    "NICE",
    "NOISES",
    "REGULARIZERS",
    "CNFTransform",
    "Flow",
    "MultiscaleCNF",
    "PlanarCNF",
    "PlanarDensity",
    "PlanarFlow",
    "bits_per_dim",
    "dequantize",
    "exact_divergence",
    "hutchinson_divergence",
    "jacobian_products",
    "logit_transform",
    "matching_loss",
    "optimal_pairs",
    "probes",
    "unit_directions",
]
