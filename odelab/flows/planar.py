"""Planar flows: layers that push along one direction, and their continuous limit with a trace in closed form.

A planar layer is z ↦ z + u tanh(wᵀz + b) (Rezende and Mohamed, 2015); with parameters that depend on time the same
expression is the right-hand side of a continuous normalizing flow (Chen et al., 2018). Everything here broadcasts over
leading dimensions, of the points and of the parameters alike: a stack of models is one model with more dimensions.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from odelab.flows.flow import Flow


def invertible(w: Tensor, u: Tensor) -> Tensor:
    """û with wᵀû ≥ −1, so that the planar layer can be inverted: u moved along w. w, u and û: (…, d).

    wᵀû = −1 + softplus(wᵀu), whatever u is (Rezende and Mohamed, 2015, appendix A.1).
    """
    along = (w * u).sum(-1, keepdim=True)
    return u + (F.softplus(along) - 1 - along) * w / (w * w).sum(-1, keepdim=True)


def planar(z: Tensor, w: Tensor, u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """z + u tanh(wᵀz + b) and the logarithm of its Jacobian's determinant. z, w, u: (…, d); b and log_det: (…)."""
    h = ((z * w).sum(-1) + b).tanh()
    # det(I + u h′ wᵀ) = 1 + h′ wᵀu, with h′ = 1 − h²: O(d) where a general determinant is O(d³).
    determinant = h * h + (1 - h * h) * (1 + (w * u).sum(-1))  # the same, without cancellation at wᵀu = −1
    return z + u * h[..., None], determinant.abs().log()


def planar_inverse(y: Tensor, w: Tensor, u: Tensor, b: Tensor, *, bisections: int = 40) -> Tensor:
    """z with planar(z, w, u, b) = y, for wᵀu ≥ −1. Only α = wᵀz is unknown: α + wᵀu tanh(α + b) = wᵀy is monotone.

    A bisection finds α; one Newton step polishes it and carries the gradient, to first order, to y and the parameters.
    """
    along, target = (w * u).sum(-1), (y * w).sum(-1)
    with torch.no_grad():
        low, high = target - along.abs(), target + along.abs()
        for _ in range(bisections):
            middle = (low + high) / 2
            too_low = middle + along * (middle + b).tanh() < target
            low, high = torch.where(too_low, middle, low), torch.where(too_low, high, middle)
        middle = (low + high) / 2
        slope = (1 + along * (1 - (middle + b).tanh() ** 2)).clamp_min(1e-3)
    alpha = middle - (middle + along * (middle + b).tanh() - target) / slope
    return y - u * (alpha + b).tanh()[..., None]


