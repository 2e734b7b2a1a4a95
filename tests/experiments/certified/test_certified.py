"""Boxes hold what they promise: through layers, through fixed steps and through adaptive ones."""

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

from odelab.datasets.plane import two_moons
from odelab.experiments.certified.boxes import (
    SIZES,
    EulerNet,
    adaptive_path,
    affine_box,
    hull,
    naive_adaptive,
    net_box,
    trajectory_graph,
)
from odelab.experiments.certified.run import run
from odelab.experiments.certified.table import certified_table
from odelab.experiments.results import unstorable
from tests.experiments.rows import cells, row
from tests.experiments.run_context import context_in


def points_of(middle: torch.Tensor, radius: torch.Tensor, count: int = 500) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    inside = 2 * torch.rand(count, len(middle), generator=generator, dtype=torch.float64) - 1
    corners = torch.tensor([*product((-1.0, 1.0), repeat=len(middle))], dtype=torch.float64)
    return middle + radius * torch.cat([inside, corners])


MIDDLE = torch.tensor([0.3, -0.4], dtype=torch.float64)
RADIUS = torch.tensor([0.1, 0.05], dtype=torch.float64)


def test_an_affine_box_touches_its_corners() -> None:
    layer = nn.Linear(2, 5).double()
    middle, radius = affine_box((MIDDLE, RADIUS), layer.weight, layer.bias)
    outputs = layer(points_of(MIDDLE, RADIUS))
    assert torch.allclose(outputs.amax(0), middle + radius) and torch.allclose(outputs.amin(0), middle - radius)


def test_a_net_box_holds_all_outputs_and_refuses_what_it_does_not_know() -> None:
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    middle, radius = net_box(net, (MIDDLE, RADIUS))
    outputs = net(points_of(MIDDLE, RADIUS))
    assert ((outputs - middle).abs() <= radius + 1e-12).all()
    with pytest.raises(TypeError, match="no box is known for a layer Softmax"):
        net_box(nn.Sequential(nn.Softmax(-1)), (MIDDLE, RADIUS))


def test_a_hull_holds_both() -> None:
    middle, radius = hull((MIDDLE, RADIUS), (MIDDLE + 1, RADIUS / 2))
    assert torch.allclose(middle - radius, MIDDLE - RADIUS) and torch.allclose(middle + radius, MIDDLE + 1 + RADIUS / 2)


def test_no_point_of_a_certified_box_is_answered_otherwise() -> None:
    x, labels = two_moons(60, 0)
    net = EulerNet(0).double()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(60):
        loss = nn.functional.cross_entropy(net.worst_logits(x.double(), labels, 0.1), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    certified = net.certified(x.double(), labels, 0.1)
    assert 0.3 < certified.double().mean() < 1
    for point, label in zip(x[certified], labels[certified], strict=True):
        assert (net(points_of(point.double(), torch.full((2,), 0.1))).argmax(-1) == label).all()


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3])
def test_the_graph_holds_every_path_of_the_adaptive_solver(tolerance: float) -> None:
    field = EulerNet(2).double().requires_grad_(False).field
    box = (MIDDLE, RADIUS / 5)
    graph = trajectory_graph(field, box, tolerance)
    assert graph.nodes <= len(SIZES) / SIZES[-1] and graph.paths >= 1
    for point in points_of(*box, count=60):
        for t, z in adaptive_path(field, point, tolerance):
            middle, radius = graph.boxes[t]
            assert ((z - middle).abs() <= radius + 1e-12).all()


def test_a_box_of_one_point_follows_one_path() -> None:
    field = EulerNet(2).double().requires_grad_(False).field
    graph = trajectory_graph(field, (MIDDLE, torch.zeros(2, dtype=torch.float64)), 3e-3)
    path = adaptive_path(field, MIDDLE, 3e-3)
    assert graph.paths == 1 and sorted(graph.boxes) == [t for t, _ in path]
    assert torch.allclose(graph.boxes[1.0][0], path[-1][1])


def test_intervals_in_place_of_numbers_explode() -> None:
    field = EulerNet(2).double().requires_grad_(False).field
    early, late, box = naive_adaptive(field, (MIDDLE, RADIUS), 1e-3)[-1]
    assert early < 1 < late and box[1].max() > 1e3


def test_a_run_certifies_no_more_than_withstands_the_attack(tmp_path: Path) -> None:
    key = {"training": "boxes"}
    result = run(key, context_in(tmp_path))
    assert not [*unstorable(result)]
    assert all(at["certified"] <= at["attacked"] <= at["clean"] for at in result["accuracies"])
    clean = result["accuracies"][0]["clean"]
    assert (
        cells(certified_table(rows=[row(key, **result)]), "cross-entropy of the worst logits of boxes")[0]
        == f"{clean:.1f}"
    )
