"""The one training loop: bar, validation, averaged weights, checkpoint, resume; on a CPU, a GPU or several."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from odelab.extras import extra
from odelab.saving import load_checkpoint, save_checkpoint
from odelab.training.batches import seed_of
from odelab.training.cost import forecast, iteration_cost
from odelab.training.schedules import Schedule, constant

with extra("train"):
    from lightning_fabric import Fabric
    from tqdm.auto import tqdm


#: Whether the run of this thread is to stop after its step: signals reach a process's first thread alone.
stop_asked: ContextVar[Callable[[], bool]] = ContextVar("stop_asked", default=lambda: False)


class Interruptible:
    """While active, the first SIGINT only sets `asked`; the second interrupts at once.

    A step of an optimiser that is cut in half leaves weights that no run ever had; so the loop asks between steps.
    """

    def __init__(self) -> None:
        self._signalled = False
        self._before: Any = None

    @property
    def asked(self) -> bool:
        return self._signalled or stop_asked.get()()

    def __enter__(self) -> Interruptible:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True


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
        settings: dict[str, Any],
    ) -> None:
        self.model, self.average, self.optimizer, self.path = model, average, optimizer, path
        self.identity = {"seed": seed, "steps": steps, "parameters": sum(p.numel() for p in model.parameters())}
        self.settings = settings
        self.history = History()
        self.rates: list[float] = settings["lr"]
        self.best: dict[str, Tensor] | None = None
        self.waited = 0

    @property
    def evaluated_model(self) -> nn.Module:
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
        self.evaluated_model.eval()
        with torch.no_grad():
            entry = {"step": self.history.step, **{k: float(v) for k, v in measure(self.evaluated_model).items()}}
        if "loss" not in entry:
            raise ValueError(
                f"validate returned {', '.join(list(entry)[1:]) or 'nothing'}; 'loss' is what fit judges by"
            )
        self.history.validation.append(entry)
        self.history.validation_cpu.append(self.history.cpu_seconds)
        if entry["loss"] < (self.history.best or {"loss": math.inf})["loss"]:  # NaN is never the best
            self.history.best, self.waited = entry, 0
            self.best = {name: tensor.clone() for name, tensor in self.evaluated_model.state_dict().items()}
        else:
            self.waited += 1
            if patience and self.waited >= patience:
                self.history.stopped = "early stop"

    def save(self) -> None:
        state = {
            "identity": self.identity,
            "settings": self.settings,
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
        self._check_settings(state)
        try:
            self.model.load_state_dict(state["model"])
            if self.average and average:
                self.average.load_state_dict(average)
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise self._stranger(str(error)) from error
        self.history = History(**(state["history"] | {"loss": state["history"]["loss"].tolist()}))
        self.rates, self.waited, self.best = state["rates"], state["waited"], state["best"]

    def _check_settings(self, state: dict[str, Any]) -> None:
        """Raise ValueError when another learning rate, optimizer, clip, … is asked for than the run has had so far."""
        groups = state.get("optimizer", {}).get("param_groups", [])
        earlier = {"lr": state.get("rates"), "groups": [_plain(group) for group in groups], **state.get("settings", {})}
        for name, value in earlier.items():
            if not _alike(value, self.settings[name]):
                raise ValueError(
                    f"{self.path} is of a run with {name} = {value}, and now {name} = {self.settings[name]} is asked "
                    "for: go on with the same settings, or begin anew with another checkpoint file"
                )

    def _stranger(self, why: str) -> ValueError:
        return ValueError(f"{self.path} is of another run: {why}; move it away, or pass another checkpoint file")

    def leave(self, keep: str) -> None:
        """Put the weights that count into the model, in evaluation mode."""
        weights = self.best if keep == "best" and self.best is not None else self.evaluated_model.state_dict()
        self.model.load_state_dict({name: tensor.clone() for name, tensor in weights.items()})
        self.model.eval()


def _plain(group: dict[str, Any]) -> dict[str, Any]:
    """What an optimizer's group of parameters is told, its learning rate aside, as JSON has it."""
    told = {name: value for name, value in group.items() if name not in ("params", "lr", "initial_lr")}
    return json.loads(json.dumps(told, default=str))


def _alike(a: Any, b: Any) -> bool:
    """Whether two settings are the same, numbers up to what another machine rounds otherwise."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[name], b[name]) for name in a)
    return a == b


Loss = Callable[[Any, Any], Tensor]  # (model, batch) -> 0-d tensor
Optimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


class _Sealed:
    """A batch that Fabric does not look into: in mixed precision it refuses frozen dataclasses."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch


