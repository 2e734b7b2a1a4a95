"""One thread, one seed, and no warning that a test does not expect."""

import warnings

import pytest
import torch


@pytest.fixture(autouse=True)
def quiet_and_repeatable():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    always, _ = torch.is_warn_always_enabled(), torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "dopri8 takes long steps")  # true of every test of all methods
        yield
    torch.set_warn_always(always)
    torch.set_num_threads(threads)
