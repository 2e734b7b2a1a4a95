"""How to solve: a method with its options, checked, ready to turn (f, y0, times) into steps."""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from odelab.solvers import diagnosis
from odelab.solvers.control import Controller
from odelab.solvers.inputs import Layout, VectorField
from odelab.solvers.interpolation import Interpolant, interpolant, linear
from odelab.solvers.loops import Attempt, Callbacks, Stop, adaptive_steps, fixed_steps
from odelab.solvers.methods import METHODS, Method
from odelab.solvers.stepping import Step, Time, as_float

ADAPTIVE_OPTIONS = {
    *("first_step", "min_step", "max_step", "safety", "ifactor", "dfactor", "max_num_steps", "step_t", "jump_t"),
    *("norm", "dtype", "per_sample", "compile"),
}
FIXED_OPTIONS = {"step_size", "grid_constructor", "interp", "perturb", "norm", "max_num_steps"}
ADAMS_OPTIONS = FIXED_OPTIONS | {"max_order", "max_iters"}
SCIPY_OPTIONS = {"solver", "min_step", "max_step", "norm"}


@dataclass
class Plan:
    """A method, its tolerances and its options."""

    name: str
    method: Method
    controller: Controller
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def adaptive(self) -> bool:
        return self.method.adaptive

    def with_controller(self, **changes: Any) -> Plan:
        """The same plan with another norm or tolerance."""
        return replace(self, controller=replace(self.controller, **changes))

    def steps(
        self,
        f: VectorField,
        y0: Tensor,
        times: Sequence[Time],
        *,
        callbacks: Callbacks,
        first_step: float | None = None,
        until_event: bool = False,
    ) -> Iterator[Step]:
        """Accepted steps from times[0] to times[-1], or in that direction without end when an event will stop them."""
        start, end = as_float(times[0]), as_float(times[-1])
        direction = math.copysign(1.0, end - start)
        method = self.method.fresh()
        if not self.adaptive:
            grid: Iterable[Time] = self._endless(f, times[0], direction) if until_event else self._grid(f, y0, times)
            perturb = self.options.get("perturb", False)
            return fixed_steps(f, y0, grid, method, f.stats, perturb=perturb, callbacks=callbacks)
        return adaptive_steps(
            f,
            y0,
            start,
            self._stops(start, direction, None if until_event else end),
            method,
            self.controller,
            f.stats,
            direction=direction,
            first_step=first_step or self.options.get("first_step"),
            after_jump=start in _time_list(self.options, "jump_t"),
            max_num_steps=self.step_limit(len(times) - 1),
            attempt=self._compiled(f, y0),
            callbacks=callbacks,
        )

    def step_limit(self, intervals: int) -> int:
        """max_num_steps holds per output interval; the default must end also where there are many of them."""
        limit = self.options.get("max_num_steps")
        return 100_000 + 1000 * intervals if limit is None else int(limit) * intervals

    def interpolate(self, step: Step, f: VectorField) -> Interpolant:
        """Dense output over one step; linear by default on fixed grids, as in torchdiffeq."""
        if not self.adaptive and self.options.get("interp", "linear") == "linear":
            return linear(step)
        return interpolant(self.method, step, f)

    def _compiled(self, f: VectorField, y0: Tensor) -> Attempt | None:
        if not self.options.get("compile"):
            return None
        from odelab.solvers.compiled import compiled_attempt

        return compiled_attempt(f, self.method, self.controller, y0)

    def _stops(self, start: float, direction: float, end: float | None) -> list[Stop]:
        """step_t and jump_t behind the start and the end itself, in the order of integration; endless for None."""
        found = {t: Stop(t) for t in _time_list(self.options, "step_t")}
        jumps = _time_list(self.options, "jump_t")
        repeated = found.keys() & set(jumps)
        if repeated:
            raise ValueError(f"step_t and jump_t both contain {sorted(repeated)}")
        found.update({t: Stop(t, jump=True) for t in jumps})
        if end is not None:
            found.setdefault(end, Stop(end))
        elif found:
            found[direction * math.inf] = Stop(direction * math.inf)
        limit = math.inf if end is None else direction * end
        ordered = sorted(found.values(), key=lambda stop: direction * stop.t)
        return [stop for stop in ordered if direction * start < direction * stop.t <= limit]

    def _grid(self, f: VectorField, y0: Tensor, times: Sequence[Time]) -> Sequence[Time]:
        size, constructor = self.options.get("step_size"), self.options.get("grid_constructor")
        if size is not None:
            start, end = as_float(times[0]), as_float(times[-1])
            count = max(math.ceil(abs(end - start) / float(size) - 1e-9), 1)
            step = math.copysign(float(size), end - start)
            return [times[0] + i * step for i in range(count)] + [times[-1]]
        if constructor is None:
            return times
        given = torch.stack([torch.as_tensor(t, dtype=f.time_dtype, device=f.device) for t in times])
        grid = constructor(f, y0, given)
        ends = (as_float(grid[0]), as_float(grid[-1]))
        if ends != (as_float(given[0]), as_float(given[-1])):
            raise ValueError(
                f"grid_constructor must return a grid from t[0] to t[-1], got one from {ends[0]} to {ends[1]}"
            )
        return list(grid) if isinstance(times[0], Tensor) else grid.tolist()

    def _endless(self, f: VectorField, start: Time, direction: float) -> Iterator[Time]:
        size = self.options.get("step_size")
        if size is None:
            raise ValueError(f"events with the fixed-grid method {self.name!r} need options=dict(step_size=…)")
        step, limit = direction * float(size), self.step_limit(1)
        for i in range(limit + 1):
            yield start + i * step
        raise diagnosis.no_event(limit, as_float(start) + limit * step, step, f.stats)


