"""The networks of CM-GANs: two autoencoders with a shared layer, and four discriminators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from cmbench.datasets.draft import Modality
from cmbench.methods.networks.layers import linear
from cmbench.methods.training.batches import stream
from cmbench.methods.views.inputs import MODALITIES

LEAKINESS = 0.2  # slope of LeakyReLU below 0, as in the authors' code
NORM_DEVIATION = 0.02  # of the initial scales of batch normalisation around 1, likewise


@dataclass(frozen=True)
class Architecture:
    """Sizes and choices that say which networks there are; see ``CMGANs`` for their meaning."""

    embedding: int = 1024
    hidden: int = 1024
    discriminator_width: int = 512
    activation: Literal["relu", "leaky"] = "relu"
    tie: Literal["tied", "init_only", "none"] = "tied"
    shared_norm: Literal["affine", "none", "all"] = "affine"
    head: Literal["shared", "separate"] = "shared"


@dataclass(frozen=True)
class Wanted:
    """Which of the optional networks are wanted; those that are not are never built."""

    intra: bool = True
    inter: bool = True
    head: bool = True
    decoder: bool = True


class Block(nn.Module):
    """Full connection, batch normalisation, activation."""

    def __init__(self, linear: nn.Linear, architecture: Architecture, random: torch.Generator) -> None:
        super().__init__()
        self.linear = linear
        self.norm = normalisation(linear.out_features, random)
        self.activation = activation(architecture)

    def forward(self, rows: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.norm(self.linear(rows)))
        return activated


class Generator(nn.Module):
    """Encoder of one modality, with its decoder and class head where they are wanted."""

    def __init__(
        self, first: Block, second: Block, decoder: nn.Module | None, head: nn.Module | None
    ) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.decoder, self.head = decoder, head

    def forward(self, rows: Tensor) -> Tensor:
        """Map features (n, d) to the common representation (n, embedding)."""
        common: Tensor = self.second(self.first(rows))
        return common


class InterDiscriminator(nn.Module):
    """Logits of common representations beside original features, from one layer over both.

    The layer over the concatenation is kept as two, one for each half: the same function, without
    the gradient with respect to the original features, which nobody needs.
    """

    def __init__(self, width: int, architecture: Architecture, random: torch.Generator) -> None:
        super().__init__()
        e, d_hidden = architecture.embedding, architecture.discriminator_width
        self.of_common = linear(e, d_hidden, random, fan_in=e + width)
        self.of_original = linear(width, d_hidden, random, fan_in=e + width, bias=False)
        self.norm = normalisation(d_hidden, random)
        self.activation = activation(architecture)
        self.last = linear(d_hidden, 1, random)

    def forward(self, common: Tensor, original: Tensor) -> Tensor:
        """Return logits (n, 1) for common (n, embedding) and original (n, d)."""
        hidden = self.activation(self.norm(self.of_common(common) + self.of_original(original)))
        logits: Tensor = self.last(hidden)
        return logits


@dataclass(frozen=True, eq=False)
class Networks:
    """All networks by modality; ``intra`` and ``inter`` are empty where they are not wanted."""

    generators: dict[Modality, Generator]
    intra: dict[Modality, nn.Module]
    inter: dict[Modality, nn.Module]

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield every network with its name: G_image, G_text, D_intra_image and so on."""
        for kind, group in (("G", self.generators), ("D_intra", self.intra), ("D_inter", self.inter)):
            yield from ((f"{kind}_{modality}", module) for modality, module in group.items())


def build_networks(
    widths: dict[Modality, int], n_classes: int, architecture: Architecture, wanted: Wanted, *, seed: int
) -> Networks:
    """Return freshly initialised networks in float32, for inputs of ``widths``.

    Each part has a stream of random numbers of its own, so that leaving one out changes no other.
    With ``tie="tied"`` both encoders hold one second layer: the weight, the bias and, but for
    ``shared_norm="none"``, the scale and shift of its normalisation are the same tensors;
    ``shared_norm="all"`` shares its running statistics too. ``"init_only"`` copies initial values.
    """
    generators = {
        name: _generator(name, widths[name], n_classes, architecture, wanted, seed) for name in MODALITIES
    }
    if architecture.tie == "tied":
        _tie(generators["image"].second, generators["text"].second, architecture.shared_norm)
    if architecture.head == "shared":
        generators["text"].head = generators["image"].head
    intra = {
        name: linear(width, 1, stream(seed, f"intra {name}"))
        for name, width in widths.items()
        if wanted.intra
    }
    inter = {
        name: InterDiscriminator(width, architecture, stream(seed, f"inter {name}"))
        for name, width in widths.items()
        if wanted.inter
    }
    return Networks(generators, dict(intra), dict(inter))


def normalisation(width: int, random: torch.Generator) -> nn.BatchNorm1d:
    """Return batch normalisation with scales drawn from N(1, 0.02)."""
    layer = nn.BatchNorm1d(width)
    with torch.no_grad():
        layer.weight.normal_(1.0, NORM_DEVIATION, generator=random)
    return layer


def activation(architecture: Architecture) -> nn.Module:
    """Return the activation used everywhere, discriminators included."""
    return nn.ReLU() if architecture.activation == "relu" else nn.LeakyReLU(LEAKINESS)


def _generator(
    name: Modality, width: int, n_classes: int, architecture: Architecture, wanted: Wanted, seed: int
) -> Generator:
    e, hidden = architecture.embedding, architecture.hidden
    first, decoder = stream(seed, f"first {name}"), stream(seed, f"decoder {name}")
    second = stream(seed, f"second {name}" if architecture.tie == "none" else "second")
    head = stream(seed, "head image" if architecture.head == "shared" else f"head {name}")
    return Generator(
        Block(linear(width, hidden, first), architecture, first),
        Block(linear(hidden, e, second), architecture, second),
        _decoder(width, architecture, decoder) if wanted.decoder else None,
        linear(e, n_classes, head) if wanted.head else None,
    )


def _decoder(width: int, architecture: Architecture, random: torch.Generator) -> nn.Module:
    block = Block(linear(architecture.embedding, architecture.hidden, random), architecture, random)
    return nn.Sequential(block, linear(architecture.hidden, width, random))


def _tie(image: Block, text: Block, shared_norm: str) -> None:
    text.linear = image.linear
    if shared_norm == "all":
        text.norm = image.norm
    elif shared_norm == "affine":
        text.norm.weight, text.norm.bias = image.norm.weight, image.norm.bias
