"""torchdiffeq 0.2.5's four functions under their own names and signatures.

Drop-ins: the same arguments, options, callbacks and results, so that changing one import moves a script over. An option
the method does not know is warned about here, and refused by `solve`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from odelab.solvers.events import link_gradients
from odelab.solvers.inputs import Call, Stats, VectorField, pack_state
from odelab.solvers.solution import DenseSolution
from odelab.solvers.solve import run


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Tensor,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | None = None,
    options: dict[str, Any] | None = None,
    event_fn: Callable[..., Tensor] | None = None,
    gradient: str = "backprop",
    params: Sequence[Tensor] | None = None,
    direction: float | Sequence[float] | None = None,
) -> Any:
    """torchdiffeq's odeint: the states at t, (len(t), *y0.shape) or a tuple of such; see `solve`.

    With event_fn, (event_t, states at t[0] and event_t), where gradients hold the event time fixed (`odeint_event` and
    `solve` let it move). Options the method does not know are warned about.

    Example:
        >>> import torch
        >>> from odelab import odeint
        >>> height, velocity = torch.tensor([10.0]), torch.tensor([0.0])
        >>> fall = lambda t, y: (y[1], torch.full_like(y[1], -9.8))
        >>> heights, velocities = odeint(fall, (height, velocity), torch.tensor([0.0, 1.0]))
        >>> round(heights[-1].item(), 2)  # 10 − 9.8 / 2
        5.1
    """
    call = Call(func, y0, t, method, rtol, atol, gradient, options, event_fn, False, params, {}, False, direction)
    solution = run(call)
    if solution.event_t is None:
        return solution.y
    return solution.event_t.detach(), solution.y


def odeint_adjoint(
    func: Callable[..., Any],
    y0: Any,
    t: Tensor,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | None = None,
    options: dict[str, Any] | None = None,
    event_fn: Callable[..., Tensor] | None = None,
    adjoint_rtol: Any = None,
    adjoint_atol: Any = None,
    adjoint_method: str | None = None,
    adjoint_options: dict[str, Any] | None = None,
    adjoint_params: Sequence[Tensor] | None = None,
    direction: float | Sequence[float] | None = None,
) -> Any:
    """torchdiffeq's odeint_adjoint: as `odeint`, with gradients by the continuous adjoint.

    Raises:
        ValueError: when func is no `nn.Module` and adjoint_params is not given.

    Example:
        >>> import torch
        >>> from odelab import odeint_adjoint
        >>> rate = torch.nn.Parameter(torch.tensor(-1.0, dtype=torch.float64))
        >>> y0, t = torch.ones(1, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
        >>> y = odeint_adjoint(lambda t, y: rate * y, y0, t, adjoint_params=(rate,))
        >>> y[-1].sum().backward()
        >>> round(rate.grad.item(), 4)  # d exp(rate) / d rate
        0.3679
    """
    call = Call(
        func,
        y0,
        t,
        method,
        rtol,
        atol,
        gradient="adjoint",
        options=options,
        event_fn=event_fn,
        params=adjoint_params,
        backward={"rtol": adjoint_rtol, "atol": adjoint_atol, "method": adjoint_method, "options": adjoint_options},
        strict=False,
        direction=direction,
    )
    solution = run(call)
    return solution.y if event_fn is None else (solution.event_t, solution.y)


def odeint_dense(
    func: Callable[..., Any],
    y0: Any,
    t0: Any,
    t1: Any,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | None = None,
    options: dict[str, Any] | None = None,
) -> DenseSolution:
    """torchdiffeq's odeint_dense: the solution between t0 and t1 as a function of time."""
    t: Any = [float(t0), float(t1)]
    if isinstance(t0, Tensor):
        t = t0.new_tensor(t)
    call = Call(func, y0, t, method, rtol, atol, options=options, dense=True, strict=False)
    return run(call).dense


def odeint_event(
    func: Callable[..., Any],
    y0: Any,
    t0: Tensor,
    *,
    event_fn: Callable[..., Tensor],
    reverse_time: bool = False,
    odeint_interface: Callable[..., Any] = odeint,
    **kwargs: Any,
) -> tuple[Tensor, Any]:
    """torchdiffeq's odeint_event: (event_t, states at t0 and event_t), both differentiable.

    Args:
        t0: 0-d or (1,) start time; the solve runs until event_fn changes sign, backwards with reverse_time. With
            options=dict(per_sample=True) each row runs to its own event, event_t (batch,).
        odeint_interface: `odeint` or `odeint_adjoint`; kwargs go to it.
    """
    t0 = (t0 if isinstance(t0, Tensor) else torch.as_tensor(t0, device="cpu")).reshape(-1)
    t = torch.cat([t0, t0.detach() + (-1.0 if reverse_time else 1.0)])
    event_t, states = odeint_interface(func, y0, t, event_fn=event_fn, **kwargs)
    per_sample = bool((kwargs.get("options") or {}).get("per_sample"))
    packed, layout = pack_state(tuple(s[-1] for s in states) if isinstance(states, tuple) else states[-1], per_sample)
    f = VectorField(layout.field(func), packed, Stats())
    when = event_t.view(-1, *[1] * (packed.ndim - 1)) if per_sample else event_t
    linked, end = link_gradients(f, layout.event(event_fn), when, packed)
    event_t = linked.view_as(event_t)
    if not isinstance(states, tuple):
        return event_t, torch.cat([states[:-1], end[None]])
    ends = layout.unpack(end)
    return event_t, tuple(torch.cat([s[:-1], e[None]]) for s, e in zip(states, ends, strict=True))
