"""Models in one file: weights as safetensors, the constructors' settings as JSON in its header. No pickle."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from functools import reduce, wraps
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

KINDS: dict[str, type[nn.Module]] = {}
HEADER = "odelab.latent"
Kind = TypeVar("Kind", bound=type[nn.Module])
Module = TypeVar("Module", bound=nn.Module)


def stored(kind: Kind) -> Kind:
    """A class of modules that a file can describe: remembers the arguments of its constructor in `.settings`.

    An argument is a plain value (number, text, list) or a stored module; a module must be kept as an attribute of the
    argument's name.
    """
    KINDS[kind.__name__] = kind
    build: Callable[..., None] = kind.__init__
    signature = inspect.signature(build)

    @wraps(build)
    def remember(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        settings = dict(list(bound.arguments.items())[1:])
        extra = settings.pop(next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), ""), {})
        settings |= extra
        settings = {k: None if isinstance(v, nn.Module) else v for k, v in settings.items()}
        self.__dict__["settings"] = settings  # plain: no concern of nn.Module

    kind.__init__ = remember  # type: ignore[method-assign]
    return kind


def describe(module: nn.Module) -> dict[str, Any]:
    """What it takes to build the module anew, as JSON can hold it.

    Raises:
        TypeError: for a module of a class that is not `stored`.
    """
    name = type(module).__name__
    if KINDS.get(name) is not type(module):
        raise TypeError(f"{name} cannot be saved: decorate its class with @odelab.latent.stored, or save a state_dict")
    settings = {}
    for key, value in module.settings.items():  # type: ignore[operator, union-attr]
        part = getattr(module, key, None)
        settings[key] = describe(part) if isinstance(part, nn.Module) else value
    return {"kind": name, "settings": settings}


def build(description: dict[str, Any]) -> nn.Module:
    """The inverse of `describe`, with fresh weights."""
    settings = {
        key: build(value) if isinstance(value, dict) and "kind" in value else value
        for key, value in description["settings"].items()
    }
    return KINDS[description["kind"]](**settings)


def save_module(path: str | Path, module: nn.Module) -> None:
    """Write a module; the old file stays until the new one is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {HEADER: json.dumps(describe(module))}
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in module.state_dict().items()}
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part, header)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_module(path: str | Path, kind: type[Module], device: str | torch.device = "cpu") -> Module:
    """What `save_module` wrote, on the device, in eval mode, in the precision of the file.

    Half precision is there to make files small: such a model comes back in float32.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is cut short, or holds something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no model at {path}; save one with model.save(path)")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            header = file.metadata() or {}
            if HEADER not in header:
                raise ValueError("its header describes no model of odelab.latent")
            description = json.loads(header[HEADER])
            if description["kind"] != kind.__name__:
                raise ValueError(f"it holds a {description['kind']}; use {description['kind']}.load")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
        floating = (tensor.dtype for tensor in tensors.values() if tensor.is_floating_point())
        module = build(description).to(device, reduce(torch.promote_types, floating, torch.float32))
        module.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is no {kind.__name__} that can be loaded: {error}") from error
    return module.eval()  # type: ignore[return-value]  # the header says that it is one


class Storable(nn.Module):
    """A model that can be written to a file and read again; its class is `stored`."""

    def save(self, path: str | Path) -> None:
        """Weights as safetensors, settings as JSON in the header."""
        save_module(path, self)

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> Self:
        """What `save` wrote, on the device, in eval mode; in the precision it had, float32 at least.

        Raises:
            FileNotFoundError, ValueError: when there is no such file, or it holds something else.
        """
        return load_module(path, cls, device)
