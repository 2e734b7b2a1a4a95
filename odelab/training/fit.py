"""The one training loop: bar, validation, averaged weights, checkpoint, resume; on a CPU, a GPU or several."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from odelab.training.batches import seed_of
from odelab.training.checkpoint import load_checkpoint, save_checkpoint
from odelab.training.interrupt import Interruptible
from odelab.training.schedules import Schedule, constant

Loss = Callable[[Any, Any], Tensor]  # (model, batch) -> 0-d tensor
Optimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


class TrainingDiverged(RuntimeError):
    """The loss is NaN or infinite; `step` says when. The last checkpoint, from before, is kept."""

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
        seconds: wall time, that of earlier sittings included.
        stopped: "finished", or "early stop".
    """

    loss: list[float] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] | None = None
    step: int = 0
    seconds: float = 0.0
    stopped: str = "finished"


class _Objective(nn.Module):
    """The loss as a module's forward: autocast and gradient averaging of Fabric wrap forward calls."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any) -> Tensor:
        return self.loss(self.model, batch)


def adam(lr: float = 1e-3, **settings: Any) -> Optimizer:
    return lambda parameters: torch.optim.Adam(parameters, lr=lr, **settings)


def fit(
    model: nn.Module,
    loss: Loss,
    batches: Callable[[int], Any],
    *,
    steps: int,
    optimizer: Optimizer | None = None,
    schedule: Schedule = constant,
    clip: float | None = None,
    ema: float | None = None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    every: int | None = None,
    patience: int | None = None,
    keep: str = "best",
    checkpoint: str | Path | None = None,
    resume: bool = False,
    save_seconds: float = 60.0,
    fabric: Fabric | None = None,
    seed: int = 0,
    progress: bool | str = True,
) -> History:
    """Train ``model`` in place.

    Every step draws from a seed of its own (torch's global generator, on the CPU and the GPU), so that a run which
    was interrupted and resumed ends with the weights of one that was not.

    Args:
        loss: (model, batch) -> 0-d tensor, the mean over the batch.
        batches: step -> batch, from 0; `Epochs` gives indices of shuffled passes.
        optimizer: parameters -> optimizer; Adam with 1e-3 by default.
        schedule: share of the run that is done -> factor on the optimizer's learning rates.
        clip: largest norm of the gradient.
        ema: decay of an exponential moving average of the weights, which is then what is validated and kept.
        validate: model in evaluation mode -> numbers, of which "loss" is the one that counts; run without gradients,
            every ``every`` steps and at the end.
        patience: stop after so many validations in a row without a new best.
        keep: "best" leaves the weights of the best validation in the model (where there is one), "last" the last.
        checkpoint: file to which the run is saved every ``save_seconds``, on Ctrl-C and at the end.
        resume: go on from that file, if it is there.
        fabric: device, precision and processes; by default the CPU in float32.
        progress: show a bar; a text is its label.

    Raises:
        TrainingDiverged: when the loss is not finite.
        KeyboardInterrupt: on Ctrl-C, after the step is done and the checkpoint written.
        ValueError: for settings that contradict each other, or a checkpoint of another run.
    """
    if keep not in ("best", "last"):
        raise ValueError(f"keep is {keep!r}; it can be 'best' or 'last'")
    if (every is None) != (validate is None):
        raise ValueError("validate and every belong together: what to measure, and every how many steps")
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    model.to(fabric.device)
    raw = (optimizer or adam())([p for p in model.parameters() if p.requires_grad])
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    objective, opt = fabric.setup(_Objective(model, loss), raw)
    run = _Run(model, average, raw, checkpoint, seed, steps)
    if resume and checkpoint and Path(checkpoint).is_file():
        run.restore(fabric.device)
    history, rates = run.history, [group["lr"] for group in raw.param_groups]
    rates = run.rates or rates
    run.rates = rates
    bar = tqdm(
        total=steps,
        initial=history.step,
        desc=progress if isinstance(progress, str) else None,
        disable=not progress or fabric.global_rank > 0,
        leave=False,
    )
    start, saved = time.perf_counter() - history.seconds, time.perf_counter()
    with bar, Interruptible() as interrupt:
        while history.step < steps and history.stopped == "finished":
            step = history.step
            torch.manual_seed(seed_of("step", seed, step, fabric.global_rank))
            for group, rate in zip(raw.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(step / steps)
            model.train()
            value = objective(batches(step))
            number = value.item()
            if not math.isfinite(number):
                raise TrainingDiverged(
                    f"the loss is {number} at step {step} of {steps}; lower the learning rate"
                    + ("" if clip else " or clip the gradient")
                    + (f". {checkpoint} holds the run before" if checkpoint and Path(checkpoint).is_file() else ""),
                    step,
                )
            raw.zero_grad()
            fabric.backward(value)
            if clip:
                fabric.clip_gradients(objective, raw, max_norm=clip)
            opt.step()
            if average:
                average.update_parameters(model)
            history.loss.append(number)
            history.step += 1
            history.seconds = time.perf_counter() - start
            bar.update()
            if validate and every and (history.step % every == 0 or history.step == steps):
                run.validate(validate, patience)
                bar.set_postfix({k: f"{v:.4g}" for k, v in history.validation[-1].items() if k != "step"})
            due = time.perf_counter() - saved > save_seconds or history.step == steps or interrupt.asked
            if checkpoint and (due or history.stopped != "finished") and fabric.global_rank == 0:
                run.save()
                saved = time.perf_counter()
            if interrupt.asked:
                raise KeyboardInterrupt(f"stopped after step {history.step}; resume=True goes on from {checkpoint}")
    run.leave(keep)
    return history


class _Run:
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

    def validate(self, measure: Callable[[nn.Module], dict[str, float]], patience: int | None) -> None:
        self.kept.eval()
        with torch.no_grad():
            entry = {"step": self.history.step, **{k: float(v) for k, v in measure(self.kept).items()}}
        self.history.validation.append(entry)
        if self.history.best is None or entry["loss"] < self.history.best["loss"]:
            self.history.best, self.waited = entry, 0
            self.best = {name: tensor.clone() for name, tensor in self.kept.state_dict().items()}
        else:
            self.waited += 1
            if patience and self.waited >= patience:
                self.history.stopped = "early stop"

    def save(self) -> None:
        state = {
            "identity": self.identity,
            "history": vars(self.history) | {"loss": torch.tensor(self.history.loss, dtype=torch.float64)},
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
        if state["identity"] != self.identity:
            raise ValueError(
                f"{self.path} is of another run: it has {state['identity']}, this one {self.identity}; "
                "move it away, or pass another checkpoint file"
            )
        self.history = History(**(state["history"] | {"loss": state["history"]["loss"].tolist()}))
        self.rates, self.waited, self.best = state["rates"], state["waited"], state["best"]
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])

    def leave(self, keep: str) -> None:
        """Put the weights that count into the model, in evaluation mode."""
        weights = self.best if keep == "best" and self.best is not None else self.kept.state_dict()
        self.model.load_state_dict({name: tensor.clone() for name, tensor in weights.items()})
        self.model.eval()
