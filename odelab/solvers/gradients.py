"""Three gradients of one loop.

backprop     Record every operation of the solve and run autograd over it. Exact for the steps taken; memory grows with
             every evaluation of func.
adjoint      Forget the solve; integrate a(t) = ∂L/∂y(t) backwards together with y (notes 24.6–24.7, Algorithm 1).
             Memory is flat in the number of steps, the gradient is accurate to the tolerance.
checkpoint   Keep (t, dt, y) of each accepted step and replay the steps one by one, last first. Exact like backprop, and
             keeps one state per step instead of every activation. Random numbers are drawn again as they were.

All three treat times as numbers; `follow_start` and `follow_outputs` add what moves with t, for derivatives up to the
fourth. What the last two would lose is refused: tensors that func depends on and nobody listed, random numbers
drawn anew at every evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from odelab.solvers.control import Norm, rms_norm
from odelab.solvers.errors import SolverError, differentiated_once
from odelab.solvers.inputs import (
    Call,
    Layout,
    Stats,
    Surroundings,
    Time,
    VectorField,
    as_float,
    find_callbacks,
    find_surroundings,
)
from odelab.solvers.loops import Mark, Problem, Scheme, integrate, make_scheme, steps
from odelab.solvers.methods.implicit import Implicit, linearise
from odelab.solvers.stepping import RungeKutta, Step
from odelab.warning import warn

Grads = Sequence[Tensor | None]
_ONCE = "gradient={} can be differentiated once, and this is a second derivative: take gradient='backprop'"
ADJOINT_ONCE = _ONCE.format("'adjoint' (odeint_adjoint)")
WAY_BACK = "gradient='adjoint' solves y backwards, where what decayed quickly grows"
REPLAY = "gradient='checkpoint' replays the steps instead, or give adjoint_rtol and adjoint_atol smaller values"
CHANGED = 1e-3  # of a step or slope, by which it may differ when it is computed again
ASTRAY = 0.1  # of a state, by which its solution backwards may miss it
CHECKPOINT_ONCE = _ONCE.format("'checkpoint' with computed parameters")


def backprop(problem: Problem, y0: Tensor, call: Call, layout: Layout) -> Tensor:
    """Autograd through the loop as it is.

    Raises:
        ValueError: for SciPy's methods, where there is something to differentiate.
    """
    if problem.scheme.method.family == "scipy" and torch.is_grad_enabled():
        problem.f.examine = partial(_examine, None, call)
        if y0.requires_grad:
            raise _not_recorded()
    return integrate(problem, y0, problem.watch)


def checkpoint(problem: Problem, y0: Tensor, call: Call, layout: Layout) -> Tensor:
    """Gradients by replaying one accepted step at a time, from the last to the first.

    Raises:
        ValueError: for methods whose steps cannot be replayed, and where the parameters of func cannot be found.
    """
    here = find_surroundings(call.func, call.params, call.gradient, y0.device)
    if not problem.scheme.method.one_step:
        raise ValueError(
            f"gradient='checkpoint' replays single steps, and {problem.scheme.name!r} is not a one-step method; "
            "use 'adjoint' or 'backprop'"
        )
    if torch.is_grad_enabled():
        problem.f.examine = partial(_examine, here, call)
    stats, times = problem.f.stats, problem.times
    nfe = stats.nfe
    try:
        return _Checkpoint.apply(problem, here, y0, *here.params)
    except RandomNumbers:  # once more from the start, with all that replaying them takes
        for generator, state in zip(here.generators, here.before, strict=True):
            generator.set_rng_state(state)
        stats.nfe, stats.accepted, stats.rejected, problem.times, here.random = nfe, 0, 0, times, True
        stats.steps.clear()
    if not isinstance(problem.scheme.method, RungeKutta):
        what = f"func draws random numbers, and steps of {problem.scheme.name!r} cannot be replayed with them"
        warn(f"{what}: gradient='checkpoint' keeps the graph as backprop")
        problem.f.examine = None
        return integrate(problem, y0)
    problem.f = RandomField(problem.f, y0, here)
    problem.f.examine = partial(_examine, here, call)
    return _Checkpoint.apply(problem, here, y0, *here.params)


def adjoint(problem: Problem, y0: Tensor, call: Call, layout: Layout) -> Tensor:
    """Gradients by the continuous adjoint, solved as the caller's adjoint settings say.

    Raises:
        ValueError: for settings that cannot be, and where the parameters of func cannot be found.
    """
    here = find_surroundings(call.func, call.params, call.gradient, y0.device)
    if torch.is_grad_enabled():
        problem.f.examine = partial(_examine, here, call)
    return _Adjoint.apply(problem, backward_solve(problem, y0, call, layout), here, y0, *here.params)


GRADIENTS: dict[str, Callable[[Problem, Tensor, Call, Layout], Tensor]] = {
    "backprop": backprop,
    "adjoint": adjoint,
    "checkpoint": checkpoint,
}


def follow_start(f: VectorField, t: Tensor, y0: Tensor) -> Tensor:
    """y0 with the gradient of the time t[0] at which it is given: a later start shortens the way."""
    return _moved(f, t[0], t[0].detach() - t[0], y0)


def follow_outputs(f: VectorField, t: Tensor, y: Tensor, y0: Tensor, record: bool) -> Tensor:
    """The states y (n, *y0.shape) with the gradient of their times t: dy/dt = f(t, y), and none at the start.

    Args:
        t: (n,), or of every row of a batch, (n, batch, 1, …).
        record: keep the graph of these slopes, so that the gradient can be differentiated again.
    """
    states = [y0]
    for time, state in zip(t[1:], y[1:], strict=True):
        if record:
            states.append(_moved(f, time.detach(), time - time.detach(), state))
        else:
            with torch.no_grad():
                slope = f(time, state)
            states.append(Moved.apply(state, slope, time, ADJOINT_ONCE))
    return torch.stack(states)


def _moved(f: VectorField, t: Tensor, dt: Tensor, y: Tensor) -> Tensor:
    """y after a step of the classical Runge–Kutta method from t by dt, which is zero but has a gradient.

    The step is exact to fourth order in dt, so derivatives with respect to times are up to the fourth.
    """
    h, middle = dt.to(y.dtype), t + 0.5 * dt
    k1 = f(t, y)
    k2 = f(middle, y + 0.5 * h * k1)
    k3 = f(middle, y + 0.5 * h * k2)
    k4 = f(t + dt, y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


class Moved(torch.autograd.Function):
    """y, with the gradient slope with respect to t, which broadcasts against it; once says why not a second time."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, slope: Tensor, t: Tensor, once: str) -> Tensor:
        ctx.save_for_backward(slope)
        ctx.shape, ctx.dtype, ctx.once = t.shape, t.dtype, once
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return differentiated_once(Moved.backward, ctx, grad, message=ctx.once)
        change = (grad * ctx.saved_tensors[0].conj()).real
        return grad, None, change.sum_to_size(ctx.shape).to(ctx.dtype), None


