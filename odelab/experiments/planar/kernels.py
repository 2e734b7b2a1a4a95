"""The gradients of `planar_kernels.c`, compiled where there is a C compiler; the same from autograd elsewhere.

500,000 iterations on a model of 160 parameters are nothing but overhead in a framework: one gradient of 32 layers on
128 points took 16 ms with autograd and 0.03 ms in C, one of 32 units on 512 points 29 ms and 1.2 ms. The loops know the
models and energies of this experiment and nothing else.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor

from odelab.datasets import energy
from odelab.flows.planar import gated_planar, invertible, planar_flow, unpack

SOURCE = Path(__file__).with_suffix(".c")
#: How the kernels number what the end points are scored with; "normal" is ½‖z‖².
KINDS = {"normal": 0, "U1": 1, "U2": 2, "U3": 3}
RMSPROP = {"decay": 0.99, "momentum": 0.9}
LARGEST = {"layers": 64, "units": 64, "steps": 32}  # the sizes of the arrays in C


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None, with a warning, where `cc` is missing or fails."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    with tempfile.TemporaryDirectory() as folder:
        kernel, shared = Path(folder) / "kernels.o", Path(folder) / "kernels.so"
        for tuning in (["-march=native", "-mprefer-vector-width=512"], ["-march=native"], []):
            try:
                # Linked apart from -ffast-math, which would have the whole process flush denormal numbers to zero.
                fast = ["-std=c11", "-O3", "-ffast-math", "-fPIC", *tuning]
                run = functools.partial(subprocess.run, check=True, capture_output=True)
                run([str(compiler), *fast, "-c", str(SOURCE), "-o", str(kernel)])
                run([str(compiler), "-shared", str(kernel), "-o", str(shared), "-lm"])
                return ctypes.CDLL(str(shared))
            except (OSError, subprocess.CalledProcessError):
                continue
    warnings.warn("no C compiler (cc): planar flows train through autograd, up to 500 times slower", stacklevel=2)
    return None


def _address(tensor: Tensor) -> ctypes.c_void_p:
    if tensor.dtype != torch.float32 or not tensor.is_contiguous() or tensor.device.type != "cpu":
        raise ValueError("the kernels take contiguous float32 tensors on the CPU")
    return ctypes.c_void_p(tensor.data_ptr())


def _fits(**sizes: int) -> None:
    for name, size in sizes.items():
        if size > LARGEST[name]:
            raise ValueError(f"the kernels take at most {LARGEST[name]} {name}, got {size}")


def scored(kind: str, z: Tensor) -> Tensor:
    """U of end points z (…, 2): (…)."""
    return (z * z).sum(-1) / 2 if kind == "normal" else energy(kind)(z)


def flow_gradient(kind: str, theta: Tensor, z: Tensor, *, compiled: bool = True) -> Tensor:
    """∇θ of mean(U(z_K) − log det) for reparametrised planar layers.

    Args:
        kind: one of `KINDS`.
        theta: (K, 5), w₁ w₂ u₁ u₂ b of each layer.
        z: (2, n), coordinates of the points the flow starts from.
    """
    kernels = library() if compiled else None
    if kernels is not None:
        _fits(layers=len(theta))
        grad = torch.empty_like(theta)
        kernels.flow_grad(KINDS[kind], len(theta), z.shape[1], _address(theta), _address(z), _address(grad))
        return grad
    theta = theta.detach().requires_grad_()
    w, u, b = theta[:, :2], theta[:, 2:4], theta[:, 4]
    end, log_det = planar_flow(z.mT, w, invertible(w, u), b)
    return torch.autograd.grad((scored(kind, end) - log_det).mean(), theta)[0]


def train_flow(kind: str, state: dict[str, Tensor], z: Tensor, lr: float, *, compiled: bool = True) -> None:
    """One iteration of RMSprop with momentum, in place, for each of z (iterations, 2, n).

    state: theta (K, 5), and square and velocity of its shape, zero at the start.
    """
    theta, square, velocity = state["theta"], state["square"], state["velocity"]
    kernels = library() if compiled else None
    if kernels is not None:
        _fits(layers=len(theta))
        rates = [ctypes.c_float(value) for value in (lr, RMSPROP["decay"], RMSPROP["momentum"])]
        tensors = [_address(tensor) for tensor in (theta, square, velocity, z)]
        kernels.flow_train(KINDS[kind], len(theta), z.shape[2], len(z), *rates, *tensors)
        return
    for points in z:
        grad = flow_gradient(kind, theta, points, compiled=False)
        square.mul_(RMSPROP["decay"]).addcmul_(grad, grad, value=1 - RMSPROP["decay"])
        velocity.mul_(RMSPROP["momentum"]).addcdiv_(grad, square.sqrt() + 1e-8)
        theta.sub_(velocity, alpha=lr)


def cnf_gradient(kind: str, raw: Tensor, z: Tensor, *, backwards: bool = False, compiled: bool = True) -> Tensor:
    """Gradient of mean(U(end) − log det) by the raw units of a planar CNF, through classical RK4 over [0, 1].

    Args:
        raw: (2 steps + 1, 6 M), `PlanarCNF.raw` at the times 0, 1/(2 steps), …, 1.
        z: (2, n), coordinates of the points at time 0; with ``backwards`` at time 1, from which they move to 0.
    """
    steps = len(raw) // 2
    kernels = library() if compiled else None
    if kernels is not None:
        _fits(units=raw.shape[1] // 6, steps=steps)
        grad, raw = torch.empty_like(raw), raw.detach()
        sizes = (KINDS[kind], raw.shape[1] // 6, steps, z.shape[1], int(backwards))
        kernels.cnf_grad(*sizes, _address(raw), _address(z), _address(grad))
        return grad
    raw = raw.detach().requires_grad_()
    rows = list(zip(*unpack(raw, 2), strict=True))[:: -1 if backwards else 1]
    dt = (-1 if backwards else 1) / steps
    end, log_det = z.mT, torch.zeros_like(z[0])
    for step in range(steps):
        slope, start = torch.zeros_like(end), end
        for weight, offset, reach in ((1 / 6, 0, 0), (1 / 3, 1, 1 / 2), (1 / 3, 1, 1 / 2), (1 / 6, 2, 1)):
            slope, divergence = gated_planar(start + reach * dt * slope, *rows[2 * step + offset])
            end, log_det = end + weight * dt * slope, log_det + weight * dt * divergence
    return torch.autograd.grad((scored(kind, end) - log_det).mean(), raw)[0]
