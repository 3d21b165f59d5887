"""The training of a correspondence autoencoder on the codes of training pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor, nn

from cmbench.datasets.draft import Modality
from cmbench.methods.networks.layers import half_square, logistic_layer
from cmbench.methods.training.batches import Index
from cmbench.methods.training.device import DeviceRows, NetworkMap, unscaled
from cmbench.methods.training.loop import Dependence, Run, Training, Watched
from cmbench.methods.training.pairs import PairCodes, PairFitting
from cmbench.methods.views.inputs import MODALITIES
from cmbench.neural import dropped_out

if TYPE_CHECKING:
    from cmbench.methods.corr_ae.method import CorrAE

Variant: TypeAlias = Literal["corr", "cross", "full"]
Codes: TypeAlias = Mapping[Modality, Tensor]
Path: TypeAlias = tuple[Modality, Modality]

WITHIN: tuple[Path, ...] = (("image", "image"), ("text", "text"))
ACROSS: tuple[Path, ...] = (("image", "text"), ("text", "image"))
PATHS: dict[Variant, tuple[Path, ...]] = {"corr": WITHIN, "cross": ACROSS, "full": WITHIN + ACROSS}
"""The decoders of each variant: (modality whose code it reads, modality that it reconstructs)."""


class CorrespondenceAutoencoder(nn.Module):
    """Two encoders whose codes are drawn together, and the decoders of one variant.

    With s the logistic function, a row u of a modality has the code s(uW + b), and a decoder maps a code a
    to s(aV + c). Each encoder and each decoder has weights of its own. They start at N(0, 1 / inputs of the
    layer), and biases at 0.

    Parameters
    ----------
    width, code : int, sizes of inputs, the same for both modalities, and of codes
    variant : "corr", "cross" or "full"
    random : returns the random numbers for a purpose, here for the initial weights of a layer
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
        """Return what each decoder makes of codes, (n, width), by its path."""
        return {path: self.decoders[path_name(path)](codes[path[0]]) for path in self.paths}


def correspondence_loss(
    network: CorrespondenceAutoencoder, inputs: Codes, alpha: float, dropout: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a batch of pairs, 0-d, and its terms without their weights, by name.

    With the codes a and b of the image and the text of a pair, the reconstruction r_d by decoder d of the
    variant, and u_d the input that d is to reconstruct ::

        L = (1 - alpha) Σ_d ½‖r_d - u_d‖² + alpha ½‖a - b‖²

    as a mean over pairs. Encoders do not see a share ``dropout`` of the values of ``inputs``, drawn by
    PyTorch's own random numbers; all of them are to be reconstructed.
    """
    seen = {name: dropped_out(rows, dropout) for name, rows in inputs.items()} if dropout else inputs
    codes = network.encode(seen)
    terms = {"correlation": half_square(codes["image"], codes["text"])}
    reconstructed = network.reconstructions(codes)
    terms |= {path_name(path): half_square(reconstructed[path], inputs[path[1]]) for path in network.paths}
    reconstruction = torch.stack([terms[path_name(path)] for path in network.paths]).sum()
    return (1 - alpha) * reconstruction + alpha * terms["correlation"], terms


def path_name(path: Path) -> str:
    """Return what a decoder is called.

    >>> path_name(("image", "text"))
    'image_to_text'
    """
    return "_to_".join(path)


ADAM_RATE = 1e-3
RELEASED_RATES: dict[Variant, float] = {"corr": 0.05, "cross": 0.01, "full": 0.05}
"""Learning rates of SGD in the released program."""


@dataclass(frozen=True)
class CorrespondenceSettings:
    """How a correspondence autoencoder is trained.

    Parameters
    ----------
    embedding : size of the codes that are drawn together
    optimizer : "adam", or "sgd" as released
    learning_rate : "auto" is 0.001 for Adam, and for SGD that of the released program
    weight_decay : of weights; biases do not decay
    dropout : share of the units of the input that a step leaves out
    batch_size : pairs in a batch
    epochs : passes over the training pairs, at most
    stopping : "validation" keeps the state of the highest MAP on validation, "none" the last one
    eval_epochs : epochs from one look at validation to the next
    patience : epochs to wait for a better state before the training ends
    post : "zscore_train" standardises representations by statistics of training pairs
    """

    embedding: int = 1024
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float | str = "auto"
    weight_decay: float = 1e-4
    dropout: float = 0.0
    batch_size: int = 100
    epochs: int = 60
    stopping: Literal["validation", "none"] = "validation"
    eval_epochs: int = 2
    patience: int = 50
    post: Literal["none", "zscore_train"] = "zscore_train"

    @classmethod
    def of(cls, method: CorrAE) -> CorrespondenceSettings:
        """Return the parameters of the method that have these names."""
        return cls(**{field.name: getattr(method, field.name) for field in fields(cls)})

    def epochs_of(self, steps: int, n_pairs: int) -> int:
        """Return the epochs, rounded up, that so many steps on ``n_pairs`` pairs take.

        >>> CorrespondenceSettings(batch_size=100).epochs_of(25, 1000)
        3
        """
        return -(-steps // max(1, n_pairs // min(self.batch_size, n_pairs)))


class CorrespondenceFitting(PairFitting):
    """The training of an autoencoder of one variant and one alpha on codes of pairs.

    Initial encoders and the order of pairs depend on the seed alone, so that variants and values of alpha
    are compared from the same start.
    """

    settings: CorrespondenceSettings

    def __init__(
        self,
        variant: Variant,
        alpha: float,
        settings: CorrespondenceSettings,
        train: PairCodes,
        validation: PairCodes,
        run: Run,
    ) -> None:
        self.variant, self.alpha, self.settings, self.run = variant, alpha, settings, run
        self.train, self.validation = train, validation
        self.rows = {name: DeviceRows(codes, None, run.device) for name, codes in train.views.items()}
        width = self.rows["image"].width
        self.network = CorrespondenceAutoencoder(width, settings.embedding, variant, run.stream)
        self.network.to(run.device)
        self.batches = run.order(len(train.labels), settings.batch_size, "pairs")
        rates = {"adam": ADAM_RATE, "sgd": RELEASED_RATES[variant]}
        self.optimizer = self.optimizer_of([self.network], settings.weight_decay, rates)

    def trained(self, *, pause: int | None = None) -> Training[Index]:
        """Train as a stage of the run, to the state that is best on validation, or up to a ``pause``."""
        modules, kept = {"autoencoder": self.network}, {"encoders": self.network.encoders}
        unjudged = self.settings.stopping == "none" and pause is None
        settings = (self.variant, self.alpha, self.settings)
        dependence = Dependence(tuple(self.rows.values()), settings) if unjudged else None
        stage = f"{self.variant}_{self.alpha:g}"
        return self.trained_as(stage, modules, kept, pause=pause, dependence=dependence)

    def update(self, index: Index, norms: bool) -> Watched:
        """Make one step down the gradient of the loss of these pairs; return the loss and its terms."""
        inputs = {name: self.rows[name].rows(index) for name in MODALITIES}
        return self.descend(*correspondence_loss(self.network, inputs, self.alpha, self.settings.dropout))

    def code_maps(self) -> dict[Modality, NetworkMap]:
        """Return the maps from the codes that go in to a and b, as the encoders are now."""
        return {
            name: NetworkMap(self.network.encoders[name], f"{name}s", unscaled(self.rows[name].width))
            for name in MODALITIES
        }