class RandomNumbers(ValueError):
    """func draws them, and would draw others in the backward pass."""

    def __init__(self) -> None:
        super().__init__(
            "func draws random numbers at every evaluation (dropout? or a lazy layer at its first?), and the solve "
            "backwards of gradient='adjoint' would draw others: use 'backprop' or 'checkpoint', or func.eval()"
        )


class RandomField(VectorField):
    """func that draws random numbers: each slope remembers, as `draws`, how the generators stood before it.

    Attributes:
        again: such states for the next evaluations, which draw the same numbers then.
    """

    def __init__(self, f: VectorField, y0: Tensor, here: Surroundings) -> None:
        super().__init__(f.func, y0, f.stats)
        self.generators, self.again = here.generators, iter(())

    def __call__(self, t: Time, y: Tensor) -> Tensor:
        states = next(self.again, None)
        if states is None:
            states = [generator.get_rng_state() for generator in self.generators]
        else:
            for generator, state in zip(self.generators, states, strict=True):
                generator.set_rng_state(state)
        slope = super().__call__(t, y)
        slope.draws = states  # type: ignore[attr-defined]
        return slope

    def states_of(self, step: Step) -> list[Any]:
        """Those of the evaluations of a step, in the order in which it is replayed."""
        ends = [] if step.slope1 is None or step.slope1 is step.stages[-1] else [step.slope1]
        slopes: list[Any] = [*step.stages, *ends]
        return [slope.draws for slope in slopes]