class _Objective(nn.Module):
    """The loss as a module's forward: autocast and gradient averaging of Fabric wrap forward calls."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, sealed: _Sealed) -> Tensor:
        return self.loss(self.model, sealed.batch)


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
    estimate: bool = False,
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
        resume: go on from that file, if it is there; without, a file that is there is refused, not written over.
        fabric: device, precision and processes; by default the CPU in float32.
        progress: show a bar; a text is its label.
        estimate: measure beforehand, on a copy, what the last iteration costs (`History.cost`), for growing batches
            the dearest; with ``progress`` a line tells batch, memory and time.

    Raises:
        TrainingDiverged: when the loss is not finite.
        KeyboardInterrupt: on Ctrl-C, after the step is done and the checkpoint written.
        ValueError: for settings that contradict each other, a checkpoint of another run or with other settings
            (learning rate, optimizer, schedule, clip, ema), and one that is there and not to be resumed.
    """
    if keep not in ("best", "last"):
        raise ValueError(f"keep is {keep!r}; it can be 'best' or 'last'")
    if (every is None) != (validate is None):
        raise ValueError("validate and every belong together: what to measure, and every how many steps")
    if resume and not checkpoint:
        raise ValueError("resume goes on from a checkpoint: say which file")
    if checkpoint and not resume and Path(checkpoint).exists():
        raise ValueError(
            f"{checkpoint} is there: resume=True goes on from it; to begin anew, delete it or move it away"
        )
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    model.to(fabric.device)
    raw = (optimizer or adam())([p for p in model.parameters() if p.requires_grad])
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    objective, opt = fabric.setup(_Objective(model, loss), raw)
    settings = {
        "lr": [float(group["lr"]) for group in raw.param_groups],
        "groups": [_plain(group) for group in raw.param_groups],
        "optimizer": type(raw).__name__,
        "clip": clip,
        "ema": ema,
        "schedule": [float(schedule(k / 4)) for k in range(4)],
    }
    run = _Run(model, average, raw, checkpoint, seed, steps, settings)
    if resume and checkpoint and Path(checkpoint).is_file():
        run.restore(fabric.device)
    fabric.barrier()  # nobody saves before all have read
    history = run.history
    rates = run.rates
    if estimate and (history.step < steps or not history.cost):
        _estimate(fabric, model, loss, batches, steps, history, bool(progress))
    bar = tqdm(
        total=steps,
        initial=history.step,
        desc=progress if isinstance(progress, str) else None,
        disable=not progress or fabric.global_rank > 0,
        leave=False,
    )
    start, saved = time.perf_counter() - history.seconds, time.perf_counter()
    cpu_start = time.process_time() - history.cpu_seconds
    with bar, Interruptible() as interrupt:
        while history.step < steps and history.stopped == "finished":
            step = history.step
            torch.manual_seed(seed_of("step", seed, step, fabric.global_rank))
            for group, rate in zip(raw.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(step / steps)
            model.train()
            value = objective(_Sealed(batches(step)))
            number, asked = _together(fabric, value, interrupt.asked)
            if not math.isfinite(number):
                raise run.diverged(f"the loss is {number} at", step)
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
            history.cpu_seconds = time.process_time() - cpu_start
            bar.update()
            if validate and every and (history.step % every == 0 or history.step == steps):
                run.validate(lambda model: fabric.broadcast(validate(model)), patience)
                bar.set_postfix({k: f"{v:.4g}" for k, v in history.validation[-1].items() if k != "step"})
            stop = interrupt.asked if fabric.world_size == 1 else asked
            ends = history.step == steps or history.stopped != "finished" or stop
            if ends or time.perf_counter() - saved > save_seconds:
                run.check()
                if checkpoint and fabric.global_rank == 0:
                    run.save()
                saved = time.perf_counter()
            if stop:
                how = (
                    f"resume=True goes on from {checkpoint}"
                    if checkpoint
                    else "without a checkpoint its steps are lost"
                )
                raise KeyboardInterrupt(f"stopped after step {history.step}; {how}")
    run.leave(keep)
    fabric.barrier()  # the checkpoint is there for all
    return history


def _estimate(
    fabric: Fabric,
    model: nn.Module,
    loss: Loss,
    batches: Callable[[int], Any],
    steps: int,
    history: History,
    progress: bool,
) -> None:
    """Fill in ``history.cost`` and say it. Every step draws from a seed of its own: what is drawn here shifts none."""

    def as_trained(model: nn.Module, batch: Any) -> Tensor:
        with fabric.autocast():
            return loss(model, batch)

    last = batches(steps - 1)
    history.cost = iteration_cost(model, as_trained, last)
    if progress and fabric.global_rank == 0:
        tqdm.write(forecast(history.cost, last, steps, fabric.world_size))


def _together(fabric: Fabric, loss: Tensor, asked: bool) -> tuple[float, bool]:
    """The mean loss of all processes, and whether any of them is asked to stop: they go on and end together."""
    if fabric.world_size == 1:
        return loss.item(), asked
    both = torch.stack([loss.detach().float(), loss.new_tensor(asked, dtype=torch.float32)])
    mean = fabric.all_reduce(both, reduce_op="mean")
    return float(mean[0]), bool(mean[1] > 0)
