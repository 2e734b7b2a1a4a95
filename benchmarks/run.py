"""Measure and print; with --keep, put the numbers into data/results/bench_*.json and docs/benchmarks.md.

Else they go into build/benchmarks, and the published numbers stay as they are.
"""

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks import memory, others, report, solvers
from benchmarks.problems import PROBLEMS
from benchmarks.timing import FULL, QUICK, Effort
from odelab.experiments.report import between_markers
from odelab.experiments.runs import commit, cpu_name

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "data" / "results" / "bench_solvers.json"
PAGE = ROOT / "docs" / "benchmarks.md"
PAGES = ("compiled", "flows", "latent")  # with a file of results and a place in docs/benchmarks.md of their own
MEASURED = ROOT / "build" / "benchmarks"
EXTRAS = ("memory", "others", *PAGES, "widgets")
LIBRARIES = ("torch", "torchdiffeq", "numpy", "scipy", "torchode", "diffrax", "jax")


def circumstances(command: str = "python -m benchmarks.run") -> dict[str, Any]:
    """What a reader needs to know to repeat a run."""
    return {
        "command": command,
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": cpu_name(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) if find_spec(name) else None for name in LIBRARIES},
        "threads": torch.get_num_threads(),
    }


def markers(part: str) -> tuple[str, str]:
    """Between which a part stands in docs/benchmarks.md."""
    return f"<!-- bench-{part}:start -->", f"<!-- bench-{part}:end -->"


def write(part: str, results: dict[str, Any], folder: Path) -> Path:
    """The numbers of a part as a file of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"bench_{part}.json"
    file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return file


def lost_by(parts: list[str]) -> str:
    """What would be missing on the page if these parts were kept from here; nothing where all is here."""
    missing = []
    if {"others", "compiled"} & {*parts} and not (os.environ.get("DIFFRAX_PYTHON") or find_spec("diffrax")):
        missing.append("diffrax (or a Python that has it, in DIFFRAX_PYTHON)")
    if "others" in parts and not find_spec("torchode"):
        missing.append("torchode")
    return " and ".join(missing)


def keep(part: str, results: dict[str, Any], page: str) -> None:
    """Write the numbers down, and their page between its markers."""
    write(part, results, RESULTS.parent)
    PAGE.write_text(between_markers(PAGE.read_text(), *markers(part), page))


def measure(parts: list[str], effort: Effort) -> dict[str, Any]:
    """The parts of a run, each printed as soon as it is known."""
    results: dict[str, Any] = {}

    def add(part: str, value: Any) -> None:
        results[part] = value
        print(report.everything({part: value}), "\n", flush=True)

    for name in PROBLEMS:
        if name in parts:
            row = solvers.measure(PROBLEMS[name](), effort)
            print(report.everything({"problems": {name: row}}), "\n", flush=True)
            results.setdefault("problems", {})[name] = row
    if "memory" in parts:
        add("memory", memory.measure(PROBLEMS["spiral20"]()))
    if "others" in parts:
        compared = ("decay", "spiral20") if effort is QUICK else ("decay", "spiral20", "spiral1000")
        add("others", [others.measure(PROBLEMS[name](), effort.shorter()) for name in compared])
    return results


def _store(part: str, results: dict[str, Any], page: str, kept: bool) -> None:
    if kept:
        keep(part, results, page)
        print(f"kept in data/results/bench_{part}.json and docs/benchmarks.md")
    else:
        print(f"written to {write(part, results, MEASURED).relative_to(ROOT)}; --keep publishes them")


def main(arguments: list[str] | None = None) -> None:
    known = [*PROBLEMS, *EXTRAS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, no compiler, under a minute; keeps nothing")
    parser.add_argument("--only", metavar="PART,…", help=f"some of {', '.join(known)}")
    parser.add_argument(
        "--keep", action="store_true", help=f"publish the numbers: of a whole run, or with --only of {', '.join(PAGES)}"
    )
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
    lost = lost_by(parts)
    if args.keep and (args.quick or lost):
        parser.error(
            "a quick run is not kept" if args.quick else f"--keep would lose columns of the page: install {lost}"
        )
    torch.set_num_threads(1)
    start = time.perf_counter()
    results = circumstances() | measure(parts, QUICK if args.quick else FULL)
    if not args.quick and not args.only:
        print(report.everything(results), "\n")
        _store("solvers", results, report.page(results), args.keep)
    print(f"{results['cpu']}, torch {torch.__version__}, {time.perf_counter() - start:.0f} s")
    for part in PAGES:
        if part in parts:
            module = import_module(f"benchmarks.{part}")
            measured = module.measure(QUICK if args.quick else module.EFFORT)
            print(module.page(measured, report.spread, report.text), flush=True)
            if not args.quick:
                command = f"python -m benchmarks.run --only {part}"
                _store(part, circumstances(command) | measured, module.page(measured), args.keep)
    if "widgets" in parts and not args.quick:
        os.environ.setdefault("MPLBACKEND", "agg")
        from benchmarks import widgets

        widgets.main()


if __name__ == "__main__":
    main(sys.argv[1:])
