"""For all tests."""

import sys
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import pytest
import torch


@pytest.fixture(autouse=True)
def settings_of_the_process() -> Iterator[None]:
    """What a test changes for the whole process, as a lesson's set-up does, is put back."""
    dtype, threads, style = torch.get_default_dtype(), torch.get_num_threads(), dict(mpl.rcParams)
    checks = torch.distributions.Distribution._validate_args  # which torch.compile switches off
    yield
    torch.distributions.Distribution.set_default_validate_args(checks)
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    if dict(mpl.rcParams) != style:
        mpl.rcParams.update(style)


@pytest.fixture(scope="module")
def untraced_compiler() -> Iterator[None]:
    """Within the compiler of torch.compile no line of odelab runs, and looking for some would double its time."""
    from odelab.solvers.compiled.tracing import torch_may_deprecate_itself  # not before coverage has begun

    with torch_may_deprecate_itself():
        from torch._inductor import compile_fx  # slow to import

    compiler = compile_fx.compile_fx

    def untraced(*args: Any, **kwargs: Any) -> Any:
        trace = sys.gettrace()
        sys.settrace(None)
        try:
            return compiler(*args, **kwargs)
        finally:
            sys.settrace(trace)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile_fx, "compile_fx", untraced)
        yield
