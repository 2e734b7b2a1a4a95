"""What a latent model is given: frames, clocks and what was observed, checked once with a message that helps."""

from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.distributions import Distribution


@dataclass(frozen=True, eq=False)
class Observations:
    """Sequences as the models need them.

    Attributes:
        x: (n, T, *shape), zero where not observed.
        times: (T,) or (n, T).
        frames: bool (n, T): some of the frame observed; None where everything is.
        entries: x.shape or (n, T, 1, …) that broadcasts to it: what counts in a likelihood; None likewise.
    """

    x: Tensor
    times: Tensor
    frames: Tensor | None
    entries: Tensor | None

    def log_likelihood(self, likelihood: Distribution) -> Tensor:
        """log p(x | z) of what was observed, summed over the entries of each frame: (…, n, T).

        Args:
            likelihood: p(x | z) of every entry, so that its log_prob is (…, *x.shape).
        """
        log_p = likelihood.log_prob(self.x)
        if self.entries is not None:
            log_p = log_p * self.entries
        return log_p.flatten(2 - self.x.ndim).sum(-1)


def check_frames(model: nn.Module, x: Tensor, shape: tuple[int, ...], least: int) -> None:
    """x is (n ≥ 1, T ≥ least, *shape) and floating point, of the precision of the model.

    Raises:
        TypeError, ValueError: with what it is instead.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x must be a tensor of floating point, got {kind}; convert it with torch.as_tensor(x).float()")
    wanted = ", ".join(map(str, ("n", "T", *shape)))
    if x.ndim != 2 + len(shape) or tuple(x.shape[2:]) != tuple(shape):
        raise ValueError(f"x has shape {tuple(x.shape)}, but the model reads ({wanted}): sequences, frames, a frame")
    if 0 in x.shape[:2]:
        raise ValueError(f"x has shape {tuple(x.shape)}, {wanted}: no {'frames' if len(x) else 'sequences'} to read")
    weight = next(model.parameters(), x)
    if weight.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"x is {x.dtype}, the model's weights {weight.dtype}: convert one, e.g. x.to({weight.dtype})")
    if x.shape[1] < least:
        raise ValueError(
            f"x has {x.shape[1]} frames, but the encoder reads the first {least}; give longer sequences, "
            f"or build the encoder with frames={x.shape[1]}"
        )


def check_draws(draws: int) -> int:
    if not isinstance(draws, Integral):
        raise TypeError(f"draws must be a whole number, got {draws!r}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}; one path without chance is forecast(…, mean=True)")
    return draws


def check_clock(times: Tensor, n: int, count: int | None = None, name: str = "times") -> None:
    """times is (T,) or (n, T), floating point and finite, in any order; T = count where that is given."""
    if not isinstance(times, Tensor) or not times.is_floating_point():
        kind = times.dtype if isinstance(times, Tensor) else type(times).__name__
        raise TypeError(
            f"{name} must be a floating point tensor (T,) or (n, T), got {kind}; "
            f"convert it with torch.as_tensor({name}).double()"
        )
    T = times.shape[-1] if times.ndim else 0
    if times.ndim not in (1, 2) or (times.ndim == 2 and len(times) != n) or count not in (None, T):
        wanted = "T" if count is None else str(count)
        raise ValueError(
            f"{name} has shape {tuple(times.shape)}; it must be ({wanted},), one clock for all, or ({n}, {wanted}), "
            "one for each sequence"
        )
    if not T or not bool(times.isfinite().all()):
        raise ValueError(f"{name} must be finite, and at least one; repeat a sequence's last time where it is padded")


def check_order(times: Tensor, n: int, count: int | None, frames: Tensor | None = None) -> None:
    """As `check_clock`, and increasing; a clock of its own may stand still before a frame that nobody observed.

    Args:
        frames: bool (n, T), which frames were observed; None: all of them. Where `count` is None these are questions,
            not observations, and the clock of a sequence may stand still anywhere.
    """
    check_clock(times, n, count)
    gaps = times.diff(dim=-1)
    bad = gaps <= 0
    if times.ndim == 2 and count is None:
        bad = gaps < 0
    elif times.ndim == 2 and frames is not None:
        bad = torch.where(frames[:, 1:], bad, gaps < 0)
    if bool(bad.any()):
        *row, i = bad.nonzero()[0].tolist()
        before, after = times[(*row, i)].item(), times[(*row, i + 1)].item()
        where = f"sequence {row[0]}: " if row else ""
        if before == after:
            raise ValueError(
                f"times must increase; {where}frames {i} and {i + 1} are both at {before:g}: leave one of them out"
                + ("; where one of them is padding, mark it in the mask" if row else "")
            )
        raise ValueError(
            f"times must increase; {where}frame {i + 1} is at {after:g} after frame {i} at {before:g}; sort the frames"
        )


def observe(
    model: nn.Module,
    x: Tensor,
    times: Tensor,
    mask: Tensor | None,
    shape: tuple[int, ...],
    encoder_frames: int = 1,
    missing: str = "zeros",
) -> Observations:
    """Check a batch, and put zeros where nothing was observed.

    Args:
        model: whose weights have the precision that x needs.
        mask: bool (n, T), frames observed, or x.shape, entries observed; None: all of them.
        missing: "error" or "zeros", what to do where the encoder's first frames are not all observed.

    Raises:
        TypeError, ValueError: with what is wrong, where, and what to do.
    """
    check_frames(model, x, shape, encoder_frames)
    n, T = x.shape[:2]
    if mask is None:
        check_order(times, n, T)
        return Observations(observed_part(x, None), times, None, None)
    entries = check_mask(mask, x)
    frames = entries.flatten(2).any(-1)
    check_order(times, n, T, frames)
    x = observed_part(x, entries)
    if missing == "error":
        check_first_frames(entries[:, :encoder_frames])
    if bool(mask.all()):
        return Observations(x, times, None, None)
    return Observations(x, times, frames, entries)


def check_mask(mask: Tensor, x: Tensor) -> Tensor:
    """The mask as it broadcasts to x (n, T, *shape): x.shape or (n, T, 1, …); else TypeError or ValueError."""
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, True where observed, got {mask.dtype}; use mask.bool()")
    if mask.shape != x.shape and mask.shape != x.shape[:2]:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; it must be {tuple(x.shape[:2])}, frames observed, or that of x, "
            f"{tuple(x.shape)}, entries observed"
        )
    return mask if mask.shape == x.shape else mask.view(*mask.shape, *[1] * (x.ndim - 2))


def observed_part(x: Tensor, entries: Tensor | None) -> Tensor:
    """x with zeros where nothing was observed; ValueError where what is left is not finite."""
    if entries is not None:
        x = torch.where(entries, x, torch.zeros((), dtype=x.dtype, device=x.device))
    if bool(x.isfinite().all()):
        return x
    row, frame = (~x.flatten(2).isfinite().all(-1)).nonzero()[0].tolist()
    raise ValueError(f"x is not finite in sequence {row}, frame {frame}; where NaN means missing, pass mask=~x.isnan()")


def check_first_frames(entries: Tensor) -> None:
    """Every one of the first m frames is there as a whole; entries (n, m, …)."""
    observed = entries.flatten(2).all(-1)
    if bool(observed.all()):
        return
    row, frame = (~observed).nonzero()[0].tolist()
    others = int((~observed).any(1).sum()) - 1
    also = f" (and {others} more)" if others else ""
    raise ValueError(
        f"sequence {row}{also}: frame {frame} is not observed as a whole, but the encoder reads the first "
        f"{observed.shape[1]}; drop these sequences, let them start where {observed.shape[1]} frames follow each "
        "other, use an encoder of fewer frames, or build the model with missing='zeros'"
    )
