"""One model for each walk, in the manner of the paper's Mocap-1: its first two thirds are known, the last is forecast.

The paper's file is not to be had, so these are not its numbers: 14 walks of 14 people, the first of each in the CMU
recordings, at 120 frames a second in the 50 channels of Mocap-2, centred by the mean of the training frames. Half of a
walk trains, a sixth says which iterate is kept, and the last third is forecast from the three frames before it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from odelab.datasets import WalkSplit, walk_split, walks62
from odelab.experiments.context import Context
from odelab.experiments.mocap.recipe import BASELINES, MOCAP1_LIKE
from odelab.experiments.mocap.scores import baseline, score
from odelab.experiments.mocap.training import train_as_asked, walker
from odelab.experiments.results import Key

COPIES = 8  # windows of the one walk in a batch


def known_and_asked(split: WalkSplit, frames: int, part: str) -> Tensor:
    """A part of the walk, validation or test, after the ``frames`` frames that precede it: (1, frames + …, 50)."""
    begin = split.train.x.shape[1] + (split.validation.x.shape[1] if part == "test" else 0)
    end = split.whole.x.shape[1] if part == "test" else begin + split.validation.x.shape[1]
    return split.whole.x[:, begin - frames : end]


def run(key: Key, context: Context) -> dict[str, Any]:
    """One walk, one model; the last third is read once, at the end."""
    walks = walks62()
    if key["walk"] not in walks:
        raise ValueError(f"mocap1-like needs the recording {key['walk']}: put cmu_walks62_raw.npz into $ODELAB_DATA")
    split = walk_split(walks[key["walk"]], source=f"CMU {key['walk']}")
    recipe = MOCAP1_LIKE[key["model"]]
    if context.budget == "lecture":
        recipe = replace(recipe, iterations=100)
    torch.manual_seed(context.seed)
    model = walker(recipe, split.whole.x.shape[-1])
    train, validation = split.train.x, known_and_asked(split, recipe.frames, "validation")
    history = train_as_asked(model, train.expand(COPIES, -1, -1), validation, recipe, context)
    test = known_and_asked(split, recipe.frames, "test")
    return {
        "source": split.whole.source,
        "frames": {"train": train.shape[1], "validation": validation.shape[1] - 3, "test": test.shape[1] - 3},
        "best_iteration": history.best["step"] if history.best else None,
        "validation": score(model, validation, context.seed)["mean_of_draws"],
        "test": score(model, test, context.seed),
        "baselines": {name: baseline(name, train, test, recipe.frames)["mean_of_draws"] for name in BASELINES},
        "cpu_seconds": round(history.cpu_seconds, 1),
    }
