"""Bits per dimension of 8×8 handwritten digits: a Gaussian, two discrete flows and a continuous one.

1,797 images of 17 grey levels: 1,297 to train on, 250 to choose the iteration on, 250 to test. Grey levels get uniform
noise within their step, drawn anew for every batch; the flows work behind a logit and a standardisation, whose log
determinants are counted.
"""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import AffineTransform, ComposeTransform, IndependentTransform, MultivariateNormal, Transform

from odelab.datasets import Images, digits8
from odelab.experiments.context import Context
from odelab.experiments.ffjord_digits.recipe import BATCH, RECIPES
from odelab.experiments.flow_training import in_parts, nfe_of, precise, train_flow
from odelab.experiments.results import Key
from odelab.flows import CNF, NICE, Flow, bits_per_dim, dequantize, logit_transform
from odelab.nets import MLPField
from odelab.training import Epochs

DIM, ALPHA = 64, 1e-3  # α of 0.05 and 1e-5 gave NICE 0.12 and 0.05 bits more on validation data


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


class Digits:
    """The digits as points y (n, 64) on the line, and the way back from nats there to bits per dimension.

    Args:
        rank, world: this process and how many there are, see `Epochs`.

    Attributes:
        validation, test, training: y (n, 64) of fixed noise; the last is part of the training images.
    """

    def __init__(self, seed: int, rank: int = 0, world: int = 1) -> None:
        self.images, validation, test = split()
        self.transform = to_line(self.images)
        self.epochs = Epochs(len(self.images), BATCH, seed, rank, world)
        self._offset: dict[str, Tensor] = {}
        self.validation = self._on_line("validation", flat(validation, 1))
        self.test = self._on_line("test", flat(test, 2))
        self.training = self._on_line("training", flat(self.images, 3)[:250])

    def _on_line(self, name: str, x: Tensor) -> Tensor:
        y = self.transform(x)
        self._offset[name] = self.transform.log_abs_det_jacobian(x, y)
        return y

    def draw(self, step: int) -> Tensor:
        """This process's part of a batch, y (BATCH / world, 64), its noise from torch's global generator."""
        return self.transform(dequantize(self.images.x.flatten(1)[self.epochs(step)], self.images.levels))

    def bits(self, nll: float, name: str) -> float:
        """Bits per dimension from the mean NLL, in nats, of "validation", "test" or "training"."""
        return float(bits_per_dim(self._offset[name].mean() - nll, DIM, self.images.levels))

    def bits_by_image(self, log_prob: Tensor, name: str) -> list[float]:
        """Bits per dimension of each of these images, from its log p(y) (n,) in nats; rounded, to be stored."""
        bits = bits_per_dim(self._offset[name] + log_prob, DIM, self.images.levels)
        return [round(value, 4) for value in torch.as_tensor(bits).tolist()]


def gaussian_bits(train: Images, validation: Images, test: Images) -> dict[str, Any]:
    """A full-covariance Gaussian on [0, 1]^64, its covariance shrunk to the diagonal as far as validation likes."""
    x = flat(train, 0)
    covariance = x.T.cov()

    def fitted(shrink: float) -> MultivariateNormal:
        mixed = (1 - shrink) * covariance + shrink * covariance.diag().diag()
        return MultivariateNormal(x.mean(0), mixed)

    def score(shrink: float, images: Images, seed: int) -> Tensor:
        return torch.as_tensor(bits_per_dim(fitted(shrink).log_prob(flat(images, seed)), DIM, 17))

    scores = {shrink: score(shrink, validation, 1).mean().item() for shrink in (0.0, 0.01, 0.03, 0.1, 0.3)}
    best = min(scores, key=lambda shrink: scores[shrink])
    bits = score(best, test, 2)
    return {
        "bits": bits.mean().item(),
        "bits_by_image": [round(value, 4) for value in bits.tolist()],
        "validation_bits": scores[best],
        "shrink": best,
        "parameters": 64 + 2080,
    }


def digits_flow(seed: int, **settings: Any) -> CNF:
    """FFJORD's kind of field for vectors, 64–128–128–64 softplus, with Hutchinson's trace and four RK4 steps."""
    torch.manual_seed(seed)
    settings = {"divergence": "hutchinson", "method": "rk4_classic", "steps": 4, "gradient": "backprop", **settings}
    return CNF(MLPField(DIM, hidden=(128, 128), activation="softplus"), **settings)


def couplings(model: str, seed: int) -> NICE:
    """Four couplings: "nice" shifts, "realnvp" scales as well."""
    torch.manual_seed(seed)
    return NICE(DIM, hidden=(128, 128), layers=4, affine=model == "realnvp")


def run(key: Key, context: Context) -> dict[str, Any]:
    """One model of the digits."""
    if key["model"] == "gaussian":
        return gaussian_bits(*split())
    fabric = context.fabric()
    digits = Digits(context.seed, fabric.global_rank, fabric.world_size)
    flow: Flow = digits_flow(context.seed) if key["model"] == "ffjord" else couplings(key["model"], context.seed)
    history = train_flow(flow, digits.draw, digits.validation, RECIPES[context.budget], context)
    if isinstance(flow, CNF):
        context.ship(flow.field, "ffjord_digits")
    judge = precise(flow.cpu())
    log_prob = {name: in_parts(judge.log_prob, getattr(digits, name), 500) for name in ("test", "training")}
    return {
        "bits": digits.bits(-log_prob["test"].mean().item(), "test"),
        "bits_by_image": digits.bits_by_image(log_prob["test"], "test"),
        "bits_training": digits.bits(-log_prob["training"].mean().item(), "training"),
        "validation_bits": digits.bits(history.best["loss"], "validation") if history.best else None,
        "parameters": sum(p.numel() for p in flow.parameters()),
        "cpu_seconds": round(history.cpu_seconds, 1),
        "nfe": nfe_of(judge) if isinstance(judge, CNF) else None,
        "validations": [seen | {"bits": digits.bits(seen["loss"], "validation")} for seen in history.validation],
    }
