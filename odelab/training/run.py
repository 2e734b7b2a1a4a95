"""Everything that a training run is: its weights, its optimiser, what it has measured; and how it goes to a file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from odelab.saving import load_checkpoint, save_checkpoint


class TrainingDiverged(RuntimeError):
    """The loss or a weight is NaN or infinite; `step` says when. The last checkpoint, from before, is kept."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


@dataclass
class History:
    """What a run measured on its way.

    Attributes:
        loss: training loss of every step.
        validation: one dict per validation, with "step" and whatever `validate` returned.
        best: the entry of `validation` with the least "loss"; None without validation.
        step: steps done; less than asked for after an early stop.
        seconds, cpu_seconds: wall time and processor time, those of earlier sittings included.
        validation_cpu: `cpu_seconds` at each validation.
        stopped: "finished", or "early stop".
        cost: of an iteration, see `iteration_cost`; empty where `fit` was not asked for it.
    """

    loss: list[float] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] | None = None
    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    validation_cpu: list[float] = field(default_factory=list)
    stopped: str = "finished"
    cost: dict[str, float] = field(default_factory=dict)


class Run:
    """Everything a checkpoint has to hold."""

    def __init__(
        self,
        model: nn.Module,
        average: AveragedModel | None,
        optimizer: torch.optim.Optimizer,
        path: str | Path | None,
        seed: int,
        steps: int,
    ) -> None:
        self.model, self.average, self.optimizer, self.path = model, average, optimizer, path
        self.identity = {"seed": seed, "steps": steps, "parameters": sum(p.numel() for p in model.parameters())}
        self.history = History()
        self.rates: list[float] = []
        self.best: dict[str, Tensor] | None = None
        self.waited = 0

    @property
    def kept(self) -> nn.Module:
        """The module whose weights count."""
        return self.average.module if self.average else self.model

    def check(self) -> None:
        """Raise `TrainingDiverged` when a weight is not finite, so that no checkpoint ever holds such weights."""
        if not all(bool(torch.isfinite(p).all()) for p in self.model.parameters()):
            raise self.diverged("a weight is NaN or infinite after", self.history.step - 1)

    def diverged(self, what: str, step: int) -> TrainingDiverged:
        there = self.path and Path(self.path).is_file()
        message = f"{what} step {step} of {self.identity['steps']}; lower the learning rate or clip the gradient"
        return TrainingDiverged(message + (f". {self.path} holds the run before" if there else ""), step)

    def validate(self, measure: Callable[[nn.Module], dict[str, float]], patience: int | None) -> None:
        self.kept.eval()
        with torch.no_grad():
            entry = {"step": self.history.step, **{k: float(v) for k, v in measure(self.kept).items()}}
        if "loss" not in entry:
            raise ValueError(
                f"validate returned {', '.join(list(entry)[1:]) or 'nothing'}; 'loss' is what fit judges by"
            )
        self.history.validation.append(entry)
        self.history.validation_cpu.append(self.history.cpu_seconds)
        if entry["loss"] < (self.history.best or {"loss": math.inf})["loss"]:  # NaN is never the best
            self.history.best, self.waited = entry, 0
            self.best = {name: tensor.clone() for name, tensor in self.kept.state_dict().items()}
        else:
            self.waited += 1
            if patience and self.waited >= patience:
                self.history.stopped = "early stop"

    def save(self) -> None:
        state = {
            "identity": self.identity,
            "history": vars(self.history)
            | {"loss": torch.tensor(self.history.loss, dtype=torch.float64, device="cpu")},
            "rates": self.rates,
            "waited": self.waited,
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }
        save_checkpoint(self.path or "", state)

    def restore(self, device: torch.device) -> None:
        state = load_checkpoint(self.path or "", device)
        theirs, average = state.get("identity"), state.get("average")
        if theirs != self.identity or (average is None) != (self.average is None):
            raise self._stranger(
                f"it has {theirs}, {'no' if average is None else 'an'} average; this one {self.identity}"
            )
        try:
            self.model.load_state_dict(state["model"])
            if self.average and average:
                self.average.load_state_dict(average)
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise self._stranger(str(error)) from error
        self.history = History(**(state["history"] | {"loss": state["history"]["loss"].tolist()}))
        self.rates, self.waited, self.best = state["rates"], state["waited"], state["best"]

    def _stranger(self, why: str) -> ValueError:
        return ValueError(f"{self.path} is of another run: {why}; move it away, or pass another checkpoint file")

    def leave(self, keep: str) -> None:
        """Put the weights that count into the model, in evaluation mode."""
        weights = self.best if keep == "best" and self.best is not None else self.kept.state_dict()
        self.model.load_state_dict({name: tensor.clone() for name, tensor in weights.items()})
        self.model.eval()
