"""Flows trained without a solve, on one field and one likelihood code: couplings, a diffusion's path, reflow."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.datasets import Density, density, mnist
from odelab.experiments.after_ffjord.digits import CLASSES, DigitField, Guided, guided_loss, one_hot, shrunk
from odelab.experiments.after_ffjord.recipe import (
    CONFORMERS,
    DIGIT_RECIPES,
    DRAWN,
    EULER_STEPS,
    GUIDANCE,
    PAIRS,
    REFLOW_RECIPES,
    SOLVERS,
    TORSION_RECIPES,
    WEIGHT,
)
from odelab.experiments.after_ffjord.torsions import (
    Molecule,
    folded,
    kernel_density,
    molecule,
    torus_flow,
    torus_pairs,
    wrap,
)
from odelab.experiments.context import Context
from odelab.experiments.ffjord_toy.run import toy_flow
from odelab.experiments.flow_training import measure_flow, nfe_of, precise
from odelab.experiments.results import Key
from odelab.flows import CNF, matching_loss, optimal_pairs
from odelab.nets import MLPField
from odelab.training import Epochs, adam, fit, one_cycle

Pairs = tuple[Tensor, Tensor]  # data x and base z, (batch, dim) each
JUDGED = 5000  # points on which likelihoods and samples are measured


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖ of two samples (n, dim) and (m, dim), without bias: 0 for equal densities.

    Source: Székely and Rizzo (2013).
    """
    within = sum(torch.cdist(one, one).sum().item() / (len(one) * (len(one) - 1)) for one in (x, y))
    return 2 * torch.cdist(x, y).mean().item() - within


def diffusion_loss(field: Any, x: Tensor, z: Tensor) -> Tensor:
    """As `matching_loss`, on the arcs cos(πt/2) x + sin(πt/2) z, whose spread stays 1 where that of the data is 1."""
    t = torch.rand(len(x), 1, dtype=x.dtype, device=x.device)
    alpha, sigma = torch.cos(math.pi / 2 * t), torch.sin(math.pi / 2 * t)
    velocity = math.pi / 2 * (alpha * z - sigma * x)
    return (field(t, alpha * x + sigma * z) - velocity).square().sum(-1).mean()


def run_reflow(key: Key, context: Context) -> dict[str, Any]:
    """One flow; a reflow first trains the flows before it, which are those of the same seed."""
    truth, training = density(key["data"]), key["training"]
    recipe, device = REFLOW_RECIPES[context.budget], context.fabric().device
    seconds = 0.0

    def as_drawn(step: int) -> Pairs:
        x = truth.sample(recipe.batch).to(device)
        return x, torch.randn_like(x)

    def cheapest(step: int) -> Pairs:
        x, z = as_drawn(step)
        return x, optimal_pairs(x, z)

    def trained(name: str, pairs: Callable[[int], Pairs], loss: Callable[..., Tensor] = matching_loss) -> CNF:
        nonlocal seconds
        flow = toy_flow(context.seed, compiled=False)
        history = fit(
            flow,
            lambda model, batch: loss(model.field, *batch),
            pairs,
            steps=recipe.iterations,
            optimizer=adam(recipe.lr),
            schedule=one_cycle(0.1),
            clip=recipe.clip,
            **context.fitting() | {"checkpoint": context.folder / f"{name}.safetensors"},
        )
        seconds += history.cpu_seconds
        return flow

    if training == "optimal":
        flow = trained(training, cheapest)
    elif training == "diffusion":
        flow = trained(training, as_drawn, diffusion_loss)
    else:
        flow = trained("independent", as_drawn)
        for name in ("reflow", "reflow twice")[: ("independent", "reflow", "reflow twice").index(training)]:
            flow = trained(name, pairs_of(flow, recipe.batch))
    flow.cpu()
    context.ship(flow.field, f"after_ffjord_{truth.name}_{training.replace(' ', '_')}")
    return {**measured(flow, truth, context.seed), "iterations": recipe.iterations, "cpu_seconds": round(seconds, 1)}


def pairs_of(flow: CNF, batch: int, count: int = PAIRS) -> Callable[[int], Pairs]:
    """Batches of (x, z) where z was drawn from the base and x is what the flow makes of it, by dopri5 at 1e-4."""
    z = flow.base.sample((count,))
    with torch.no_grad():
        x = flow.replace(rtol=1e-4, atol=1e-4).inverse(z)

    def draw(step: int) -> Pairs:
        chosen = torch.randint(count, (batch,))
        return x[chosen], z[chosen]

    return draw