def _examine(here: Surroundings | None, call: Call, f: VectorField, t: Time, y: Tensor) -> Tensor:
    """f(t, y), recorded this once to see whether the backward pass will find all that it depends on.

    Args:
        here: what that pass will have; None where nothing may be differentiated. Notes which of its params were met.

    Raises:
        RandomNumbers: where func draws them; the generators are set back.
        ValueError: where func depends on a tensor that is not listed.
    """
    if here is not None and not here.random:
        here.generators = [torch.random, *([] if f.device.type == "cpu" else [torch.get_device_module(f.device)])]
        here.before = [*map(methodcaller("get_rng_state"), here.generators)]
    # Nothing keeps the graph that is recorded for a look: hooks that count what a solve keeps must not see it.
    with torch.enable_grad(), saved_tensors_hooks(Tensor.detach, lambda x: x):
        slope = f(t, y)
    if here is None:
        if slope.requires_grad:
            raise _not_recorded()
        return slope
    if not here.random and not _untouched(here):
        raise RandomNumbers
    here.met, unlisted = _reached(slope, here.params)
    if unlisted:  # a leaf that func makes for itself is another one each time
        with torch.enable_grad(), saved_tensors_hooks(Tensor.detach, lambda x: x):
            again = {id(leaf) for leaf in _reached(f(t, y.detach().clone()), here.params)[1]}
        f.stats.nfe -= 1
        unlisted = [leaf for leaf in unlisted if id(leaf) in again]
    if unlisted:
        what = (
            f"func depends on a tensor of shape {tuple(unlisted[0].shape)} that requires grad, or on one computed from "
            f"it, but it is not among the parameters of func: under gradient={call.gradient!r} it gets no gradient. "
            "Register it, list what func uses in params=(…) (adjoint_params=(…)), or detach it"
        )
        if call.strict or call.params is None:
            raise ValueError(what)
        warn(what)
    return slope.detach()


def _untouched(here: Surroundings) -> bool:
    """Whether no random numbers have been drawn since `_examine` looked; also true where nobody looked."""
    return all(map(torch.equal, map(methodcaller("get_rng_state"), here.generators), here.before))


def _reached(slope: Tensor, params: Sequence[Tensor]) -> tuple[set[int], list[Tensor]]:
    """Which of params (their numbers) the graph of slope reaches, and what leaves besides."""
    places: dict[Any, int] = {}
    for i, p in enumerate(params):
        places[id(p) if p.grad_fn is None else (p.grad_fn, p.output_nr)] = i
    met: set[int] = set()
    leaves: list[Tensor] = []
    todo, visited = [(slope.grad_fn, slope.output_nr)], set()
    while todo:
        place = todo.pop()
        if place in visited or place[0] is None:
            continue
        visited.add(place)
        leaf = getattr(place[0], "variable", None)
        if (place if leaf is None else id(leaf)) in places:
            met.add(places[place if leaf is None else id(leaf)])
        elif leaf is not None:
            leaves.append(leaf)
        else:
            todo += place[0].next_functions
    return met, leaves


def _not_recorded() -> Exception:
    return ValueError(
        "scipy_solver records nothing to differentiate, but y0, t or what func uses requires grad: use "
        "gradient='adjoint', or solve under torch.no_grad()"
    )


@contextmanager
def _told(way_back: bool = False) -> Iterator[None]:
    """Says in words what autograd says of a graph that every evaluation of func walks through again.

    And of an error of the adjoint's way back, that it happened there, and what else there is.
    """
    try:
        yield
    except SolverError as error:
        if way_back:
            error.hint = f"{error.hint}. {WAY_BACK}; {REPLAY}"
            error.args = (f"{error.args[0]}. {WAY_BACK}; {REPLAY}",)
        raise
    except RuntimeError as error:
        if "backward through the graph a second time" not in str(error):
            raise
        raise RuntimeError(
            "func uses a tensor that was computed from its parameters before this evaluation (a product of weights "
            "that it keeps, or a hidden state), so that each evaluation walks through that graph again: compute it "
            "within func, list it itself in params=(…) (adjoint_params=(…)), or use gradient='backprop'"
        ) from error


def _disconnected(param: Tensor) -> Exception:
    return RuntimeError(
        f"func depended on a parameter of shape {tuple(param.shape)} in the forward pass, and does not depend on it "
        "backwards: was another put in its place in between? Use gradient='backprop', or hand func over as an nn.Module"
    )


