"""FFJORD and RNODE on MNIST, for a GPU (Grathwohl et al. 2019; Finlay et al. 2020; notes, Fig. 24.10).

A multiscale flow of convolutional CNFs. "vanilla" follows FFJORD, an adaptive solver without penalties; "rnode" the
regularized runs, RK4 with steps of a quarter and λ = 0.01 for both penalties in the reference's scaling. The lecture
budget only shows that it runs: a few iterations of a small flow.
"""

from typing import Any

import torch
from torch import Tensor

from odelab.datasets import mnist
from odelab.experiments.context import Context
from odelab.experiments.ffjord_mnist.recipe import SIZES, SOLVERS
from odelab.experiments.flow_training import in_parts, train_flow
from odelab.experiments.recipe import FlowRecipe
from odelab.experiments.results import Key
from odelab.experiments.rnode.recipe import LAMBDA, notes_weights
from odelab.flows import MultiscaleCNF, bits_per_dim, dequantize, logit_transform
from odelab.training import Epochs

DIM, LEVELS, ALPHA = 784, 256, 1e-6


def run(key: Key, context: Context) -> dict[str, Any]:
    """One of the two flows; bits per dimension on the test images, by the flow's own solver and one probe an image."""
    size = SIZES[context.budget]
    everything = mnist("train")
    train, held = everything.holdout(min(5000, len(everything) // 5))
    test, logit = mnist("test"), logit_transform(ALPHA)
    fabric = context.fabric()
    device, pixels = fabric.device, train.x.flatten(1)
    epochs = Epochs(len(train), size["batch"], context.seed, fabric.global_rank, fabric.world_size)

    def on_line(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return logit(dequantize(images, LEVELS, generator)).to(device)

    def bits(flow: Any, images: Tensor, seed: int) -> float:
        x = dequantize(images, LEVELS, torch.Generator().manual_seed(seed))
        y = logit(x)
        log_prob = in_parts(lambda part: flow.log_prob(part.to(device)).cpu(), y, size["batch"])
        return float(bits_per_dim((log_prob + logit.log_abs_det_jacobian(x, y)).mean().item(), DIM, LEVELS))

    torch.manual_seed(context.seed)
    flow = MultiscaleCNF((1, 28, 28), hidden=size["hidden"], blocks=size["blocks"], **SOLVERS[key["flow"]])
    recipe = FlowRecipe(
        iterations=size["iterations"],
        lr=1e-3,
        penalties=notes_weights(LAMBDA, LAMBDA) if key["flow"] == "rnode" else None,
        every=max(size["iterations"] // 30, 5),
    )
    validation = on_line(held.x.flatten(1)[: size["judged"] // 5], torch.Generator().manual_seed(1))
    history = train_flow(flow, lambda step: on_line(pixels[epochs(step)]), validation, recipe, context)
    return {
        "bits": bits(flow, test.x.flatten(1)[: size["judged"]], 2),
        "parameters": sum(p.numel() for p in flow.parameters()),
        "data": train.source,
        "hours": round(history.seconds / 3600, 3),
        "validations": history.validation,
    }