def measured(flow: CNF, truth: Density, seed: int) -> dict[str, Any]:
    """Likelihood and paths as of every flow in the plane, and energy distances of samples to fresh data, by steps."""
    generator = torch.Generator().manual_seed(3_000_003 + seed)
    test, other = (truth.sample(JUDGED, generator) for _ in range(2))
    z = torch.randn(JUDGED, 2, generator=generator)
    judge = precise(flow)
    assert isinstance(judge, CNF)
    distances: dict[str, float] = {}
    with torch.no_grad():
        for steps in EULER_STEPS:
            samples = flow.replace(method="euler", steps=steps).inverse(z)
            distances[str(steps)] = energy_distance(samples, test)
        distances["dopri5"] = energy_distance(judge.inverse(z), test)
    return {
        **measure_flow(flow, test, truth),
        "distances": distances,
        "distance_of_data": energy_distance(other, test),
        "nfe_sampling": nfe_of(judge),
    }


TOLD_BY = 20_000  # training images among which the nearest neighbour says what an image shows


def run_digits(key: Key, context: Context) -> dict[str, Any]:
    """One field on MNIST at 14 × 14 pixels; its images by guidance, and by solver from the same noise."""
    recipe = DIGIT_RECIPES[context.budget]
    images = mnist("train")
    x, labels = shrunk(images)
    told = one_hot(labels)
    torch.manual_seed(context.seed)
    field = DigitField(x.shape[1])
    epochs = Epochs(len(x), recipe.batch, context.seed)
    history = fit(
        field,
        lambda model, chosen: guided_loss(model, x[chosen], told[chosen]),
        epochs,
        steps=recipe.iterations,
        optimizer=adam(recipe.lr),
        schedule=one_cycle(0.1),
        clip=recipe.clip,
        ema=recipe.ema,
        **context.fitting(),
    )
    context.ship(field.cpu(), "guided_digits_14")
    judge = Judge(x[:TOLD_BY], labels[:TOLD_BY], DRAWN[context.budget], context.seed)
    return {
        **judge.all_of(field),
        "images": len(images),
        "parameters": sum(p.numel() for p in field.parameters()),
        "iterations": recipe.iterations,
        "cpu_seconds": round(history.cpu_seconds, 1),
    }