def accumulate(totals: list[Tensor], grads: Grads, factor: float = 1.0) -> None:
    """totals += factor · grads, in place, where None stands for zero."""
    places, changes = [], []
    for total, grad in zip(totals, grads, strict=True):
        if grad is not None:
            places.append(total)
            changes.append(grad)
    if places:
        torch._foreach_add_(places, changes, alpha=factor)


class _Checkpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, problem: Problem, here: Surroundings, y0: Tensor, *params: Tensor) -> Tensor:
        places: list[tuple[Time, Time, Time, list[Mark], list[Any]]] = []
        states: list[Tensor] = []

        def remember(step: Step, marks: list[Mark]) -> None:
            t0, t1 = step.sides or (step.t0, step.t1)
            draws = problem.f.states_of(step) if isinstance(problem.f, RandomField) else []
            places.append((t0, t1, step.dt, marks, draws))
            states.append(step.y0)
            ctx.end = step.y1

        out = integrate(problem, y0.detach(), remember)
        if not here.random:
            if not _untouched(here):  # only later than at the start
                raise RandomNumbers
            here.generators, here.before = [], []
        here.note()
        ctx.problem, ctx.here, ctx.places = problem, here, places
        ctx.save_for_backward(y0, *params, *states)  # params too, so that autograd notices when they were changed
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        f = ctx.problem.f
        count = len(ctx.saved_tensors) - len(ctx.places)
        if torch.is_grad_enabled() and any(p.grad_fn is not None for p in ctx.saved_tensors[1:count]):
            # What these were computed from may be among the others, and would be differentiated twice.
            return differentiated_once(_Checkpoint.backward, ctx, grad_out, message=CHECKPOINT_ONCE)
        forward_nfe = f.stats.nfe
        with ctx.here.restored(), _told():
            if torch.is_grad_enabled():  # create_graph=True: what is differentiated again needs its graph
                grads: Grads = _Checkpoint.recorded(ctx, grad_out, *ctx.saved_tensors[:count])
            else:
                grads = _Checkpoint.replayed(ctx, grad_out, ctx.saved_tensors[1:count], ctx.saved_tensors[count:])
        f.stats.nfe, f.stats.nfe_backward = forward_nfe, f.stats.nfe_backward + f.stats.nfe - forward_nfe
        return None, None, *grads

    @staticmethod
    def recorded(ctx: Any, grad_out: Tensor, y0: Tensor, *params: Tensor) -> list[Tensor | None]:
        """The gradients of y0 and params with their graphs, from all steps together."""
        scheme, f, cut = ctx.problem.scheme, ctx.problem.f, [True]
        start = y = _Start.apply(y0, cut)
        states = [y]
        for t0, t1, dt, marks, draws in ctx.places:
            if draws:
                f.again = iter(draws)
            step = scheme.method.step(f, t0, t1, dt, y)
            for _, x in marks:
                states.append(step.y1 if x == 1.0 else scheme.interpolate(step, f)(x))
            y = step.y1
        _check_same(y, ctx.end, states[0])
        wanted = [x for x in (start, *params) if x.requires_grad]
        grads = iter(torch.autograd.grad(torch.stack(states), wanted, grad_out, create_graph=True, allow_unused=True))
        cut[0] = False
        return [next(grads) if x.requires_grad else None for x in (y0, *params)]

    @staticmethod
    def replayed(ctx: Any, grad_out: Tensor, params: Sequence[Tensor], states: Sequence[Tensor]) -> list[Tensor]:
        """The gradients of y0 and params, one step at a time."""
        scheme, f = ctx.problem.scheme, ctx.problem.f
        totals, missing = [torch.zeros_like(p) for p in params], ctx.here.met
        a, end = torch.zeros_like(grad_out[0]), ctx.end
        for (t0, t1, dt, marks, draws), state in zip(reversed(ctx.places), reversed(states), strict=True):
            if draws:
                f.again = iter(draws)
            inner = [(i, x) for i, x in marks if x != 1.0]
            for i, x in marks:
                if x == 1.0:
                    a = a + grad_out[i]
            with torch.enable_grad():
                y = state.detach().requires_grad_(True)
                step = scheme.method.step(f, t0, t1, dt, y, end=bool(inner))
                if end is not None:
                    _check_same(step.y1, end, state)
                    end = None
                ends, weights = [step.y1], [a]
                if inner:
                    solution = scheme.interpolate(step, f)
                    ends += [solution(x) for _, x in inner]
                    weights += [grad_out[i] for i, _ in inner]
                a, *grads = torch.autograd.grad(ends, (y, *params), weights, allow_unused=True)
            accumulate(totals, grads)
            missing = {i for i in missing if grads[i] is None}
        if missing:
            raise _disconnected(params[min(missing)])
        return [a + grad_out[0], *totals]


