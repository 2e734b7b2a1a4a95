"""Exercises of lesson 12: a mean that takes in a point, a KL term, a GRU as an Euler step, paths of visits."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odelab.lessons.kit.exercises import Hint, exercise
from odelab.lessons.kit.hints import compare, tensor_of
from odelab.lessons.new_data.forecast_checks import crps, turning_point

__all__ = ["corners", "crps", "gru_slope", "last_known", "price", "turning_point", "updated_mean"]


@exercise
def updated_mean(answer: Callable[[Tensor, int, Tensor], Any]) -> None:
    """r of n + 1 points, for answer(r, n, new) with r (3,) of n points and new (3,)."""
    r = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    new = torch.tensor([2.0, 0.5, -1.0], dtype=torch.float64)
    if (first := answer(torch.zeros(3, dtype=torch.float64), 0, new.clone())) is not ...:
        known = tensor_of("r for the first point (n = 0)", first)
        if bool((~known.isfinite()).any()):
            raise Hint("for n = 0, where r is 0 and there is no point yet, this divides by zero")
    for n in (4, 0):
        before = r if n else torch.zeros_like(r)
        compare(
            f"r after a new point (n = {n})",
            answer(before.clone(), n, new.clone()),
            (n * before + new) / (n + 1),
            {
                "this is the sum of all points; the mean divides by their new number": n * before + new,
                "that gives the new point as much weight as all the old ones together": (before + new) / 2,
                "there are n + 1 points now, not n": (n * before + new) / max(n, 1),
                "r stands for n points, so it counts n times": (before + new) / (n + 1),
                "r does not change at all: the new point is missing": before,
                "this forgets the points before": new,
                "divide the step towards the new point by n + 1, not by n": before + (new - before) / max(n, 1),
                "the sign: r moves towards the new point": before - (new - before) / (n + 1),
                "the whole step n (new − r) is too long; r moves by one part in n + 1": before + n * (new - before),
            },
        )


@exercise
def price(answer: Callable[..., Any]) -> None:
    """KL(narrow‖wide) of two normal laws, summed over entries, for answer(mean, std, wide_mean, wide_std), all (3,)."""
    m = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)
    s = torch.tensor([0.2, 0.5, 1.1], dtype=torch.float64)
    wide_m = torch.tensor([0.0, 0.4, -0.6], dtype=torch.float64)
    wide_s = torch.tensor([1.0, 0.8, 2.0], dtype=torch.float64)
    log, width, place = (wide_s / s).log(), s**2 / (2 * wide_s**2), (m - wide_m) ** 2 / (2 * wide_s**2)
    each = log + width + place - 0.5
    other_way = -log + (wide_s**2 + (m - wide_m) ** 2) / (2 * s**2) - 0.5
    compare(
        "the price",
        answer(m.clone(), s.clone(), wide_m.clone(), wide_s.clone()),
        each.sum(),
        {
            "these are the prices of the single entries; their sum is asked for": each,
            "this is the mean over the entries; for independent entries the prices add up": each.mean(),
            "this is KL(wide‖narrow); the draws come from the narrow law": other_way.sum(),
            "where both laws agree this is not 0: a constant is missing": (each + 0.5).sum(),
            "the constant ½ belongs to every entry": (each + 0.5).sum() - 0.5,
            "the sign of the logarithm: a narrower law says more, and saying more costs": (each - 2 * log).sum(),
            "the logarithm of the variances is twice that of the standard deviations": (each + log).sum(),
            "the logarithm is missing": (each - log).sum(),
            "the means are missing: two laws that lie far apart must cost": (each - place).sum(),
            "the mean of (z − M)² over draws of the narrow law holds s², too": (each - width).sum(),
            "divide by the variance of the wide law, 2 S², not by 2 S": (
                log + (s**2 + (m - wide_m) ** 2) / (2 * wide_s) - 0.5
            ).sum(),
            "divide by 2 S²: the normal law has ½ in its exponent": (each + width + place).sum(),
            "this is lesson 08's term, against the standard normal; here the second law has M and S": (
                -s.log() + (s**2 + m**2) / 2 - 0.5
            ).sum(),
            "the sign: a KL divergence is never negative": -each.sum(),
        },
    )


@exercise
def gru_slope(answer: Callable[..., Any]) -> None:
    """The slope f for which h + 1·f is the GRU's new state, for answer(h, u, c), all of shape (4,)."""
    h = torch.tensor([0.2, -0.5, 0.9, -0.1], dtype=torch.float64)
    u = torch.tensor([0.1, 0.7, 0.5, 0.9], dtype=torch.float64)
    c = torch.tensor([-0.6, 0.3, 0.8, -0.9], dtype=torch.float64)
    compare(
        "the slope",
        answer(h.clone(), u.clone(), c.clone()),
        (1 - u) * (c - h),
        {
            "this is the new state; the slope is how much it differs from h": u * h + (1 - u) * c,
            "the sign: Euler's step adds the slope to h": (1 - u) * (h - c),
            "u keeps the old state, so 1 − u is what moves": u * (c - h),
            "without the gate the state would go all the way to c": c - h,
            "h is subtracted as a whole, but u of it stays": (1 - u) * c - h,
            "the part of h that is lost is missing": (1 - u) * c,
            "this divides by the step, which is 1 already, and keeps h": u * h + (1 - u) * c + h,
            "both gates at once: only 1 − u multiplies the difference": u * (1 - u) * (c - h),
            "u multiplies c here; in this GRU it multiplies h": u * c + (1 - u) * h - h,
        },
    )


