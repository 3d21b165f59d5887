"""The networks and the loss of Corr-AE, Corr-Cross-AE and Corr-Full-AE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from cmbench.methods.networks.layers import half_square, logistic_layer
from cmbench.methods.views.inputs import MODALITIES, Modality

Variant: TypeAlias = Literal["corr", "cross", "full"]
Codes: TypeAlias = Mapping[Modality, Tensor]
Path: TypeAlias = tuple[Modality, Modality]

OWN: tuple[Path, ...] = (("image", "image"), ("text", "text"))
CROSS: tuple[Path, ...] = (("image", "text"), ("text", "image"))
PATHS: dict[Variant, tuple[Path, ...]] = {"corr": OWN, "cross": CROSS, "full": OWN + CROSS}
"""From which modality's code each decoder of a variant reconstructs which modality."""


class CorrespondenceAutoencoder(nn.Module):
    """Two encoders whose codes are drawn together, and the decoders of one variant.

    With s the logistic function, an input u of a modality has the code s(uW + b), and a decoder
    gives s(code V + c), with weights of its own. Weights start at N(0, 1 / inputs of the layer),
    biases at 0.

    Parameters
    ----------
    width, code : int, sizes of inputs, the same for both modalities, and of codes
    variant : "corr", "cross" or "full"
    random : gives the random numbers that belong to a purpose
    """

    def __init__(
        self, width: int, code: int, variant: Variant, random: Callable[[str], torch.Generator]
    ) -> None:
        super().__init__()
        self.paths = PATHS[variant]
        self.encoders = nn.ModuleDict(
            {name: logistic_layer(width, code, random(f"encoder {name}")) for name in MODALITIES}
        )
        self.decoders = nn.ModuleDict(
            {path_name(path): logistic_layer(code, width, random(path_name(path))) for path in self.paths}
        )

    def encode(self, inputs: Codes) -> dict[Modality, Tensor]:
        """Return the codes (n, code) of inputs (n, width), by modality."""
        return {name: self.encoders[name](inputs[name]) for name in MODALITIES}

    def reconstructions(self, codes: Codes) -> dict[Path, Tensor]:
        """Return what each decoder makes of codes, (n, width)."""
        return {path: self.decoders[path_name(path)](codes[path[0]]) for path in self.paths}


def correspondence_loss(
    network: CorrespondenceAutoencoder, inputs: Codes, alpha: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a batch of pairs, 0-d, and its terms without their weights, by name.

    With a and b the codes of images and texts, and r over the decoders of the variant ::

        L = (1 - alpha) Σ_r ½‖r - its target‖² + alpha ½‖a - b‖²

    where targets are the inputs, squares are summed over units, and everything is a mean over pairs.
    """
    codes = network.encode(inputs)
    terms = {"correlation": half_square(codes["image"], codes["text"])}
    made = network.reconstructions(codes)
    terms |= {path_name(path): half_square(made[path], inputs[path[1]]) for path in network.paths}
    reconstruction = torch.stack([terms[path_name(path)] for path in network.paths]).sum()
    return (1 - alpha) * reconstruction + alpha * terms["correlation"], terms


def path_name(path: Path) -> str:
    """Return what a decoder is called.

    >>> path_name(("image", "text"))
    'image_to_text'
    """
    return "_to_".join(path)
