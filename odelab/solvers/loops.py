"""From one step to a solve: steps on a fixed grid, and steps that choose their own size.

Both loops are generators of accepted `Step`s and know nothing of outputs, gradients or events; `integrate` reads the
output times off their steps. Times are Python floats and dt carries the sign of the direction.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from odelab.solvers import errors
from odelab.solvers.control import Controller, error_norm, tell_of_min_step
from odelab.solvers.inputs import (
    CALLBACK_NAMES,
    NO_CALLBACKS,
    Callbacks,
    Layout,
    Time,
    VectorField,
    as_float,
    unchanged,
)
from odelab.solvers.methods import Method, make_method
from odelab.solvers.methods.implicit import Implicit
from odelab.solvers.methods.scipy import SciPy
from odelab.solvers.stepping import (
    Interpolant,
    RungeKutta,
    Step,
    combine,
    hermite,
    linear,
    quartic,
    through_states,
)
from odelab.solvers.stiffness import EVERY, StiffnessWatch
from odelab.warning import warn

LONGEST_GRID = 10**7  # steps
LEAST_EPS = 1e-4  # of half precision and worse
STIFF = ("implicit", "rosenbrock")  # families
Mark = tuple[int, Time]  # (index of an output time, fraction of the step at which it lies; 1.0 exactly at its end)
Watcher = Callable[[Step, list[Mark]], None]


@dataclass(frozen=True)
class Scheme:
    """How to step: a method, the controller of its step size, and its options, all checked.

    Attributes:
        callback_names: those of `CALLBACK_NAMES` that the loop of this method calls.
    """

    name: str
    method: Method
    controller: Controller
    options: dict[str, Any]
    callback_names: tuple[str, ...]

    def interpolate(self, step: Step, f: VectorField) -> Interpolant:
        """The solution over one step; by default a straight line on fixed grids, as in torchdiffeq.

        Else it is the quartic where the method has a tableau with a midpoint, a polynomial through states alone where
        the method is one for stiff problems, and Hermite's cubic where it is neither.
        """
        method = self.method
        if not method.adaptive and self.options.get("interp", "linear") == "linear":
            return linear(step)
        if method.family in STIFF:
            return through_states(step, f, method)
        if isinstance(method, RungeKutta) and method.tableau.middle:
            return quartic(step, combine(step.y0, step.dt, method.tableau.middle, step.stages), f)
        return hermite(step, f)


def make_scheme(
    method: str | None, rtol: Any, atol: Any, options: dict | None, layout: Layout, y0: Tensor, *, strict: bool
) -> Scheme:
    """Check method, tolerances and options, those of `solve`, for a packed state y0.

    Raises:
        ValueError: unknown method or, where strict, option (naming the nearest one); values that cannot be.
    """
    name = "dopri5" if method is None else method
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"options must be a dict, as dict(step_size=0.1), got {type(options).__name__}")
    options = dict(options or {})
    stepper = make_method(name, options, strict=strict)
    rtol, atol = layout.tolerance("rtol", rtol, y0), layout.tolerance("atol", atol, y0)
    total = rtol + atol
    if stepper.adaptive and bool((total == 0).any() if isinstance(total, Tensor) else total == 0):
        raise ValueError("rtol and atol are both 0: no step can satisfy that; give at least one a positive value")
    if stepper.adaptive and bool((rtol >= 1).all() if isinstance(rtol, Tensor) else rtol >= 1):
        warn(
            f"rtol = {rtol if isinstance(rtol, float) else float(rtol.min()):g} allows every step an error as large as "
            "the solution itself, whose digits will mean nothing; 1e-3 gives about three of them"
        )
    eps = torch.finfo(y0.dtype).eps
    if stepper.adaptive and eps > LEAST_EPS and not bool((torch.as_tensor(total) >= eps).all()):
        raise ValueError(
            f"y0 is {y0.dtype}, whose numbers lie {eps:.1g} apart at 1: rtol and atol ask for less, and steps would be "
            "lost in rounding. Give them larger values, or integrate y0.float()"
        )
    sizes: dict[str, float] = {}
    for option in ("safety", "ifactor", "dfactor", "min_step", "max_step"):
        if option in options:
            sizes[option] = float(options[option])
    order = stepper.order
    if isinstance(stepper, Implicit):
        order, stepper = stepper.error_order, replace(stepper, rtol=rtol, atol=atol)
    controller = Controller(order, rtol, atol, error_norm(layout, options.get("norm") if y0.numel() else None), **sizes)
    if stepper.family == "scipy":
        return Scheme(name, stepper, controller, options, ())
    return Scheme(name, stepper, controller, options, CALLBACK_NAMES if stepper.adaptive else CALLBACK_NAMES[:1])


@dataclass
class Problem:
    """What a loop is told.

    Attributes:
        f: the vector field over the packed state; it counts into `f.stats`.
        times: where the solve starts, the output times and, last of them, where it ends: floats, or 0-d tensors when
            the solution must be differentiable with respect to them; the last may be infinite.
        scheme: how to step.
        first_step: size of the first step; the caller's, or chosen from f, where it is None.
        eps: relative spacing of the numbers in which the caller gave the times.
        watch: told of every step that `gradients.backprop` records and of the outputs in it, for dense output.
        direction: 1.0 forwards in time, −1.0 backwards.
        step_limit: max_num_steps holds per output interval; the default must end also where there are many of them.
    """

    f: VectorField
    times: Sequence[Time]
    scheme: Scheme
    callbacks: Callbacks = NO_CALLBACKS
    first_step: float | None = None
    eps: float = torch.finfo(torch.float64).eps
    watch: Watcher | None = None
    direction: float = field(init=False)
    step_limit: int = field(init=False)

    def __post_init__(self) -> None:
        self.direction = math.copysign(1.0, as_float(self.times[-1]) - as_float(self.times[0]))
        limit, intervals = self.scheme.options.get("max_num_steps"), len(self.times) - 1
        self.step_limit = 100_000 + 1000 * intervals if limit is None else int(limit) * intervals

    def marked_steps(self, y0: Tensor) -> Iterator[tuple[Step, list[Mark]]]:
        """The accepted steps, each with the output times that lie in it."""
        index, direction = 1, self.direction
        for step in steps(self, y0):
            marks: list[Mark] = []
            while index < len(self.times) and (step.t1 - self.times[index]) * direction >= 0:
                t = self.times[index]
                marks.append((index, 1.0 if t == step.t1 else (t - step.t0) / step.dt))
                index += 1
            yield step, marks


def integrate(problem: Problem, y0: Tensor, watch: Watcher | None = None) -> Tensor:
    """States at all output times, (len(times), *y0.shape); watch is told of every step and the outputs in it."""
    states, step = [y0], None
    try:
        for step, marks in problem.marked_steps(y0):
            solution = None
            for _, fraction in marks:
                if fraction == 1.0:
                    states.append(step.y1)
                    continue
                if solution is None:
                    solution = problem.scheme.interpolate(step, problem.f)
                states.append(solution(fraction))
            if watch is not None:
                watch(step, marks)
    except errors.SolverError as error:
        times = [*map(as_float, problem.times[: len(states)])]
        if step is not None and step.y1 is not states[-1]:
            times.append(as_float(step.t1))
            states.append(step.y1)
        error.times, error.states = torch.tensor(times, dtype=torch.float64, device="cpu"), torch.stack(states).detach()
        raise
    return torch.stack(states)


def steps(problem: Problem, y0: Tensor) -> Iterator[Step]:
    """The accepted steps from the first time to the last, by the loop that the method needs."""
    method, controller = problem.scheme.method, problem.scheme.controller
    if isinstance(method, SciPy):  # takes its own steps
        times = [as_float(t) for t in problem.times]
        return method.steps(problem.f, y0, times, controller.rtol, controller.atol)
    return adaptive_steps(problem, y0) if method.adaptive else fixed_steps(problem, y0)


def fixed_steps(problem: Problem, y: Tensor) -> Iterator[Step]:
    """One step per interval of the grid; with option perturb, f is evaluated just inside both ends of each interval.

    Raises:
        ValueError: when the grid of the caller's grid_constructor does not go from the first time to the last.
        MaxStepsExceeded: when the last time is infinite, and whoever consumes the steps has not stopped.
    """
    f, method = problem.f, problem.scheme.method.fresh()
    perturb = problem.scheme.options.get("perturb", False)
    slope: Tensor | None = None
    grid, eps = _grid(problem, y), torch.finfo(y.dtype).eps
    if eps > LEAST_EPS and isinstance(grid, Sequence) and len(grid) * eps > 0.5:
        warn(
            f"{len(grid) - 1} steps in {y.dtype}, whose numbers lie {eps:.1g} apart at 1: what a step adds is lost in "
            "rounding. Take fewer steps, or integrate y0.float()"
        )
    for t0, t1 in pairwise(grid):
        dt = t1 - t0
        if problem.callbacks.step:
            problem.callbacks.step(t0, y, dt)
        if perturb:
            direction = math.copysign(1.0, as_float(dt))
            side0 = t0 + (just_before(as_float(t0), -direction, y.dtype) - as_float(t0))  # with the gradient of t0
            side1 = t1 + (just_before(as_float(t1), direction, y.dtype) - as_float(t1))
            step = method.step(f, side0, side1, dt, y, f(side0, y))
            step.t0, step.t1, step.sides = t0, t1, (side0, side1)
        else:
            step = method.step(f, t0, t1, dt, y, slope)
        f.stats.record(as_float(t0), as_float(dt), 0.0, True)
        yield step
        y = step.y1
        slope = None if perturb else step.slope1


def adaptive_steps(problem: Problem, y: Tensor) -> Iterator[Step]:
    """Steps whose estimated error stays within the controller's tolerance.

    Raises:
        NonFiniteState, StepSizeUnderflow, MaxStepsExceeded: see `errors`.
    """
    f, stats, callbacks = problem.f, problem.f.stats, problem.callbacks
    method, controller, options = problem.scheme.method, problem.scheme.controller, problem.scheme.options
    direction, limit = problem.direction, problem.step_limit
    start, *stops = _stops(problem)
    t = start.t

    side0 = just_before(t, -direction, y.dtype) if start.jump else t
    slope0 = f(side0, y)
    size = problem.first_step or options.get("first_step")
    size = size or controller.first_step(f, side0, y, slope0, stops[-1].t - t)
    if math.isnan(size):
        raise errors.non_finite(t, 0.0, y, slope0, stats)
    dt = controller.clip(math.copysign(size, direction))

    slope: Tensor | None = slope0
    watch: StiffnessWatch | None = None
    attempts, warned = 0, False
    failure: errors.NewtonFailure | None = None
    for stop in stops:
        while t != stop.t:
            if attempts == limit:
                endless, intervals = math.isinf(stop.t), len(problem.times) - 1
                raise errors.too_many_steps(attempts, t, dt, y, f, stats, endless, intervals)
            attempts += 1
            if slope is None:
                slope = f(side0, y)
            # A step h that would end within rounding of the stop, or behind it, ends on it.
            at_stop = (stop.t - t) * direction <= abs(dt) * (1 + 1e-9)
            t1, h = (stop.t, stop.t - t) if at_stop else (t + dt, dt)
            side1 = just_before(t1, direction, y.dtype) if at_stop and stop.jump else t1
            if t1 == t and not at_stop:
                raise failure or errors.underflow(t, dt, y, slope, stats)

            if callbacks.step:
                callbacks.step(t, y, h)
            failure = None
            try:
                step = method.step(f, side0, side1, h, y, slope)
                with torch.no_grad():
                    error_ratio = controller.error_ratio(method.error(step), y, step.y1)
            except errors.NewtonFailure as error:
                step, error_ratio, failure = Step(t, t1, h, y, y), math.inf, error
            accepted = failure is None and (error_ratio <= 1 or abs(h) <= controller.least)
            stats.record(t, h, error_ratio, accepted)
            if accepted and not (error_ratio <= 1 or warned):
                warned = True
                tell_of_min_step(controller.min_step, t, error_ratio)
            if not accepted:
                if callbacks.reject_step:
                    callbacks.reject_step(t, y, h)
                if not math.isfinite(error_ratio):
                    errors.check_finite(t, h, y, slope, stats)
                dt = h / 2 if failure else controller.next_dt(h, error_ratio)
                continue

            if callbacks.accept_step:
                callbacks.accept_step(t, y, h)
            next_dt = controller.next_dt(h, error_ratio)
            # A step cut short by a stop says nothing against the longer one it was cut from.
            dt = max(next_dt, dt, key=abs) if at_stop else next_dt
            step.next_dt = dt
            step.t0, step.t1, step.sides = t, t1, (side0, side1)
            yield step
            t, y, slope = t1, step.y1, step.slope1
            side0 = t
            if stats.accepted % EVERY == 0 and isinstance(method, RungeKutta):
                if watch is None:
                    watch = StiffnessWatch(f, method.tableau, limit, "max_num_steps" in options)
                sizes = [abs(record.dt) for record in stats.steps[-100:] if record.accepted]
                watch.look(t, y, sizes, abs(stops[-1].t - t))
        if stop.jump:
            side0, slope = just_before(t, -direction, y.dtype), None


class Stop(NamedTuple):
    """A time no step may cross; at a jump, f is evaluated on either side of it and never at it."""

    t: float
    jump: bool = False


def just_before(t: float, direction: float, dtype: torch.dtype) -> float:
    """The last time before t that func, which sees time in the state's precision, can tell from t."""
    number = np.float64 if dtype in (torch.float64, torch.complex128) else np.float32
    return float(np.nextafter(number(t), number(-direction * math.inf)))


