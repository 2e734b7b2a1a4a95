"""For all tests."""

from collections.abc import Iterator

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
