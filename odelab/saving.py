"""Weights, models and the state of a run in safetensors files: everything that is no tensor is JSON in the header.

No pickle: loading a file runs no code of whoever wrote it. A file is replaced as a whole: the old one stays until the
new one is complete.
"""

from __future__ import annotations

import inspect
import json
import os
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from odelab.choices import resolved
from odelab.extras import extra

MODEL, RUN = "odelab.latent", "odelab"  # what a header calls the description of a model, and the state of a run


class BrokenCheckpoint(ValueError):
    """A file that is no checkpoint of ours, or one that ends too early."""


def save_tensors(path: str | Path, tensors: dict[str, Tensor], header: dict[str, str] | None = None) -> None:
    """Write a safetensors file, its folder if need be.

    Raises:
        OSError: when it cannot be written, as on a full disk.
    """
    with extra("train"):
        from safetensors import SafetensorError
        from safetensors.torch import save_file
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    owned = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}  # it refuses shared memory
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(owned, part, header)
        os.replace(part, path)
    except SafetensorError as error:
        raise OSError(f"{path} could not be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _read(path: str | Path, device: str | torch.device, key: str) -> tuple[dict[str, Tensor], str | None]:
    """The tensors of a file, and what its header says under the key."""
    with extra("train"):
        from safetensors import SafetensorError, safe_open
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
            return tensors, (file.metadata() or {}).get(key)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors and plain values."""
    tensors: dict[str, Tensor] = {}
    tree = _without_tensors(state, "run", tensors)
    save_tensors(path, tensors, {RUN: json.dumps(tree)})


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """What `save_checkpoint` wrote; tuples come back as lists.

    Raises:
        FileNotFoundError: when there is no such file.
        BrokenCheckpoint: when the file is cut short, or not a checkpoint.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        tensors, tree = _read(path, device, RUN)
        if tree is not None:
            return _with_tensors(json.loads(tree), tensors)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"{path} is not a whole checkpoint ({error}); delete it to start this run anew"
        raise BrokenCheckpoint(message) from error
    raise BrokenCheckpoint(f"{path} is a safetensors file, but no checkpoint of a run; pass another file")


def _without_tensors(tree: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The tree with each tensor replaced by its name, under which it is added to ``tensors``."""
    if isinstance(tree, Tensor):
        while path in tensors:
            path += "'"  # keys may have dots in them
        tensors[path] = tree
        return {"tensor": path}
    if isinstance(tree, dict):
        return {"dict": [[key, _without_tensors(value, f"{path}.{key}", tensors)] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        return {"list": [_without_tensors(value, f"{path}.{i}", tensors) for i, value in enumerate(tree)]}
    return {"value": tree}


def _with_tensors(tree: Any, tensors: dict[str, Tensor]) -> Any:
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _with_tensors(value, tensors) for key, value in content}
    if kind == "list":
        return [_with_tensors(value, tensors) for value in content]
    return content


class _Remembering(type):
    """Makes modules remember what they were given; a copy is made without a call and takes it over."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__call__(*args, **kwargs)
        signature = inspect.signature(cls.__init__)  # type: ignore[misc]
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        settings = dict(list(bound.arguments.items())[1:])
        rest = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), "")
        settings |= settings.pop(rest, {})
        self.__dict__["settings"] = {k: None if isinstance(v, nn.Module) else v for k, v in settings.items()}
        own = vars(self)  # substeps, but not SecondOrder.dim, of which the argument is half
        self.__dict__["mirrored"] = [name for name, v in self.settings.items() if name in own and own[name] == v]
        return self