def _stops(problem: Problem) -> list[Stop]:
    """The start, step_t and jump_t behind it, and the end, in the order of integration."""
    start, end, direction = as_float(problem.times[0]), as_float(problem.times[-1]), problem.direction
    named: dict[str, list[float]] = {"step_t": [], "jump_t": []}
    for name in named:
        times = problem.scheme.options.get(name)
        if times is not None:
            named[name] = torch.as_tensor(times, dtype=torch.float64, device="cpu").reshape(-1).tolist()
        if any(map(math.isnan, named[name])):
            raise ValueError(f"option {name!r} has times that are NaN: {named[name]}")
        if len(set(named[name])) != len(named[name]):
            raise ValueError(f"option {name!r} has repeated times, {named[name]}: give each once")
    step_t, jump_t = named.values()
    repeated = set(step_t) & set(jump_t)
    if repeated:
        raise ValueError(f"step_t and jump_t both contain {sorted(repeated)}: keep them in jump_t alone")
    stops = [Stop(start, jump=start in jump_t)]
    for t in sorted({*step_t, *jump_t, end}, reverse=direction < 0):
        if direction * start < direction * t <= direction * end:
            stops.append(Stop(t, jump=t in jump_t))
    return stops


def _grid(problem: Problem, y0: Tensor) -> Iterable[Time]:
    """The times between which fixed steps go: the output times themselves, unless options say otherwise."""
    times, options, f = problem.times, problem.scheme.options, problem.f
    if math.isinf(as_float(times[-1])):
        return _endless_grid(problem)
    if options.get("step_size") is not None:
        size, start, end = float(options["step_size"]), as_float(times[0]), as_float(times[-1])
        roundings = 4 * problem.eps * max(abs(start), abs(end)) / size  # of the times, in steps
        count = max(math.ceil(abs(end - start) / size - min(max(roundings, 1e-9), 0.5)), 1)
        if count > LONGEST_GRID:
            raise ValueError(
                f"step_size = {size:g} makes {count:.1e} steps from t = {start:g} to {end:g}, and a grid has room for "
                f"{LONGEST_GRID:.0e}: take a larger step_size, or a method that chooses its steps"
            )
        step = math.copysign(size, end - start)
        return [times[0] + i * step for i in range(count)] + [times[-1]]
    if options.get("grid_constructor") is None:
        return times
    asked = torch.stack([torch.as_tensor(t, dtype=f.time_dtype, device=f.device) for t in times])
    with unchanged(y0, "grid_constructor") as y:
        grid = options["grid_constructor"](f, y, asked)
    grid = grid if isinstance(grid, Tensor) else torch.stack([*map(torch.as_tensor, grid)])
    sizes = grid.detach().diff() * problem.direction
    if grid.ndim != 1 or not bool((sizes > 0).all()):
        raise ValueError(
            "grid_constructor must return times (n,) in the order of integration, without repetitions, got "
            f"{grid.tolist()}"
        )
    ends = (as_float(grid[0]), as_float(grid[-1]))
    if ends != (as_float(asked[0]), as_float(asked[-1])):
        raise ValueError(f"grid_constructor must return a grid from t[0] to t[-1], got one from {ends[0]} to {ends[1]}")
    return list(grid) if isinstance(times[0], Tensor) else grid.tolist()


def _endless_grid(problem: Problem) -> Iterator[Time]:
    size, start, limit = problem.scheme.options.get("step_size"), problem.times[0], problem.step_limit
    if size is None:
        name = problem.scheme.name
        raise ValueError(f"events with the fixed-grid method {name!r} need options=dict(step_size=…)")
    step = problem.direction * float(size)
    for i in range(limit + 1):
        yield start + i * step
    raise errors.no_event(limit, as_float(start) + limit * step, step, problem.f.stats)
