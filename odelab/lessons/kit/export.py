"""Explorables without a kernel: every position as a picture and a sentence, for pages and slides.

A page shows the picture of the position that its controls are at. Where there are too many positions for a page, the
controls with most of them take longer strides; where a control is continuous in truth, a *twin* of the model, in
``twin.js`` of the lesson's room, draws in place of pictures.
"""

import hashlib
import io
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from PIL import Image

from odelab.lessons.kit import style

BYTES = 2_500_000  # of all pictures of one widget
FRAMES = 320
SAMPLED = 6  # pictures whose size stands for that of all


@dataclass(frozen=True)
class Twin:
    """What a JavaScript twin of an explorable is called, and the constants of its model (JSON).

    Constants that take a while to compute are a function, called when the explorable is exported.
    """

    name: str
    data: Mapping[str, Any] | Callable[[], Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Export:
    """An explorable, ready for a page.

    Attributes:
        spec: what a script needs to know: controls with their labels, readouts and names of pictures in the order of
            ``itertools.product`` over the controls, alternative text; JSON.
        pictures: file name -> WebP.
    """

    spec: dict[str, Any]
    pictures: dict[str, bytes]

    @property
    def bytes(self) -> int:
        return sum(map(len, self.pictures.values()))

    def save(self, folder: Path, name: str) -> None:
        """Write ``folder/name.json`` and the pictures into ``folder/name/``."""
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file, picture in self.pictures.items():
            (folder / name / file).write_bytes(picture)
        text = json.dumps({"name": name, **self.spec}, ensure_ascii=False, separators=(",", ":"))
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


def export(explorable: Any, budget: int = BYTES) -> Export:
    """Every position of an :class:`Explorable`, or as many as fit; the explorable stays as it is.

    Raises:
        ValueError: when a control has no finite choice of positions.
    """
    rest = explorable.settings
    try:
        if explorable.twin is not None:
            return with_twin(explorable)
        for name, control in explorable.controls.items():
            if not positions(control):
                raise ValueError(f"control {name!r} has no finite choice of positions: give the explorable a twin")
        limit = frames_within(explorable, budget)
        while (made := with_pictures(explorable, rest, strides(explorable, rest, limit))).bytes > budget:
            limit = round(0.9 * len(made.spec["texts"]) * budget / made.bytes)
        return made
    finally:
        explorable.drive(**rest)


def with_twin(explorable: Any) -> Export:
    """The controls as they are, the readout at the start, and the constants of the model."""
    width, height = picture(explorable).size
    data = explorable.twin.data
    controls = [{**describe(name, c), **range_of(c)} for name, c in explorable.controls.items()]
    spec = {
        "controls": controls,
        "texts": [explorable.text],
        "start": 0,
        "alt": explorable.alt,
        "play": explorable.play,
        "twin": explorable.twin.name,
        "data": data() if callable(data) else data,
        "width": width,
        "height": height,
    }
    return Export(spec, {})


def with_pictures(explorable: Any, rest: Mapping[str, Any], chosen: Mapping[str, Sequence[int]]) -> Export:
    """Draw the chosen positions, indices of :func:`positions` by the control's name; a page starts at ``rest``."""
    places = {name: positions(control) for name, control in explorable.controls.items()}
    controls = []
    for name, control in explorable.controls.items():
        words = labels(control)
        at = places[name].index(nearest(places[name], rest[name]))
        start = list(chosen[name]).index(at)
        controls.append({**describe(name, control), "labels": [words[k] for k in chosen[name]], "start": start})
    texts, frames, pictures = [], [], {}
    for combination in itertools.product(*chosen.values()):
        values = {name: places[name][k] for name, k in zip(chosen, combination, strict=True)}
        texts.append(explorable.drive(**values))
        image = webp(picture(explorable))
        frames.append(hashlib.sha1(image).hexdigest()[:12] + ".webp")
        pictures[frames[-1]] = image
    start = 0
    for control in controls:
        start = start * len(control["labels"]) + control["start"]
    spec = {
        "controls": controls,
        "texts": texts,
        "frames": frames,
        "start": start,
        "alt": explorable.alt,
        "play": explorable.play,
        "positions": math.prod(map(len, places.values())),
    }
    return Export(spec, pictures)


def frames_within(explorable: Any, budget: int) -> int:
    """How many pictures may fit, judged by some of all positions: rather too many, since export() draws fewer then."""
    places = [positions(control) for control in explorable.controls.values()]
    count, sizes = math.prod(map(len, places)), []
    for k in range(SAMPLED):
        flat, values = k * (count - 1) // (SAMPLED - 1), []
        for choice in reversed(places):
            flat, index = divmod(flat, len(choice))
            values.append(choice[index])
        explorable.drive(**dict(zip(explorable.controls, reversed(values), strict=True)))
        sizes.append(len(webp(picture(explorable))))
    return min(FRAMES, int(1.1 * budget * len(sizes) / sum(sizes)))


def strides(explorable: Any, rest: Mapping[str, Any], limit: int) -> dict[str, list[int]]:
    """Positions to draw, at most ``limit`` combinations: the longest slider takes the next longer stride.

    The ends of a slider and where it rests are always among them, and lists and boxes keep all they have.

    Raises:
        ValueError: when lists and the ends of sliders alone have more combinations than the limit.
    """
    chosen: dict[str, list[int]] = {}
    stride = {}
    for name, control in explorable.controls.items():
        chosen[name], stride[name] = list(range(len(positions(control)))), 1
    while math.prod(map(len, chosen.values())) > limit:
        sliders = [
            n for n, c in explorable.controls.items() if kind(c) == "range" and stride[n] < len(positions(c)) - 1
        ]  # a longer stride leaves out no more
        if not sliders:
            raise ValueError(f"{math.prod(map(len, chosen.values()))} positions do not fit into {limit} pictures")
        name = max(sliders, key=lambda n: len(chosen[n]))
        stride[name] += 1
        choice = positions(explorable.controls[name])
        at, last = choice.index(nearest(choice, rest[name])), len(choice) - 1
        chosen[name] = sorted({0, last, *range(at % stride[name], last + 1, stride[name])})
    return chosen


def positions(control: widgets.ValueWidget) -> list[Any]:
    """Every value a slider, dropdown or checkbox can take; none for a control without a finite choice."""
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    if isinstance(control.value, bool):
        return [False, True]
    if not hasattr(control, "step"):
        return []
    count = round((control.max - control.min) / control.step)
    return [type(control.value)(min(control.min + k * control.step, control.max)) for k in range(count + 1)]


def labels(control: widgets.ValueWidget) -> list[str]:
    """What a reader sees beside the control at each of its positions."""
    if hasattr(control, "options"):
        return [str(option[0]) if isinstance(option, tuple) else str(option) for option in control.options]
    form = getattr(control, "readout_format", "") if isinstance(control.value, float) else ""
    return [format(value, form) for value in positions(control)]


def kind(control: widgets.ValueWidget) -> str:
    """How a page shows a control: "list", "box" or "range"."""
    return "list" if isinstance(control, widgets.Dropdown) else "box" if isinstance(control.value, bool) else "range"


def describe(name: str, control: widgets.ValueWidget) -> dict[str, Any]:
    return {"name": name, "label": control.description, "kind": kind(control)}


def range_of(control: widgets.ValueWidget) -> dict[str, Any]:
    """Of a control for a twin: its choices, or its ends and step; and where it stands."""
    if hasattr(control, "options"):
        return {"labels": labels(control), "values": positions(control), "start": control.index}
    if isinstance(control.value, bool):
        return {"start": int(control.value)}
    digits = {"digits": 2} if isinstance(control.value, float) else {}
    return {"min": control.min, "max": control.max, "step": control.step, "start": control.value, **digits}


def nearest(choice: Sequence[Any], value: Any) -> Any:
    """A value as the list of positions has it: sums of steps round."""
    return value if value in choice else min(choice, key=lambda other: abs(other - value))


def picture(explorable: Any) -> Image.Image:
    """The explorable as it is now."""
    return Image.open(io.BytesIO(explorable.png)).convert("RGB")


def webp(image: Image.Image) -> bytes:
    """A picture of few colours without loss: a fifth smaller than PNG, and made in half the time."""
    buffer = io.BytesIO()
    style.few_colors(image).convert("RGB").save(buffer, "WEBP", lossless=True, quality=50, method=2)
    return buffer.getvalue()
