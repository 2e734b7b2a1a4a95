"""Planar flows, discrete and continuous, with their gradients by hand: 500,000 iterations in a minute or two.

A model of 160 parameters has a framework do nothing but bookkeeping: K = 32 on 128 points take 20 ms an iteration with
autograd, 0.15 ms here. numba compiles the discrete flow's loop; under NUMBA_DISABLE_JIT=1 the same lines are NumPy,
seven times slower. The continuous flow is matrix products, for which NumPy alone is fast enough. The plain versions
that the tests compare with are `PlanarFlow` and `PlanarCNF` of `odelab.flows`, with autograd.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odelab.datasets import ENERGIES
from odelab.extras import extra

with extra("train"):
    from numba import njit

Array = NDArray[np.floating[Any]]
#: What end points are scored with, numbered for `energy_slope`: ½‖z‖² of the base, or an energy.
KINDS = {kind: number for number, kind in enumerate(("normal", *ENERGIES))}
DECAY, MOMENTUM = 0.99, 0.9  # of RMSprop


@njit(cache=True)
def wave_and_wall(x: Array, to_wave: Array) -> Array:
    """∂/∂x of U2 and U3, which depend on y − sin(πx/2), with slope ``to_wave``, and have a wall beyond |x| = 4."""
    wall = np.sign(x) * np.maximum(np.abs(x) - 4.0, 0.0) / 0.4**2
    return wall - to_wave * np.pi / 2 * np.cos(np.pi / 2 * x)


@njit(cache=True)
def energy_slope(kind: int, x: Array, y: Array) -> tuple[Array, Array]:
    """∂U/∂x and ∂U/∂y (n,) of `odelab.datasets.energies`, or of ½(x² + y²); every sigmoid is a tanh: no overflow."""
    if kind == 1:
        radius = np.sqrt(x * x + y * y) + 1e-12
        pull = (radius - 2.0) / (0.4**2 * radius)
        return pull * x + (x - 2.0 * np.tanh(2.0 * x / 0.6**2)) / 0.6**2, pull * y
    if kind == 2:
        to_wave = (y - np.sin(np.pi / 2 * x)) / 0.4**2
        return wave_and_wall(x, to_wave), to_wave
    if kind == 3:
        bump = 3.0 * np.exp(-(((x - 1.0) / 0.6) ** 2) / 2)
        near = y - np.sin(np.pi / 2 * x)
        far = near + bump
        share = 0.5 + 0.5 * np.tanh((far * far - near * near) / (4 * 0.35**2))  # of the nearer wave in exp(−U)
        to_near, to_far = share * near / 0.35**2, (1.0 - share) * far / 0.35**2
        return wave_and_wall(x, to_near + to_far) - to_far * bump * (x - 1.0) / 0.6**2, to_near + to_far
    return x, y


@njit(cache=True)
def flow_gradient(kind: int, theta: Array, z: Array) -> Array:
    """∇θ of mean(U(z_K) − log det) for reparametrised planar layers, in float64.

    Args:
        kind: a number of `KINDS`.
        theta: (K, 5), w₁ w₂ u₁ u₂ b of each layer.
        z: (2, n), coordinates of the points the flow starts from.
    """
    layers, n = len(theta), z.shape[1]
    w1, w2, u1, u2, b = theta.T
    along, norm = w1 * u1 + w2 * u2, w1 * w1 + w2 * w2
    soft = np.maximum(along, 0.0) + np.log1p(np.exp(-np.abs(along)))  # softplus
    push = (soft - 1.0 - along) / norm
    v1, v2 = u1 + push * w1, u2 + push * w2  # `invertible`
    x, y, h = np.empty((layers + 1, n)), np.empty((layers + 1, n)), np.empty((layers, n))
    x[0], y[0] = z[0], z[1]
    for k in range(layers):
        h[k] = np.tanh(w1[k] * x[k] + w2[k] * y[k] + b[k])
        x[k + 1], y[k + 1] = x[k] + v1[k] * h[k], y[k] + v2[k] * h[k]
    gx, gy = energy_slope(kind, x[layers], y[layers])
    gradient, to_along = np.empty_like(theta), np.empty_like(norm)
    for k in range(layers - 1, -1, -1):
        slope = 1.0 - h[k] * h[k]
        share = slope / (h[k] * h[k] + soft[k] * slope)  # of slope in the determinant
        da = slope * (v1[k] * gx + v2[k] * gy) + 2.0 * (soft[k] - 1.0) * h[k] * share
        gradient[k] = np.dot(da, x[k]), np.dot(da, y[k]), np.dot(gx, h[k]), np.dot(gy, h[k]), da.sum()
        to_along[k] = -share.sum()
        gx, gy = gx + w1[k] * da, gy + w2[k] * da
    # v = u + push w and the determinant's soft = softplus(w·u) back to w and u.
    rise = 0.5 + 0.5 * np.tanh(along / 2)
    to_v1, to_v2 = gradient[:, 2], gradient[:, 3]
    to_push = (to_v1 * w1 + to_v2 * w2) / norm
    to_along = to_along * rise + to_push * (rise - 1.0)
    gradient[:, 0] += push * to_v1 + to_along * u1 - 2.0 * to_push * push * w1
    gradient[:, 1] += push * to_v2 + to_along * u2 - 2.0 * to_push * push * w2
    gradient[:, 2] += to_along * w1  # last: to_v1 and to_v2 are views
    gradient[:, 3] += to_along * w2
    return gradient / n


@njit(cache=True)
def train_flow(kind: int, theta: Array, square: Array, velocity: Array, z: Array, rates: Array) -> None:
    """Iterations of RMSprop with momentum, in place: one for each of z (iterations, 2, n) and rates (iterations,)."""
    for i in range(len(z)):
        gradient = flow_gradient(kind, theta, z[i])
        square[:] = DECAY * square + (1.0 - DECAY) * gradient * gradient
        velocity[:] = MOMENTUM * velocity + gradient / (np.sqrt(square) + 1e-8)
        theta -= rates[i] * velocity


# Classical RK4 by stages: weight, reach along the slope before, half steps into the step, reach of the stage after.
RK4 = ((1 / 6, 0.0, 0, 1 / 2), (1 / 3, 1 / 2, 1, 1 / 2), (1 / 3, 1 / 2, 1, 1.0), (1 / 6, 1.0, 2, 0.0))


class GatedRK4(torch.autograd.Function):
    """Steps of classical RK4 of length dt over planar units: (z, w, v, b, dt) -> end points (2, n), log det (n,).

    z: (2, n). w, v: (2 steps + 1, M, 2) and b: (2 steps + 1, M), the units at every half step in the order of the
    solve, with v the unit's u times its gate.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        z, w, v, b = (tensor.detach().numpy() for tensor in inputs[:4])
        dt, stages, log_det, trace = inputs[4], [], np.zeros_like(z[0]), (w * v).sum(-1)
        for row in range(0, len(b) - 1, 2):
            slope, start = np.zeros_like(z), z
            for weight, reach, offset, _ in RK4:
                at, point = row + offset, start + dt * reach * slope
                h = np.tanh(w[at] @ point + b[at][:, None])
                slope = v[at].T @ h
                z, log_det = z + dt * weight * slope, log_det + dt * weight * (trace[at] @ (1 - h * h))
                stages.append((point, h))
        ctx.dt, ctx.stages, ctx.units = dt, stages, (w, v, trace)
        return torch.from_numpy(z), torch.from_numpy(log_det)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Any) -> tuple[Tensor | None, ...]:
        to_z, to_log_det = (tensor.numpy() for tensor in outputs)
        (w, v, trace), dt, stages = ctx.units, ctx.dt, reversed(ctx.stages)
        to_w, to_v, to_b = np.zeros_like(w), np.zeros_like(v), np.zeros_like(trace)
        for row in range(len(trace) - 3, -1, -2):
            to_end, to_point = to_z, np.zeros_like(to_z)
            for weight, _, offset, reach in reversed(RK4):
                at, (point, h) = row + offset, next(stages)
                to_slope, to_divergence = dt * (weight * to_end + reach * to_point), dt * weight * to_log_det
                derivative = 1 - h * h
                da = derivative * (v[at] @ to_slope - 2 * trace[at][:, None] * h * to_divergence)
                to_trace = (derivative @ to_divergence)[:, None]
                to_w[at] += da @ point.T + to_trace * v[at]
                to_v[at] += h @ to_slope.T + to_trace * w[at]
                to_b[at] += da.sum(1)
                to_point = w[at].T @ da
                to_z = to_z + to_point
        return (*map(torch.from_numpy, (to_z, to_w, to_v, to_b)), None)
