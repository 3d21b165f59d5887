"""The networks of CM-GANs: two generators that share a layer, and four discriminators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cmbench.datasets.draft import Modality
from cmbench.methods.networks.layers import linear
from cmbench.methods.training.batches import stream
from cmbench.methods.views.inputs import MODALITIES
from cmbench.neural import dropped_out

if TYPE_CHECKING:
    from cmbench.methods.cmgans.method import CMGANs

LEAKINESS = 0.2  # slope of LeakyReLU below 0, as in the authors' code
NORM_DEVIATION = 0.02  # standard deviation of the initial scales of batch normalisation, likewise


class NormalisedLayer(nn.Module):
    """A fully connected layer, followed by batch normalisation and the activation.

    Parameters
    ----------
    layer : the fully connected layer
    method : says which activation
    random : random numbers for the initial scales of the normalisation
    """

    def __init__(self, layer: nn.Linear, method: CMGANs, random: torch.Generator) -> None:
        super().__init__()
        self.linear = layer
        self.norm = normalisation(layer.out_features, random)
        self.activation = activation_of(method)

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows (n, inputs of the layer) to (n, outputs of the layer)."""
        activated: Tensor = self.activation(self.norm(self.linear(rows)))
        return activated


class Generator(nn.Module):
    """The networks of one modality: an encoder of two layers, a decoder and a class head.

    It is the generator of the adversarial game, not a generator of random numbers.

    Parameters
    ----------
    first, second : the layers of the encoder; generators may share the second
    decoder : maps common representations back to features; None if no term of the loss needs it
    head : maps common representations to class logits; generators may share it; None without class term
    dropout : share of the units of the first layer that are left out in training mode
    """

    def __init__(
        self,
        first: NormalisedLayer,
        second: NormalisedLayer,
        decoder: nn.Module | None,
        head: nn.Module | None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.first, self.second = first, second
        self.decoder, self.head = decoder, head

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, d) to their common representations (n, embedding)."""
        hidden = self.first(features)
        if self.training and self.dropout:
            hidden = dropped_out(hidden, self.dropout)
        common: Tensor = self.second(hidden)
        return common

    def decode(self, common: Tensor) -> Tensor:
        """Map common representations (n, embedding) to reconstructed features (n, d)."""
        assert self.decoder is not None, "no decoder was built"
        reconstructed: Tensor = self.decoder(common)
        return reconstructed

    def classify(self, common: Tensor) -> Tensor:
        """Map common representations (n, embedding) to class logits (n, c) of at least float32."""
        assert self.head is not None, "no class head was built"
        logits: Tensor = self.head(common)
        return at_least_float32(logits)


class InterDiscriminator(nn.Module):
    """Judges whether a common representation s and features h belong together and are of one modality.

    Its first layer is fully connected to the concatenation (s, h). The weights are kept in two parts,
    since W (s, h) = W_s s + W_h h: the same function, but the gradient with respect to h, which is data,
    is never computed.

    Parameters
    ----------
    n_features : int, the width d of h
    method : says the width of s, that of the hidden layer, and the activation
    random : random numbers for the initial values
    """

    def __init__(self, n_features: int, method: CMGANs, random: torch.Generator) -> None:
        super().__init__()
        embedding, hidden = method.embedding, method.discriminator_width
        inputs = embedding + n_features
        self.of_common = linear(embedding, hidden, random, fan_in=inputs)
        self.of_original = linear(n_features, hidden, random, fan_in=inputs, bias=False)
        self.norm = normalisation(hidden, random)
        self.activation = activation_of(method)
        self.last = linear(hidden, 1, random)

    def forward(self, common: Tensor, features: Tensor) -> Tensor:
        """Return logits (n, 1) for common representations (n, embedding) beside features (n, d)."""
        hidden = self.activation(self.norm(self.of_common(common) + self.of_original(features)))
        logits: Tensor = self.last(hidden)
        return logits


@dataclass(frozen=True, eq=False)
class Networks:
    """All networks of CM-GANs, by modality.

    Parameters
    ----------
    generators : G_I of images and G_T of texts
    intra_discriminators : D_I and D_T; empty without the intra-modality term
    inter_discriminators : D_Ci of images and D_Ct of texts; empty without the inter-modality term
    """

    generators: Mapping[Modality, Generator]
    intra_discriminators: Mapping[Modality, nn.Module]
    inter_discriminators: Mapping[Modality, nn.Module]

    def by_name(self) -> dict[str, nn.Module]:
        """Return every network by its name: G_image, G_text, D_intra_image and so on."""
        groups = {
            "G": self.generators,
            "D_intra": self.intra_discriminators,
            "D_inter": self.inter_discriminators,
        }
        return {
            f"{role}_{modality}": network
            for role, group in groups.items()
            for modality, network in group.items()
        }


def build_networks(widths: Mapping[Modality, int], n_classes: int, method: CMGANs) -> Networks:
    """Return freshly initialised networks in float32, for features of ``widths`` and so many classes.

    Networks that no term of the loss needs are not built. Each network takes its random numbers from a
    stream of its own, so that leaving one out changes the initial values of no other.

    With ``tie="tied"`` the second layers of both encoders are one layer: its weight and its bias are the
    same tensors in both, and so are the scale and shift of its batch normalisation, except with
    ``shared_norm="none"``. With ``shared_norm="all"`` the running statistics of the normalisation are shared
    too. With ``tie="init_only"`` the two layers only have equal initial values.
    """
    generators = {
        modality: _generator(modality, widths[modality], n_classes, method) for modality in MODALITIES
    }
    if method.tie == "tied":
        _share(generators["image"].second, generators["text"].second, method.shared_norm)
    if method.head == "shared":
        generators["text"].head = generators["image"].head
    intra = {
        modality: linear(width, 1, stream(method.random_state, f"intra {modality}"))
        for modality, width in widths.items()
        if method.w_intra
    }
    inter = {
        modality: InterDiscriminator(width, method, stream(method.random_state, f"inter {modality}"))
        for modality, width in widths.items()
        if method.w_inter
    }
    return Networks(generators, intra, inter)


def normalisation(width: int, random: torch.Generator) -> nn.BatchNorm1d:
    """Return batch normalisation with initial scales from a normal distribution around 1."""
    layer = nn.BatchNorm1d(width)
    with torch.no_grad():
        layer.weight.normal_(1.0, NORM_DEVIATION, generator=random)
    return layer


def activation_of(method: CMGANs) -> nn.Module:
    """Return the activation of every hidden layer, those of the discriminators included."""
    return nn.ReLU() if method.activation == "relu" else nn.LeakyReLU(LEAKINESS)


def at_least_float32(values: Tensor) -> Tensor:
    """Return values of half precision as float32, and others as they are.

    Losses are computed on them, for which the few digits of half precision are not enough.
    """
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def _generator(modality: Modality, n_features: int, n_classes: int, method: CMGANs) -> Generator:
    embedding, hidden = method.embedding, method.hidden
    # Random numbers of each part: second layers that are to be equal at first have the same stream
    of_second = "second" if method.tie != "none" else f"second {modality}"
    of_head = "head image" if method.head == "shared" else f"head {modality}"
    streams = (f"first {modality}", of_second, f"decoder {modality}", of_head)
    for_first, for_second, for_decoder, for_head = (stream(method.random_state, name) for name in streams)
    return Generator(
        NormalisedLayer(linear(n_features, hidden, for_first), method, for_first),
        NormalisedLayer(linear(hidden, embedding, for_second), method, for_second),
        _decoder(n_features, method, for_decoder) if method.needs_decoder else None,
        linear(embedding, n_classes, for_head) if method.w_semantic else None,
        float(method.dropout),
    )


def _decoder(n_features: int, method: CMGANs, random: torch.Generator) -> nn.Module:
    layer = NormalisedLayer(linear(method.embedding, method.hidden, random), method, random)
    return nn.Sequential(layer, linear(method.hidden, n_features, random))


def _share(image: NormalisedLayer, text: NormalisedLayer, shared_norm: str) -> None:
    """Replace what the text layer is to share by that of the image layer."""
    text.linear = image.linear
    if shared_norm == "all":
        text.norm = image.norm
    elif shared_norm == "affine":
        text.norm.weight, text.norm.bias = image.norm.weight, image.norm.bias
