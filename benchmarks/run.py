"""Measure, print, and keep the numbers in data/results/bench_solvers.json and in docs/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks import compiled, memory, others, report, solvers
from benchmarks.problems import PROBLEMS
from benchmarks.timing import FULL, QUICK, Effort

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "data" / "results" / "bench_solvers.json"
PAGE = ROOT / "docs" / "benchmarks.md"
MODELS = ("flows", "latent")
EXTRAS = ("compiled", "memory", "others", *MODELS, "widgets")
LIBRARIES = ("torch", "torchdiffeq", "numpy", "scipy", "torchode", "diffrax", "jax")


def circumstances() -> dict[str, Any]:
    """What a reader needs to know to repeat a run."""
    versions: dict[str, str | None] = {}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            versions[library] = None
    return {
        "command": "python -m benchmarks.run",
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": _cpu_name(),
        "python": platform.python_version(),
        "versions": versions,
        "threads": torch.get_num_threads(),
    }


def _commit() -> str | None:
    """The short hash, with a + where the package has changed since."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "odelab/solvers"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def measure(parts: list[str], effort: Effort) -> dict[str, Any]:
    """The parts of a run, each printed as soon as it is known."""
    results: dict[str, Any] = circumstances()

    def keep(name: str, value: Any, show: str) -> None:
        results[name] = value
        print(show, flush=True)

    chosen = [name for name in parts if name in PROBLEMS]
    for name in chosen:
        row = solvers.measure(PROBLEMS[name](), effort)
        keep("problems", {**results.get("problems", {}), name: row}, report.problem_tables({name: row}) + "\n")
    if "compiled" in parts:
        rows = [compiled.measure(PROBLEMS[name](), effort.shorter()) for name in ("decay", "spiral20")]
        keep("compiled", rows, report.compiled_table(rows) + "\n")
    if "memory" in parts:
        rows = memory.measure(PROBLEMS["spiral20"]())
        keep("memory", rows, report.memory_table(rows) + "\n")
    if "others" in parts:
        compared = ("decay", "spiral20") if effort is QUICK else ("decay", "spiral20", "spiral1000")
        rows = [others.measure(PROBLEMS[name](), effort.shorter()) for name in compared]
        keep("others", rows, "\n\n".join(map(report.others_table, rows)) + "\n")
    return results


def models(part: str, *, quick: bool = False) -> None:
    """Measure `benchmarks.flows` or `benchmarks.latent`, print the tables, and keep them unless it was quick."""
    module = importlib.import_module(f"benchmarks.{part}")
    torch.set_num_threads(1)
    measured = module.measure(QUICK if quick else module.EFFORT)
    results = {**circumstances(), "command": f"python -m benchmarks.run --only {part}", **measured}
    print(module.tables(results), flush=True)
    if not quick:
        kept = RESULTS.with_name(f"bench_{part}.json")
        kept.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        text = report.put_between(PAGE.read_text(), module.START, module.END, module.page(results))
        PAGE.write_text(text)


def main(arguments: list[str] | None = None) -> None:
    known = [*PROBLEMS, *EXTRAS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, no compiler, under a minute; keeps nothing")
    parser.add_argument("--only", metavar="PART,…", help=f"some of {', '.join(known)}; keeps flows and latent only")
    parser.add_argument(
        "--page", action="store_true", help="print the kept numbers as they stand in docs/benchmarks.md"
    )
    args = parser.parse_args(arguments)
    if args.page:
        print(report.page(json.loads(RESULTS.read_text())))
        return
    parts = args.only.split(",") if args.only else [part for part in known if not (args.quick and part == "compiled")]
    unknown = [part for part in parts if part not in known]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; known: {', '.join(known)}")
    torch.set_num_threads(1)
    start = time.perf_counter()
    results = measure(parts, QUICK if args.quick else FULL)
    if not args.quick and not args.only:
        print(report.everything(results), "\n")
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        PAGE.write_text(report.put_into(PAGE.read_text(), results))
        print(f"kept in {RESULTS.relative_to(ROOT)} and {PAGE.relative_to(ROOT)}")
    print(f"{results['cpu']}, torch {torch.__version__}, {time.perf_counter() - start:.0f} s")
    for part in MODELS:
        if part in parts:
            models(part, quick=args.quick)
    if "widgets" in parts and not args.quick:
        os.environ.setdefault("MPLBACKEND", "agg")
        from benchmarks import widgets

        widgets.main()


if __name__ == "__main__":
    main(sys.argv[1:])