@torch.no_grad()
def _check_same(again: Tensor, before: Tensor, origin: Tensor) -> bool:
    """Whether func is that of the forward pass, else a warning: both give again and before, which started at origin."""
    off, size = torch.linalg.vector_norm(again - before), torch.linalg.vector_norm(before - origin)
    same = not bool(off > CHANGED * size + 100 * torch.finfo(size.dtype).eps * torch.linalg.vector_norm(before))
    if not same:
        warn(
            "the gradient may be wrong: func gives other slopes in the backward pass than in the forward one. Was "
            "something that it uses changed in between, such as a context or a hidden state that it keeps? Call "
            "backward() before that, hand it over in y0, or use gradient='backprop'"
        )
    return same


class _Start(torch.autograd.Function):
    """The identity; nothing goes back to what y0 was computed from until cut[0] is False."""

    @staticmethod
    def forward(ctx: Any, y0: Tensor, cut: list[bool]) -> Tensor:
        ctx.cut = cut
        return y0.view_as(y0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        return None if ctx.cut[0] else grad, None


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, problem: Problem, backward: Backward, here: Surroundings, y0: Tensor, *params: Tensor
    ) -> Tensor:
        last: list[Tensor | None] = [None]

        def remember(step: Step, marks: list[Mark]) -> None:
            last[0] = step.slope1 if marks and marks[-1][1] == 1.0 else None  # an event lies within its step

        out = integrate(problem, y0.detach(), remember)
        if not _untouched(here):
            raise RandomNumbers
        here.generators, here.before, problem.f.examine = [], [], None
        here.note()
        ctx.slope = last[0] if isinstance(problem.scheme.method, RungeKutta) else None
        ctx.problem, ctx.backward_solve, ctx.here = problem, backward, here
        ctx.save_for_backward(out, *params)
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        """dL/dy0 and dL/dθ from dL/dy at the output times.

        y restarts from the forward solution at every output time, where a jumps by that time's gradient.
        """
        if torch.is_grad_enabled():  # create_graph=True
            return differentiated_once(_Adjoint.backward, ctx, grad_out, message=ADJOINT_ONCE)
        problem, how = ctx.problem, ctx.backward_solve
        states, *params = ctx.saved_tensors
        totals = [*map(torch.zeros_like, params)]
        method = how.scheme.method
        weights = method.tableau.solution if isinstance(method, (RungeKutta, Implicit)) else ()
        carry = how.norm is not None or not weights
        field = AugmentedField(problem.f, params, totals, carry, set(ctx.here.met))
        scheme = _augmented_scheme(how, field, problem.scheme.controller.norm)
        callbacks = find_callbacks(how.func, field.pieces, "_adjoint", scheme.callback_names, scheme.name)
        times = [*map(as_float, problem.times)]
        stats, forward_stats = Stats(method=scheme.name), problem.f.stats
        problem.f.stats = stats  # what func is asked from here on belongs to the backward pass
        a, dt, returned = grad_out[-1], None, []
        with ctx.here.restored(), _told(way_back=True):
            for i in range(len(times) - 1, 0, -1):
                state = field.pack(states[i], a, field.totals)
                augmented = VectorField(field, state, Stats(method=scheme.name))
                augmented.copying = False  # its slopes are its own
                for step in steps(
                    Problem(augmented, [times[i], times[i - 1]], scheme, callbacks, dt, problem.eps), state
                ):
                    state = step.y1
                    dt = None if step.next_dt is None else abs(step.next_dt)
                    if not carry:
                        for i_stage, weight in weights:  # θ's gradient over the step, by the method's own quadrature
                            slope: Any = step.stages[i_stage]
                            accumulate(field.totals, slope.integrand, weight * float(step.dt))
                y, a, thetas = field.unpack(state)
                returned.append(y)
                a, field.totals = a + grad_out[i - 1], thetas or field.totals
        if field.missing:
            raise _disconnected(params[min(field.missing)])
        problem.f.stats = forward_stats
        slope = ctx.slope if isinstance(method, RungeKutta) else None
        same = field.first is None or slope is None or _check_same(field.first, slope, torch.zeros_like(slope))
        if same and returned:
            _check_way_back(torch.stack(returned[::-1]), states)
        forward_stats.nfe_backward += stats.nfe
        return None, None, None, a, *field.totals