def _table() -> Tensor:
    """Two patients, six visits, two channels; NaN where nothing was measured, also at the beginning and at the end."""
    nan = torch.nan
    first = [[nan, 1.0], [2.0, nan], [nan, nan], [nan, 4.0], [5.0, nan], [nan, nan]]
    second = [[-1.0, nan], [nan, nan], [3.0, 2.0], [nan, 0.5], [nan, nan], [0.0, 7.0]]
    return torch.tensor([first, second], dtype=torch.float64)


def _carried(x: Tensor) -> Tensor:
    filled = x.clone()
    for k in range(1, x.shape[1]):
        filled[:, k] = torch.where(filled[:, k].isnan(), filled[:, k - 1], filled[:, k])
    return filled


def _straight(x: Tensor) -> Tensor:
    """A straight line from each value to the next one, level at both ends."""
    filled = x.clone()
    for i in range(x.shape[0]):
        for c in range(x.shape[2]):
            known = (~x[i, :, c].isnan()).nonzero()[:, 0]
            for k in range(x.shape[1]):
                before, after = known[known <= k], known[known >= k]
                left = before[-1] if len(before) else after[0]
                right = after[0] if len(after) else before[-1]
                share = 0.0 if left == right else float(k - left) / float(right - left)
                filled[i, k, c] = (1 - share) * x[i, left, c] + share * x[i, right, c]
    return filled


@exercise
def last_known(answer: Callable[[Tensor], Any]) -> None:
    """NaN replaced by the last value before it, else by 0, for answer(x) with x (patients, visits, values)."""
    x = _table()
    given = x.clone()
    value = tensor_of("last_known", answer(given), x.shape)
    carried = _carried(x)
    right = carried.nan_to_num()
    backward = _carried(x.flip(1)).flip(1)
    straight = _straight(x)
    across = x.reshape(-1, 2).clone()
    for k in range(1, len(across)):
        across[k] = torch.where(across[k].isnan(), across[k - 1], across[k])
    if bool(value.isnan().any()):
        if torch.equal(value.isnan(), carried.isnan()):
            raise Hint("last_known: where nothing was measured before, a NaN is left; 0 is asked for there")
        raise Hint("last_known: some NaN are left after a first value: a gap can be longer than one visit")
    if not torch.equal(given.nan_to_num(-99.0), x.nan_to_num(-99.0)):
        raise Hint("last_known: the table that was given has been changed; work on a copy, x.clone()")
    future = "that uses values that are measured later: at the time of the visit nobody knows them"
    compare(
        "last_known",
        value,
        right,
        {
            f"the next value, not the last: {future}": backward.where(~backward.isnan(), carried).nan_to_num(),
            f"filled backwards: {future}": backward.nan_to_num(),
            f"a straight line to the next value: {future}": straight,
            f"forwards, and at the beginning backwards: {future}": carried.where(~carried.isnan(), backward),
            f"the mean of all values of a patient: {future}": x.where(~x.isnan(), x.nanmean(1, keepdim=True)),
            f"the mean of all patients: {future}": x.where(~x.isnan(), x.flatten(0, 1).nanmean(0)),
            "0 in every gap: the last value is known, and 0 may be far from it": x.nan_to_num(),
            "the second patient begins with values of the first": across.view_as(x).nan_to_num(),
            "all values are one visit late; a value that was measured now is known now": torch.cat(
                [torch.zeros_like(right[:, :1]), right[:, :-1]], 1
            ),
        },
    )


@exercise
def corners(answer: Callable[[Tensor, Tensor], Any]) -> None:
    """The rectilinear path through visits, (2 m − 1, 2), for answer(times, values), both (m,)."""
    times = torch.tensor([0.0, 1.0, 2.5, 4.0], dtype=torch.float64)
    values = torch.tensor([1.0, 3.0, 2.0, 2.5], dtype=torch.float64)
    twice, again = times.repeat_interleave(2), values.repeat_interleave(2)
    right = torch.stack([twice[1:], again[:-1]], 1)
    halfway = torch.cat([times[:1], ((times[:-1] + times[1:]) / 2).repeat_interleave(2), times[-1:]])
    compare(
        "corners",
        answer(times.clone(), values.clone()),
        right,
        {
            "the value moves before the time: from one visit on, this path knows the next one": torch.stack(
                [twice[:-1], again[1:]], 1
            ),
            "these are the visits alone, and a straight line between two of them knows the future; a corner is missing "
            "before each jump": torch.stack([times, values], 1),
            "time and value still move together: every visit stands twice": torch.stack([twice, again], 1),
            "it jumps halfway: at that time nobody knows the next value": torch.stack([halfway, again], 1),
            "the time stands in the first column": right.flip(1),
            "a row for each corner, a column each for time and value; this is turned": right.T,
            "the last jump is missing": right[:-1],
            "the start, at the first visit, is missing": right[1:],
            "the path ends before each jump: the visits themselves are corners, too": torch.cat(
                [right[:1], right[1::2]]
            ),
            "at the first visit there is no value before it (values[-1] is the last one)": torch.cat(
                [torch.stack([times[:1], values[-1:]], 1), right]
            ),
            "the first visit stands twice": torch.cat([right[:1], right]),
        },
    )
