"""Stiff problems, for which the implicit methods are there, against SciPy's Radau."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from odelab import solve
from tests.solvers.problems import tensor


def van_der_pol(t, y):
    return [y[1], 1000 * (1 - y[0] ** 2) * y[1] - y[0]]


def robertson(t, y):
    slow, back, fast = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return [back - slow, slow - back - fast, fast]


def hires(t, y):
    """Photomorphogenesis by light, eight substances (Schäfer 1975; Hairer & Wanner II, IV.10)."""
    bound = 280 * y[5] * y[7]
    return [
        -1.71 * y[0] + 0.43 * y[1] + 8.32 * y[2] + 0.0007,
        1.71 * y[0] - 8.75 * y[1],
        -10.03 * y[2] + 0.43 * y[3] + 0.035 * y[4],
        8.32 * y[1] + 1.71 * y[2] - 1.12 * y[3],
        -1.745 * y[4] + 0.43 * y[5] + 0.43 * y[6],
        -bound + 0.69 * y[3] + 1.71 * y[4] - 0.43 * y[5] + 0.69 * y[6],
        bound - 1.81 * y[6],
        -bound + 1.81 * y[6],
    ]


PROBLEMS = {  # slopes, start, output times; van der Pol's first jump is at 807
    "van der Pol": (van_der_pol, (2.0, 0.0), (0.0, 400.0, 800.0, 820.0)),
    "Robertson": (robertson, (1.0, 0.0, 0.0), (0.0, 0.4, 40.0, 4e3, 1e5)),
    "HIRES": (hires, (1.0, 0, 0, 0, 0, 0, 0, 0.0057), (0.0, 5.0, 50.0, 200.0, 321.8122)),
}


@pytest.mark.parametrize(
    ("problem", "method", "rtol"),
    [
        ("van der Pol", "radauIIA5", 1e-6),
        ("van der Pol", "kvaerno5", 3e-7),
        ("Robertson", "radauIIA5", 1e-6),
        ("Robertson", "kvaerno5", 1e-6),
        ("HIRES", "radauIIA5", 1e-6),
        ("HIRES", "kvaerno5", 3e-7),
    ],
)
def test_agrees_with_scipys_radau_to_a_millionth(problem, method, rtol):
    slopes, start, t = PROBLEMS[problem]
    reference = solve_ivp(slopes, (t[0], t[-1]), start, method="Radau", t_eval=t, rtol=1e-9, atol=1e-14).y.T
    field = lambda t, y: torch.stack([torch.as_tensor(x) for x in slopes(t, y)])  # noqa: E731
    with torch.no_grad():
        run = solve(field, tensor(*start), tensor(*t), method=method, rtol=rtol, atol=rtol * 1e-4)
    error = np.abs(run.y.numpy() - reference) / np.abs(reference).max(0)
    assert error.max() < 1e-6
    assert run.stats.nfe < 30_000
