"""The table of ODE-Nets on MNIST (Chen et al. 2018, Table 1; the seminar prints it), with two rows more, at two sizes.

One recipe for every row, frozen on 5,000 held-out training images: SGD with Nesterov momentum 0.9, peak rate 0.1 in one
cycle, weight decay 5e-4 on weights, averaged weights (0.995), small random affine maps of the images, batch 128. The
epoch kept is the one of least validation NLL; the test set is read once.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from odelab.datasets import Images, mnist
from odelab.experiments.context import Context
from odelab.experiments.mnist.recipe import BODIES, ROWS, SIZES
from odelab.experiments.results import Key
from odelab.nets import Classifier, ODEBlock, classifier, saved_for_backward
from odelab.training import Epochs, fit, one_cycle

BATCH, HELD_OUT = 128, 5000
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
DOPRI5 = {"method": "dopri5", "steps": None, "rtol": 1e-3, "atol": 1e-3}


def prepared(images: Images) -> Tensor:
    """(n, 1, 28, 28) float32, of mean 0 and standard deviation 1 over MNIST's training images."""
    return (images.scaled() - 0.1307) / 0.3081


def random_affine(images: Tensor) -> Tensor:
    """Each image (batch, 1, h, w) turned by up to 12°, scaled by 12 %, sheared by 0.2 and moved by 2.5 pixels."""
    n = len(images)
    turn, scale, shear, right, down = (2 * torch.rand(5, n, device=images.device) - 1).unbind()
    turn, scale, shear = turn * math.radians(12), 1 + 0.12 * scale, 0.2 * shear
    cos, sin = turn.cos() * scale, turn.sin() * scale
    shift = 2 * 2.5 / images.shape[-1]
    rows = [cos, cos * shear - sin, shift * right, sin, sin * shear + cos, shift * down]
    grid = F.affine_grid(torch.stack(rows, 1).view(n, 2, 3), list(images.shape), align_corners=False)
    background = images[:, :, :1, :1]  # black is not 0 after standardising
    return F.grid_sample(images - background, grid, align_corners=False) + background


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Weight decay on matrices and filters only, not on biases and norms."""
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 5e-4},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)


def evaluate(model: Classifier, x: Tensor, y: Tensor) -> dict[str, float]:
    """Error in percent and NLL in nats over all images, in float32; mean NFE per batch where there is an ODE."""
    device = next(model.parameters()).device
    wrong, nll, nfe, batches = 0, 0.0, 0, 0
    with torch.no_grad():
        for images, labels in zip(x.split(500), y.split(500), strict=True):
            logits = model(images.to(device)).float()
            nll += F.cross_entropy(logits, labels.to(device), reduction="sum").item()
            wrong += (logits.argmax(1) != labels.to(device)).sum().item()
            batches += 1
            nfe += model.block.nfe if model.block else 0
    measured = {"loss": nll / len(y), "error": 100 * wrong / len(y)}
    return measured | ({"nfe": nfe / batches} if model.block else {})


@contextmanager
def solved_by(block: ODEBlock | None, **solver: Any) -> Iterator[ODEBlock]:
    """The block with other settings, which are put back."""
    assert block is not None
    before = {name: getattr(block, name) for name in solver}
    vars(block).update(solver)
    yield block
    vars(block).update(before)


def under(model: Classifier, x: Tensor, y: Tensor, **solver: Any) -> dict[str, float]:
    """`evaluate` with other settings of the ODE block, and the CPU time of it."""
    start = time.process_time()
    with solved_by(model.block, **solver):
        measured = evaluate(model, x, y)
    return measured | {"seconds": time.process_time() - start}


def mistakes(model: Classifier, x: Tensor, y: Tensor) -> list[int]:
    """Which of the images are answered wrongly, so that rows can be compared image by image."""
    device = next(model.parameters()).device
    with torch.no_grad():
        answers = torch.cat([model(images.to(device)).argmax(1).cpu() for images in x.split(500)])
    return (answers != y.cpu()).nonzero().flatten().tolist()


def nfe_of_a_batch(model: Classifier, x: Tensor, y: Tensor) -> dict[str, float]:
    """Evaluations forward and backward of one training batch, by dopri5 and the adjoint at 1e-3."""
    device, solver = next(model.parameters()).device, DOPRI5 | {"gradient": "adjoint"}
    with torch.enable_grad(), solved_by(model.block, **solver) as block:
        loss = F.cross_entropy(model(x[:BATCH].to(device)), y[:BATCH].to(device))
        torch.autograd.grad(loss, list(model.parameters()))
        return {"nfe_forward": float(block.nfe), "nfe_backward": float(block.nfe_backward)}


def run(key: Key, context: Context) -> dict[str, Any]:
    """Train one row of the table and measure it."""
    size, name = SIZES[context.budget], key["body"]
    data = mnist("train")
    if not data.complete and context.budget == "full":
        where = "put its four files into a folder mnist of $ODELAB_DATA, or take --budget lecture"
        raise ValueError(f"the full run needs all of MNIST, and there is only {data.source}: {where}")
    fitting = context.fitting("32-true" if name == "mlp" else "bf16-mixed")
    fabric = fitting["fabric"]
    train, held_out = data.holdout(min(HELD_OUT, len(data) // 5))
    count = min(size["images"] or len(train), len(train))
    x, y = prepared(train)[:count].to(fabric.device), train.y[:count].to(fabric.device)
    val_x, val_y = prepared(held_out), held_out.y

    torch.manual_seed(context.seed)
    model = classifier(**ROWS[name], channels=size["channels"], groups=size["groups"])
    epochs = Epochs(len(x), BATCH, context.seed, fabric.global_rank, fabric.world_size)

    def loss(model: nn.Module, index: Tensor) -> Tensor:
        return F.cross_entropy(model(random_affine(x[index])), y[index])

    def validate(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Classifier)
        ode = nfe_of_a_batch(model, val_x, val_y) if model.block else {}
        return evaluate(model, val_x, val_y) | ode

    history = fit(
        model,
        loss,
        epochs,
        steps=size["epochs"] * epochs.steps,
        optimizer=sgd,
        schedule=one_cycle(),
        ema=0.995,
        validate=validate,
        every=epochs.steps,
        **fitting,
    )
    test = mnist("test")
    test_x, test_y = prepared(test), test.y
    measured: dict[str, Any] = {
        "parameters": model.parameter_count,
        "validation_error": history.best["error"] if history.best else None,
        "saved_bytes": saved_for_backward(model.train(), x[:BATCH]),
        "seconds_per_epoch": round(history.seconds / size["epochs"], 2),
        "cpu_seconds": round(history.cpu_seconds, 1),
        "images": len(x),
        "data": data.source,
        "epochs": history.validation,
    }
    model.eval()
    if model.block:
        own = evaluate(model, test_x, test_y)
        whole = context.seed < 2 and name in BODIES  # the whole dial takes a minute
        dial = [
            {"tolerance": tol} | under(model, test_x, test_y, **DOPRI5 | {"rtol": tol, "atol": tol})
            for tol in (TOLERANCES if whole else TOLERANCES[2:3])
        ]
        strict = next(each for each in dial if each["tolerance"] == 1e-3)
        measured |= {"test_error": strict["error"], "test_nll": strict["loss"], "nfe": strict["nfe"]}
        measured |= {"test_error_own_solver": own["error"], "dial": dial}
        vars(model.block).update(DOPRI5)
        if name in BODIES:
            context.ship(model, f"mnist_{name}")
    else:
        result = evaluate(model, test_x, test_y)
        measured |= {"test_error": result["error"], "test_nll": result["loss"]}
    return measured | {"mistakes": mistakes(model, test_x, test_y)}
