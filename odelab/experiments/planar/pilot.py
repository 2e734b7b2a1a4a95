"""The choice of learning rates for `planar`: shorter runs on a seed that no reported run has.

    python -m odelab.experiments.planar.pilot

Every attempt is a row of data/results/planar_attempts.json, with its rate in the key and "pilot" for a budget.
"""

from __future__ import annotations

import datetime
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from odelab.experiments.context import Context
from odelab.experiments.planar.run import RECIPES, train
from odelab.experiments.reproduce import commit, device_name
from odelab.experiments.results import Row, add_row, load_rows, result_file, run_name
from odelab.training.devices import make_fabric

SEED = 1000
ITERATIONS = {"cnf": 2000, "nf": 50_000}
RATES = {"cnf": (1e-3, 3e-3, 1e-2), "nf": (1e-5, 1e-4, 3e-4, 1e-3)}
TARGETS = ((32, "U1"), (32, "U3"), (64, "moons"))


def main() -> None:
    torch.set_num_threads(1)
    path = result_file("planar-attempts")
    for flow, rates in RATES.items():
        for lr in rates:
            for width, target in TARGETS:
                key = {"flow": flow, "width": width, "target": target}
                if (run_name(key | {"lr": lr}, SEED)) in {row.name for row in load_rows(path)}:
                    continue
                recipe = replace(RECIPES["full"][flow], iterations=ITERATIONS[flow], lr=lr)
                start = time.perf_counter()
                with tempfile.TemporaryDirectory() as folder:
                    context = Context(
                        SEED, "pilot", Path(folder), Path(folder), False, False, lambda: make_fabric("cpu")
                    )
                    result = train(key, recipe, context)
                minutes = round((time.perf_counter() - start) / 60, 2)
                when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
                command = "python -m odelab.experiments.planar.pilot"
                row = Row(key | {"lr": lr}, SEED, "pilot", result, minutes, command, commit(), device_name("cpu"), when)
                add_row(path, "planar-attempts", row)
                score = {name: result.get(name) for name in ("kl", "gap") if name in result}
                print(flow, width, target, lr, score, f"{time.process_time():.0f} s", flush=True)


if __name__ == "__main__":
    main()
