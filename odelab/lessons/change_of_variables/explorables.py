"""Explorables of lesson 05: a patch of mass, mass under a curve, a layer that may fold, what a density costs, flows."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from odelab.datasets.plane import plane_grid
from odelab.flows import PlanarCNF, PlanarFlow, exact_divergence, hutchinson_divergence, probes
from odelab.flows.planar import invertible, planar, planar_inverse
from odelab.lessons.change_of_variables import figures
from odelab.lessons.kit.explorable import Explorable
from odelab.lessons.kit.export import Twin
from odelab.solvers import solve

STRIPS = 17
HIDDEN = 64  # units of the network whose trace is priced
NORMAL_AT_0 = 1 / math.sqrt(2 * math.pi)

FRAMES = 16  # moments of the first picture
PLACES = (-1.6, -0.8, 0.0, 0.8, 1.6)  # x of the patch's centre at the start
LEVEL = 0.3  # its y
SIZES = {"small": 0.04, "middle": 0.2, "large": 0.8}  # side of the patch at the start


class Split:
    """dx/dt = tanh(2x) + y/2, dy/dt = sin(x + t) − 0.7y: pushes left and right halves apart, and squeezes y."""

    def __call__(self, t: Any, z: Tensor) -> Tensor:
        return self.with_divergence(t, z)[0]

    def with_divergence(self, t: Any, z: Tensor) -> tuple[Tensor, Tensor]:
        """f (…, 2) and ∂f₁/∂x + ∂f₂/∂y (…), for z (…, 2)."""
        x, y = z.unbind(-1)
        f = torch.stack((torch.tanh(2 * x) + y / 2, torch.sin(x + t) - 0.7 * y), dim=-1)
        return f, 2 / torch.cosh(2 * x) ** 2 - 0.7


def outline(points: int = 20) -> Tensor:
    """The edge of a square of side 1 around the origin, (4 · points, 2)."""
    side = torch.stack([torch.linspace(-0.5, 0.5, points + 1)[:-1], torch.full((points,), -0.5)], -1)
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    return torch.cat([side @ torch.linalg.matrix_power(turn, k) for k in range(4)])


def polygon_area(corners: Tensor) -> Tensor:
    """Of polygons with corners (…, n, 2) in order, by the shoelace formula: (…)."""
    x, y = corners.unbind(-1)
    return (x * y.roll(-1, -1) - y * x.roll(-1, -1)).sum(-1).abs() / 2


def patch(last: float = 1.5) -> Explorable:
    """Sliders for time, place and size of a square patch that a flow carries: its area against the density in it."""
    field, times = Split(), torch.linspace(0, last, FRAMES)
    densities = time_densities(field, plane_grid(4.0, SIDE)[0].float(), times)
    centres = torch.tensor([[x, LEVEL] for x in PLACES])
    sizes = torch.tensor([*SIZES.values()])
    edges = centres[:, None, None] + sizes[None, :, None, None] * outline()
    # (time, place, size, corner, 2); in double precision, since a small patch is the difference of close corners
    edges = torch.as_tensor(solve(field, edges.double(), times.double(), rtol=1e-8, atol=1e-8).y)
    path, log_density = carried(field, centres, log_normal(centres), times)
    areas = polygon_area(edges) / polygon_area(edges)[:1]
    heights = (log_density - log_density[:1]).exp()

    def update(fig: Figure, frame: int, place: float, size: str) -> str:
        at, of = PLACES.index(place), [*SIZES].index(size)
        so_far = slice(frame + 1)
        growth = (times[so_far], areas[so_far, at, of], heights[so_far, at])
        figures.update_patch(fig, densities[frame], edges[so_far, at, of], path[so_far, at], growth)
        grown, density = (float(curve[-1]) for curve in growth[1:])
        return (
            f"t = {float(times[frame]):.1f}: the patch has {grown:.2f} times its area, the density at its middle is "
            f"{density:.2f} times what it was; the product is {grown * density:.2f}"
        )

    controls = {
        "frame": widgets.IntSlider(0, min=0, max=FRAMES - 1, description="time"),
        "place": widgets.SelectionSlider(options=PLACES, value=0.0, description="where it starts"),
        "size": widgets.SelectionSlider(options=[*SIZES], value="middle", description="size of the patch"),
    }
    ink = (255 * figures.INK["cmap"].colors[:, :3]).round().astype(int).tolist()
    constants = {"step": last / (FRAMES - 1), "level": LEVEL, "sizes": SIZES, "side": SIDE, "ink": ink}
    constants["top"] = float(densities.quantile(0.999))
    twin = Twin("patch", constants)
    return Explorable(figures.patch(densities, times), update, controls, play="frame", twin=twin)


def square_grid(half_width: float = 3.0, lines: int = 21, points: int = 61) -> Tensor:
    """Upright and level lines of a square grid, (2 · lines, points, 2)."""
    fine, side = torch.linspace(-half_width, half_width, points), torch.linspace(-half_width, half_width, lines)
    upright = torch.stack(torch.meshgrid(side, fine, indexing="ij"), -1)
    return torch.cat([upright, upright.flip(-1)])


def bend(z: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """x = z + strength · tanh(2z)/2 and its slope: steep at 0 for a positive strength, flat for a negative one."""
    tanh = torch.tanh(2 * z)
    return z + strength * tanh / 2, 1 + strength * (1 - tanh**2)


def mass_strips(strength: float = 2.0) -> Explorable:
    """A slider for how much the map bends; the density of x = g(z) by the formula, by strips and by histogram."""
    z, normal = torch.linspace(-5, 5, 2001), torch.distributions.Normal(0.0, 1.0)
    samples = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    cuts = normal.icdf(torch.linspace(0, 1, STRIPS + 1)[1:-1])

    def update(fig: Figure, strength: float) -> str:
        x, slope = bend(z, strength)
        edges = torch.stack([cuts, bend(cuts, strength)[0]], 1)
        density = normal.log_prob(z).exp() / slope.abs()
        figures.update_mass_strips(fig, z, x, density, bend(samples, strength)[0], edges)
        middle = NORMAL_AT_0 / (1 + strength)
        return f"slope of g at 0: {1 + strength:.2f}; density at x = 0: 0.399 / {1 + strength:.2f} = {middle:.3f}"

    controls = {"strength": widgets.FloatSlider(strength, min=-0.8, max=4.0, step=0.2, description="bend")}
    return Explorable(figures.mass_strips(z, normal.log_prob(z).exp(), cuts), update, controls)


def planar_layer(w: float = 1.5, angle: int = 30, u: float = 1.2, turn: int = 60, b: float = 0.0) -> Explorable:
    """Sliders for w, u and b of one planar layer; the grid folds, and turns orange, where the bound wᵀu ≥ −1 breaks.

    Lengths of w and u, the angle of w in degrees, the turn from w to u, the offset b; a box applies û.
    """
    lines, s = square_grid(), torch.linspace(-4, 4, 401)

    def vectors(w: float, angle: int, u: float, turn: int, b: float, repair: bool) -> tuple[Tensor, Tensor]:
        to, by = math.radians(angle), math.radians(angle + turn)
        normal = w * torch.tensor([math.cos(to), math.sin(to)])
        push = u * torch.tensor([math.cos(by), math.sin(by)])
        return normal, invertible(normal, push) if repair else push

    def update(fig: Figure, w: float, angle: int, u: float, turn: int, b: float, repair: bool) -> str:
        normal, push = vectors(w, angle, u, turn, b, repair)
        h, along = torch.tanh(lines @ normal + b), float(normal @ push)
        det, h_s = 1 + (1 - h**2) * along, torch.tanh(s + b)
        line = (s, s + along * h_s, 1 + (1 - h_s**2) * along)
        figures.update_planar_layer(fig, lines, lines + h[..., None] * push, det, normal, push, line)
        verdict = "≥ −1: invertible" if along >= -1 else "< −1: THE LAYER FOLDS, three points land on one"
        return f"wᵀ{'û' if repair else 'u'} = {along:.2f} {verdict}; smallest determinant {1 + min(along, 0.0):.2f}"

    controls = {
        "w": widgets.FloatSlider(w, min=0.2, max=3.0, step=0.1, description="length of w"),
        "angle": widgets.IntSlider(angle, min=-180, max=180, step=10, description="angle of w"),
        "u": widgets.FloatSlider(u, min=0.0, max=3.0, step=0.1, description="length of u"),
        "turn": widgets.IntSlider(turn, min=0, max=180, step=10, description="turn from w to u"),
        "b": widgets.FloatSlider(b, min=-3.0, max=3.0, step=0.1, description="offset b"),
        "repair": widgets.Checkbox(False, description="use û"),
    }
    return Explorable(figures.planar_layer(lines), update, controls, twin=Twin("planarLayer"))


def step_and_flow(frames: int = 15) -> tuple[Figure, Callable[[Figure, int], None], tuple[float, float]]:
    """One Euler step of a planar field against its flow, for a time h from 0 to 2.4.

    Returns:
        The figure, its update for frame k, and at the end the smallest determinant of the step and of the flow, both
        from differences of mapped points.
    """
    w, u, lines = torch.tensor([1.5, 0.0]), torch.tensor([-1.0, 0.4]), square_grid(2.6, 15, 41)
    times = torch.linspace(0, 2.4, frames)

    def field(t: Any, z: Tensor) -> Tensor:
        return torch.tanh(z @ w.to(z))[..., None] * u.to(z)

    def update(fig: Figure, k: int) -> None:
        det = 1 + times[k] * (w @ u) * (1 - torch.tanh(lines @ w) ** 2)
        figures.update_step_and_flow(fig, float(times[k]), lines + times[k] * field(0, lines), flowed[k], det)

    flowed = torch.as_tensor(solve(field, lines, times, rtol=1e-5, atol=1e-5).y)
    corners = lines.double()[..., None, :] + 1e-4 * torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    ends = (corners + times[-1] * field(0, corners), solve(field, corners, times[[0, -1]], rtol=1e-9, atol=1e-9).y[-1])
    smallest = [float(((end[..., 1:, :] - end[..., :1, :]) / 1e-4).det().min()) for end in ends]
    return figures.step_and_flow(), update, (smallest[0], smallest[1])


def network(d: int, hidden: int = HIDDEN) -> Callable[[Tensor], Tensor]:
    """A random field d → hidden → d with tanh, for z (…, d)."""
    inwards, outwards = torch.randn(d, hidden) / d**0.5, torch.randn(hidden, d) / hidden**0.5
    return lambda z: torch.tanh(z @ inwards) @ outwards


def measured_costs(dims: Sequence[int]) -> figures.Costs:
    """Multiplications and seconds of one change of log-density of :func:`network`, by dimension and route.

    Multiplications of the passes are counted by torch as it runs, those of the elimination added: a pivot with k rows
    below it takes k + k². Seconds of the processor, the best of three.
    """
    measured: dict[int, dict[str, tuple[float, float]]] = {}
    for d in dims:
        net, z, one = network(d), torch.randn(1, d), torch.eye(d)

        def rows(net: Any = net, z: Tensor = z, one: Tensor = one) -> Tensor:
            """The Jacobian (d, d), one backward pass a row."""
            out = net(z.requires_grad_())
            return torch.cat([torch.autograd.grad(out, z, e[None], retain_graph=True)[0] for e in one])

        def field(t: Any, z: Tensor, net: Any = net) -> Tensor:
            return net(z)

        probe = probes("rademacher", 1, z)
        routes = (
            lambda rows=rows, one=one: (one + rows()).slogdet(),
            lambda rows=rows: rows().trace(),
            lambda field=field, z=z: exact_divergence(field, 0.0, z.detach()),
            lambda field=field, z=z, probe=probe: hutchinson_divergence(field, 0.0, z.detach(), probe),
        )
        measured[d] = {}
        for name, route in zip(figures.ROUTES, routes, strict=True):
            elimination = sum(k + k * k for k in range(1, d)) if name == "determinant" else 0
            measured[d][name] = multiplications(route) + elimination, seconds(route)
    return measured


def multiplications(route: Callable[[], Any]) -> float:
    """Of the matrix products that ``route`` makes."""
    with FlopCounterMode(display=False) as counter:
        route()
    return counter.get_total_flops() / 2


def seconds(route: Callable[[], Any], repeats: int = 3) -> float:
    """The least processor time that ``route`` takes in a few runs."""
    spent = []
    for _ in range(repeats):
        begun = time.process_time()
        route()
        spent.append(time.process_time() - begun)
    return min(spent)


def costs(measured: figures.Costs) -> Explorable:
    """A slider over the dimensions that the lesson measured: multiplications and seconds of four routes.

    Args:
        measured: dimension -> route (one of ``figures.ROUTES``) -> (multiplications, seconds).
    """

    def update(fig: Figure, d: int) -> str:
        figures.update_costs(fig, d)
        row = measured[d]
        parts = [f"{name}: {row[name][0]:.2g} multiplications, {1e3 * row[name][1]:.2g} ms" for name in figures.ROUTES]
        return f"d = {d}. " + "; ".join(parts) + "."

    controls = {"d": widgets.SelectionSlider(options=list(measured), description="dimension d")}
    return Explorable(figures.costs(measured), update, controls)


SIDE = 72  # cells of a density's picture along each side
MARKED = torch.tensor([[0.0, 0.0], [1.2, 0.4], [-0.5, 1.3], [-0.4, -0.9]])  # where the marked paths start
PARTICLES = 400


def log_normal(z: Tensor) -> Tensor:
    """Log-density of the standard normal at z (…, 2)."""
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)


@torch.no_grad()
def portrait(model: PlanarFlow | PlanarCNF, half_width: float = 4.0, side: int = 56) -> Tensor:
    """The density that a flow makes of a standard normal, by its inverse at every pixel, (side, side)."""
    points = plane_grid(half_width, side)[0].float()
    if isinstance(model, PlanarCNF):
        return time_densities(model, points, torch.tensor([0.0, 1.0]))[1]
    z = model.inverse(points)
    return (log_normal(z) - model(z)[1]).exp()


@torch.no_grad()
def remaining_densities(flow: PlanarFlow, points: Tensor, passed: Sequence[int]) -> Tensor:
    """Densities at points (…, 2) on the way of layers that turn data into a standard normal, (len(passed), …).

    After so many of the layers, the rest of them leads to the base.
    """
    layers, found = list(zip(*flow.effective(), strict=True)), []
    for k in passed:
        z, log_det = points, torch.zeros(points.shape[:-1])
        for parameters in layers[k:]:
            z, change = planar(z, *parameters)
            log_det = log_det + change
        found.append((log_normal(z) + log_det).exp())
    return torch.stack(found)


@torch.no_grad()
def layer_densities(flow: PlanarFlow, points: Tensor) -> Tensor:
    """Densities at points (…, 2) after 0, 1, … K layers, (K + 1, …), from a standard normal before the first."""
    layers = list(zip(*flow.effective(), strict=True))
    found = []
    for k in range(len(layers) + 1):
        z, log_det = points, torch.zeros(points.shape[:-1])
        for parameters in reversed(layers[:k]):
            z = planar_inverse(z, *parameters)
            log_det = log_det + planar(z, *parameters)[1]
        found.append((log_normal(z) - log_det).exp())
    return torch.stack(found)


def layers(flow: PlanarFlow, half_width: float = 4.0) -> Explorable:
    """A slider over the layers of a planar flow: density, warped grid, and the mass after every layer."""
    points, area = plane_grid(half_width, SIDE)
    densities = layer_densities(flow, points.float())
    masses = densities.sum((1, 2)) * area
    with torch.no_grad():
        grids = flow.intermediate(square_grid())[0]
        w, _, b = flow.effective()
        foot, across = -(b / w.square().sum(-1))[:, None] * w, 9 * torch.stack([-w[:, 1], w[:, 0]], -1)
        across = across / w.norm(dim=-1, keepdim=True)
        creases = torch.stack([foot - across, foot + across], 1)
    creases = torch.cat([creases, torch.full((1, 2, 2), torch.nan)])

    def update(fig: Figure, k: int) -> str:
        figures.update_layer(fig, k, densities[k], grids[k], creases[k])
        return f"after {k} of {len(creases) - 1} layers: mass on the grid {float(masses[k]):.4f}"

    controls = {"k": widgets.IntSlider(len(creases) - 1, min=0, max=len(creases) - 1, description="layers")}
    return Explorable(figures.layer(densities, masses, half_width), update, controls, play="k")


@torch.no_grad()
def carried(field: Any, z: Tensor, log_p: Tensor, times: Tensor, step_size: float = 1 / 32) -> tuple[Tensor, Tensor]:
    """Points (…, 2) and their log-density (…) at all of the times, (T, …, 2) and (T, …), along a field's flow."""

    def slope(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        f, divergence = field.with_divergence(t, state[0])
        return f, -divergence

    path, log_density = solve(slope, (z, log_p), times, method="rk4", options={"step_size": step_size}).y
    return path, log_density


@torch.no_grad()
def time_densities(field: Any, points: Tensor, times: Tensor) -> Tensor:
    """Densities at points (…, 2) at the times (T,), (T, …), from a standard normal at the first: each by a way back."""
    found = [log_normal(points).exp()]
    for t in times[1:]:
        back, gained = carried(field, points, torch.zeros(points.shape[:-1]), torch.stack([t, times[0]]))
        found.append((log_normal(back[-1]) - gained[-1]).exp())
    return torch.stack(found)


class Film:
    """What a movie of a continuous flow shows, computed once, from a standard normal at t = 0 to t = 1.

    ``masses`` are the integrals of the density at ``times``, ``drift`` is how far they get from one.

    Args:
        field: with ``with_divergence(t, z) -> (f, div)`` for z (…, 2).
        half_width: of the window; frames: moments, the first and the last included.
    """

    alt = (
        "Particles and density of a continuous flow: a round hill takes the shape that was learned, its mass stays one."
    )

    def __init__(self, field: Any, half_width: float = 4.0, frames: int = 21) -> None:
        self.times, self.half_width = torch.linspace(0, 1, frames), half_width
        points, area = plane_grid(half_width, SIDE)
        self.densities = time_densities(field, points.float(), self.times)
        self.masses = self.densities.sum((1, 2)) * area
        self.drift = float((self.masses - 1).abs().max())
        cloud = torch.randn(PARTICLES, 2, generator=torch.Generator().manual_seed(0))
        start = torch.cat([MARKED, cloud])
        self.paths, self.log_density = carried(field, start, log_normal(start), self.times)

    def draw(self) -> Figure:
        """The whole figure, at no moment yet."""
        marked = self.log_density[:, : len(MARKED)]
        return figures.movie(self.times, self.densities, self.masses, marked, self.half_width)

    def update(self, fig: Figure, k: int) -> str:
        """Put the k-th moment into the figure."""
        marked, cloud = self.paths[k].split([len(MARKED), PARTICLES])
        figures.update_movie(fig, float(self.times[k]), self.densities[k], cloud, marked)
        return f"t = {float(self.times[k]):.2f}: mass on the grid {float(self.masses[k]):.4f}"


def movie(film: Film) -> Explorable:
    """A time slider over a continuous flow: particles, density, log-density along paths, mass meter."""

    def update(fig: Figure, t: float) -> str:
        return film.update(fig, moments.index(t))

    moments = [round(float(t), 6) for t in film.times]
    options = [(f"{t:.2f}", t) for t in moments]
    controls = {"t": widgets.SelectionSlider(options=options, value=moments[-1], description="time")}
    return Explorable(film.draw(), update, controls)
