"""The word CNN: n-gram detectors over word vectors, each giving its strongest response to a text."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

from cmbench.datasets.draft import FloatMatrix, Labels
from cmbench.datasets.features.tokens import PADDING, Tokens, padded

Layer = TypeVar("Layer", bound=nn.Module)
TEXTS_AT_ONCE = 200


@dataclass(frozen=True)
class WordCNNShape:
    """The sizes of a word CNN; the defaults are those of Kim (2014), Section 3.1.

    Parameters
    ----------
    widths : how many words the filters of each block span
    maps : filters in each block
    dropout : share of features that a training step leaves out before the last layer
    tuned : whether training changes word vectors ("non-static") or not ("static")
    """

    widths: tuple[int, ...] = (3, 4, 5)
    maps: int = 100
    dropout: float = 0.5
    tuned: bool = True

    @property
    def features(self) -> int:
        """How many features there are: one for each filter."""
        return len(self.widths) * self.maps

    @property
    def groups(self) -> Labels:
        """The block that each feature belongs to, int64 (features,)."""
        return np.repeat(np.arange(len(self.widths), dtype=np.int64), self.maps)


class WordCNN(nn.Module):
    """Y. Kim, Convolutional neural networks for sentence classification, EMNLP 2014.

    A filter of width h responds to each window of h words by ReLU(w . x_{i:i+h-1} + b) (Equation 2), and its
    feature is the maximum over the windows (Equation 3); a linear layer makes class logits of the features.
    Only windows within the text count, whatever it was padded to. A text shorter than a filter has one
    window, which is filled up with zeros behind, and a text without words has one of zeros alone.

    It has no training mode: features are left out where a call brings the random numbers to do it with.

    Parameters
    ----------
    table : float32 (words, d), the word vectors; row 0 is padding
    shape : WordCNNShape
    classes : number of logits
    random : draws the first weights, uniform within ±1/sqrt(fan in)
    """

    def __init__(
        self, table: FloatMatrix, shape: WordCNNShape, classes: int, random: torch.Generator
    ) -> None:
        super().__init__()
        self.shape = shape
        vectors = torch.tensor(table)
        self.words = nn.Embedding(len(vectors), vectors.shape[1], padding_idx=PADDING, _weight=vectors)
        self.words.requires_grad_(shape.tuned)
        self.blocks = nn.ModuleList(
            _drawn(nn.Conv1d, (vectors.shape[1], shape.maps, width), width * vectors.shape[1], random)
            for width in shape.widths
        )
        self.last = _drawn(nn.Linear, (shape.features, classes), shape.features, random)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.last.weight.device

    def features(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return features (n, len(widths) * maps) of padded tokens (n, any) and lengths (n,), both int64."""
        missing = max(self.shape.widths) - tokens.shape[1]
        filled = functional.pad(tokens, (0, max(missing, 0)), value=PADDING)
        rows = self.words(filled).to(self.last.weight.dtype).transpose(1, 2)
        found = [
            _strongest(block(rows), lengths - width + 1)
            for block, width in zip(self.blocks, self.shape.widths, strict=True)
        ]
        return torch.cat(found, dim=1)

    def forward(self, tokens: Tensor, lengths: Tensor, dropping: torch.Generator | None = None) -> Tensor:
        """Return logits (n, classes); with ``dropping``, of features thinned by dropout."""
        features = self.features(tokens, lengths)
        if dropping is not None:
            kept = torch.empty(features.shape).bernoulli_(1 - self.shape.dropout, generator=dropping)
            features = features * kept.to(features) / (1 - self.shape.dropout)
        logits: Tensor = self.last(features)
        return logits

    @torch.no_grad()
    def limit_norms(self, largest: float) -> None:
        """Shorten each row of the last layer's weights to the 2-norm ``largest``, in place."""
        self.last.weight.copy_(torch.renorm(self.last.weight, 2, 0, largest))


def _drawn(kind: type[Layer], sizes: tuple[int, ...], fan_in: int, random: torch.Generator) -> Layer:
    layer: Layer = skip_init(kind, *sizes)  # type: ignore[no-untyped-call]
    bound = 1 / math.sqrt(fan_in)
    with torch.no_grad():
        for values in layer.parameters():
            values.uniform_(-bound, bound, generator=random)
    return layer


def _strongest(responses: Tensor, windows: Tensor) -> Tensor:
    """Return ReLU of the maximum (n, maps) of responses (n, maps, any) over each text's first windows."""
    position = torch.arange(responses.shape[2], device=responses.device)
    outside = position >= windows.clamp(min=1)[:, None]
    return torch.relu(responses.masked_fill(outside[:, None], -torch.inf).max(dim=2).values)


def batch_of(encoded: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
    """Return texts padded to the longest of them, int64 (n, tokens), and their lengths, int64 (n,)."""
    return torch.from_numpy(padded(encoded)), torch.tensor([len(tokens) for tokens in encoded])


def network_features(network: WordCNN, encoded: Sequence[Tokens]) -> FloatMatrix:
    """Return the features of texts, float32 (n, len(widths) * maps), without dropout.

    Sums are taken in float64, so that a text gives the same whatever texts it is computed together with.
    """
    exact = copy.deepcopy(network)
    exact.blocks.double()
    exact.last.double()
    order = np.argsort([len(tokens) for tokens in encoded], kind="stable")
    features = np.empty((len(encoded), network.shape.features), np.float32)
    with torch.no_grad():
        for start in range(0, len(order), TEXTS_AT_ONCE):
            rows = order[start : start + TEXTS_AT_ONCE]
            features[rows] = exact.features(*batch_of([encoded[row] for row in rows])).numpy()
    return features
