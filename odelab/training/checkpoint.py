"""One file that holds a run: tensors as safetensors, everything else as JSON in its header; replaced as a whole.

No pickle: loading a checkpoint runs no code of whoever wrote it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


class BrokenCheckpoint(ValueError):
    """A file that is no checkpoint of ours, or one that ends too early."""


def flatten(tree: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The tree with each tensor replaced by its name, under which it is added to ``tensors``."""
    if isinstance(tree, Tensor):
        while path in tensors:
            path += "'"  # keys may have dots in them
        tensors[path] = tree.detach().contiguous()
        return {"tensor": path}
    if isinstance(tree, dict):
        return {"dict": [[key, flatten(value, f"{path}.{key}", tensors)] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        return {"list": [flatten(value, f"{path}.{i}", tensors) for i, value in enumerate(tree)]}
    return {"value": tree}


def unflatten(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `flatten`; tuples come back as lists."""
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unflatten(value, tensors) for key, value in content}
    if kind == "list":
        return [unflatten(value, tensors) for value in content]
    return content


def save_tensors(path: str | Path, tensors: dict[str, Tensor], header: dict[str, str] | None = None) -> None:
    """Write a safetensors file, its folder if need be; the old file stays until the new one is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    owned = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}  # it refuses shared memory
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(owned, part, header)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors and plain values; the old file stays until the new one is complete."""
    tensors: dict[str, Tensor] = {}
    tree = flatten(state, "run", tensors)
    save_tensors(path, tensors, {"odelab": json.dumps(tree)})


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """What `save_checkpoint` wrote.

    Raises:
        FileNotFoundError: when there is no such file.
        BrokenCheckpoint: when the file is cut short, or not a checkpoint.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            header = file.metadata() or {}
            if "odelab" not in header:
                raise BrokenCheckpoint(f"{path} is a safetensors file, but no checkpoint of a run; pass another file")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
        return unflatten(json.loads(header["odelab"]), tensors)
    except BrokenCheckpoint:
        raise
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"{path} is not a whole checkpoint ({error}); delete it to start this run anew"
        raise BrokenCheckpoint(message) from error