class Savable(nn.Module, metaclass=_Remembering):
    """A module that a file can describe, because it remembers what its constructor was given.

    Every argument is a plain value (number, text, list), or a module that is savable too and is kept as an attribute
    of the argument's name.

    Attributes:
        settings: the constructor's arguments by name, defaults included; None in place of a module.
        mirrored: those of them that are attributes too; where one was changed, the new value is saved.
    """

    classes: ClassVar[dict[str, type[Savable]]] = {}
    settings: dict[str, Any]
    mirrored: list[str]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        Savable.classes[cls.__name__] = cls

    def description(self) -> dict[str, Any]:
        """What it takes to build the module anew as it is now, as JSON can hold it.

        Raises:
            TypeError: for a part that is not `Savable`.
        """
        now = self.settings | {name: getattr(self, name) for name in self.mirrored}
        parts = {name: _described(getattr(self, name, None), value) for name, value in now.items()}
        return {"kind": type(self).__name__, "settings": parts}

    def save(self, path: str | Path) -> None:
        """Weights as safetensors, settings as JSON in the header.

        Raises:
            TypeError: for a part that is not `Savable`.
            ValueError: where the module was changed in a way that its constructors cannot repeat.
        """
        header = json.dumps(self.description())
        with torch.random.fork_rng(devices=[]):
            _check_twin(self, _built(json.loads(header)))
        save_tensors(path, self.state_dict(), {MODEL: header})

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> Self:
        """What `save` wrote, on the device, in eval mode; in the precision it had, float32 at least.

        Half precision is there to make files small: such a model comes back in float32.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when the file is cut short, or holds something else, and for a device that is not there.
        """
        device = resolved(str(device))
        if not Path(path).is_file():
            raise FileNotFoundError(f"no model at {path}; save one with model.save(path)")
        try:
            tensors, header = _read(path, device, MODEL)
            if header is None:
                raise ValueError("its header describes no model of odelab.latent")
            description = json.loads(header)
            kind = description["kind"]
            if kind != cls.__name__:
                raise ValueError(f"it holds a {kind}; use {kind}.load")
            floating = (tensor.dtype for tensor in tensors.values() if tensor.is_floating_point())
            module = _built(description).to(device, reduce(torch.promote_types, floating, torch.float32))
            module.load_state_dict(tensors)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path} is no {cls.__name__} that can be loaded: {error}") from error
        return module.eval()  # type: ignore[return-value]  # the header says that it is one


def _described(part: Any, value: Any) -> Any:
    if not isinstance(part, nn.Module):
        return value
    name = type(part).__name__
    if Savable.classes.get(name) is not type(part):
        raise TypeError(f"{name} cannot be saved: derive its class from odelab.saving.Savable, or save a state_dict")
    return part.description()


def _check_twin(module: nn.Module, twin: nn.Module) -> None:
    """What is loaded would be the twin with the module's weights: is it the same?

    Raises:
        ValueError: with the attribute or weight that differs.
    """
    parts = dict(module.named_modules())
    for where, part in twin.named_modules():
        for name, value in vars(part).items() if where in parts else ():
            if name.startswith("_") or name in ("training", "settings", "mirrored") or not _is_plain(value):
                continue
            now = vars(parts[where]).get(name)
            if (list(now) if isinstance(now, tuple) else now) != (list(value) if isinstance(value, tuple) else value):
                raise ValueError(
                    f"{f'{where}.{name}'.lstrip('.')} is {now!r}, but was {value!r} when the model was built, and "
                    "what is loaded would have that: build the model with the new value, and load its state_dict"
                )
    shapes, others = ({name: tuple(x.shape) for name, x in m.state_dict().items()} for m in (module, twin))
    if shapes != others:
        name = next(name for name in [*shapes, *others] if shapes.get(name) != others.get(name))
        raise ValueError(
            f"{name} is {shapes.get(name, 'not there')}, but {others.get(name, 'not there')} as the constructor of "
            f"{type(module).__name__} makes it, so that the file could not be loaded: save the state_dict"
        )


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, str, type(None)))


def _built(description: dict[str, Any]) -> Savable:
    """The inverse of `description`, with fresh weights."""
    settings = {
        name: _built(value) if isinstance(value, dict) and "kind" in value else value
        for name, value in description["settings"].items()
    }
    return Savable.classes[description["kind"]](**settings)
