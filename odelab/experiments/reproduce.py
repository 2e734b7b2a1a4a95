"""Do the runs of an experiment that are still missing, and write down each as it ends."""

import os
from collections.abc import Sequence
from pathlib import Path

from odelab.choices import resolved
from odelab.experiments.registry import Experiment, experiment
from odelab.experiments.results import result_file, run_name
from odelab.experiments.runs import Place, claimed, commit, cut_off, empty, matches
from odelab.extras import extra
from odelab.folders import FOLDERS
from odelab.training.devices import first_process, make_fabric

with extra("train"):
    from tqdm.auto import tqdm


def chosen_device(what: Experiment, device: str) -> str:
    """The device that a text stands for, which is a CPU for an experiment that runs alone.

    Raises:
        ValueError: for a device that is not there, or one device or process too many for the experiment.
    """
    if not what.alone:
        return resolved(device)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError(f"{what.name} runs in one process; start it without torchrun")
    if resolved("cpu" if device == "auto" else device).partition(":")[0] != "cpu":
        raise ValueError(f"{what.name} runs on a CPU, not on {device}; leave --device away")
    return "cpu"


def reproduce(
    name: str,
    *,
    budget: str = "lecture",
    seeds: Sequence[int] | None = None,
    device: str = "auto",
    resume: bool = False,
    again: bool = False,
    only: Sequence[str] = (),
    out: Path | None = None,
    progress: bool = True,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Path:
    """Do the runs and return the file with their rows. Under torchrun all processes train, and the first one writes.

    Args:
        budget: "lecture" or "full".
        seeds: in place of the experiment's own.
        resume: rows that are there stay, a run that was cut off goes on from its checkpoint.
        again: rows that are there are done anew.
        only: "name=value" or "name=one,another" texts; keys that fit them all are run, others not.
        out: the file, in place of the usual one.
        workers: so many processes of this machine do a run each, with one thread; see `odelab.experiments.cluster`.
        scheduler: address of a dask scheduler, whose workers do them.

    Two commands at once share the runs: what one is at, or has done meanwhile, the other leaves to it.

    Raises:
        ValueError: for a name, budget, key or device that is not there, when rows or runs that were cut off are there
            and it is not said whether to resume or to begin again, and for a result that cannot be stored.
    """
    what = experiment(name)
    if budget not in ("lecture", "full"):
        raise ValueError(f"budget is {budget!r}; it can be 'lecture' or 'full'")
    at_once = workers is not None or scheduler is not None
    if at_once and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError("workers do one run each, torchrun one run in several processes; take one of them")
    device, writes = chosen_device(what, device) if not scheduler or what.alone else device, first_process()
    asked = [(key, seed) for key, seed in what.runs(budget, seeds) if matches(key, only)]
    if not any(matches(key, only) for key in what.keys(budget)):
        known = "; ".join(" ".join(f"{k}={v}" for k, v in key.items()) for key in what.keys(budget))
        raise ValueError(f"no run of {name} is {' '.join(only)}; there are: {known}")
    path = out or result_file(name, budget)
    ours = path == result_file(name, budget) and path.is_absolute()  # relative where there is no checkout
    scratch = (FOLDERS[1].parent / "build" if ours else path.parent) / "runs" / name / budget
    place = Place(name, budget, device, path, scratch)
    done = place.done()
    todo = [(key, seed) for key, seed in asked if again or (run_name(key, seed), budget) not in done]
    if len(todo) < len(asked) and not (resume or again):
        there = len(asked) - len(todo)
        raise ValueError(f"{path} has {there} of these runs; --resume keeps them, --again does them anew")
    cut = [] if resume or again else [run_name(*run) for run in todo if cut_off(place.folder(*run))]
    if cut:
        raise ValueError(
            f"{', '.join(cut)} of {name} {'was' if len(cut) == 1 else 'were'} cut off, and {scratch} holds how far: "
            "--resume goes on from there, --again begins anew"
        )
    if at_once:
        from odelab.experiments.cluster import perform_all

        perform_all(place, todo, workers, scheduler, resume=resume, again=again, progress=progress)
        return path
    source = commit()  # of the code that runs, which files changed later do not change
    fabric = make_fabric(device)
    fabric.barrier()  # no row is written before all processes have read which are missing
    for number, (key, seed) in enumerate(todo, 1):
        label = f"{name} {number}/{len(todo)} {run_name(key, seed)}"
        folder = place.folder(key, seed)
        with claimed(folder) as free:
            there = not again and (run_name(key, seed), budget) in place.done()
            free = fabric.broadcast(free and not there)  # as the process sees it that holds the lock
            if writes and (progress or not free):
                tqdm.write(label if free else f"{label} is left to another process")
            if not free:
                continue
            if writes and not resume:
                empty(folder)
            outcome = place.perform(key, seed, resume=resume, progress=label if progress else False)
            fabric.barrier()  # no folder is emptied before all have read what they need
            if writes:
                place.store(key, seed, outcome, source)
    return path
