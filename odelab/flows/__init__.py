"""Normalizing flows, discrete and continuous; floor 2."""

from odelab.flows.cnf import CNF, DIVERGENCES, REGULARIZERS
from odelab.flows.divergence import (
    NOISES,
    exact_divergence,
    hutchinson_divergence,
    jacobian_products,
    probes,
    unit_directions,
)
from odelab.flows.flow import Flow
from odelab.flows.planar import PlanarCNF, PlanarFlow, PlanarLayer
from odelab.flows.transform import CNFTransform

__all__ = [
    "CNF",
    "DIVERGENCES",
    "NOISES",
    "REGULARIZERS",
    "CNFTransform",
    "Flow",
    "PlanarCNF",
    "PlanarFlow",
    "PlanarLayer",
    "exact_divergence",
    "hutchinson_divergence",
    "jacobian_products",
    "probes",
    "unit_directions",
]
