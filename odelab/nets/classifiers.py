"""Six classifiers of 28×28 images that differ in one argument: what stands between the same stem and the same head.

The table of Chen et al. (2018), as the seminar and the introduction print it, and its two missing rows: one residual
block, and none.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from odelab.nets.block import ODEBlock
from odelab.nets.fields import ConvField

BODIES = ("mlp", "resnet", "rk-net", "ode-net", "one-block", "no-block")
STEMS = ("conv", "strided", "residual")


class ResidualBlock(nn.Module):
    """z + conv(ReLU(norm(conv(ReLU(norm(z)))))): one Euler step of size 1, with weights of its own.

    With stride 2 the image is halved, and a 1×1 convolution takes the place of the identity.
    """

    def __init__(self, channels: int, groups: int = 32, stride: int = 1) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) for _ in range(2))
        self.first = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(channels, channels, 1, stride, bias=False) if stride > 1 else None

    def forward(self, z: Tensor) -> Tensor:
        activated = F.relu(self.norms[0](z))
        shortcut = z if self.shortcut is None else self.shortcut(activated)
        return shortcut + self.second(F.relu(self.norms[1](self.first(activated))))


class Classifier(nn.Module):
    """stem, body and head in a row: images (batch, 1, 28, 28) -> logits (batch, 10).

    Attributes:
        stem: images -> features (batch, channels, h, w).
        body: features -> features of the same shape.
        head: features -> logits.
    """

    def __init__(self, stem: nn.Module, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.stem, self.body, self.head = stem, body, head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(self.stem(images)))

    @property
    def block(self) -> ODEBlock | None:
        """The ODE block, where the body is one."""
        return self.body if isinstance(self.body, ODEBlock) else None

    @property
    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())


def stem_of(name: str, channels: int, groups: int) -> nn.Sequential:
    """The layers before the body: 28×28 images to channels × 6×6 ("conv", "residual": 7×7) or × 3×3 ("strided")."""
    if name == "residual":
        blocks = (ResidualBlock(channels, groups, stride=2) for _ in range(2))
        return nn.Sequential(nn.Conv2d(1, channels, 3), *blocks)
    layers: list[nn.Module] = [nn.Conv2d(1, channels, 3, stride=2 if name == "strided" else 1)]
    for _ in range(2):
        layers += [nn.GroupNorm(groups, channels), nn.ReLU(), nn.Conv2d(channels, channels, 4, 2, 1)]
    return nn.Sequential(*layers)


def classifier(
    body: str, *, stem: str = "conv", channels: int = 64, groups: int = 32, depth: int = 6, **block: Any
) -> Classifier:
    """One row of the table.

    Args:
        body: "mlp" (no convolutions: 784–300–10), "resnet" (``depth`` residual blocks), "rk-net" (an ODE block of one
            classical Runge–Kutta step, backpropagated through), "ode-net" (dopri5, gradients by the adjoint),
            "one-block" (one residual block), "no-block" (the stem and the head alone).
        stem: "conv" (Chen et al.'s MNIST script: features of 6×6), "strided" (its first convolution strided, too: 3×3,
            a quarter of the work), "residual" (strided residual blocks: 7×7).
        channels, groups: of the features and their group norms.
        depth: residual blocks of the ResNet.
        block: settings of the `ODEBlock`, in place of those the row has by default.

    Raises:
        ValueError: for a body or stem that is none of these, or groups that do not divide the channels.
    """
    for what, value, known in (("body", body, BODIES), ("stem", stem, STEMS)):
        if value not in known:
            raise ValueError(f"{what} {value!r} is unknown; there are {', '.join(known)}")
    if groups < 1 or channels % groups:
        raise ValueError(f"groups = {groups} do not divide channels = {channels}")
    if body not in ("rk-net", "ode-net") and block:
        raise ValueError(f"{', '.join(block)}: settings of an ODE block, and the body {body!r} has none")
    if body == "mlp":
        return Classifier(nn.Flatten(), nn.Sequential(nn.Linear(784, 300), nn.ReLU()), nn.Linear(300, 10))
    middle: nn.Module
    if body == "rk-net":
        settings: dict[str, Any] = {"method": "rk4_classic", "steps": 1, "gradient": "backprop"} | block
        middle = ODEBlock(ConvField(channels, groups), **settings)
    elif body == "ode-net":
        middle = ODEBlock(ConvField(channels, groups), **({"gradient": "adjoint"} | block))
    else:
        count = {"resnet": depth, "one-block": 1, "no-block": 0}[body]
        middle = nn.Sequential(*(ResidualBlock(channels, groups) for _ in range(count)))
    head = nn.Sequential(
        nn.GroupNorm(groups, channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)
    )
    return Classifier(stem_of(stem, channels, groups), middle, head)
