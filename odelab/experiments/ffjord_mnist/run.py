"""FFJORD and RNODE on MNIST, for a GPU (Grathwohl et al. 2019; Finlay et al. 2020; notes, Fig. 24.10).

A multiscale flow of convolutional CNFs. "vanilla" follows FFJORD, an adaptive solver without penalties; "rnode" the
regularized runs, RK4 with steps of a quarter and λ = 0.01 for both penalties in the reference's scaling. The lecture
budget only shows that it runs: a few iterations of a small flow.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from odelab.datasets import Images, mnist
from odelab.experiments.context import Context
from odelab.experiments.ffjord_mnist.recipe import SIZES, SMALL, SOLVERS
from odelab.experiments.flow_training import in_parts, train_flow
from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.results import Key
from odelab.experiments.rnode.recipe import LAMBDA, notes_weights
from odelab.flows import MultiscaleCNF, bits_per_dim, dequantize, logit_transform
from odelab.training import Epochs

LEVELS, ALPHA = 256, 1e-6


def run(key: Key, context: Context) -> dict[str, Any]:
    """One of the two flows; bits per dimension on the test images, by the flow's own solver and one probe an image."""
    return trained(28, 2, SIZES[context.budget], key, context)[1]


def run_small(key: Key, context: Context) -> dict[str, Any]:
    """The flow of 14×14 pixels; its bits also by dopri5 at 1e-5, in case it has learned its own solver."""
    size = SMALL[context.budget]
    flow, result = trained(14, 1, size, key, context)
    context.ship(flow, "ffjord_mnist_14")
    judge = small_flow(size, method="dopri5", rtol=1e-5, atol=1e-5)
    judge.load_state_dict(flow.state_dict())
    images = pixels_of(mnist("test"), 14)[: size["judged"]]
    each = bits_of(judge, images, 2, size["batch"], torch.device("cpu"))
    return result | {
        "bits_own_solver": result["bits"],
        "bits": each.mean().item(),
        "bits_error": (each.std() / len(each) ** 0.5).item(),
    }


def small_flow(size: Mapping[str, Any], **solver: Any) -> MultiscaleCNF:
    """The flow of 14×14 pixels, which can be halved once."""
    return MultiscaleCNF((1, 14, 14), scales=1, hidden=size["hidden"], blocks=size["blocks"], **solver)


def pixels_of(images: Images, side: int) -> Tensor:
    """Grey levels (n, side²) of images of 28×28 pixels, or of the means of 2×2 pixels."""
    if side == 28:
        return images.x.flatten(1)
    return F.avg_pool2d(images.x.float(), 28 // side).round().to(torch.uint8).flatten(1)


def bits_of(flow: Any, images: Tensor, seed: int, batch: int, device: torch.device) -> Tensor:
    """Bits per dimension of each image (n,), from grey levels (n, dim) with noise of the seed."""
    logit = logit_transform(ALPHA)
    x = dequantize(images, LEVELS, torch.Generator().manual_seed(seed))
    y = logit(x)
    log_prob = in_parts(lambda part: flow.log_prob(part.to(device)).cpu(), y, batch)
    return torch.as_tensor(bits_per_dim(log_prob + logit.log_abs_det_jacobian(x, y), images.shape[1], LEVELS))


def trained(
    side: int, scales: int, size: Mapping[str, Any], key: Key, context: Context
) -> tuple[MultiscaleCNF, dict[str, Any]]:
    """A flow of images of side × side pixels, and what is measured of it by its own solver."""
    everything = mnist("train")
    train, held = everything.holdout(min(5000, len(everything) // 5))
    test, logit = mnist("test"), logit_transform(ALPHA)
    fabric = context.fabric()
    device, pixels = fabric.device, pixels_of(train, side)
    epochs = Epochs(len(train), size["batch"], context.seed, fabric.global_rank, fabric.world_size)

    def on_line(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return logit(dequantize(images, LEVELS, generator)).to(device)

    torch.manual_seed(context.seed)
    shape = (1, side, side)
    solver = SOLVERS[key["flow"]]
    flow = MultiscaleCNF(shape, scales=scales, hidden=size["hidden"], blocks=size["blocks"], **solver)
    recipe = FlowRecipe(
        iterations=size["iterations"],
        lr=1e-3,
        penalties=notes_weights(LAMBDA, LAMBDA) if key["flow"] == "rnode" else None,
        every=max(size["iterations"] // 30, 5),
    )
    validation = on_line(pixels_of(held, side)[: size["judged"] // 5], torch.Generator().manual_seed(1))
    history = train_flow(flow, lambda step: on_line(pixels[epochs(step)]), validation, recipe, context)
    judged = pixels_of(test, side)[: size["judged"]]
    return flow, {
        "bits": bits_of(flow, judged, 2, size["batch"], device).mean().item(),
        "parameters": sum(p.numel() for p in flow.parameters()),
        "data": train.source,
        "hours": round(history.seconds / 3600, 3),
        "validations": history.validation,
    }