def make_plan(
    method: str | None, rtol: Any, atol: Any, options: dict | None, layout: Layout, y0: Tensor, *, strict: bool
) -> Plan:
    """Check method and options.

    Args:
        strict: raise on an option the method does not know (`solve`) instead of warning (`odeint`, as torchdiffeq).

    Raises:
        ValueError: unknown method (naming the nearest one), contradictory or impossible options.
    """
    name = "dopri5" if method is None else method
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}{_nearest(name, METHODS)}. Known: {', '.join(sorted(METHODS))}")
    options = dict(options or {})
    chosen = METHODS[name](options)
    known = {"adams": ADAMS_OPTIONS, "scipy": SCIPY_OPTIONS}.get(
        chosen.family, ADAPTIVE_OPTIONS if chosen.adaptive else FIXED_OPTIONS
    )
    for option in [option for option in options if option not in known]:
        elsewhere = ADAPTIVE_OPTIONS | ADAMS_OPTIONS | SCIPY_OPTIONS
        why = f" (another method's option; {name!r} ignores it)" if option in elsewhere else _nearest(option, known)
        if strict:
            raise ValueError(f"unknown option {option!r} for method {name!r}{why}. Known: {', '.join(sorted(known))}")
        warnings.warn(f"Unexpected arguments: option {option!r} for method {name!r}{why}", stacklevel=4)
        del options[option]
    _check_values(options)
    rtol, atol = layout.tolerance("rtol", rtol, y0), layout.tolerance("atol", atol, y0)
    if chosen.adaptive and bool(torch.as_tensor(rtol + atol == 0, device=y0.device).any()):
        raise ValueError("rtol and atol are both 0: no step can satisfy that; give at least one a positive value")
    sizes = {n: float(options[n]) for n in ("safety", "ifactor", "dfactor", "min_step", "max_step") if n in options}
    norm = layout.norm(options.get("norm"))
    return Plan(name, chosen, Controller(chosen.order, rtol, atol, norm, **sizes), options)


def _check_values(options: dict[str, Any]) -> None:
    if options.get("step_size") is not None and options.get("grid_constructor") is not None:
        raise ValueError("step_size and grid_constructor exclude each other")
    for name in ("step_size", "first_step", "max_step", "max_num_steps"):
        if options.get(name) is not None and not float(options[name]) > 0:
            raise ValueError(f"option {name!r} must be positive, got {options[name]}")
    if options.get("first_step") is not None:
        options["first_step"] = float(options["first_step"])
    if options.get("interp", "linear") not in ("linear", "cubic"):
        raise ValueError(f"option 'interp' must be 'linear' or 'cubic', got {options['interp']!r}")


def _time_list(options: dict[str, Any], name: str) -> list[float]:
    given = options.get(name)
    if given is None:
        return []
    values = torch.as_tensor(given, dtype=torch.float64, device="cpu").reshape(-1).tolist()
    if len(set(values)) != len(values):
        raise ValueError(f"option {name!r} has repeated times: {values}")
    return values


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else ""
