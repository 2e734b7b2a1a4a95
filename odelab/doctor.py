"""`python -m odelab doctor`: what is here, what is wrong with it, and how to mend it."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import odelab
from odelab.folders import FOLDERS, PACKAGE, cache_folder, notebooks, user_folders

#: What an extra is for, in the order of need.
EXTRAS = {"train": "to train, and to read tables", "lab": "to run the lessons", "cluster": "for many runs at once"}
DATA = {"mnist": "MNIST", "mocap": "motion capture of CMU's subject 35"}  # folder -> what is read there
LITTLE = 2e9  # bytes of disk
REINSTALL = f"{sys.executable} -m pip install --force-reinstall torch"


@dataclass(frozen=True)
class Finding:
    """A line of the report; ``fix`` says what to do where something is wrong, and is empty where nothing is."""

    text: str
    fix: str = ""

    @property
    def wrong(self) -> bool:
        return bool(self.fix)

    def __str__(self) -> str:
        return f"✗  {self.text}\n   → {self.fix}" if self.fix else f"✓  {self.text}"


def findings() -> Iterator[Finding]:
    """Environment, data, device, caches, in this order."""
    yield _python()
    yield from _packages()
    yield from _device()
    yield _kernel()
    yield from _shipped()
    yield from _own_data()
    yield _cache()


def _python() -> Finding:
    where = f"Python {platform.python_version()} in {sys.prefix}, odelab {odelab.__version__} in {PACKAGE}"
    new = tuple(map(int, platform.python_version_tuple()[:2])) >= (3, 11)
    return Finding(where, "" if new else "make a new environment with Python 3.11 or newer")


def _packages() -> Iterator[Finding]:
    """Those of each extra: all there, or which are not; in a checkout, which are not the tested ones."""
    try:
        asked = importlib.metadata.requires("odelab") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("odelab is on the path, but not installed", f"{sys.executable} -m pip install -e '.[lab]'")
        return
    known = {"odelab"}  # what PyTorch needs itself, or an extra before, says nothing about an extra
    for package in filter(_version, _always(asked)):
        known |= {*_always(importlib.metadata.requires(package) or [])}
    for name, purpose in EXTRAS.items():
        packages = [_name(text) for text in asked if re.search(rf"extra == .{name}.", text)]
        packages = [package for package in packages if package not in known]
        known |= {*packages}
        missing = [package for package in packages if not _version(package)]
        fix = f"{sys.executable} -m pip install 'odelab[{name}]'"
        if not missing:
            yield Finding(f"the packages of [{name}] are there, {purpose}")
        elif missing == packages:
            yield Finding(f"[{name}] is not installed, {purpose}: {fix}")
        else:
            yield Finding(f"of [{name}], {purpose}, {', '.join(missing)} {_verb(missing)} missing", fix)
    pins = PACKAGE.parent / "constraints.txt"
    if pins.is_file() and (PACKAGE.parent / "pyproject.toml").is_file():
        lines = [line.partition("==") for line in pins.read_text("utf-8").splitlines() if "==" in line]
        other = {name: there for name, _, pin in lines if (there := _version(name)) and there.split("+")[0] != pin}
        told = ", ".join(f"{name} {version}" for name, version in [*other.items()][:5]) + ", …" * (len(other) > 5)
        yield Finding(f"other versions than the tested ones: {told}" if other else "all versions are the tested ones")


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0]


def _always(requirements: list[str]) -> list[str]:
    """The packages among requirements that no extra asks for."""
    return [_name(text) for text in requirements if "extra ==" not in text]


def _verb(things: list[str]) -> str:
    return "is" if len(things) == 1 else "are"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _device() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of another machine
        yield Finding(f"PyTorch cannot be imported: {error}", REINSTALL)
        return
    gpus = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    gpus += ["Apple's GPU (mps), without float64"] * torch.backends.mps.is_available()
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    yield Finding(f"PyTorch {torch.__version__}; {', '.join(gpus) or 'no GPU'}; {threads} of {cores} CPU cores")
    if torch.version.cuda and not gpus and shutil.which("nvidia-smi"):
        fix = f"update the driver, or install a PyTorch for the one you have; this one is for CUDA {torch.version.cuda}"
        yield Finding("there is an NVIDIA GPU, and PyTorch does not see it", fix)
    x = torch.eye(8, dtype=torch.float64)
    if not torch.equal(torch.linalg.solve(x, x), x):
        yield Finding("PyTorch solves a unit matrix wrongly", REINSTALL)


def _kernel() -> Finding:
    """Whether a notebook's kernel would be this Python: another installation's may stand in its place."""
    try:
        import ipykernel  # noqa: F401
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ModuleNotFoundError:
        return Finding("no Jupyter kernel here: the lessons need [lab]")
    fix = f"{sys.executable} -m ipykernel install --sys-prefix"
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Finding("Jupyter knows no kernel called python3", fix)
    command = spec.argv[0]
    if re.fullmatch(r"python3?(\.\d+)?", command):  # stands for the Python that starts Jupyter
        command = sys.executable
    if Path(command).exists() and Path(command).parent.resolve() == Path(sys.executable).parent.resolve():
        return Finding("notebooks run in this Python")
    return Finding(f"notebooks would run in {command}, which {spec.resource_dir} asks for", fix)


def _shipped() -> Iterator[Finding]:
    again = f"{sys.executable} -m pip install --force-reinstall --no-deps odelab, or git checkout data notebooks"
    folder = next((folder for folder in FOLDERS if (folder / "checkpoints").is_dir()), None)
    if folder is None:
        yield Finding("the data and trained models that the course ships are not there", again)
    else:
        files = [file for file in folder.rglob("*") if file.is_file()]
        pointers = [file.name for file in files if file.stat().st_size < 200 and b"git-lfs" in file.read_bytes()]
        what = f"{len(files)} files of data and trained models in {folder}"
        yield Finding(what, f"git lfs pull: {', '.join(pointers)} are pointers only" if pointers else "")
    try:
        lessons = notebooks()
        yield Finding(f"{len(lessons)} lessons in {lessons[0].parent}")
    except FileNotFoundError as error:
        yield Finding(str(error), again)


def _own_data() -> Iterator[Finding]:
    """Larger data: used where they are, fetched or replaced where not."""
    data = os.environ.get("ODELAB_DATA")
    if data and not Path(data).expanduser().is_dir():
        yield Finding(f"ODELAB_DATA is {data}, which is no folder", "unset ODELAB_DATA, or make the folder")
    for name, what in DATA.items():
        try:
            there = [where for where, folder in user_folders(name) if folder.is_dir() and any(folder.iterdir())]
        except (ModuleNotFoundError, OSError):
            there = []
        offline = os.environ.get("ODELAB_OFFLINE", "0") not in ("", "0")
        otherwise = "not here; ODELAB_OFFLINE forbids to fetch it" if offline else "not here; fetched when a run asks"
        yield Finding(f"{what}: {f'in {there[0]}' if there else otherwise}")


def _cache() -> Finding:
    try:
        folder = cache_folder("")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except ModuleNotFoundError:
        return Finding("no cache of downloads without [train]")
    except OSError as error:
        fix = "set ODELAB_CACHE to a folder where you may write"
        return Finding(f"the cache of downloads cannot be written: {error}", fix)
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder).free
    text = f"cache of downloads in {folder}: {used / 1e6:.0f} MB, {free / 1e9:.0f} GB free"
    return Finding(text, "" if free > LITTLE else "free some disk, or set ODELAB_CACHE to a folder on another one")
