"""The divergence of a vector field, exactly and by Hutchinson's estimator, from products with its Jacobian J = ∂f/∂z.

    div f = tr J = Σᵢ eᵢᵀ J eᵢ = E[εᵀ J ε]        for E[ε] = 0, E[ε εᵀ] = 1 (Hutchinson 1990; Grathwohl et al. 2019)

A field that can push directions forward says so by a method `jvp(t, z, v) -> (f, J v)`; for every other one the
products vᵀJ come from one backward pass over a batch repeated once per direction. Under torch.compile, which does not
trace autograd, that pass is `torch.func.vjp`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.func import vjp

from odelab.choices import choose

ROWS = 8  # of a batch, at which a field is looked at


class WrongDensity(ValueError):
    """A field carries no density, or its divergence is not that of its values."""


def some_rows(z: Tensor) -> Tensor:
    """A few rows of z (n ≥ 1, d), two at least, without their gradient."""
    return z.detach()[torch.arange(min(max(len(z), 2), ROWS), device=z.device) % len(z)]


@torch.no_grad()
def check_field(field: Any, t: Tensor | float, z: Tensor, *, random: bool = True) -> None:
    """Raise for a field whose divergence would silently be wrong, looking at a few rows z (n ≥ 2, d).

    Values in half precision are too coarse to tell, and so are those of a field that draws random numbers.

    Args:
        random: whether it may draw some; not where its values and its divergence are asked for one after the other.

    Raises:
        WrongDensity: where the rows of a batch depend on one another, or the derivatives, by autograd or by the field's
            own `jvp` or `with_divergence`, are not those of its values.
    """
    eps = torch.finfo(z.dtype).eps
    devices = [z.device] if z.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), saved_tensors_hooks(Tensor.detach, lambda x: x):
        f, again = field(t, z), field(t, z)
        if not random and bool(((f - again).abs() > 1e-3 * f.abs().max()).any()):
            raise WrongDensity(
                "the field draws random numbers at every evaluation (dropout?), others for its divergence than for the "
                "path: call eval() on the module that draws them"
            )
        if eps > 1e-6 or f.shape != z.shape or not torch.equal(f, again) or not bool(f.isfinite().all()):
            return
        others = field(t, torch.cat([z[:1], 1.1 * z[1:] + 0.1]))
        if bool((others[0] - f[0]).abs().max() > 1e-4 * f[0].abs().max()):
            raise WrongDensity(
                "in the field the slope of one point depends on the other points of the batch (a mean over the batch, "
                "attention between points?): a point then has no density of its own. Let every row see only itself"
            )
        _check_derivatives(field, t, z, f)


def _check_derivatives(field: Any, t: Tensor | float, z: Tensor, f: Tensor) -> None:
    """Compare with central differences at three distances: a kink or a fast wave disturbs one of them, or few rows."""
    own = next((name for name in ("with_divergence", "jvp") if hasattr(field, name)), None)
    exact = own == "with_divergence"
    if exact:
        directions = unit_directions(z).expand(-1, *z.shape)
        ours = exact_divergence(field, t, z)[1]
    else:
        directions = rademacher(z.shape, dtype=z.dtype, device=z.device)[None]
        ours = (jacobian_products(field, t, z, directions)[1] * directions).sum((0, -1))
    size = (z.abs().max() or torch.ones_like(z[0, 0])) * torch.finfo(z.dtype).eps ** (1 / 3)
    wrong = torch.ones_like(ours, dtype=torch.bool)
    for h in (size, size / 8, size / 64):
        ahead, behind = (field(t, (z + s * h * directions).flatten(0, 1)).view_as(directions) for s in (1, -1))
        numeric = ((ahead - behind) * directions).sum((0, -1)) / (2 * h)
        rounding = 100 * torch.finfo(z.dtype).eps * f.norm(dim=-1) * math.sqrt(directions.numel() / len(z)) / h
        wrong &= (numeric - ours).abs() > 0.1 * torch.maximum(numeric.abs(), ours.abs()) + rounding
    if 2 * int(wrong.sum()) > len(z):
        row = int(wrong.nonzero()[0])
        where = "its divergence by" if exact else "the derivative of the field by"
        raise WrongDensity(
            f"{where} {f'its method {own}' if own else 'autograd'} is {ours[row]:.3g} where a difference quotient of "
            f"its values gives {numeric[row]:.3g}: the density would be wrong. "
            + (f"Mend {own}" if own else "Does it detach a part of z, round it, or go through NumPy? Take that out")
        )


def exact_divergence(field: Any, t: Tensor | float, z: Tensor) -> tuple[Tensor, Tensor]:
    """f(t, z) (…, d) and its divergence (…,), in one pass whatever d is; for z (…, d).

    A field's own `with_divergence(t, z)` goes before; the work grows like d evaluations of f otherwise.
    """
    if hasattr(field, "with_divergence"):
        return field.with_divergence(t, z)
    f, columns = jacobian_products(field, t, z, unit_directions(z))
    return f, columns.diagonal(dim1=0, dim2=-1).sum(-1)


def hutchinson_divergence(field: Any, t: Tensor | float, z: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
    """f(t, z) (…, d) and an unbiased estimate (…,) of its divergence: the mean of εᵀJε over the probes (K, …, d)."""
    f, products = jacobian_products(field, t, z, probes)
    return f, (products * probes).sum(-1).mean(0)


def rademacher(shape: torch.Size, **where: Any) -> Tensor:
    """±1 with probability ½ each: of all probes with independent entries those of least variance."""
    return torch.randint(0, 2, shape, **where).mul_(2).sub_(1)


NOISES: Mapping[str, Callable[..., Tensor]] = {"rademacher": rademacher, "gaussian": torch.randn}


def probes(kind: str, k: int, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """k random directions for every row of like (…, d): (k, …, d), in its dtype and on its device.

    Raises:
        ValueError: unknown kind, or k < 1.
    """
    if k < 1:
        raise ValueError(f"the estimator needs at least one probe, got {k}")
    device = like.device if generator is None else generator.device
    draw = choose(NOISES, kind, "noise")
    return draw((k, *like.shape), dtype=like.dtype, device=device, generator=generator).to(like.device)


def unit_directions(z: Tensor) -> Tensor:
    """e₁ … e_d as directions at every row of z (…, d), by broadcasting: (d, 1 …, d)."""
    d = z.shape[-1]
    return torch.eye(d, dtype=z.dtype, device=z.device).view(d, *[1] * (z.ndim - 1), d)


def jacobian_products(field: Any, t: Tensor | float, z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """f(t, z) (…, d) and, for directions v that broadcast to (K, …, d), either all J v or all vᵀJ, (K, …, d).

    Which of the two makes no difference to a trace, vᵀ(J v) = (vᵀJ) v, nor to a Frobenius norm.
    """
    if hasattr(field, "jvp"):
        return field.jvp(t, z, v)
    return _pulled_back(field, t, z, v)


def _pulled_back(field: Any, t: Tensor | float, z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """f and vᵀJ by one backward pass over K copies of the batch; rows of a batch must not depend on each other.

    Raises:
        ValueError: where the field returns another shape, or depends on z in a way that autograd does not see.
    """
    differentiable = torch.is_grad_enabled()  # then the backward pass is itself recorded, to be differentiated again
    k, d = len(v), z.shape[-1]
    if torch.compiler.is_compiling():
        f, pull = vjp(lambda copies: field(t, copies), z.expand(k, *z.shape).reshape(-1, d))  # type: ignore[misc]  # three only with has_aux
        (products,) = pull(v.expand(k, *z.shape).reshape(-1, d))
        return f.view(k, *z.shape)[0], products.view(k, *z.shape)
    with torch.enable_grad():
        z = z if differentiable and z.requires_grad else z.detach().requires_grad_(True)
        copies = z.expand(k, *z.shape).reshape(-1, d)
        f = field(t, copies)
        if f.shape != copies.shape:
            raise ValueError(
                f"the field must return dz/dt shaped like z, (…, {d}), but returned {tuple(f.shape)} for z of shape "
                f"{tuple(copies.shape)}"
            )
        products = None
        if f.requires_grad:
            v = v.expand(k, *z.shape).reshape(-1, d)
            (products,) = torch.autograd.grad(f, copies, v, create_graph=differentiable, allow_unused=True)
    if products is None:
        _check_constant(field, t, copies.detach(), f.detach())
        products = torch.zeros_like(copies)
    f = f.view(k, *z.shape)[0]
    return f if differentiable else f.detach(), products.view(k, *z.shape)


def _check_constant(field: Any, t: Tensor | float, z: Tensor, f: Tensor) -> None:
    """Raise where f, which autograd calls independent of z, changes with it: its divergence would silently be 0."""
    with torch.no_grad(), torch.random.fork_rng(devices=[z.device] if z.device.type == "cuda" else []):
        moved = field(t, 1.1 * z + 0.1)
    if not torch.allclose(moved, f):
        raise ValueError(
            "the field depends on z, but autograd does not see how, so that its divergence would be 0: it detaches z, "
            "goes through NumPy or switches gradients off. Take that out, or give the field a method jvp(t, z, v) that "
            "returns f(t, z) and the products J v"
        )
