"""SINDy by pysindy: slopes from the data, a library of terms, and least squares that drops small coefficients in turn.

Brunton, Proctor, Kutz (2016), Discovering governing equations from data by sparse identification.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from odelab.experiments.identification.systems import Field, System
from odelab.extras import extra

THRESHOLD = 0.1  # coefficients below it are dropped
ALPHA = 1e-6  # of the ridge, which keeps least squares solvable where terms cannot be told apart


def library(z: Tensor, variables: tuple[str, str], degree: int = 2) -> tuple[Tensor, list[str]]:
    """Monomials up to the degree, and sines of angles: values (…, terms) and their names.

    A variable called θ is an angle.
    """
    columns, names = [torch.ones_like(z[..., 0])], ["1"]
    for total in range(1, degree + 1):
        for second in range(total + 1):
            powers = (total - second, second)
            columns.append(z[..., 0] ** powers[0] * z[..., 1] ** powers[1])
            parts = [name + {1: "", 2: "²", 3: "³"}[p] for name, p in zip(variables, powers, strict=True) if p]
            names.append(" ".join(parts))
    if "θ" in variables:
        angle = variables.index("θ")
        columns.append(torch.sin(z[..., angle]))
        names.append("sin θ")
    return torch.stack(columns, -1), names


@dataclass(frozen=True)
class Equations:
    """dz/dt = coefficients · library(z).

    Attributes:
        coefficients: (2, terms); names: of the terms.
    """

    coefficients: Tensor
    names: list[str]
    variables: tuple[str, str]
    degree: int = 2

    def __call__(self, z: Tensor) -> Tensor:
        return library(z, self.variables, self.degree)[0] @ self.coefficients.T

    def terms(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of the terms of each equation."""
        first, second = (
            frozenset(name for name, value in zip(self.names, row.tolist(), strict=True) if value)
            for row in self.coefficients
        )
        return first, second

    def __str__(self) -> str:
        lines = []
        for variable, row in zip(self.variables, self.coefficients.tolist(), strict=True):
            terms = [f"{value:+.3g} {name}" for name, value in zip(self.names, row, strict=True) if value]
            lines.append(f"d{variable}/dt = " + (" ".join(terms).replace("+", "+ ").replace("-", "− ") or "0"))
        return "\n".join(lines)


def slopes_of(times: Tensor, paths: Sequence[Tensor]) -> list[Tensor]:
    """dz/dt (n, 2) of each path, by pysindy's smoothed finite differences."""
    with extra("train"):
        import pysindy
    method = pysindy.SmoothedFiniteDifference()
    return [torch.from_numpy(np.asarray(method(path.numpy(), times.numpy()))) for path in paths]


def discover(system: System, times: Tensor, paths: Sequence[Tensor], degree: int = 2) -> Equations:
    """The equations that pysindy's sequentially thresholded least squares finds."""
    with extra("train"):
        from pysindy import STLSQ
    values, names = library(torch.cat([*paths]), system.variables, degree)
    slopes = torch.cat(slopes_of(times, paths))
    optimizer = STLSQ(threshold=THRESHOLD, alpha=ALPHA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an equation may lose all of its terms
        optimizer.fit(values.numpy(), slopes.numpy())
    return Equations(torch.from_numpy(optimizer.coef_.copy()), names, system.variables, degree)


def with_known_terms(system: System, times: Tensor, paths: Sequence[Tensor]) -> Equations:
    """Least squares of the true terms alone: what a model can reach that is told the form of the equations."""
    values, names = library(torch.cat([*paths]), system.variables)
    slopes = torch.cat(slopes_of(times, paths))
    coefficients = torch.zeros(2, len(names), dtype=torch.float64)
    for i, terms in enumerate(system.terms):
        columns = [names.index(name) for name in terms]
        coefficients[i, columns] = torch.linalg.lstsq(values[:, columns], slopes[:, i : i + 1]).solution[:, 0]
    return Equations(coefficients, names, system.variables)


def scored(field: Field, system: System) -> bool:
    """Whether the field is a list of equations with exactly the true terms."""
    return isinstance(field, Equations) and field.terms() == system.terms
