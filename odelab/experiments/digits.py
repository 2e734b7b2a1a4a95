"""Bits per dimension of 8×8 handwritten digits: a Gaussian, a discrete flow and a continuous one.

1,797 images of 17 grey levels: 1,297 to train on, 250 to choose the iteration on, 250 to test. Grey levels get uniform
noise within their step, drawn anew for every batch; the flows work behind a logit and a standardisation, whose log
determinants are counted.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform, ComposeTransform, IndependentTransform, MultivariateNormal, Transform

from odelab.datasets import Images, digits8
from odelab.experiments.flow_training import PRECISE, in_parts, nfe_of, save_weights
from odelab.experiments.registry import Context
from odelab.experiments.results import Key
from odelab.flows import CNF, NICE, bits_per_dim, dequantize, logit_transform
from odelab.nets import MLPField
from odelab.training import Epochs, adam, fit, one_cycle

DIM, ALPHA, BATCH = 64, 1e-3, 128  # α of 0.05 and 1e-5 gave NICE 0.12 and 0.05 bits more on validation data
ITERATIONS = {"lecture": 300, "full": 3000}


def digits_keys(budget: str) -> list[Key]:
    return [{"model": "gaussian"}, {"model": "nice"}, {"model": "ffjord"}]


def split() -> tuple[Images, Images, Images]:
    """Training, validation and test images, the same for every seed."""
    rest, test = digits8().holdout(250)
    train, validation = rest.holdout(250)
    return train, validation, test


def flat(images: Images, seed: int | None = None) -> Tensor:
    """(n, 64) in [0, 1); with a seed the noise is its own, without one it comes from torch's global generator."""
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return dequantize(images.x.flatten(1), images.levels, generator)


def to_line(train: Images) -> Transform:
    """From [0, 1]^64 to standardised logits, by the mean and standard deviation of the training images."""
    logit = logit_transform(ALPHA)
    y = logit(flat(train, 0))
    scale = y.std(0).reciprocal()
    return ComposeTransform([logit, IndependentTransform(AffineTransform(-y.mean(0) * scale, scale), 1)])


def bits(flow: Any, transform: Transform, x: Tensor) -> float:
    """Mean bits per dimension of dequantised images x (n, 64)."""
    y = transform(x)
    log_prob = in_parts(flow.log_prob, y, 500) + transform.log_abs_det_jacobian(x, y)
    return float(bits_per_dim(log_prob.mean().item(), DIM, 17))


def gaussian_bits(train: Images, validation: Images, test: Images) -> dict[str, Any]:
    """A full-covariance Gaussian on [0, 1]^64, its covariance shrunk to the diagonal as far as validation likes."""
    x = flat(train, 0)
    covariance = x.T.cov()

    def fitted(shrink: float) -> MultivariateNormal:
        mixed = (1 - shrink) * covariance + shrink * covariance.diag().diag()
        return MultivariateNormal(x.mean(0), mixed)

    def score(shrink: float, images: Images, seed: int) -> float:
        return float(bits_per_dim(fitted(shrink).log_prob(flat(images, seed)).mean().item(), DIM, 17))

    scores = {shrink: score(shrink, validation, 1) for shrink in (0.0, 0.01, 0.03, 0.1, 0.3)}
    best = min(scores, key=lambda shrink: scores[shrink])
    return {"bits": score(best, test, 2), "validation_bits": scores[best], "shrink": best, "parameters": 64 + 2080}


def run_digits(key: Key, context: Context) -> dict[str, Any]:
    """One model of the digits."""
    train, validation, test = split()
    if key["model"] == "gaussian":
        return gaussian_bits(train, validation, test)
    torch.manual_seed(context.seed)
    flow: Any
    if key["model"] == "nice":
        flow = NICE(DIM, hidden=(128, 128), layers=4)
    else:
        flow = CNF(
            MLPField(DIM, hidden=(128, 128), activation="softplus"),
            divergence="hutchinson", method="rk4_classic", steps=4, gradient="backprop", steer=0.25,
        )  # fmt: skip
    transform, held = to_line(train), flat(validation, 1)
    epochs = Epochs(len(train), BATCH, context.seed)
    continuous = isinstance(flow, CNF)
    start = time.process_time()

    def loss(model: Any, images: Tensor) -> Tensor:
        return -model.log_prob(transform(dequantize(images, train.levels))).mean() / DIM

    def validate(model: nn.Module) -> dict[str, float]:
        judged: Any = model.replace(**PRECISE) if isinstance(model, CNF) else model
        seen = {"loss": bits(judged, transform, held), "cpu_seconds": time.process_time() - start}
        return seen | ({"nfe": float(nfe_of(judged))} if isinstance(judged, CNF) else {})

    pixels = train.x.flatten(1)
    history = fit(
        flow,
        loss,
        lambda step: pixels[epochs(step)],
        steps=ITERATIONS[context.budget],
        optimizer=adam(2e-3),
        schedule=one_cycle(0.1),
        clip=5.0,
        ema=0.99,
        validate=validate,
        every=ITERATIONS[context.budget] // 10,
        checkpoint=context.folder / "run.safetensors",
        resume=context.resume,
        fabric=context.fabric(),
        seed=context.seed,
        progress=context.progress,
    )
    flow.cpu()
    if continuous:
        save_weights(flow.field, "ffjord_digits", context)
        flow = flow.replace(**PRECISE)
    result = {
        "bits": bits(flow, transform, flat(test, 2)),
        "bits_training": bits(flow, transform, flat(train, 3)[:250]),
        "validation_bits": history.best["loss"] if history.best else None,
        "parameters": sum(p.numel() for p in flow.parameters()),
        "cpu_seconds": round(time.process_time() - start, 1),
        "validations": history.validation,
    }
    return result | ({"nfe": nfe_of(flow)} if continuous else {})