class Judge:
    """Judges images of digits, the same number of each, against test images and by the nearest training image.

    Args:
        x, labels: training images (n, dim) and what they show (n,).
        count: of images that are drawn, and of test images that they are compared with.
    """

    def __init__(self, x: Tensor, labels: Tensor, count: int, seed: int) -> None:
        self.x, self.labels, self.count = x, labels, count
        self.generator = torch.Generator().manual_seed(5_000_003 + seed)
        self.asked = torch.arange(CLASSES).repeat_interleave(count // CLASSES)
        self.noise = torch.randn(len(self.asked), x.shape[1], generator=self.generator)
        test, shown = shrunk(mnist("test"))
        order = torch.randperm(len(test), generator=self.generator)
        self.test, self.other = (
            torch.cat([test[order[shown[order] == digit]][part] for digit in range(CLASSES)])
            for part in (slice(0, count // CLASSES), slice(count // CLASSES, 2 * (count // CLASSES)))
        )

    def verdict(self, images: Tensor) -> dict[str, float]:
        """Of images (count, dim): the distance of their density from the test images', and what they show.

        agreement: share that show the digit asked for, as the nearest training image says; spread: mean distance of
        two images of one digit over that of two test images; nearest: mean distance to the nearest training image.
        """
        distances = torch.cdist(images, self.x)
        nearest, which = distances.min(1)

        def spread(of: Tensor) -> Tensor:
            return torch.stack([torch.pdist(part).mean() for part in of.split(self.count // CLASSES)]).mean()

        return {
            "distance": energy_distance(images, self.test),
            "agreement": (self.labels[which] == self.asked).float().mean().item(),
            "spread": (spread(images) / spread(self.test)).item(),
            "nearest": nearest.mean().item(),
        }

    def gaussian(self) -> Tensor:
        """Images of a normal distribution with the mean and the covariance of the training images, digit by digit."""
        parts = []
        for digit in range(CLASSES):
            mine = self.x[self.labels == digit]
            root = torch.linalg.cholesky(mine.T.cov() + 1e-4 * torch.eye(mine.shape[1]))
            noise = torch.randn(self.count // CLASSES, mine.shape[1], generator=self.generator)
            parts.append(mine.mean(0) + noise @ root.T)
        return torch.cat(parts)

    def drawn(self, flow: CNF) -> Tensor:
        """The flow's images of the digits asked for, from the same noise every time."""
        with torch.no_grad():
            return flow.inverse(self.noise, context=one_hot(self.asked))

    def all_of(self, field: DigitField) -> dict[str, Any]:
        """The verdict by guidance and by solver, and on what there is without a flow."""
        by_guidance = {
            f"{weight:g}": self.verdict(self.drawn(CNF(Guided(field, weight), rtol=1e-4, atol=1e-4)))
            for weight in GUIDANCE
        }
        flow = CNF(Guided(field, WEIGHT), rtol=1e-6, atol=1e-6)
        exact = self.drawn(flow)
        by_solver: dict[str, list[dict[str, float]]] = {}
        for method, settings in SOLVERS.items():
            for setting in settings:
                how = {"rtol": setting, "atol": setting} if method == "dopri5" else {"steps": int(setting)}
                one = flow.replace(method=method, **how)
                start = time.process_time()
                images = self.drawn(one)
                spent = time.process_time() - start
                error = (images - exact).square().mean().sqrt().item()
                numbers = {"setting": setting, "nfe": nfe_of(one), "error": error, "cpu_seconds": round(spent, 3)}
                by_solver.setdefault(method, []).append({**numbers, **self.verdict(images)})
        without = {"test images": self.verdict(self.other), "a Gaussian for each digit": self.verdict(self.gaussian())}
        return {"guidance": by_guidance, "solvers": by_solver, "without": without, "nfe_exact": nfe_of(flow)}


GRID = {1: 720, 2: 60}  # cells a side on which densities are compared
KAPPAS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)  # of kernels, chosen on a fifth of the conformers


def run_torsions(key: Key, context: Context) -> dict[str, Any]:
    """One model of one molecule, trained on 5,000 conformers and compared with the true density on a grid."""
    true, model = molecule(key["molecule"]), key["model"]
    x = true.sample(CONFORMERS, torch.Generator().manual_seed(4_000_003 + context.seed))
    points = true.grid(GRID[true.dim])[0].float()
    more: dict[str, Any] = {}
    if model == "histogram":
        density_of = histogram(x, points, 30 if true.dim == 2 else 72)
    elif model == "kernel density":
        held = x[: len(x) // 5]
        scores = {kappa: kernel_density(x[len(held) :], held, kappa).log().mean().item() for kappa in KAPPAS}
        more["kappa"] = max(scores, key=lambda kappa: scores[kappa])
        density_of = kernel_density(x, points, more["kappa"])
    else:
        flow, seconds = trained_torsions(true, model, x, context)
        more = {"cpu_seconds": round(seconds, 1)}
        judge = precise(flow)
        assert isinstance(judge, CNF)
        with torch.no_grad():
            density_of = folded(judge, points) if model == "plane flow" else judge.log_prob(points).exp()
            judge.inverse(judge.base.sample((1000,)))
        more["nfe_sampling"] = nfe_of(judge)
        context.ship(flow.field, f"torsions_{true.name}_{model.replace(' ', '_')}")
    return {**distance(true, density_of), **more}


def trained_torsions(true: Molecule, model: str, x: Tensor, context: Context) -> tuple[CNF, float]:
    """A flow by flow matching: on the torus, or in the plane where an angle is taken for a number."""
    recipe = TORSION_RECIPES[context.budget]
    torch.manual_seed(context.seed)
    in_plane = model == "plane flow"
    flow = CNF(MLPField(true.dim)) if in_plane else torus_flow(true.dim, odd=model.startswith("odd"))

    def pairs(step: int) -> Pairs:
        batch = x[torch.randint(len(x), (recipe.batch,))]
        return (batch, torch.randn_like(batch)) if in_plane else torus_pairs(batch)

    history = fit(
        flow,
        lambda model, batch: matching_loss(model.field, *batch),
        pairs,
        steps=recipe.iterations,
        optimizer=adam(recipe.lr),
        schedule=one_cycle(0.1),
        clip=recipe.clip,
        **context.fitting(),
    )
    return flow.cpu(), history.cpu_seconds


def histogram(x: Tensor, points: Tensor, bins: int) -> Tensor:
    """The density (m,) at points (m, dim) by equal bins of draws x (n, dim), one more spread over all bins."""
    dim = x.shape[-1]

    def place(angles: Tensor) -> Tensor:
        cell = ((wrap(angles) + math.pi) * (bins / (2 * math.pi))).long().clamp(0, bins - 1)
        return (cell * bins ** torch.arange(dim)).sum(-1)

    counts = torch.bincount(place(x), minlength=bins**dim) + 1 / bins**dim
    return (counts / counts.sum() / (2 * math.pi / bins) ** dim)[place(points)]


def distance(true: Molecule, density_of: Tensor) -> dict[str, float]:
    """Total variation and KL(p‖q) in nats between the truth and a density on the cells of a grid, and its mass."""
    points, cell = true.grid(GRID[true.dim])
    p, q = true.log_prob(points).exp(), density_of.double().clamp_min(1e-12)
    return {
        "tv": 0.5 * ((p - q).abs().sum() * cell).item(),
        "kl": ((p * (p / q).log()).sum() * cell).item(),
        "mass": (q.sum() * cell).item(),
    }
