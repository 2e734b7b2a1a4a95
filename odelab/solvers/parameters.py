"""What the adjoint and checkpoint gradients need beyond the solve: func's parameters, and how to solve backwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from odelab.solvers.gradients import Forward
from odelab.solvers.inputs import CALLBACK_NAMES, Layout, find_callbacks
from odelab.solvers.loops import Callbacks
from odelab.solvers.plan import Plan, make_plan


def find_parameters(func: Any, params: Any, gradient: str) -> tuple[Tensor, ...]:
    """The tensors to differentiate: those given, else the parameters of the module func.

    Raises:
        ValueError: where neither says what they are; without them the gradient would silently miss them.
    """
    if params is not None:
        params = (params,) if isinstance(params, Tensor) else tuple(params)
    elif isinstance(func, nn.Module):
        params = tuple(_module_parameters(func))
    else:
        raise ValueError(
            f"gradient='{gradient}' cannot see which tensors func depends on: it is not an nn.Module. Make it one, or "
            "list them as adjoint_params=(…) (params=(…) in solve); () if there are none"
        )
    return tuple(p for p in params if p.requires_grad)


def _module_parameters(module: nn.Module) -> Iterator[Tensor]:
    if not getattr(module, "_is_replica", False):
        yield from module.parameters()
        return
    for part in module.modules():  # replicas of DataParallel hold plain tensors in place of parameters
        yield from (x for x in vars(part).values() if isinstance(x, Tensor) and x.requires_grad)


def adjoint_settings(
    forward: Forward, func: Any, layout: Layout, y0: Tensor, adjoint: dict[str, Any], strict: bool
) -> tuple[Plan, dict[str, Any]]:
    """The plan of the backward solve, and the adjoint's own norm and callbacks.

    Raises:
        ValueError: when the backward method differs and options were given only for the forward one.
    """
    plan = forward.plan
    method, options = adjoint.get("method") or plan.name, adjoint.get("options")
    if options is None:
        if method != plan.name and plan.options:
            raise ValueError(
                f"adjoint_method={method!r} differs from method={plan.name!r}, so options cannot serve both: give "
                "adjoint_options too"
            )
        options = {name: value for name, value in plan.options.items() if name != "norm"}
    options = dict(options)
    options.pop("compile", None)  # of the forward solve only: the backward one calls autograd at every stage
    norm = options.pop("norm", None)
    rtol, atol = (
        getattr(plan.controller, name) if adjoint.get(name) is None else adjoint[name] for name in ("rtol", "atol")
    )
    backward = make_plan(method, rtol, atol, options, layout, y0, strict=strict)
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

    def callbacks(pieces: Callable[[Tensor], tuple]) -> Callbacks:
        supported = CALLBACK_NAMES if backward.adaptive else CALLBACK_NAMES[:1]
        return find_callbacks(func, pieces, "_adjoint", supported, backward.name)

    return backward, {"norm": norm, "callbacks": callbacks}
