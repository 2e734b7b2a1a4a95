"""Digits: four models, compared image by image, and the papers' numbers of other images."""

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel

from odelab.experiments.ffjord_digits.run import Digits, gaussian_bits, split
from odelab.experiments.ffjord_digits.table import against_ffjord, digits_table
from tests.experiments.rows import cells, row


def test_the_papers_number_has_a_column_of_its_own() -> None:
    table = digits_table({"quick": {"ffjord": 2.4}}, [row({"model": "nice"}, bits=2.3, parameters=132416)])
    assert cells(table, "FFJORD")[:2] == ["2.400", "not run yet"] and cells(table, "FFJORD")[-1].startswith("0.99")
    assert cells(table, "NICE, four couplings") == ["–", "2.300", "–", "–", "132,416", "–", "1", "–"]


def test_models_are_compared_on_the_same_images() -> None:
    random = np.random.default_rng(0)
    hard = random.normal(2.0, 0.3, 250)  # what is hard about an image is so for all models
    bits = {"ffjord": hard, "nice": hard + random.normal(0.02, 0.05, 250), "realnvp": hard + 0.1}
    bits["gaussian"] = hard + random.normal(0.0, 0.05, 250)
    bits["realnvp"] += random.normal(0.0, 0.05, 250)
    rows = []
    for seed, shift in ((0, 0.1), (1, -0.1)):
        rows.append(row({"model": "ffjord"}, seed, bits=2.0, bits_by_image=(hard + shift).tolist(), parameters=1))
    rows += [row({"model": m}, bits=2.0, bits_by_image=bits[m].tolist(), parameters=1) for m in bits if m != "ffjord"]
    pairs = against_ffjord(rows)
    raw = {model: ttest_rel(bits[model], hard).pvalue for model in pairs}
    for place, model in enumerate(("realnvp", "nice", "gaussian")):  # from the smallest p to the largest
        mean, error, p = pairs[model]
        assert mean == pytest.approx((bits[model] - hard).mean())
        assert error == pytest.approx(0.05 / 250**0.5, rel=0.2), "far below the 0.02 of either mean"
        assert p == pytest.approx(min(1.0, (3 - place) * raw[model]))
    shown = cells(digits_table(None, rows), "Real NVP, four couplings")
    assert shown[1] == "0.020" and shown[2] == "+{:.3f} ± {:.3f} (p < 0.001)".format(*pairs["realnvp"][:2])


def test_bits_of_each_image_have_the_mean_that_is_reported() -> None:
    digits = Digits(0)
    log_prob = torch.distributions.Normal(0.0, 1.0).log_prob(digits.test).sum(-1)
    each = digits.bits_by_image(log_prob, "test")
    assert len(each) == 250 and np.mean(each) == pytest.approx(digits.bits(-log_prob.mean().item(), "test"), abs=1e-4)
    result = gaussian_bits(*split())
    assert np.mean(result["bits_by_image"]) == pytest.approx(result["bits"], abs=1e-4)