def gated_planar(z: Tensor, w: Tensor, u: Tensor, b: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
    """Σₙ gateₙ uₙ tanh(wₙᵀz + bₙ) and its divergence Σₙ gateₙ (1 − tanh²) uₙᵀwₙ, in closed form.

    z: (…, B, d); w, u: (…, M, d); b, gate: (…, M). Returns (…, B, d) and (…, B).
    """
    h = (z @ w.mT + b[..., None, :]).tanh()
    divergence = (1 - h * h) @ (gate * (w * u).sum(-1))[..., None]
    return h @ (gate[..., None] * u), divergence[..., 0]


class PlanarFlow(nn.Module):
    """``layers`` planar layers in a row: z (…, d) -> z_K (…, d), log_det (…). Parameters w, u: (K, d), b: (K,)."""

    def __init__(self, dim: int, layers: int, *, reparametrize: bool = True):
        super().__init__()
        if dim < 1 or layers < 1:
            raise ValueError(f"PlanarFlow(dim={dim}, layers={layers}): both must be at least 1")
        w, u = (torch.randn(2, layers, dim) / dim**0.5).unbind()
        self.w, self.u, self.b = nn.Parameter(w), nn.Parameter(0.1 * u), nn.Parameter(torch.zeros(layers))
        self.reparametrize = reparametrize

    def effective(self) -> tuple[Tensor, Tensor, Tensor]:
        """w, û, b as the map uses them: û is u itself where the layers are not reparametrized."""
        return self.w, invertible(self.w, self.u) if self.reparametrize else self.u, self.b

    def intermediate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The points before and after each layer, (K + 1, …, d), and log det up to there, (K + 1, …)."""
        points, log_dets = [z], [torch.zeros_like(z[..., 0])]
        for w, u, b in zip(*self.effective(), strict=True):
            moved, log_det = planar(points[-1], w, u, b)
            points.append(moved)
            log_dets.append(log_dets[-1] + log_det)
        return torch.stack(points), torch.stack(log_dets)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        total = torch.zeros_like(z[..., 0])
        for w, u, b in zip(*self.effective(), strict=True):
            z, log_det = planar(z, w, u, b)
            total = total + log_det
        return z, total

    def inverse(self, y: Tensor) -> Tensor:
        """z (…, d) with flow(z) = y, layer by layer from the last. ValueError where some wᵀu < −1."""
        w, u, b = self.effective()
        if bool(((w * u).sum(-1) < -1).any()):
            raise ValueError("a planar layer with wᵀu < −1 is not invertible; use reparametrize=True")
        for layer in range(len(b) - 1, -1, -1):
            y = planar_inverse(y, w[layer], u[layer], b[layer])
        return y


class PlanarDensity(Flow):
    """The density that a planar flow gives: of its images of base samples, or of data which it maps to the base.

    Args:
        flow: invertible layers.
        generates: True where the flow maps base to data, as in density matching; False where it maps data to base, as
            in maximum likelihood. The other direction is the inverse by bisection.
    """

    def __init__(self, flow: PlanarFlow, *, generates: bool):
        super().__init__(flow.w.shape[-1])
        self.flow, self.generates = flow, generates

    def transport(self, x: Tensor, *, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """The base's point of data x (…, dim), or with reverse the data's of base points, and log |det| of that map."""
        self.check_points(x)
        if reverse == self.generates:
            return self.flow(x)
        z = self.flow.inverse(x)
        return z, -self.flow(z)[1]


class PlanarCNF(nn.Module):
    """dz/dt = Σₙ σₙ(t) uₙ(t) tanh(wₙ(t)ᵀz + bₙ(t)): ``width`` gated planar units, parameters from a hypernetwork of t.

    The hypernetwork is 1 → hidden → hidden → width·(2 dim + 2) with tanh; σₙ in (0, 1) is one scalar gate a unit.
    Called as f(t, z) with z (…, dim); ``with_divergence`` gives the trace as well, for the price of f.
    """

    def __init__(self, dim: int, width: int, hidden: int = 32):
        super().__init__()
        if dim < 1 or width < 1:
            raise ValueError(f"PlanarCNF(dim={dim}, width={width}): both must be at least 1")
        self.dim, self.width = dim, width
        sizes = (1, hidden, hidden, width * (2 * dim + 2))
        self.first, self.second, self.last = (nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def units(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """w, u (…, M, d), b and gate (…, M) of the units at times t (…)."""
        raw = self.last(self.second(self.first(t[..., None]).tanh()).tanh())  # all w, all u, all b, all gates before σ
        m, d = self.width, self.dim
        w, u, b, gate = raw.split((m * d, m * d, m, m), -1)
        return w.unflatten(-1, (m, d)), u.unflatten(-1, (m, d)), b, gate.sigmoid()

    def with_divergence(self, t: Tensor | float, z: Tensor) -> tuple[Tensor, Tensor]:
        """f (…, dim) and its divergence (…), in closed form, at one time t and points z (…, dim)."""
        if z.shape[-1] != self.dim:
            raise ValueError(f"PlanarCNF has dim={self.dim}, z has shape {tuple(z.shape)}: its last size must be dim")
        f, divergence = gated_planar(
            z.reshape(-1, self.dim), *self.units(torch.as_tensor(t, dtype=z.dtype, device=z.device))
        )
        return f.reshape(z.shape), divergence.reshape(z.shape[:-1])

    def forward(self, t: Tensor | float, z: Tensor) -> Tensor:
        return self.with_divergence(t, z)[0]
