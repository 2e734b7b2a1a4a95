"""In each of two processes: two runs of the spirals in small, and which windows each was given in the first batch."""

import json
import os
from pathlib import Path
from typing import Any

from odelab.datasets import Spirals
from odelab.experiments.latent_spirals import run as latent_spirals
from odelab.experiments.reproduce import reproduce
from odelab.training import fit


def two_runs(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    rank = os.environ["RANK"]
    latent_spirals.RECIPES["full"] = latent_spirals.SpiralsRecipe(iterations=3, batch=20, windows=40, test=4)

    def noted(model: Any, loss: Any, batches: Any, **settings: Any) -> Any:
        first: Spirals = batches(0)[0]
        (folder / f"{rank}.json").write_text(json.dumps(first.x.sum((1, 2)).tolist()))
        return fit(model, loss, batches, **settings)

    latent_spirals.fit = noted
    only, out = ["kept=30", "model=latent-ode,rnn"], folder / "results" / "latent_spirals.json"
    reproduce("latent-spirals", budget="full", seeds=[0], device="cpu", only=only, out=out, progress=False)