@torch.no_grad()
def _check_way_back(returned: Tensor, states: Tensor) -> None:
    """Warn where y, solved backwards from each output, (n − 1, …), is not the state before it of states (n, …)."""
    if not returned.numel():
        return
    parts = torch.stack([returned - states[:-1], states[:-1], states[1:]])
    off, before, after = parts.reshape(3, len(returned), -1).abs().norm(dim=2)
    ratio = float((off / torch.maximum(before, after).clamp_min(torch.finfo(off.dtype).tiny)).max())
    if not ratio <= ASTRAY:
        what = f"came {ratio:.2g} times its size away from where it had been" if math.isfinite(ratio) else "became NaN"
        warn(f"the gradient may be wrong: {WAY_BACK}, and it {what}; {REPLAY}")


@dataclass
class Backward:
    """How to solve the adjoint.

    Attributes:
        func: the caller's, which may have callbacks for it.
        scheme: how to step; its norm is replaced.
        norm: of the tuple (0, y, a, *parameter gradients), for error control; without it the larger of the forward
            norm of y and of a.
    """

    func: Callable[..., Any]
    scheme: Scheme
    norm: Any


def backward_solve(problem: Problem, y0: Tensor, call: Call, layout: Layout) -> Backward:
    """The adjoint settings of a call, where those of its forward solve stand in for what is not given.

    Raises:
        ValueError: when the backward method differs and options were given only for the forward one.
    """
    scheme, asked = problem.scheme, call.backward
    method, options = asked.get("method") or scheme.name, asked.get("options")
    if options is None:
        if method != scheme.name and scheme.options:
            raise ValueError(
                f"adjoint_method={method!r} differs from method={scheme.name!r}, so options cannot serve both: give "
                "adjoint_options too"
            )
        options = {**scheme.options, "norm": None}
    options = dict(options)
    options.pop("compile", None)  # of the forward solve only: the backward one calls autograd at every stage
    norm = options.pop("norm", None)
    rtol = scheme.controller.rtol if asked.get("rtol") is None else asked["rtol"]
    atol = scheme.controller.atol if asked.get("atol") is None else asked["atol"]
    backward = make_scheme(method, rtol, atol, options, layout, y0, strict=call.strict)
    if backward.method.family == "symplectic":
        raise ValueError(
            f"{method!r} takes (position, velocity) states, which the adjoint's is not: give adjoint_method='rk4' with "
            "adjoint_options=dict(step_size=…), or use gradient='checkpoint', which replays its steps"
        )
    if norm == "seminorm":  # parameters are outside error control anyway
        norm = None
    if norm is not None and layout.shapes is not None:
        user_norm = norm

        def norm(pieces: tuple[Tensor, ...]) -> Any:
            t, y, a, *grads = pieces
            return user_norm((t, *layout.unpack(y), *layout.unpack(a), *grads))

    return Backward(call.func, backward, norm)


