"""`python -m odelab list` and `python -m odelab reproduce NAME`: the long runs behind the course's tables."""

import argparse
import sys
from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m odelab", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="what can be reproduced, how long it takes, where results go")
    shown = verbs.add_parser("results", help="the stored full runs as tables, ours beside the papers'")
    shown.add_argument("--write", action="store_true", help="into docs/results.md and README.md of this checkout")
    run = verbs.add_parser("reproduce", help="do the runs of one experiment and write their numbers down")
    run.add_argument("name", help="of the experiment, see list")
    run.add_argument("--budget", default="lecture", choices=("lecture", "full"), help="minutes, or the papers' scale")
    run.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps or auto; several GPUs: under torchrun")
    run.add_argument("--seeds", type=seed, nargs="+", metavar="N", help="in place of the experiment's own")
    run.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="runs whose key has these"
    )
    run.add_argument("--resume", action="store_true", help="keep finished runs, go on with one that was cut off")
    run.add_argument("--again", action="store_true", help="do finished runs anew")
    return top


def seed(text: str) -> int:
    """A seed as it is typed: 0, 1, 2, …"""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; seeds are whole numbers from 0")
    return int(text)


def listing() -> str:
    """Every experiment with its runs, minutes and files."""
    from odelab.experiments.registry import EXPERIMENTS, experiment, minutes_of
    from odelab.experiments.results import result_file

    lines = []
    for what in map(experiment, EXPERIMENTS):
        lines.append(f"{what.name}: {what.title}")
        for budget in ("lecture", "full"):
            runs, seeds = len(what.keys(budget)), len(what.seeds[budget])
            minutes = minutes_of(what, budget)
            time = "not timed yet"
            if minutes:
                whole = max(round(minutes), 1)
                time = f"about {whole} minute{'s' * (whole > 1)} on one CPU thread"
            count = f"{runs} runs × {seeds} seed{'s' * (seeds > 1)}"
            lines.append(f"  --budget {budget:7} {count}, {time} -> {result_file(what.name, budget)}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 a run failed, 2 the command is wrong, 130 interrupted."""
    given = parser().parse_args(arguments)
    if given.verb == "list":
        print(listing())
        return 0
    if given.verb == "results":
        from odelab.experiments import report

        if not given.write:
            print(report.page(), end="")
            return 0
        try:
            report.write()
        except (OSError, ValueError) as error:
            print(f"odelab: {error}", file=sys.stderr)
            return 2
        return 0
    from odelab.experiments.reproduce import reproduce
    from odelab.solvers.errors import SolverError
    from odelab.training import TrainingDiverged

    try:
        path = reproduce(
            given.name,
            budget=given.budget,
            seeds=given.seeds,
            device=given.device,
            resume=given.resume,
            again=given.again,
            only=given.only,
        )
    except KeyboardInterrupt:
        print("Interrupted; the same command with --resume goes on from here.", file=sys.stderr)
        return 130
    except (TrainingDiverged, SolverError, OSError) as error:
        print(f"odelab: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"odelab: {error}", file=sys.stderr)
        return 2
    print(f"results: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
