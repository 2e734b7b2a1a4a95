"""A layer that is an ODE: in goes z(0), out comes z(t1)."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from odelab.solvers import Stats, solve


class CountedField(nn.Module):
    """A vector field that counts how often it is evaluated, by whichever solver.

    Attributes:
        nfe: evaluations since the last `reset`, those of a backward solve and of recomputed steps included.
    """

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field
        self.nfe = 0

    def forward(self, t: Tensor, z: Any) -> Any:
        self.nfe += 1
        return self.field(t, z)

    def reset(self) -> int:
        """Start counting anew; returns the count so far."""
        nfe, self.nfe = self.nfe, 0
        return nfe


class FullPrecision(nn.Module):
    """A vector field that autocast leaves alone, in a backward pass that runs within autocast, too."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            return self.field(t, z)


class ODEBlock(nn.Module):
    """z(0) -> z(t1) of dz/dt = field(t, z), as a layer.

    Every setting may be changed between calls: `block.method = "dopri5"`, `block.rtol = 1e-5`. Under autocast the
    solve stays in float32: to an error estimate, the rounding of half precision is noise to be resolved.

    Args:
        field: (t, z) -> dz/dt, shaped like z.
        t1: where the solve ends; it starts at 0.
        method, rtol, atol, gradient, options: of `odelab.solve`.
        steps: for methods of fixed steps, how many; else options may say.

    Attributes:
        stats: `Stats` of the last forward solve, None before; `nfe` and `nfe_backward` read it.
    """

    def __init__(
        self,
        field: nn.Module,
        *,
        t1: float = 1.0,
        method: str = "dopri5",
        rtol: float = 1e-3,
        atol: float = 1e-3,
        gradient: str = "backprop",
        steps: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.field = field
        self.t1, self.method, self.rtol, self.atol, self.gradient = t1, method, rtol, atol, gradient
        self.steps = steps
        self.options = dict(options or {})
        self.stats: Stats | None = None

    def forward(self, z: Tensor) -> Tensor:
        """z(0), any shape the field takes -> z(t1), the same shape."""
        return self.trajectory(z, torch.tensor([0.0, self.t1], device=z.device))[-1]

    def trajectory(self, z: Tensor, t: Tensor) -> Tensor:
        """z at the times t (n,), the first of which is where z is given: (n, *z.shape)."""
        options = dict(self.options)
        if self.steps is not None:
            if self.steps < 1:
                raise ValueError(f"steps = {self.steps} of an ODEBlock: at least one, or None for adaptive methods")
            options["step_size"] = abs(self.t1) / self.steps
        if z.dtype in (torch.float16, torch.bfloat16):
            z = z.float()
        field = FullPrecision(self.field) if torch.is_autocast_enabled(z.device.type) else self.field
        with torch.autocast(z.device.type, enabled=False):
            solution = solve(
                field, z, t, method=self.method, rtol=self.rtol, atol=self.atol, gradient=self.gradient, options=options
            )
        self.stats = solution.stats
        return cast(Tensor, solution.y)

    @property
    def nfe(self) -> int:
        """Evaluations of the field in the last forward solve; 0 before the first."""
        return self.stats.nfe if self.stats else 0

    @property
    def nfe_backward(self) -> int:
        """Evaluations in the backward pass of the last solve, known once it has run; 0 for plain backprop."""
        return self.stats.nfe_backward if self.stats else 0

    def extra_repr(self) -> str:
        how = f"steps={self.steps}" if self.steps else f"rtol={self.rtol:g}, atol={self.atol:g}"
        return f"t1={self.t1:g}, method={self.method!r}, {how}, gradient={self.gradient!r}"