@dataclass
class AugmentedField:
    """The continuous adjoint, (t, [y, a]) -> [f, −aᵀ∂f/∂y]: Algorithm 1 of the notes as the package runs it.

        da/dt = −aᵀ ∂f/∂y  (24.6),      dL/dθ = −∫ aᵀ ∂f/∂θ dt from t1 back to t0  (24.7)

    The state is y and a stacked, (2, *y.shape). The parameter gradient is a pure integral that nothing else depends on,
    so it is summed outside the state with the step's own weights and outside error control, which is what torchdiffeq
    calls the seminorm (Kidger, Chen & Lyons 2021): each slope has −aᵀ∂f/∂θ as its attribute `integrand`.

    With carry the state is flat and ends with the parameter gradients: a custom adjoint norm wants to see them, and a
    method without a tableau has no weights.

    Attributes:
        totals: the parameter gradients as far as they have been summed.
        missing: which of params func depended on forward, but has not so far.
        first: the first slope of y.
    """

    f: VectorField
    params: Sequence[Tensor]
    totals: list[Tensor]
    carry: bool
    missing: set[int]
    first: Tensor | None = None

    def pack(self, y: Tensor, a: Tensor, thetas: Grads) -> Tensor:
        """y, its adjoint a and, to be carried, the parameter gradients as one state."""
        if not self.carry:
            return torch.stack([y, a])
        full = [torch.zeros_like(p) if g is None else g for p, g in zip(self.params, thetas, strict=True)]
        return torch.cat([piece.reshape(-1).to(y.dtype) for piece in (y, a, *full)])

    def unpack(self, state: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The inverse of `pack`; no parameter gradients where they are not carried."""
        if not self.carry:
            y, a = state.unbind()
            return y, a, []
        n = self.f.shape.numel()
        y, a, *thetas = state.split([n, n, *(p.numel() for p in self.params)])
        grads = [g.view(p.shape).to(p.dtype) for g, p in zip(thetas, self.params, strict=True)]
        return y.view(self.f.shape), a.view(self.f.shape), grads

    def pieces(self, state: Tensor) -> tuple[Tensor, ...]:
        """(0, y, a, *parameter gradients): what torchdiffeq shows to norms and callbacks."""
        y, a, thetas = self.unpack(state)
        return state.new_zeros(()), y, a, *(thetas or self.totals)

    def jacobian_by_rows(self, t: Time, state: Tensor) -> Tensor | None:
        """For implicit methods, ∂f/∂y of y' and −(∂f/∂y)ᵀ of a' (2, n, n); None where the state carries more.

        What a' owes to y is left out: it needs second derivatives, and Newton's iteration gets there without.
        """
        if self.carry:
            return None
        (jacobian,) = linearise(self.f, t, self.unpack(state)[0], 0)[1]
        return torch.stack([jacobian, -jacobian.mT])

    def __call__(self, t: Tensor, state: Tensor) -> Tensor:
        differentiable = torch.is_grad_enabled()  # an implicit method asks for this field's own Jacobian
        with torch.enable_grad():
            y, a, _ = self.unpack(state)
            y = y if differentiable and y.requires_grad else y.detach().requires_grad_(True)
            slope = self.f(t, y)
            if self.first is None:
                self.first = slope.detach()
            grads: Grads = [None] * (1 + len(self.params))
            if slope.requires_grad:
                grads = torch.autograd.grad(
                    slope, (y, *self.params), -a, allow_unused=True, create_graph=differentiable
                )
        for i in tuple(self.missing):
            if grads[1 + i] is not None:
                self.missing.remove(i)
        slope = slope if differentiable else slope.detach()
        out = self.pack(slope, torch.zeros_like(slope) if grads[0] is None else grads[0], grads[1:])
        out.integrand = grads[1:]  # type: ignore[attr-defined]
        return out


def _augmented_scheme(backward: Backward, field: AugmentedField, forward_norm: Norm) -> Scheme:
    """The backward scheme with a norm and tolerances for the augmented state."""
    scale = 1 / math.sqrt(field.f.shape.numel() or 1)

    def largest_rms(x: Tensor) -> Tensor:  # as below, in fewer operations
        return torch.linalg.vector_norm(x.flatten(1) if x.ndim > 1 else x[:, None], dim=1).amax() * scale

    def largest(x: Tensor) -> Tensor:  # parameter gradients, where carried, stay out of it
        y, a, _ = field.unpack(x)
        return torch.maximum(*(torch.as_tensor(forward_norm(part), device=x.device) for part in (y, a)))

    def by_the_caller(x: Tensor) -> Tensor:
        return torch.as_tensor(backward.norm(field.pieces(x)), device=x.device)

    controller = backward.scheme.controller
    if not field.carry:
        norm = largest_rms if forward_norm is rms_norm else largest
        return replace(backward.scheme, controller=replace(controller, norm=norm))
    norm = largest if backward.norm is None else by_the_caller
    rtol, atol = _flat(controller.rtol, field), _flat(controller.atol, field)
    return replace(backward.scheme, controller=replace(controller, norm=norm, rtol=rtol, atol=atol))


def _flat(tol: float | Tensor, field: AugmentedField) -> float | Tensor:
    """Tolerances per entry of y serve its adjoint too; the parameters' entries get the tightest."""
    if isinstance(tol, float):
        return tol
    entries = tol.expand(field.f.shape).reshape(-1)
    count = sum(p.numel() for p in field.params)
    return torch.cat([entries, entries, entries.min().expand(count)])
