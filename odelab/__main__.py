"""The course's commands: copy the lessons, look whether all is well, and redo the long runs behind the tables."""

import argparse
import errno
import importlib.util
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import odelab


def parser() -> argparse.ArgumentParser:
    name = Path(sys.argv[0]).stem
    prog = "odelab" if name == "odelab" else "python -m odelab"
    top = argparse.ArgumentParser(prog=prog, description=__doc__)
    top.add_argument("--version", action="version", version=f"odelab {odelab.__version__}")
    verbs = top.add_subparsers(dest="verb", required=True)
    copy = verbs.add_parser("copy", help="the lessons, into a folder of your own", description=COPY)
    copy.add_argument("folder", type=Path, help="is made where it is missing")
    copy.add_argument("--kind", default="own", choices=KINDS, help=f"{KIND} (default: own)")
    copy.add_argument(
        "--renew", nargs="*", metavar="NN", help="set your changed lessons NN (all) aside as mine_NN_….ipynb, put new"
    )
    verbs.add_parser("doctor", help="whether environment, data, device and caches are as they should be")
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
    old = run.add_mutually_exclusive_group()
    old.add_argument("--resume", action="store_true", help="keep finished runs, go on with one that was cut off")
    old.add_argument(
        "--again",
        action="store_true",
        help="do finished runs anew, and those that were cut off from their start; a finished run's old row stays "
        "until the new one replaces it",
    )
    many = run.add_mutually_exclusive_group()
    many.add_argument(
        "--workers", type=workers, metavar="N", help="N runs at once, each in a process of its own with one thread"
    )
    many.add_argument(
        "--scheduler", metavar="ADDRESS", help="runs go to the workers of this dask scheduler, e.g. tcp://10.0.0.1:8786"
    )
    return top


KINDS = ("own", "student", "instructor", "assignment", "colab")
KIND = (
    "own: as they are; student: no solutions, answers, teaching notes and outputs; instructor: everything, answers "
    "open; assignment: graded by nbgrader; colab: with a cell that installs odelab"
)
COPY = """Copy the lessons into a folder of your own, where you may run and change them. The same command again brings
the lessons that have changed since; a lesson that you have run or changed stays as it is."""


def seed(text: str) -> int:
    """A seed as it is typed: 0, 1, 2, …"""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; seeds are whole numbers from 0")
    return int(text)


def workers(text: str) -> int:
    """A number of processes as it is typed: 1, 2, …"""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers; it is a whole number from 1")
    return int(text)


def listing(given: argparse.Namespace) -> None:
    """Print every experiment with its runs, minutes and files."""
    from odelab.experiments.registry import EXPERIMENTS, experiment, minutes_of
    from odelab.experiments.results import result_file

    for what in map(experiment, EXPERIMENTS):
        print(f"{what.name}: {what.title}")
        for budget in ("lecture", "full"):
            runs = Counter(str(key) for key, _ in what.runs(budget))
            least, most = min(runs.values()), max(runs.values())
            seeds = f"{most} seed{'s' * (most > 1)}" if least == most else f"{least} to {most} seeds"
            minutes = minutes_of(what, budget)
            time = "not timed yet"
            if minutes:
                whole = max(round(minutes), 1)
                time = f"about {whole} minute{'s' * (whole > 1)} on one CPU thread"
            print(f"  --budget {budget:7} {len(runs)} runs × {seeds}, {time} -> {result_file(what.name, budget)}")


def results(given: argparse.Namespace) -> None:
    from odelab.experiments import report

    if given.write:
        report.write()
    else:
        print(report.page(), end="")


def copy(given: argparse.Namespace) -> None:
    from odelab.copies import copy_lessons

    print("\n".join(copy_lessons(given.folder, given.kind, given.renew)))
    if given.kind == "own":
        lacking = "" if importlib.util.find_spec("jupyterlab") else "; first python -m pip install 'odelab[lab]'"
        first = shlex.quote(str(given.folder / "00_start_here.ipynb"))
        print(f"jupyter lab {first} opens the first one{lacking}")


def doctor(given: argparse.Namespace) -> int:
    from odelab.doctor import findings

    wrong = 0
    for finding in findings():
        print(finding)
        wrong += finding.wrong
    print(f"{wrong} thing{'s' * (wrong != 1)} to mend" if wrong else "all is well")
    return min(wrong, 1)


def reproduce(given: argparse.Namespace) -> int:
    from odelab.experiments.reproduce import reproduce
    from odelab.experiments.runs import FAILURES, RunFailed

    asked = {name: value for name, value in vars(given).items() if name not in ("verb", "name")}
    try:
        path = reproduce(given.name, **asked)
    except KeyboardInterrupt:
        print("Interrupted; the same command with --resume goes on from here.", file=sys.stderr)
        return 130
    except (RunFailed, *FAILURES) as error:
        if isinstance(error, (OSError, ValueError)):
            raise  # as of every command
        return complain(str(error).partition("\n")[0] or type(error).__name__, 1)
    print(f"results: {path}")
    return 0


VERBS = {"copy": copy, "doctor": doctor, "list": listing, "results": results, "reproduce": reproduce}


def complain(text: str, status: int) -> int:
    print(f"odelab: {text}", file=sys.stderr)
    return status


def in_words(error: OSError, resumable: bool) -> str:
    """What went wrong with which file, and for a full disk what to do."""
    text = f"{error.strerror}: {error.filename}" if error.strerror and error.filename else str(error)
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)) or "No space left" in text:
        text += "; free some space" + "; what was done is kept, and --resume goes on" * resumable
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 something failed, 2 the command is wrong, 130 interrupted, 141 nobody reads the output."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a Windows terminal may have no letter for ×
    if not (sys.argv[1:] if arguments is None else arguments):
        parser().print_help()
        return 2
    given = parser().parse_args(arguments)
    try:
        status = VERBS[given.verb](given) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where the flush at exit goes
        return 141
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return complain(in_words(error, given.verb == "reproduce"), 1)
    except ValueError as error:
        return complain(str(error), 2)
    except ModuleNotFoundError as error:
        if "odelab[" not in str(error):
            raise
        return complain(str(error), 1)


if __name__ == "__main__":
    sys.exit(main())
