"""Networks that map both views of pairs into one space, judged on the validation pairs while they train."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.contract import Split
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.code_map import CodeMap
from cmbench.methods.cross_modal_networks import MODALITIES, Modality

ROWS_OF_A_LOOK = 4096  # training rows that a look at validation may have to encode


@dataclass(frozen=True, eq=False)
class PairCodes:
    """Features or codes of the pairs of a split: row i of each array (n, d) is of pair i."""

    views: Mapping[Modality, NDArray[np.float32]]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, split: Split, maps: Mapping[Modality, CodeMap]) -> PairCodes:
        """Map both views of a split."""
        features = views_of(split)
        return cls({name: maps[name].encode(features[name]) for name in MODALITIES}, split.labels)


def views_of(split: Split) -> dict[Modality, NDArray[Any]]:
    """Return the features of a split by modality."""
    return {"image": split.images, "text": split.texts}


class PairMapping(ABC):
    """Networks for both views, the pairs they learn from, and the pairs on which they are judged."""

    train: PairCodes
    validation: PairCodes

    @property
    @abstractmethod
    def standardises(self) -> bool:
        """Whether representations are standardised by statistics of training rows."""

    @abstractmethod
    def code_maps(self) -> Mapping[Modality, CodeMap]:
        """Return the maps into the common space as the networks are now, not standardised."""

    def maps(self, *, every: int = 1) -> dict[Modality, CodeMap]:
        """Return the maps to representations, as the networks are now.

        ``every`` n-th training row gives the statistics where representations are standardised.
        """
        maps = dict(self.code_maps())
        if not self.standardises:
            return maps
        return {name: maps[name].standardised(self.train.views[name][::every]) for name in MODALITIES}

    def code_deviation(self) -> float:
        """Return the mean standard deviation of code units over validation items, of the lesser modality.

        Codes are those of the networks as they are now, not standardised.
        """
        codes = (each.encode(self.validation.views[name]) for name, each in self.code_maps().items())
        return min(float(each.std(axis=0).mean()) for each in codes)

    def validation_map(self) -> float:
        """Return the mean of the two bi-modal MAPs of the validation pairs, as the networks are now.

        Where representations are standardised, the statistics are those of ``ROWS_OF_A_LOOK`` training
        rows at most, so that a look takes no longer with more training pairs.
        """
        maps = self.maps(every=-(-len(self.train.labels) // ROWS_OF_A_LOOK))
        images, texts = (maps[name](self.validation.views[name]) for name in MODALITIES)
        return bimodal_map(images, texts, self.validation.labels)
