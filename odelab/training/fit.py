"""The one training loop: bar, validation, averaged weights, checkpoint, resume; on a CPU, a GPU or several."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from odelab.training.batches import seed_of
from odelab.training.cost import forecast, iteration_cost
from odelab.training.interrupt import Interruptible
from odelab.training.run import History, Run
from odelab.training.schedules import Schedule, constant

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
        resume: go on from that file, if it is there.
        fabric: device, precision and processes; by default the CPU in float32.
        progress: show a bar; a text is its label.
        estimate: measure beforehand, on a copy, what the last iteration costs (`History.cost`), for growing batches
            the dearest; with ``progress`` a line tells batch, memory and time.

    Raises:
        TrainingDiverged: when the loss is not finite.
        KeyboardInterrupt: on Ctrl-C, after the step is done and the checkpoint written.
        ValueError: for settings that contradict each other, or a checkpoint of another run.
    """
    if keep not in ("best", "last"):
        raise ValueError(f"keep is {keep!r}; it can be 'best' or 'last'")
    if (every is None) != (validate is None):
        raise ValueError("validate and every belong together: what to measure, and every how many steps")
    if resume and not checkpoint:
        raise ValueError("resume goes on from a checkpoint: say which file")
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    model.to(fabric.device)
    raw = (optimizer or adam())([p for p in model.parameters() if p.requires_grad])
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    objective, opt = fabric.setup(_Objective(model, loss), raw)
    run = Run(model, average, raw, checkpoint, seed, steps)
    if resume and checkpoint and Path(checkpoint).is_file():
        run.restore(fabric.device)
    fabric.barrier()  # nobody saves before all have read
    history = run.history
    rates = run.rates = run.rates or [group["lr"] for group in raw.param_groups]
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
